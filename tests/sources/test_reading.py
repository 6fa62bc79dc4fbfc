"""What was understood of the data: which label means positive, and the one line that says it all."""

import csv
import json

import pytest
from datasets import ClassLabel, Dataset, Features, Value

from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.columns import UnclearData, Wanted
from bert_mpq.sources.reviews import find_reviews, load_reviews
from tests.helpers.data_forms import Form, write

ROWS = [(f"Review number {index}: a film, of course.", index % 2) for index in range(20)]


def understood(path, wanted=None):
    """Return the line, and {text: label} of both halves."""
    source = find_reviews(str(path), wanted or Wanted())
    halves = [load_reviews(source, split) for split in ("calibration", "evaluation")]
    read = {}
    for half in halves:
        read.update(zip(half.texts, half.labels, strict=True))
    return source.reading.line, read


def test_the_table_of_kaggle(tmp_path):
    """IMDB Dataset.csv: named columns, words as labels, fields in quotation marks, repeated rows."""
    with (tmp_path / "IMDB Dataset.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["review", "sentiment"])
        rows = [(f"{text}<br /><br />So.", ("negative", "positive")[label]) for text, label in ROWS]
        writer.writerows([*rows, *rows[:2]])
    line, read = understood(tmp_path / "IMDB Dataset.csv")
    assert line == (
        "2 columns: review -> text, sentiment -> label; positive = 1; 22 rows, 20 distinct, 50.0 % positive;"
        " split by hash"
    )
    assert read == {f"{text}<br /><br />So.": label for text, label in ROWS}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((0, 1), "positive = 1"),
        (("neg", "pos"), "pos = 1"),
        ((False, True), "True = 1"),
        (("LABEL_0", "LABEL_1"), "LABEL_1 = 1"),
    ],
)
def test_the_line_says_which_label_is_positive(tmp_path, words, said):
    line, read = understood(write(tmp_path, {"": ROWS}, Form(words=words)))
    assert f"; {said}; " in line
    assert read == dict(ROWS)


@pytest.mark.parametrize("names", [["neg", "pos"], ["pos", "neg"], ["Positive", "Negative"], ["1", "0"]])
@pytest.mark.parametrize("container", ["parquet", "saved"])
def test_the_names_of_class_labels_decide(tmp_path, names, container):
    positive = next(at for at, name in enumerate(names) if name.lower() in ("pos", "positive", "1"))
    numbers = [positive if label else 1 - positive for _, label in ROWS]
    features = Features({"text": Value("string"), "label": ClassLabel(names=names)})
    data = Dataset.from_dict({"text": [text for text, _ in ROWS], "label": numbers}, features=features)
    path = tmp_path / "data.parquet"
    data.to_parquet(path) if container == "parquet" else data.save_to_disk(path)
    assert understood(path)[1] == dict(ROWS)


@pytest.mark.parametrize(
    ("words", "labels"),
    [
        ((1, 2), ("1=negative", "2=positive")),
        ((-1, 1), ("-1=negative", "1=positive")),
        ((0, 4), ("0=neg", "4=pos")),
        (("rotten", "Fresh"), ("FRESH=positive", "Rotten=negative")),
        ((1, 0), ("1=negative", "0=positive")),  # the user decides even against the usual meaning
    ],
)
@pytest.mark.parametrize("container", ["csv", "jsonl", "parquet"])
def test_the_user_says_what_labels_mean(tmp_path, container, words, labels):
    path = write(tmp_path, {"": ROWS}, Form(container=container, words=words))
    line, read = understood(path, Wanted(labels=labels))
    assert read == dict(ROWS)
    assert f"{words[1]} = 1" in line or f"positive = {words[1]}" in line


def test_folders_of_other_names_are_explained(tmp_path):
    path = write(tmp_path, {"": ROWS}, Form(container="texts", words=("rotten", "fresh")))
    line, read = understood(path, Wanted(labels=("rotten=negative", "fresh=positive")))
    assert read == dict(ROWS)
    assert line.startswith("2 folders: fresh, rotten; fresh = 1; ")


def test_rows_can_be_left_out(tmp_path):
    rows = [{"text": text, "stars": (2, 5)[label]} for text, label in ROWS]
    rows[3:3] = [{"text": f"so {number}", "stars": 3} for number in range(4)]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    labels = ("1=negative", "2=negative", "3=skip", "4=positive", "5=positive")
    line, read = understood(tmp_path / "a.json", Wanted(labels=labels))
    assert read == dict(ROWS)
    assert line == (
        "2 columns: text -> text, stars -> label; positive = 5; 20 rows, 20 distinct, 50.0 % positive;"
        " 4 left out (3); split by hash"
    )


