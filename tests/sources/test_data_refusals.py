"""Every way in which data can be wrong has a sentence of its own, with the place and without a review."""

import gzip
import json
import os

import pytest
from datasets import Dataset

from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.columns import UnclearData, Wanted
from bert_mpq.sources.reviews import find_reviews
from tests.helpers.data_forms import Form, write

ROWS = [(f"Review number {index}: a film, of course.", index % 2) for index in range(20)]
SECRET = "the text of a review"
DAMAGED = "a.csv cannot be unpacked: it is damaged or cut off."


def refusal(path, wanted=None):
    with pytest.raises(MpqError) as refused:
        find_reviews(str(path), wanted or Wanted())
    error = refused.value
    assert SECRET not in f"{error.title} {error.hint}"
    assert error.title.endswith(".")
    assert error.hint.endswith((".", ".)"))
    return error


def table(*rows):
    return "".join(f"{row}\n" for row in rows)


SEPARATED = {
    "a.csv is empty.": "",
    "a.csv holds no reviews.": "text,label\n",
    "a.csv has one column only: text.": f"text\n{SECRET}\n",
    "a.csv: its first line names no columns.": table(f"{SECRET},1", "another,0"),
    "a.csv: its first line is no header with known names.": table(
        f"{SECRET} is much too long for a name,b", "x,y"
    ),
    "a.csv has no header, or one whose quotation marks do not match.": f'"{SECRET}\nand more,1\n',
    "a.csv has no column with a known name for the labels (its columns: text, opinion).": table(
        "text,opinion", f"{SECRET},1"
    ),
    "a.csv has no column with a known name for the reviews (its columns: verdict, label).": table(
        "verdict,label", f"{SECRET},1"
    ),
    "a.csv: the columns text, review may each hold the reviews.": table("text,review,label", f"{SECRET},b,1"),
    "a.csv: the columns label, sentiment may each hold the labels.": table(
        "text,label,sentiment", f"{SECRET},0,pos", "b,1,neg"
    ),
    "a.csv has two columns called text.": table("text,text,label", f"{SECRET},b,1"),
    "a.csv, row 2 has 3 fields, but the header names 2 columns.": table("text,label", "a,1", f"{SECRET},b,0"),
    "a.csv, row 2 has 1 field, but the header names 2 columns.": table("text,label", "a,1", SECRET, "b,0"),
    "a.csv: the quotation mark that opens in row 2 never closes.": table(
        "text,label", "a,1", f'"{SECRET}, a,0', "b,1"
    ),
    "a.csv, row 2: a quoted field goes on after its closing mark.": table(
        "text,label", "a,1", f'"b" and {SECRET},0,'
    ),
    "a.csv, row 2: the text is empty or no text.": table("text,label", f"{SECRET},1", " ,0"),
    "a.csv: 1 row has no label.": table("text,label", f"{SECRET},1", "b,", "c,0"),
    "a.csv: 2 rows have no label.": table("text,label", f"{SECRET},1", "b,", "c,0", "d, "),
    "a.csv: 3 rows have no label.": table("text,label", f"{SECRET},1", "b,nan", "c,0", "d,None", "e,NULL"),
    "a.csv has no labels: they are missing, or all -1.": table("text,label", f"{SECRET},-1", "b,", "c,-1"),
    "a.csv: what the labels 1, 2 mean is not known.": table("text,label", f"{SECRET},1", "b,2"),
    "a.csv: what the labels 0, 4 mean is not known.": table("text,label", f"{SECRET},4", "b,0"),
    "a.csv: what the labels -1, 1 mean is not known.": table("text,label", f"{SECRET},1", "b,-1"),
    "a.csv: what the labels 1, 2, 3, 4, 5 mean is not known.": table(
        "text,stars", *(f"{SECRET} {stars},{stars}" for stars in (5, 3, 1, 2, 4))
    ),
    "a.csv: what the labels fresh, rotten mean is not known.": table(
        "text,label", *(f"{SECRET} {number},{('fresh', 'rotten')[number % 2]}" for number in range(4))
    ),
    "a.csv: the label column has 25 different values, not those of two classes.": table(
        "text,label", *(f"{SECRET},{number}" for number in range(25))
    ),
    "a.csv: the label column holds text that is no label.": table(
        "text,label", f"good,{SECRET}", f"bad,{SECRET}!"
    ),
    "a.csv holds only positive reviews.": table("text,label", f"{SECRET},1", "b,1"),
    "a.csv: every review has the label 2.": table("text,label", f"{SECRET},2", "b,2"),
}


