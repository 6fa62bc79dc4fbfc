"""The same reviews in every form that people have them in."""

import csv
import gzip
import io
import json
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from datasets import ClassLabel, Dataset, DatasetDict, Features, Value, disable_progress_bars

disable_progress_bars()

Rows = list[tuple[str, int | None]]  # texts and labels; None = the label is secret
SEPARATED = ("csv", "tsv", "txt", "csv.gz", "csv.zip", "csv.bz2", "csv.xz")
LISTS = ("json", "jsonl", "columns.json", "ndjson", "jsonl.gz", "json.gz")
COLUMNAR = ("parquet", "arrow", "feather")
TABLES = (*SEPARATED, *LISTS, *COLUMNAR)
ARCHIVES = ("tar", "tar.gz", "tgz", "tar.xz", "zip")
TREES = ("texts", *ARCHIVES)
SAVED = "saved"  # by save_to_disk
WITH_CLASS_LABELS = ("parquet", "arrow", SAVED)  # the file of pandas has no place for their names
CONTAINERS = (*TABLES, *TREES, SAVED)


@dataclass(frozen=True, kw_only=True)
class Form:
    """How reviews are written.

    Args:
        container: one of ``CONTAINERS``.
        names: of the columns with texts and labels; None = no header.
        words: what stands for negative and positive.
        separator: of separated values.
        encoding: of text.
        line: its line ending.
        quoting: of separated values.
        padding: blanks around the names of a header.
        index: whether a column of row numbers without a name stands first.
        class_label: whether labels are ClassLabel numbers, with ``words`` as names in the order given.
    """

    container: str = "csv"
    names: tuple[str, str] | None = ("text", "label")
    words: tuple[object, object] = (0, 1)
    separator: str = ","
    encoding: str = "utf-8"
    line: str = "\n"
    quoting: int = csv.QUOTE_MINIMAL
    padding: str = ""
    index: bool = False
    class_label: bool = False

    def word(self, label: int | None) -> object:
        """Return what stands for a label."""
        if label is None:
            return -1
        return self.words[label]


def write(folder: Path, splits: dict[str, Rows], form: Form, name: str = "reviews") -> Path:
    """Write reviews below ``folder``; return the path that a user would give.

    Args:
        folder: is there.
        splits: rows by split; {"": rows} for data that has none.
        form: how.
        name: of the file or folder.
    """
    if form.container == SAVED:
        saved = {split: dataset(rows, form) for split, rows in splits.items()}
        data = saved[""] if "" in saved else DatasetDict(saved)
        data.save_to_disk(folder / name)
        return folder / name
    if form.container in TREES:
        return _write_tree(folder, splits, form, name)
    if "" in splits:
        return write_table(folder / name, splits[""], form)
    (folder / name).mkdir()
    for split, rows in splits.items():
        write_table(folder / name / split, rows, form)
    return folder / name


def write_table(stem: Path, rows: Rows, form: Form) -> Path:
    """Write one table to ``stem`` with the suffix of its container."""
    path = stem.with_name(f"{stem.name}.{form.container}")
    if form.container in COLUMNAR:
        table = dataset(rows, form)
        if form.container == "parquet":
            table.to_parquet(path)
        elif form.container == "feather":
            table.to_pandas().to_feather(path)
        else:
            path.write_bytes(arrow_stream(table))
        return path
    text = separated(rows, form) if form.container in SEPARATED else json_text(rows, form)
    content = text.encode(form.encoding)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(path.stem, content)
        return path
    path.write_bytes(packed(content, path.suffix))
    return path


def packed(content: bytes, suffix: str) -> bytes:
    """Compress as the suffix says."""
    import bz2
    import lzma

    return {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}.get(suffix, bytes)(content)


def separated(rows: Rows, form: Form) -> str:
    """Return rows as separated values."""
    if form.quoting == csv.QUOTE_NONE:
        return _unquoted(rows, form)
    stream = io.StringIO()
    writer = csv.writer(
        stream, delimiter=form.separator, lineterminator=form.line, quoting=form.quoting, escapechar=None
    )
    first = [[""]] if form.index else [[]]
    if form.names is not None:
        writer.writerow([*first[0], *(f"{name}{form.padding}" for name in form.names)])
    for number, (text, label) in enumerate(rows):
        writer.writerow([*([number] if form.index else []), text, form.word(label)])
    return stream.getvalue()


def _unquoted(rows: Rows, form: Form) -> str:
    """Return rows as GLUE writes them: quotation marks are signs like any other."""
    lines = [form.names or (), *((text, str(form.word(label))) for text, label in rows)]
    return "".join(form.separator.join(fields) + form.line for fields in lines if fields)


def json_text(rows: Rows, form: Form) -> str:
    """Return rows as JSON: a list of objects, an object a line, or an object of columns."""
    assert form.names is not None
    text, label = form.names
    objects = [{text: each, label: form.word(value)} for each, value in rows]
    if "jsonl" in form.container or form.container == "ndjson":
        return "".join(json.dumps(row, ensure_ascii=False) + form.line for row in objects)
    if form.container == "columns.json":
        columns = {name: {str(at): row[name] for at, row in enumerate(objects)} for name in form.names}
        return json.dumps(columns, ensure_ascii=False)
    return json.dumps(objects, ensure_ascii=False, indent=1)


def dataset(rows: Rows, form: Form) -> Dataset:
    """Return rows as a data set."""
    assert form.names is not None
    text, label = form.names
    texts = [each for each, _ in rows]
    if not form.class_label:
        return Dataset.from_dict({text: texts, label: [form.word(value) for _, value in rows]})
    names = sorted(map(str, form.words))  # the positive one may come first
    numbers = [-1 if value is None else names.index(str(form.words[value])) for _, value in rows]
    features = Features({text: Value("string"), label: ClassLabel(names=names)})
    return Dataset.from_dict({text: texts, label: numbers}, features=features)


def arrow_stream(table: Dataset) -> bytes:
    """Return a data set as the Arrow stream that ``datasets`` keeps in its cache."""
    import pyarrow

    sink = pyarrow.BufferOutputStream()
    content = table.with_format("arrow")[:]
    with pyarrow.ipc.new_stream(sink, content.schema) as writer:
        writer.write_table(content)
    return sink.getvalue().to_pybytes()


def _write_tree(folder: Path, splits: dict[str, Rows], form: Form, name: str) -> Path:
    """Write text files in folders of split and label, or an archive of them."""
    files = {
        "/".join(filter(None, (name, split, str(form.word(label)), f"{number}_{label}.txt"))): text.encode(
            form.encoding
        )
        for split, rows in splits.items()
        for number, (text, label) in enumerate(rows)
    }
    if form.container == "texts":
        for place, content in files.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_bytes(content)
        return folder / name
    path = folder / f"{name}.{form.container}"
    if form.container == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for place, content in files.items():
                archive.writestr(place, content)
        return path
    with tarfile.open(
        path, {"tgz": "w:gz"}.get(form.container, f"w:{path.suffix[1:]}" if path.suffix != ".tar" else "w")
    ) as tar:
        for place, content in reversed(files.items()):  # an archive has its files in any order
            entry = tarfile.TarInfo(place)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path
