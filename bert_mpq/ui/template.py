"""Screens that are Jinja templates."""

from pathlib import Path

from bert_mpq.records.template import render


def rows(template: Path, **values: object) -> list[tuple[str, str]]:
    """Return a template's lines, each ``name | value``, as pairs."""
    lines = render(template, **values).rstrip("\n").split("\n")
    return [(left.rstrip(), right) for left, _, right in (line.partition("| ") for line in lines)]