@pytest.mark.parametrize("title", SEPARATED)
def test_a_wrong_table_is_refused_with_the_reason(tmp_path, title):
    path = tmp_path / "a.csv"
    path.write_text(SEPARATED[title])
    assert refusal(path).title == title


@pytest.mark.parametrize(
    ("content", "title"),
    [
        (f"text,label\n{SECRET},1\ncafé,0\n".encode("cp1252"), "a.csv, line 3 is not in UTF-8."),
        (f"text,label\n{SECRET},1\n".encode("utf-16-le"), "a.csv holds zero bytes: it is no text in UTF-8."),
        (f"text,label\n{SECRET},1\n".encode("utf-16")[:-1], "a.csv is not in UTF-16."),
        (b"\x1f\x8b\x08no gzip", DAMAGED),
        (
            gzip.compress(f"text,label\n{SECRET},1\n".encode(), mtime=0)[:-4],
            "a.csv cannot be unpacked: it is damaged or cut off.",
        ),
        (b"PK\x03\x04 a workbook", "a.csv cannot be unpacked: it is damaged or cut off."),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "a.csv is a pointer of Git LFS, not the data.",
        ),
    ],
)
def test_bytes_that_are_no_text_are_refused_with_the_reason(tmp_path, content, title):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert refusal(path).title == title


JSON = {
    "a.json at line 1, column 1 is not valid JSON.": "",
    "a.json at line 1, column 2 is not valid JSON.": "{",
    "a.json holds no reviews.": "[]",
    "a.json is no list of objects.": f'["{SECRET}"]',
    "a.json: its columns differ in length.": f'{{"text": ["{SECRET}"], "label": [0, 1]}}',
    "a.json holds several tables: train, test.": '{"train": [{"text": "a"}], "test": [{"text": "b"}]}',
    "a.json is nested too deeply.": "[" * 100_000,
    "a.json holds a number with too many digits.": f'[{{"text": "{SECRET}", "label": {"1" * 5_000}}}]',
    "a.json, row 2 is not valid JSON.": f'{{"text": "{SECRET}", "label": 1}}\n{{"text": \n',
    "a.json, row 2 is no object.": f'{{"text": "{SECRET}", "label": 1}}\n3\n',
    "a.json, row 1: the text is empty or no text.": '[{"text": null, "label": 1}, {"text": "b", "label": 0}]',
    "a.json: column text holds no text.": '[{"text": 3, "label": 1}]',
    "a.json: 1 row has no label.": f'[{{"text": "{SECRET}"}}, {{"text": "b", "label": 0}}]',
    "a.json has no column for the labels (its columns: text).": f'[{{"text": "{SECRET}", "label": {{}}}}]',
}


def test_a_number_that_no_column_holds_is_refused(tmp_path, monkeypatch):
    """Some versions of pandas stop at it, others keep it as an object."""

    def stop(_):
        raise OverflowError("int too large to convert to float")

    monkeypatch.setattr("pandas.DataFrame", stop)
    path = tmp_path / "a.json"
    path.write_text(f'{{"text": {{"0": "{SECRET}"}}, "label": {{"0": 1}}}}')
    assert refusal(path).title == "a.json holds a number with too many digits."


@pytest.mark.parametrize("title", JSON)
def test_wrong_json_is_refused_with_the_reason(tmp_path, title):
    path = tmp_path / "a.json"
    path.write_text(JSON[title])
    assert refusal(path).title == title


