"""``doctor``, ``completion``, ``compare`` and ``--version``."""

import builtins
import json
import shutil
import subprocess

import pytest

from bert_mpq import __version__
from bert_mpq.ui.commands.parser import COMMANDS
from tests.helpers.command import call
from tests.helpers.golden import RUNS


def test_the_version(tmp_path):
    assert call("--version", cwd=tmp_path).stdout == f"bert-mpq {__version__}\n"


def test_doctor_says_what_there_is_and_writes_nothing(tmp_path):
    done = call("doctor", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for shown in ("torch", "cores", "off (HF_HUB_OFFLINE)", "not in the cache", "can be written", "GiB"):
        assert shown in done.stdout
    assert "No problem found." in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_doctor_as_json_has_the_same_facts(tmp_path):
    checks = json.loads(call("doctor", "--json", cwd=tmp_path).stdout)["checks"]
    assert {check["section"] for check in checks} == {"Versions", "Devices", "Hub", "Offline", "Folders"}
    assert all(check["state"] in ("ok", "note", "problem") for check in checks)


def test_doctor_counts_problems_and_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    done = call("doctor", "--output", "file", cwd=tmp_path)
    assert "Cannot write to file/Sensitivities/" in done.stdout
    assert "- Run in another folder, or --output PATH." in done.stdout
    assert "2 problems found." in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_every_command(tmp_path, shell):
    script = call("completion", shell, cwd=tmp_path).stdout
    for command in COMMANDS:
        assert command.name in script
    assert "clustering" in script


def test_bash_accepts_the_script(tmp_path):
    script = call("completion", "bash", cwd=tmp_path).stdout
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


def test_completion_without_its_library_names_the_extra(tmp_path, monkeypatch):
    present = builtins.__import__

    def missing(name, *arguments, **options):
        if name == "shtab":
            raise ImportError(name)
        return present(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    done = call("completion", "bash", cwd=tmp_path)
    assert done.returncode == 1
    assert "error[E-EXTRA]: Shell completion needs shtab." in done.stderr
    assert "pip install 'bert-mpq[completion]'" in done.stderr


def test_compare_prints_tables_or_json(tmp_path):
    shutil.copytree(RUNS, tmp_path / "out" / "Evaluation")
    done = call("compare", "--output", "out", cwd=tmp_path)
    assert "16/8/4     0.8690" in done.stdout
    groups = json.loads(call("compare", "--output", "out", "--json", cwd=tmp_path).stdout)["groups"]
    assert groups[0]["runs"][0]["group_bits"] == [16, 8, 4]


def test_compare_without_a_run(tmp_path):
    done = call("compare", cwd=tmp_path)
    assert done.returncode == 1
    assert "error[E-NOFILE]: No evaluation in Evaluation/." in done.stderr
    done = call("compare", "--json", cwd=tmp_path)
    assert (done.returncode, json.loads(done.stderr)["code"]) == (1, "E-NOFILE")
