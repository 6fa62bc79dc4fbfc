"""Data of one's own as a new user tries it: in the menu of a real terminal, by flags, with ``doctor``."""

import csv
import json

import pytest

from tests.helpers.command import call

LINE = "2 columns: review -> text, sentiment -> label; positive = 1;"
RUN = ("--calibration-size", "12", "--metrics", "cka", "--max-length", "16", "--yes")


@pytest.fixture
def rows(imdb):
    """120 real reviews with their labels, half of them held out, half of them positive."""
    found = []
    for half in imdb.values():
        chosen = half.take([*range(30), *range(-30, 0)])  # sorted by label
        found += zip(chosen.texts, chosen.labels, strict=True)
    return found[::2] + found[1::2]


@pytest.fixture
def kaggle(tmp_path, rows):
    """A table as Kaggle has it, of 120 real reviews."""
    path = tmp_path / "IMDB Dataset.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["review", "sentiment"])
        words = ("negative", "positive")
        writer.writerows([text, words[label]] for text, label in rows)
    return path


@pytest.fixture
def acl_imdb(tmp_path, rows):
    """The folder of aclImdb, as its archive unpacks, with 80 real reviews."""
    for number, (text, label) in enumerate(rows[:80]):
        split, kind = ("train", "test")[number // 40], ("neg", "pos")[label]
        folder = tmp_path / "aclImdb" / split / kind
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}_{9 if label else 2}.txt").write_text(text, "utf-8")
    return tmp_path / "aclImdb"


def shown(screen):
    """Return what the screen shows, without the breaks of its lines."""
    return " ".join(screen.text.split())


def test_the_menu_reads_the_table_of_kaggle(terminal, small, kaggle):
    screen = terminal(*small, "--data", kaggle.name)
    screen.choose("Phase 1: Sensitivity Analysis").wait("Calibration set size")
    assert f"Read IMDB Dataset.csv: {LINE} 120 rows, 120 distinct" in shown(screen)
    screen.press("esc").wait("What would you like to do?").choose("Exit")
    assert screen.finish() == 0


def test_the_menu_reads_acl_imdb_and_runs(terminal, tmp_path, small, acl_imdb):
    screen = terminal(*small, "--data", "aclImdb")
    screen.choose("Full pipeline (Phase 1 + Phase 2)").wait("Calibration set size")
    assert "2 folders: neg, pos; pos = 1; 80 rows, 80 distinct" in shown(screen)
    assert "train: 40, test: 40" in shown(screen)
    screen.choose("40 (full split, recommended)").choose("Stratified sampling").choose("CKA")
    screen.wait("Evaluation set size").choose("40 (full split, recommended)")
    screen.choose("K-means (recommended)").choose("3 groups").choose("[16, 8, 4]").wait("Start now?")
    screen.press("enter").wait("Repeat this run:", 200)
    (report,) = tmp_path.glob("Evaluation/*.json")
    record = json.loads(report.read_text())
    assert record["sample"]["split"] == "test split of aclImdb"
    assert record["setting"]["data_reading"].startswith("2 folders: neg, pos; pos = 1; 80 rows")


def test_the_settings_show_what_was_understood_and_ask(terminal, tmp_path, small, kaggle):
    kaggle.write_text(kaggle.read_text("utf-8").replace("review,sentiment", "opinion,sentiment"), "utf-8")
    screen = terminal(*small)
    screen.choose("Settings (model, data, device)").choose("Data").choose("File, folder or archive")
    screen.wait("File, folder or archive of reviews").press(kaggle.name, "enter")
    screen.wait("Which column holds the reviews?").choose("opinion")
    screen.wait("split by hash")
    assert "opinion -> text, sentiment -> label; positive = 1; 120 rows" in shown(screen)
    screen.choose("Back to the menu").wait("What would you like to do? (arrows")
    assert "data IMDB Dataset.csv" in shown(screen)


def test_doctor_prints_what_was_understood(tmp_path, kaggle):
    done = call("doctor", "--data", kaggle.name, cwd=tmp_path)
    assert done.returncode == 0
    assert LINE in " ".join(done.stdout.split())
    checks = json.loads(call("doctor", "--json", "--data", kaggle.name, cwd=tmp_path).stdout)["checks"]
    (check,) = (check for check in checks if check["section"] == "Data")
    assert (check["name"], check["state"]) == (kaggle.name, "ok")
    assert check["value"].startswith(f"{LINE} 120 rows, 120 distinct, ")


def test_doctor_says_what_is_unclear(tmp_path):
    (tmp_path / "stars.csv").write_text("text,stars\ngood,2\nbad,1\n")
    done = call("doctor", "--data", "stars.csv", cwd=tmp_path)
    said = " ".join(done.stdout.split())
    assert "! stars.csv stars.csv: what the labels 1, 2 mean is not known." in said
    assert "- Use --labels=1=negative,2=positive, as they are meant." in said
    done = call("doctor", "--data", "stars.csv", "--labels=1=negative,2=positive", cwd=tmp_path)
    assert "stars -> label; positive = 2; 2 rows" in " ".join(done.stdout.split())


def test_a_script_says_what_the_labels_mean_and_the_record_repeats_it(tmp_path, small, kaggle):
    text = kaggle.read_text("utf-8").replace(",positive\n", ",5\n").replace(",negative\n", ",1\n")
    kaggle.write_text(text, "utf-8")
    run = ("sensitivity", *small, "--data", kaggle.name, *RUN)
    done = call(*run, cwd=tmp_path)
    assert done.returncode == 1
    assert "error[E-DATA-FORMAT]: IMDB Dataset.csv: what the labels 1, 5 mean is not known." in done.stderr
    assert "hint: Use --labels=1=negative,5=positive, as they are meant." in done.stderr
    done = call(*run, "--labels", "1=negative,5=positive", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "--labels 1=negative,5=positive" in done.stdout
    (file,) = tmp_path.glob("Sensitivities/run_*.json")
    record = json.loads(file.read_text())
    assert record["config"]["labels"] == ["1=negative", "5=positive"]
    assert "; positive = 5; 120 rows" in record["setting"]["data_reading"]
    assert list(tmp_path.glob("Sensitivities/layer_sensitivity_*_IMDB-Dataset_cka.json"))


def test_columns_of_imdb_cannot_be_explained(tmp_path, small):
    done = call("sensitivity", *small, "--labels=0=positive,1=negative", *RUN, cwd=tmp_path)
    assert done.returncode == 2
    assert (
        "error[E-CONFIG]: --text-column, --label-column and --labels explain data of your own" in done.stderr
    )
