"""What a narrow screen leaves out of a table."""

import io

import pytest
from rich.console import Console

from bert_mpq.ui.views.tables import plain_table

NAME = "exported-BERT_IMDB_kmeans_3groups_20261126_085302"


def printed(width):
    table = plain_table("", "1 x 32, ms", "1 x 256, ms", "16 x 200, ms", left=("",))
    table.add_row(NAME, "39.3 ±21.9", "139.3 ±20.9", "739.3 ±81.9")
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return console.file.getvalue()


@pytest.mark.parametrize(("width", "columns"), [(100, 3), (80, 3), (70, 3), (60, 2), (45, 1)])
def test_a_long_name_is_folded_before_a_column_of_figures_goes(width, columns):
    text = printed(width)
    assert text.count("±") == columns
    folded = "".join(line[1:].split("   ")[0].strip() for line in text.splitlines()[3:])
    assert folded == NAME
    assert max(map(len, text.splitlines())) <= width
