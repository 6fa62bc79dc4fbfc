"""The user's own data: which reviews belong to which half, and what the artifacts call them."""

import json

import pytest

from bert_mpq.compute.reviews import StoredTexts
from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.reviews import find_reviews, load_reviews, size_of
from bert_mpq.sources.sampling import sample
from bert_mpq.sources.splits import choose_splits
from tests.helpers.data_forms import SAVED, Form, write

ROWS = [(f"Review number {index}: a film, of course.", index % 2) for index in range(20)]


def both_halves(path):
    """Return [(text, label)] of each half."""
    source = find_reviews(str(path))
    halves = [load_reviews(source, split) for split in ("calibration", "evaluation")]
    assert [len(half) for half in halves] == [
        size_of(source, split) for split in ("calibration", "evaluation")
    ]
    return [list(zip(reviews.texts, reviews.labels, strict=True)) for reviews in halves]


def everything(path):
    calibration, evaluation = both_halves(path)
    return sorted(calibration + evaluation)


def split_names(path):
    source = find_reviews(str(path))
    return [source.split_name(split) for split in ("calibration", "evaluation")]


@pytest.mark.parametrize("name", ["reviews", "REVIEWS", "my reviews (1)", "reviews[1]", "reviews*", "été"])
def test_every_review_of_a_file_is_in_one_half(tmp_path, name):
    path = write(tmp_path, {"": ROWS}, Form(), name)
    calibration, evaluation = both_halves(path)
    assert sorted(calibration + evaluation) == sorted(ROWS)
    assert split_names(path) == [f"calibration half of {name}.csv", f"held-out half of {name}.csv"]


def test_the_suffix_may_be_of_any_case(tmp_path):
    path = write(tmp_path, {"": ROWS}, Form())
    upper = path.rename(tmp_path / "REVIEWS.CSV")
    assert everything(upper) == sorted(ROWS)


def test_a_single_file_of_a_folder_with_splits_is_cut_by_hash(tmp_path):
    folder = write(tmp_path, {"train": ROWS[:12], "test": ROWS[12:]}, Form())
    assert everything(folder / "train.csv") == sorted(ROWS[:12])


@pytest.mark.parametrize("container", ["csv", "parquet", "texts", "tar.gz", SAVED])
def test_train_and_test_are_kept_as_they_are(tmp_path, container):
    form = Form(container=container, words=("neg", "pos"))
    path = write(tmp_path, {"train": ROWS[:12], "test": ROWS[12:]}, form, "shop")
    assert both_halves(path) == [ROWS[:12], ROWS[12:]]
    assert split_names(path) == [f"train split of {path.name}", f"test split of {path.name}"]


def test_repeated_reviews_of_own_splits_stay(tmp_path):
    rows = [("the same", 1), ("the same", 1), ("another", 0)]
    assert both_halves(write(tmp_path, {"train": rows, "test": rows}, Form())) == [rows, rows]


def secret(rows):
    return [(text, None) for text, _ in rows]


@pytest.mark.parametrize("container", ["tsv", "parquet", SAVED])
def test_a_test_split_without_labels_gives_way_to_validation(tmp_path, container):
    splits = {"train": ROWS[:8], "validation": ROWS[8:16], "test": secret(ROWS[16:])}
    path = write(
        tmp_path, splits, Form(container=container, separator="\t", names=("sentence", "label")), "SST-2"
    )
    assert both_halves(path) == [ROWS[:8], ROWS[8:16]]
    assert split_names(path) == ["train split of SST-2", "validation split of SST-2 (test without labels)"]
    assert find_reviews(str(path)).reading.line.endswith("train: 8, validation: 8 (test without labels)")


def test_train_alone_and_a_test_split_without_labels_is_cut_by_hash(tmp_path):
    path = write(tmp_path, {"train": ROWS[:8], "test": secret(ROWS[16:])}, Form())
    assert everything(path) == sorted(ROWS[:8])
    assert find_reviews(str(path)).reading.line.endswith("split by hash (test without labels)")


