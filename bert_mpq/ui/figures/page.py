"""The results of a folder as one HTML page that needs nothing else: no network and no other file."""

import re
from pathlib import Path

from bert_mpq.records.files import write_atomic
from bert_mpq.records.template import render
from bert_mpq.settings.paths import user_path
from bert_mpq.ui.figures.plots import Material
from bert_mpq.ui.figures.scale import scale

TEMPLATE = Path(__file__).with_name("page.html.jinja")


def html_page(path: Path | str, material: Material) -> Path:
    """Write ``material`` as one page; raises MpqError E-READONLY or E-DISK."""
    page = render(
        TEMPLATE,
        analysis=material.sensitivity,
        groups=material.comparison.groups,
        scale=scale,
    )
    # What a file may hold by accident: control characters are not HTML.
    return write_atomic(user_path(path), re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", page))
