"""The Markdown files: links lead somewhere, commands parse, and the packages hold what they point to."""

import itertools
import re
import shlex
import subprocess
import tarfile
import zipfile
from functools import cache
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt

from bert_mpq.settings import flags
from bert_mpq.ui.commands.help import topics
from bert_mpq.ui.commands.parser import COMMANDS, build_parser

ROOT = Path(__file__).parent.parent
PAGES = [
    "README.md",
    "Sensitivities/README.md",
    "Evaluation/README.md",
    "tests/README.md",
    "tests/benchmarks/README.md",
    "bert_mpq/sources/embedded/CARD.md",
    "bert_mpq/sources/embedded/base/CARD.md",
]
HELP = [f"bert_mpq/ui/help/{name}.md" for name in topics()]


@cache
def committed():
    """The files that a fresh clone would have, and their folders."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    files = {PurePosixPath(name) for name in listed.stdout.split("\0") if name}
    return {str(each) for file in files for each in (file, *file.parents)}


@cache
def tokens(page):
    """All tokens of a page, those inside a line included."""
    parsed = MarkdownIt("commonmark").enable("table").parse((ROOT / page).read_text("utf-8"))
    return [token for block in parsed for token in (block, *(block.children or []))]


def links(page):
    """The links and images of a page that do not leave the project."""
    found = [token.attrGet("href") or token.attrGet("src") for token in tokens(page)]
    return [unquote(link) for link in found if link and not re.match(r"\w+:", link)]


def anchors(page):
    """The anchors that headings get on the usual hosts."""
    marks, all_tokens = set(), tokens(page)
    for token, text in itertools.pairwise(all_tokens):
        if token.type == "heading_open":
            marks.add(re.sub(r"[^\w\- ]", "", text.content.lower()).replace(" ", "-"))
    return marks


def target(page, link):
    """The path of a link's target from the root of the project, and its anchor."""
    path, _, anchor = link.partition("#")
    if not path:
        return page, anchor
    full = (ROOT / page).parent.joinpath(path).resolve()
    assert full.is_relative_to(ROOT.resolve()), f"{page}: {link} leaves the project"
    return full.relative_to(ROOT.resolve()).as_posix(), anchor


def commands(page):
    """The ``bert-mpq`` commands of a page, in blocks and in sentences."""
    for token in tokens(page):
        lines = token.content.replace("\\\n", " ").splitlines() if token.type == "fence" else [token.content]
        if token.type != "code_inline" and not (token.type == "fence" and token.info == "bash"):
            continue
        for line in lines:
            begun = re.search(r"(?:^|&& |bin/)bert-mpq |-m bert_mpq ", line)
            if begun and "..." not in line and "COMMAND" not in line:
                words = shlex.split(line[begun.end() :], comments=True)
                yield list(itertools.takewhile(lambda word: word not in (">", "|"), words))


def test_these_are_all_pages():
    assert {*PAGES, *HELP} == {
        name for name in committed() if name.endswith(".md") and "tests/benchmarks/results" not in name
    }


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_committed_file_and_a_heading(page):
    for link in links(page):
        path, anchor = target(page, link)
        assert path in committed(), f"{page}: no {link}"
        assert not anchor or anchor in anchors(path), f"{page}: {path} has no heading #{anchor}"


def test_a_link_to_nothing_is_noticed():
    assert "what-it-survives" in anchors("tests/README.md")
    assert target("Evaluation/README.md", "../tests/gone.py#x") == ("tests/gone.py", "x")
    assert "tests/gone.py" not in committed()


@pytest.mark.parametrize("page", [*PAGES, *HELP])
def test_every_path_that_is_named_exists(page):
    for token in tokens(page):
        if token.type == "code_inline" and re.fullmatch(r"(bert_mpq|tests)/[\w./]+", token.content):
            assert token.content.rstrip("/") in committed(), f"{page}: no {token.content}"


@pytest.mark.parametrize("page", [*PAGES, *HELP])
def test_every_command_is_one_that_the_program_takes(page):
    names = {command.name for command in COMMANDS}
    for arguments in commands(page):
        if len(arguments) == 1:  # a sentence about the command
            assert arguments[0] in names | {"-v"}
        elif {"--help", "--schema"} & set(arguments):
            with pytest.raises(SystemExit, match="0"):
                build_parser().parse_args(arguments)
        else:
            namespace = build_parser().parse_args(arguments)
            if namespace.command.name in ("sensitivity", "quantize", "run", "sweep", "validate"):
                flags.config_from(namespace, flags.defaults_of(namespace.command.name))


def test_commands_are_found_in_blocks_and_in_sentences():
    found = [shlex.join(arguments) for arguments in commands("README.md")]
    assert "run --help" in found
    assert "plan --target 1.7x --calibration-size 256 --yes" in found
    assert ["run", "--yes"] in list(commands("bert_mpq/ui/help/processes.md"))


def test_the_readme_is_short_and_names_every_topic_of_the_help():
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.splitlines()) <= 250
    assert set(re.findall(r"bert-mpq help ([a-z]+)", text)) == set(topics())


@pytest.mark.parametrize("page", [*PAGES, *HELP])
def test_the_script_that_this_tool_replaces_is_called_that(page):
    assert not re.search(r"\bthe (original|guide)\b", (ROOT / page).read_text("utf-8"), re.IGNORECASE)


@pytest.mark.parametrize(
    ("topic", "head"),
    [("budget", "| `--target` |"), ("quantizers", "| `--quant"), ("export", "| `--format`")],
)
def test_readme_and_help_have_the_same_tables(topic, head):
    readme = (ROOT / "README.md").read_text("utf-8")
    table = readme[readme.index(head) :].split("\n\n")[0]
    assert table in topics()[topic]


def test_both_packages_hold_what_their_pages_point_to(tmp_path):
    pytest.importorskip("hatchling")
    from hatchling.builders.sdist import SdistBuilder
    from hatchling.builders.wheel import WheelBuilder

    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    assert {*HELP, "bert_mpq/sources/embedded/CARD.md"} <= set(zipfile.ZipFile(wheel).namelist())
    (source,) = SdistBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with tarfile.open(source) as archive:
        names = [PurePosixPath(*PurePosixPath(name).parts[1:]) for name in archive.getnames()]
    held = {str(each) for name in names for each in (name, *name.parents)}
    assert {target(page, link)[0] for page in PAGES for link in links(page)} | set(PAGES) <= held
