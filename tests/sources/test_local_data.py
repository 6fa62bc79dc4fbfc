import json

import pytest
from datasets import Dataset, DatasetDict

from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.reviews import find_reviews, known_size, load_reviews

TEXTS = [f"Review number {index}: a film, of course." for index in range(20)]
LABELS = [index % 2 for index in range(20)]


def columns(texts=TEXTS, labels=LABELS):
    return Dataset.from_dict({"text": texts, "label": labels})


def write_csv(path):
    columns().to_csv(path, index=False)


def write_json_lines(path):
    columns().to_json(path)


def write_json_array(path):
    rows = [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)]
    path.write_text(json.dumps(rows))


def write_parquet(path):
    columns().to_parquet(path)


def write_arrow(path):
    columns().save_to_disk(path)


def both_halves(path):
    """Return {text: label} of each half."""
    source = find_reviews(str(path))
    halves = [load_reviews(source, split) for split in ("calibration", "evaluation")]
    return [dict(zip(reviews.texts, reviews.labels, strict=True)) for reviews in halves]


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("reviews.csv", write_csv),
        ("REVIEWS.CSV", write_csv),
        ("reviews.json", write_json_lines),
        ("reviews.jsonl", write_json_lines),
        ("reviews.json", write_json_array),
        ("reviews.parquet", write_parquet),
        ("my reviews (1).csv", write_csv),
        ("folder", write_arrow),
    ],
)
def test_every_review_of_a_file_is_in_one_half(tmp_path, name, write):
    write(tmp_path / name)
    calibration, evaluation = both_halves(tmp_path / name)
    assert calibration.keys().isdisjoint(evaluation)
    assert calibration | evaluation == dict(zip(TEXTS, LABELS, strict=True))


@pytest.mark.parametrize("name", ["reviews[1].csv", "reviews*.csv"])
def test_a_file_name_is_no_pattern(tmp_path, name):
    columns(["another file", "yet another"], [0, 1]).to_csv(tmp_path / "reviews1.csv", index=False)
    write_csv(tmp_path / name)
    calibration, evaluation = both_halves(tmp_path / name)
    assert calibration | evaluation == dict(zip(TEXTS, LABELS, strict=True))


def test_a_file_that_was_changed_is_read_again(tmp_path):
    path = tmp_path / "reviews.csv"
    write_csv(path)
    both_halves(path)
    columns(["new", "newer"], [0, 1]).to_csv(path, index=False)
    calibration, evaluation = both_halves(path)
    assert calibration | evaluation == {"new": 0, "newer": 1}


def test_saved_splits_named_train_and_test_are_kept(tmp_path):
    splits = DatasetDict(train=columns(["a", "b"], [0, 1]), test=columns(["c", "d"], [1, 0]))
    splits.save_to_disk(tmp_path / "splits")
    assert both_halves(tmp_path / "splits") == [{"a": 0, "b": 1}, {"c": 1, "d": 0}]


def test_saved_splits_without_a_test_split_are_refused(tmp_path):
    DatasetDict(train=columns()).save_to_disk(tmp_path / "splits")
    with pytest.raises(MpqError, match="has no test split") as refused:
        load_reviews(find_reviews(str(tmp_path / "splits")), "evaluation")
    assert refused.value.code == "E-DATA-FORMAT"


def test_the_source_is_named_after_the_file(tmp_path):
    write_csv(tmp_path / "shop.csv")
    source = find_reviews(str(tmp_path / "shop.csv"))
    assert (source.name, source.kind, source.path) == ("shop.csv", "file", tmp_path / "shop.csv")
    assert source.split_name("calibration") == "calibration half of shop.csv"
    assert known_size(source, "calibration") is None


def test_a_path_from_the_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_csv(tmp_path / "shop.csv")
    assert find_reviews("~/shop.csv").path == tmp_path / "shop.csv"


def test_a_path_without_a_file_is_named():
    with pytest.raises(MpqError, match=r"No data at no/such/file\.csv\.") as refused:
        find_reviews("no/such/file.csv")
    assert refused.value.code == "E-NOFILE"


@pytest.mark.parametrize("path", ["x" * 300, "~no-such-user/file.csv"], ids=["too long", "no such user"])
def test_a_path_that_no_file_can_have_is_no_file(path):
    with pytest.raises(MpqError) as refused:
        find_reviews(path)
    assert refused.value.code == "E-NOFILE"


@pytest.mark.parametrize(
    ("name", "content", "title"),
    [
        ("a.csv", "text,stars\ngood,1\n", r"a\.csv has no column label \(it has text, stars\)\."),
        ("a.csv", "review,label\ngood,1\n", r"a\.csv has no column text \(it has review, label\)\."),
        ("a.csv", "text,label\ngood,1\nbad,2\n", r"a\.csv, row 2: label 2 is neither 0 nor 1\."),
        ("a.csv", "text,label\ngood,positive\n", r"a\.csv, row 1: label 'positive' is neither 0 nor 1\."),
        ("a.csv", "text,label\ngood,1\nbad,\n", r"a\.csv, row 2: label (nan|None) is neither 0 nor 1\."),
        ("a.csv", "text,label\ngood,1\n,0\n", r"a\.csv, row 2: the text is empty or no text\."),
        ("a.csv", 'text,label\n" ",1\n', r"a\.csv, row 1: the text is empty or no text\."),
        ("a.json", '[{"text": "good", "label": true}]', r"a\.json, row 1: label True is neither 0 nor 1\."),
        ("a.json", '[{"text": null, "label": 1}]', r"a\.json, row 1: the text is empty or no text\."),
        ("a.csv", "", r"a\.csv cannot be read: "),
        ("a.csv", "text,label\n", r"a\.csv "),
        ("a.json", "[]", r"a\.json "),
        ("a.json", "{", r"a\.json cannot be read: "),
        ("a.parquet", "no parquet", r"a\.parquet cannot be read: "),
        ("a.csv", b"text,label\ncaf\xe9,1\n", r"a\.csv cannot be read: .*utf-8"),
        ("a.txt", "good", r"a\.txt is no CSV, JSON or Parquet file\."),
        ("a", "good", r"a is no CSV, JSON or Parquet file\."),
    ],
)
def test_data_that_is_no_reviews_is_refused_with_column_or_row(tmp_path, name, content, title):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(MpqError, match=f"^{title}") as refused:
        load_reviews(find_reviews(str(path)), "calibration")
    assert refused.value.code == "E-DATA-FORMAT"


def test_a_folder_that_is_no_data_set_is_refused(tmp_path):
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(MpqError, match="is no folder of an Arrow data set") as refused:
        load_reviews(find_reviews(str(tmp_path)), "calibration")
    assert refused.value.code == "E-DATA-FORMAT"


def test_an_arrow_folder_is_checked_as_a_file_is(tmp_path):
    columns(["good"], [3]).save_to_disk(tmp_path / "stars")
    with pytest.raises(MpqError, match="stars, row 1: label 3") as refused:
        load_reviews(find_reviews(str(tmp_path / "stars")), "calibration")
    assert refused.value.code == "E-DATA-FORMAT"


def test_a_cut_off_arrow_file_is_refused(tmp_path):
    write_arrow(tmp_path / "folder")
    (data,) = (tmp_path / "folder").glob("*.arrow")
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(MpqError) as refused:
        load_reviews(find_reviews(str(tmp_path / "folder")), "calibration")
    assert refused.value.code == "E-DATA-FORMAT"