@pytest.mark.parametrize(
    ("labelled", "chosen"),
    [
        ({"train", "test", "validation"}, ("train", "test")),
        ({"train", "validation"}, ("train", "validation")),
        ({"test", "validation"}, ("validation", "test")),
        ({"train", "extra"}, ("train", "train")),
        ({"test"}, ("test", "test")),
        ({"all"}, ("all", "all")),
    ],
)
def test_which_splits_are_used(labelled, chosen):
    assert choose_splits("data", labelled) == chosen


def test_splits_without_a_known_name_are_refused(tmp_path):
    path = write(tmp_path, {"a": ROWS[:8], "b": ROWS[8:]}, Form(container=SAVED), "shop")
    with pytest.raises(MpqError) as refused:
        find_reviews(str(path))
    assert refused.value.title == "shop has the splits a, b, and none is called train or test."


def test_the_tables_of_glue_are_read(tmp_path):
    """Its quotation marks are signs like any other, and its test split has no column of labels."""
    lines = ("sentence\tlabel", '"a gem"\t1', 'he said " dull\t0', '" awful , he said\t0', 'fine " film\t1\n')
    train = "\n".join(lines)
    (tmp_path / "train.tsv").write_text(train)
    (tmp_path / "dev.tsv").write_text("sentence\tlabel\na laugh\t1\nno laugh\t0\n")
    (tmp_path / "test.tsv").write_text("index\tsentence\n0\tuneasy mishmash\n")
    calibration, evaluation = both_halves(tmp_path)
    assert calibration == [
        ('"a gem"', 1),
        ('he said " dull', 0),
        ('" awful , he said', 0),
        ('fine " film', 1),
    ]
    assert evaluation == [("a laugh", 1), ("no laugh", 0)]


def test_the_clone_of_a_hub_data_set_is_read(tmp_path):
    """Shards named by split, an unlabelled split of another name, a card and hidden files beside them."""
    form = Form(container="parquet", class_label=True, words=("neg", "pos"))
    folder = tmp_path / "imdb" / "plain_text"
    folder.mkdir(parents=True)
    for name, rows in [
        ("train-00000-of-00002", ROWS[:4]),
        ("train-00001-of-00002", ROWS[4:12]),
        ("test-00000-of-00001", ROWS[12:]),
        ("unsupervised-00000-of-00001", secret(ROWS)),
    ]:
        write(folder, {"": rows}, form, name)
    (tmp_path / "imdb" / "README.md").write_text("---\nlicense: other\n---\n")
    (tmp_path / "imdb" / "dataset_infos.json").write_text("{}")
    (tmp_path / "imdb" / ".git").mkdir()
    (tmp_path / "imdb" / ".git" / "test.csv").write_text("no data")
    assert both_halves(tmp_path / "imdb") == [ROWS[:12], ROWS[12:]]


def acl_imdb(folder):
    """Write a small aclImdb as its archive unpacks."""
    rows = {}
    for split in ("train", "test"):
        for number, (text, label) in enumerate(ROWS):
            kind = folder / split / ("neg", "pos")[label]
            kind.mkdir(parents=True, exist_ok=True)
            (kind / f"{number // 2}_{9 if label else 2}.txt").write_text(f"{split} {text}")
            rows.setdefault(split, []).append((f"{split} {text}", label))
    (folder / "train" / "unsup").mkdir()
    (folder / "train" / "unsup" / "0_0.txt").write_text("nobody knows")
    (folder / "train" / "urls_pos.txt").write_text("http://one\n")
    (folder / "train" / "labeledBow.feat").write_text("9 0:9 1:1\n")
    (folder / "imdb.vocab").write_text("the\nand\n")
    (folder / "imdbEr.txt").write_text("0.0490972013402\n")
    (folder / "README").write_text("Large Movie Review Dataset v1.0\n")
    return [rows["train"], rows["test"]]


def test_acl_imdb_is_read_with_its_own_splits(tmp_path):
    expected = acl_imdb(tmp_path / "aclImdb")
    assert [sorted(half) for half in both_halves(tmp_path / "aclImdb")] == [sorted(half) for half in expected]
    line = find_reviews(str(tmp_path / "aclImdb")).reading.line
    assert line == "2 folders: neg, pos; pos = 1; 40 rows, 40 distinct, 50.0 % positive; train: 20, test: 20"


