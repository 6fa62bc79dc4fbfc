"""The encoder in packages of parts, with small packages in the place of the five large ones."""

import dataclasses
import hashlib
import io
import shutil
import zipfile
from collections import namedtuple

import pytest

from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.embedded.bases import BASE, EMBEDDED, WEIGHTS
from bert_mpq.sources.embedded.files import base_available, base_folder, installed
from bert_mpq.sources.embedded.parts_stream import PartsStream

PARTS = 5


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    """The files of a tiny MPNet, as its authors would save them."""
    import torch
    from transformers import MPNetConfig, MPNetForMaskedLM

    torch.manual_seed(0)
    config = MPNetConfig(
        vocab_size=60,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
    )
    folder = tmp_path_factory.mktemp("encoder")
    MPNetForMaskedLM(config).mpnet.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def site(contents, tmp_path, monkeypatch):
    """Five packages that carry a zip of the files; return their folder and their entry in the catalogue."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in contents.items():
            file.writestr(f"encoder/{name}", content)
    whole = archive.getvalue()
    size = -(-len(whole) // PARTS)
    for part in range(1, PARTS + 1):
        folder = tmp_path / "site" / f"small-parts_{part:03}"
        (folder / "input").mkdir(parents=True)
        (folder / "__init__.py").write_text("raise SystemExit('imported')")
        (folder / "input" / f"a.zip.{part:03}").write_bytes(whole[(part - 1) * size : part * size])
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setenv("BERT_MPQ_CACHE", str(tmp_path / "cache"))
    embedded = dataclasses.replace(
        BASE,
        wheels=tuple(f"small-parts_{part:03}" for part in range(1, PARTS + 1)),
        inside="input/a.zip.{part:03}",
        sha256={name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
    )
    return tmp_path / "site", embedded


@pytest.mark.parametrize("sizes", [(7,), (3, 4), (1, 1, 5), (3, 0, 4), (2, 5)])
def test_parts_read_like_the_file_they_were_cut_from(tmp_path, sizes):
    whole, paths, start = b"abcdefg", [], 0
    for index, size in enumerate(sizes):
        paths.append(tmp_path / str(index))
        paths[-1].write_bytes(whole[start : start + size])
        start += size
    with io.BytesIO(whole) as expected, PartsStream(paths) as stream:
        assert stream.read() == whole
        for offset, whence in ((0, 0), (2, 0), (-3, 2), (7, 0), (9, 0)):
            for count in (1, 2, 7):
                assert stream.seek(offset, whence) == expected.seek(offset, whence)
                assert io.BufferedReader(_Open(stream)).read(count) == expected.read(count)
        with pytest.raises(ValueError, match="negative"):
            stream.seek(-1)


class _Open(io.RawIOBase):
    """The stream behind a reader that may be thrown away without closing it."""

    def __init__(self, stream):
        self.readinto, self.readable = stream.readinto, stream.readable


def test_the_files_are_unpacked_once_and_whole(site, contents, monkeypatch):
    _, embedded = site
    assert installed(embedded)
    folder = base_folder(embedded)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == contents
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]  # no temporary file is left
    monkeypatch.setattr("bert_mpq.sources.embedded.files.zipfile", None)
    assert base_folder(embedded) == folder


def test_the_classifier_is_made_of_them(site):
    from bert_mpq.sources.embedded.loading import load_base

    _, embedded = site
    from safetensors.torch import load_file

    model, _ = load_base(embedded)
    assert type(model).__name__ == "MPNetForSequenceClassification"
    assert model.config.id2label == {0: "negative", 1: "positive"}
    saved = load_file(base_folder(embedded) / WEIGHTS)
    mine = model.mpnet.state_dict()
    assert all(mine[name].equal(saved[name]) for name in mine if name in saved)
    assert {name for name in mine if name not in saved} <= {"embeddings.position_ids"}


def test_a_missing_part_is_named(site):
    folder, embedded = site
    shutil.rmtree(folder / "small-parts_003")
    assert not installed(embedded)
    assert not base_available(embedded)
    with pytest.raises(MpqError, match=r"small-parts_003 of 5 packages is missing") as refused:
        base_folder(embedded)
    assert refused.value.code == "E-OFFLINE"
    assert "bert-mpq[offline-base]" in refused.value.hint


@pytest.mark.parametrize("part", range(1, PARTS + 1))
def test_a_damaged_part_is_refused_and_leaves_nothing(site, part, tmp_path):
    folder, embedded = site
    file = folder / f"small-parts_{part:03}" / "input" / f"a.zip.{part:03}"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(MpqError, match="in the packages of --model embedded-base is damaged") as refused:
        base_folder(embedded)
    assert refused.value.code == "E-OFFLINE"
    assert not list((tmp_path / "cache").iterdir())


def test_another_file_in_the_archive_is_refused(site):
    _, embedded = site
    other = dataclasses.replace(embedded, sha256={**embedded.sha256, "config.json": "0" * 64})
    with pytest.raises(MpqError, match=r"config\.json in the packages"):
        base_folder(other)


def test_a_file_that_was_changed_after_it_was_unpacked_is_not_trusted(site):
    _, embedded = site
    (base_folder(embedded) / WEIGHTS).write_bytes(b"other weights")
    with pytest.raises(MpqError, match="is not the known file") as refused:
        base_folder(embedded)
    assert refused.value.code == "E-OFFLINE"


def test_a_full_disk_is_told_before_anything_is_written(site, monkeypatch, tmp_path):
    _, embedded = site
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 10**6))
    with pytest.raises(MpqError, match=r"1 MB free, and the encoder takes 429 MB") as refused:
        base_folder(embedded)
    assert refused.value.code == "E-DISK"
    assert not list((tmp_path / "cache").iterdir())


def test_the_catalogue_says_where_each_adapter_lies():
    for embedded in EMBEDDED.values():
        assert (embedded.adapter / "adapter_model.safetensors").stat().st_size <= 8 * 2**20
        assert f"--model {embedded.name}`" in (embedded.adapter / "CARD.md").read_text()
