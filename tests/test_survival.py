"""Hostile surroundings: full and read-only disks, links, clocks, and reviews that nobody would write."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from bert_mpq import RunConfig, analyse
from bert_mpq.records.sensitivity_file import read_sensitivities

CKA = ("sensitivity", "--metrics", "cka", "--quantizer", "rtn", "--calibration-size", "8", "--yes", "--quiet")
ODD_REVIEWS = [
    "good " * 200_000,
    "\u2028\u202e\u0000 right to left \u05d0\u05d1",
    "\U0001f600" * 300,
    "<br />" * 50,
    "e\u0301" * 500,
    "\ud800 a lone surrogate",
    "\t x \r\n",
    "a",
]


@pytest.fixture
def data(tmp_path, imdb):
    """Real reviews with odd ones among them, as a JSON file."""
    texts = [*imdb["calibration"].texts[:30], *ODD_REVIEWS]
    rows = [{"text": text, "label": index % 2} for index, text in enumerate(texts)]
    path = tmp_path / "odd.json"
    path.write_text(json.dumps(rows))
    return path


def test_odd_reviews_are_read_like_any_others(data, model_folder, tmp_path):
    result = analyse(
        RunConfig(
            model=str(model_folder),
            data=str(data),
            metrics=("cka",),
            quantizer="rtn",
            calibration_size=None,
            output=str(tmp_path / "out"),
        )
    ).result
    assert result.sample.size >= 10
    assert result.scores[0].usable


def mounted(script, folder, model_folder, data):
    """Run ``bert-mpq sensitivity`` after ``script``, in a mount namespace of its own."""
    program = [sys.executable, "-m", "bert_mpq", *CKA, "--model", str(model_folder), "--data", str(data)]
    command = f"{script} && exec " + " ".join(program) + f" --output {folder}"
    unshare = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--map-root-user"])]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("this system gives no mount namespace")
    return subprocess.run([*unshare, "sh", "-c", command], capture_output=True, text=True, timeout=200)


def test_a_full_disk_is_named_and_nothing_is_left(tmp_path, model_folder, data):
    folder = tmp_path / "full"
    folder.mkdir()
    fill = f"mount -t tmpfs -o size=64k tmpfs {folder} && mkdir {folder}/Sensitivities"
    fill += f" && (head -c 80k /dev/zero > {folder}/filler; true) 2>/dev/null"
    done = mounted(fill, folder, model_folder, data)
    assert done.returncode == 1, done.stderr
    assert "error[E-DISK]" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_read_only_disk_is_noticed_before_the_run(tmp_path, model_folder, data):
    folder = tmp_path / "frozen"
    folder.mkdir()
    done = mounted(f"mount -t tmpfs -o ro tmpfs {folder}", folder, model_folder, data)
    assert done.returncode == 1
    assert "error[E-READONLY]" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_linked_folder_is_written_through(tmp_path, model_folder, data):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    config = RunConfig(
        model=str(model_folder), data=str(data), metrics=("cka",), quantizer="rtn", calibration_size=8
    )
    analysis = analyse(config.replace(output=str(tmp_path / "out")))
    assert read_sensitivities(analysis.deciding_file(config)).values == analysis.result.scores[0].values
    assert (tmp_path / "elsewhere" / "Sensitivities").is_dir()
    assert (tmp_path / "out").is_symlink()


def test_a_clock_that_goes_backwards_loses_no_record(tmp_path, model_folder, data, monkeypatch):
    config = RunConfig(
        model=str(model_folder),
        data=str(data),
        metrics=("cka",),
        quantizer="rtn",
        calibration_size=8,
        output=str(tmp_path),
    )
    first = analyse(config)
    yesterday = time.localtime(time.time() - 86_400)
    real = time.strftime
    monkeypatch.setattr(time, "strftime", lambda text, moment=yesterday: real(text, moment))
    second, third = analyse(config), analyse(config)  # the last two in one second, or so the clock says
    records = {analysis.files[-1] for analysis in (first, second, third)}
    assert len(records) == 3
    assert all(json.loads(record.read_text())["schema"] for record in records)