def test_either_half_of_acl_imdb_is_cut_by_hash(tmp_path):
    expected = acl_imdb(tmp_path / "aclImdb")
    for split, rows in zip(("train", "test"), expected, strict=True):
        assert everything(tmp_path / "aclImdb" / split) == sorted(rows)


def test_the_archive_of_acl_imdb_gives_the_sample_of_its_folder(tmp_path):
    import tarfile

    acl_imdb(tmp_path / "aclImdb")
    with tarfile.open(tmp_path / "aclImdb_v1.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "aclImdb", "aclImdb")
    samples = [
        sample(load_reviews(find_reviews(str(tmp_path / name)), "evaluation"), 7, "random", 1).fingerprint
        for name in ("aclImdb", "aclImdb_v1.tar.gz")
    ]
    assert samples[0] == samples[1]


def test_links_to_folders_are_followed_once(tmp_path):
    (rows, _) = acl_imdb(tmp_path / "disk")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train").symlink_to(tmp_path / "disk" / "train")
    (tmp_path / "disk" / "train" / "above").symlink_to(tmp_path / "disk" / "train")
    assert everything(tmp_path / "data") == sorted(rows)


def test_files_are_read_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 9, 2):
        for label in ("neg", "pos"):
            (tmp_path / "data" / label).mkdir(parents=True, exist_ok=True)
            (tmp_path / "data" / label / f"{number}_1.txt").write_text(f"{number} {label}")
    source = find_reviews(str(tmp_path / "data"))
    assert list(source.reading.calibration.reviews().texts) == [
        "2 neg", "2 pos", "9 neg", "9 pos", "10 neg", "10 pos",
    ]  # fmt: skip


def test_the_texts_stay_on_disk(tmp_path):
    reviews = load_reviews(find_reviews(str(write(tmp_path, {"": ROWS}, Form()))), "calibration")
    assert isinstance(reviews.texts, StoredTexts)


def test_a_path_from_the_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = write(tmp_path, {"": ROWS}, Form(), "shop")
    source = find_reviews("~/shop.csv")
    assert (source.path, source.name, source.kind) == (path, "shop.csv", "file")


def test_a_folder_is_named_even_as_the_working_folder(tmp_path, monkeypatch):
    write(tmp_path, {"train": ROWS, "test": ROWS}, Form(), "shop")
    monkeypatch.chdir(tmp_path / "shop")
    assert find_reviews(".").name == "shop"


@pytest.mark.parametrize("path", ["no/such/file.csv", "x" * 300, "~no-such-user/file.csv"])
def test_a_path_without_a_file_is_named(path):
    with pytest.raises(MpqError) as refused:
        find_reviews(path)
    assert refused.value.code == "E-NOFILE"


def test_blanks_after_separators_are_no_part_of_a_field(tmp_path):
    (tmp_path / "a.csv").write_text('label, text\n1, "good, fine"\n0, "bad, poor"\n1, plain\n')
    assert everything(tmp_path / "a.csv") == [
        ("bad, poor", 0),
        ("good, fine", 1),
        ("plain", 1),
    ]
    (tmp_path / "b.csv").write_text("label, text\n1, good\n0,bad\n")
    assert everything(tmp_path / "b.csv") == [(" good", 1), ("bad", 0)]


def test_one_line_of_json_is_a_row_and_pandas_table_is_a_table(tmp_path):
    rows = [{"text": text, "label": label} for text, label in ROWS]
    shapes = {
        "records.json": rows,
        "lists.json": {"text": [text for text, _ in ROWS], "label": [label for _, label in ROWS]},
        "table.json": {"schema": {"fields": []}, "data": rows},
        "split.json": {"train": rows},
    }
    for name, content in shapes.items():
        (tmp_path / name).write_text(json.dumps(content))
        assert everything(tmp_path / name) == sorted(ROWS), name
    (tmp_path / "lines.json").write_text("".join(f"{json.dumps(row)}\n\n" for row in rows))
    assert everything(tmp_path / "lines.json") == sorted(ROWS)