@pytest.mark.parametrize("kind", ["parquet", "arrow", "feather"])
@pytest.mark.parametrize("cut", [0, 3, 40, -9])
def test_damaged_arrow_and_parquet_are_refused(tmp_path, kind, cut):
    path = write(tmp_path, {"": [(SECRET, 0), ("b", 1)] * 50}, Form(container=kind))
    path.write_bytes(path.read_bytes()[:cut])
    assert refusal(path).title.startswith(f"reviews.{kind} is no readable ")


def test_text_in_arrow_that_is_no_unicode_is_refused(tmp_path):
    path = write(tmp_path, {"": [("caf1", 0), ("caf2", 1)]}, Form(container="feather"))
    content = path.read_bytes()
    assert b"caf1caf2" in content
    path.write_bytes(content.replace(b"caf1", b"caf\xe9"))
    assert "is no readable Arrow file" in refusal(path).title


@pytest.mark.parametrize("metadata", [b"[]", b"{", b'{"info": 3}', b'{"info": {"features": {"a": 1}}}'])
def test_a_parquet_file_with_other_metadata_is_read_or_refused(tmp_path, metadata):
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"text": [text for text, _ in ROWS], "label": [label for _, label in ROWS]})
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(table.replace_schema_metadata({b"huggingface": metadata}), path)
    if metadata.endswith(b"1}}}"):
        assert find_reviews(str(path)).reading.rows == len(ROWS)
    else:
        assert "a.parquet is no readable Parquet file" in refusal(path).title


def test_half_of_a_surrogate_pair_is_a_lost_character(tmp_path):
    rows = [{"text": f"{number} \ud83d film", "label": number % 2} for number in range(8)]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    reviews = find_reviews(str(tmp_path / "a.json")).reading.calibration.reviews()
    assert list(reviews.texts) == [f"{number} \ufffd film" for number in range(8)]


def test_a_file_of_no_known_kind_is_refused_with_the_kinds(tmp_path):
    for name in ("a.xlsx", "a", "a.pkl"):
        (tmp_path / name).write_text(SECRET)
        error = refusal(tmp_path / name)
        assert error.title == f"{name} has no name of a kind that is read."
        assert "CSV" in error.hint


FOLDERS = {
    "data is empty.": {},
    "data holds no data.": {"README.md": "text"},
    "data holds text files, but not in folders named after their labels.": {"1.txt": SECRET},
    "data holds only positive reviews.": {"pos/1.txt": SECRET, "pos/2.txt": "b"},
    "data: what the labels bad, good mean is not known.": {
        f"{name}/{number}.txt": f"{SECRET} {name}" for name in ("good", "bad") for number in range(2)
    },
    "data: pos/2.txt: the text is empty or no text.": {"neg/1.txt": SECRET, "pos/2.txt": "\n"},
    "data holds several data sets: cola, sst2.": {"cola/train.csv": SECRET, "sst2/train.csv": SECRET},
    "data holds several files for one table: a.csv, b.csv.": {"a.csv": SECRET, "b.csv": SECRET},
    "data holds several files for the split train: train.csv, train.tsv.": {
        "train.csv": SECRET,
        "train.tsv": SECRET,
    },
    "train-2.csv has other columns than the file before it.": {
        "train-1.csv": "text,label\na,0\n",
        "train-2.csv": "label,text\n1,b\n",
    },
    "data, test split: what the labels 1, 2 mean is not known.": {
        "train.csv": table("text,label", f"{SECRET},1", "b,0"),
        "test.csv": table("text,label", f"{SECRET},1", "b,2"),
    },
}


@pytest.mark.parametrize("title", FOLDERS)
def test_a_wrong_folder_is_refused_with_the_reason(tmp_path, title):
    folder = tmp_path / "data"
    folder.mkdir()
    for name, content in FOLDERS[title].items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    assert refusal(folder).title == title


def test_a_damaged_saved_data_set_is_refused(tmp_path):
    path = write(tmp_path, {"": ROWS}, Form(container="saved"), "saved")
    (data,) = path.glob("*.arrow")
    content = data.read_bytes()
    for damaged in (content[:100], content[:-100], b""):
        data.write_bytes(damaged)
        assert "saved is no readable" in refusal(path).title
    data.write_bytes(content)
    (path / "state.json").write_text("{}")
    assert refusal(path).title == "saved is no readable folder of save_to_disk: a file is missing or damaged."


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(tmp_path):
    path = write(tmp_path, {"": ROWS}, Form())
    path.chmod(0)
    assert refusal(path).title == "reviews.csv cannot be opened: permission denied."


