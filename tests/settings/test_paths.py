from pathlib import Path

from bert_mpq.settings.paths import cache_folder


def test_the_cache_folder_is_the_named_one_else_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("BERT_MPQ_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("BERT_MPQ_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "bert-mpq"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == Path(tmp_path, ".cache", "bert-mpq")