def test_other_folders_beside_known_ones_are_left_out(tmp_path):
    path = write(tmp_path, {"": ROWS}, Form(container="texts", words=("neg", "pos")))
    (path / "neutral").mkdir()
    (path / "neutral" / "1.txt").write_text("so so")
    line, read = understood(path)
    assert read == dict(ROWS)
    assert "; 1 left out (neutral); " in line


def test_columns_are_chosen_by_the_user(tmp_path):
    Dataset.from_dict(
        {
            "text": ["another"] * 20,
            "My Text": [text for text, _ in ROWS],
            "label": [1] * 20,
            "verdict": [label for _, label in ROWS],
        }
    ).to_csv(tmp_path / "a.csv", index=False)
    wanted = Wanted(text_column="my_text", label_column="verdict")
    line, read = understood(tmp_path / "a.csv", wanted)
    assert read == dict(ROWS)
    assert line.startswith("4 columns: My Text -> text, verdict -> label; ")


def test_two_columns_of_labels_that_say_the_same_are_one(tmp_path):
    rows = [
        {"text": text, "label": label, "label_text": ("negative", "positive")[label]} for text, label in ROWS
    ]
    (tmp_path / "a.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    line, read = understood(tmp_path / "a.jsonl")
    assert read == dict(ROWS)
    assert line.startswith("3 columns: text -> text, label -> label; ")


def test_of_two_columns_of_labels_the_one_with_a_known_meaning_is_taken(tmp_path):
    rows = [
        {"text": text, "rating": 1 + 8 * label, "sentiment": ("neg", "pos")[label]} for text, label in ROWS
    ]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    line, read = understood(tmp_path / "a.json")
    assert read == dict(ROWS)
    assert "sentiment -> label" in line


def test_two_columns_of_labels_that_say_different_things_are_asked_for(tmp_path):
    rows = [{"text": text, "label": label, "target": 1 - label} for text, label in ROWS]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    with pytest.raises(UnclearData) as refused:
        find_reviews(str(tmp_path / "a.json"))
    assert (refused.value.question, refused.value.options) == ("label_column", ("label", "target"))
    assert understood(tmp_path / "a.json", Wanted(label_column="label"))[1] == dict(ROWS)


def test_the_line_fits_any_name(tmp_path):
    Dataset.from_dict({f"text{'!' * 90}\n": [text for text, _ in ROWS], "label": [0, 1] * 10}).to_parquet(
        tmp_path / "a.parquet"
    )
    line, _ = understood(tmp_path / "a.parquet")
    assert "\n" not in line
    assert len(line) < 180


def test_texts_with_both_labels_are_counted(tmp_path):
    rows = [*ROWS, *((text, 1 - label) for text, label in ROWS[:3]), ROWS[0]]
    line, read = understood(write(tmp_path, {"": rows}, Form()))
    assert "; 24 rows, 20 distinct, 50.0 % positive; 3 texts with both labels; " in line
    assert read == dict(ROWS)


def test_a_sample_of_a_split_with_one_class_says_what_to_do(tmp_path):
    from bert_mpq.sources.sampling import sample

    path = write(tmp_path, {"train": ROWS, "test": [(text, 1) for text, _ in ROWS]}, Form())
    reviews = load_reviews(find_reviews(str(path)), "evaluation")
    with pytest.raises(MpqError) as refused:
        sample(reviews, None, "stratified", 0)
    assert (refused.value.code, refused.value.title) == (
        "E-ONE-CLASS",
        "The split holds only positive reviews.",
    )
    assert refused.value.hint == "Give a split with reviews of both classes."


@pytest.mark.parametrize("name", ["label\0\0", "label\n", "LABEL\t", "text\0"])
def test_odd_names_of_columns_do_no_harm(tmp_path, name):
    rows = {"text": [text for text, _ in ROWS], "label": [label for _, label in ROWS]}
    rows[name] = rows.pop(name.strip("\0\n\t").lower())
    path = tmp_path / "a.json"
    path.write_text(json.dumps(rows))
    assert understood(path)[1] == dict(ROWS)