@pytest.mark.parametrize(
    ("wanted", "title"),
    [
        (Wanted(text_column="body"), "reviews.csv has no column body."),
        (Wanted(label_column="stars"), "reviews.csv has no column stars."),
        (
            Wanted(text_column="label", label_column="label"),
            "reviews.csv: column label cannot hold both the reviews and the labels.",
        ),
        (
            Wanted(labels=("1=negative", "2=positive")),
            "reviews.csv: --labels does not say what the label 0 means.",
        ),
    ],
)
def test_what_the_user_says_is_checked(tmp_path, wanted, title):
    assert refusal(write(tmp_path, {"": ROWS}, Form()), wanted).title == title


def test_text_files_have_no_columns(tmp_path):
    path = write(tmp_path, {"": ROWS}, Form(container="texts", words=("neg", "pos")))
    error = refusal(path, Wanted(text_column="text"))
    assert error.title == "reviews holds text files, which have no columns."


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ((1, 2), "Use --labels=1=negative,2=positive, as they are meant."),
        ((-1, 1), "Use --labels=-1=negative,1=positive, as they are meant."),
        ((0, 4), "Use --labels=0=negative,4=positive, as they are meant."),
        (("bad", "good"), "Use --labels=bad=negative,good=positive, as they are meant."),
    ],
)
def test_unknown_labels_name_the_way_out_and_what_to_choose_from(tmp_path, words, hint):
    path = write(tmp_path, {"": ROWS}, Form(words=words))
    error = refusal(path)
    assert isinstance(error, UnclearData)
    assert (error.hint, error.question, error.options) == (hint, "labels", tuple(map(str, words)))


def test_stars_are_explained_with_the_middle_left_out(tmp_path):
    rows = [{"text": f"{number}", "stars": number % 5 + 1} for number in range(10)]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    hint = "Use --labels=1=negative,2=negative,3=skip,4=positive,5=positive, as they are meant."
    assert refusal(tmp_path / "a.json").hint == hint


def test_labels_with_commas_cannot_be_named(tmp_path):
    path = write(tmp_path, {"": ROWS}, Form(words=("bad, or so", "good, really")))
    error = refusal(path)
    assert not isinstance(error, UnclearData)
    assert error.hint == "Rename the labels."


def test_class_labels_with_other_names_are_asked_for(tmp_path):
    path = write(tmp_path, {"": ROWS}, Form(container="parquet", class_label=True, words=("ham", "spam")))
    assert refusal(path).title == "reviews.parquet: what the labels ham, spam mean is not known."


def test_columns_to_choose_from_are_named(tmp_path):
    Dataset.from_dict({"a": ["x", "y"], "b": ["z", "z"], "n": [1, 0]}).to_parquet(tmp_path / "a.parquet")
    error = refusal(tmp_path / "a.parquet")
    assert (error.question, error.options) == ("text_column", ("a", "b"))
    error = refusal(tmp_path / "a.parquet", Wanted(text_column="a"))
    assert (error.question, error.options) == ("label_column", ("b", "n"))


def test_a_pipe_is_no_file_and_is_left_out_of_a_folder(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    assert refusal(tmp_path / "pipe.csv").title == "pipe.csv is neither a file nor a folder."
    path = write(tmp_path, {"": ROWS}, Form(container="texts", words=("neg", "pos")))
    os.mkfifo(path / "neg" / "pipe.txt")
    assert find_reviews(str(path)).reading.rows == len(ROWS)


def test_a_link_to_nothing_is_named(tmp_path):
    path = write(tmp_path, {"": ROWS}, Form(container="texts", words=("neg", "pos")))
    (path / "neg" / "gone.txt").symlink_to(tmp_path / "nothing")
    assert refusal(path).title == "gone.txt cannot be opened: no such file or directory."
