"""Tables as every reader hands them on: all columns are strings; it is noted which of them were text."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bert_mpq.settings.errors import DataError
from bert_mpq.sources.wording import shown

TEXTS = b"bert_mpq.texts"  # in the schema: the columns that can hold reviews


def text_table(columns: Mapping[str, Sequence[str | None] | Any], texts: Iterable[str]) -> Any:
    """Return an Arrow table of strings.

    Args:
        columns: values, or Arrow arrays of strings.
        texts: the columns that hold text; the others are numbers and truth values, written out.
    """
    import pyarrow

    strings = {
        name: values if hasattr(values, "type") else pyarrow.array(values, pyarrow.string())
        for name, values in columns.items()
    }
    return pyarrow.table(strings).replace_schema_metadata({TEXTS: json.dumps(list(texts)).encode()})


def texts_of(schema: Any) -> tuple[str, ...]:
    """Return the columns that can hold reviews."""
    return tuple(json.loads(schema.metadata[TEXTS]))


def check_names(path: Path, names: Sequence[str]) -> None:
    """Refuse two columns of one name; columns without a name, as an index has, may be several.

    Raises:
        MpqError: E-DATA-FORMAT.
    """
    named = [name for name in names if name]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise DataError(f"{shown(path.name)} has two columns called {shown(twice[0])}.", "Rename one.")
