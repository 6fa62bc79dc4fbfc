"""What an evaluated model takes on disk in each format, and whether the file predicts what was evaluated.

Run: python tests/benchmarks/exports.py Evaluation/eval_....json --json out.json

Every format is exported from one run record as ``bert-mpq export`` does it, reload check included. What
PyTorch can load then classifies all reviews of the evaluation, and every prediction is compared with that of
the model that was evaluated. Prints Markdown.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bert_mpq.compute.batches import tokenize
from bert_mpq.compute.devices import pick_machine
from bert_mpq.compute.evaluate import evaluate
from bert_mpq.compute.reporting import Silent
from bert_mpq.compute.workload import Workload
from bert_mpq.export.formats import FORMATS
from bert_mpq.records.reading import EvaluationRecord, read_evaluation
from bert_mpq.runs.evaluated_model import evaluated_model
from bert_mpq.runs.export import export_model
from bert_mpq.runs.session import Session
from bert_mpq.settings.errors import MpqError
from tests.benchmarks.provenance import device_name, provenance

RUNTIME = "onnx"  # runs on ONNX Runtime alone; its reviews are those of the reload check


@dataclass(frozen=True, kw_only=True)
class Row:
    """One format.

    Args:
        bytes: of the weights file.
        ratio: of the FP32 file to it.
        max_difference: of the logits of the reload check.
        reviews: whose predictions were compared.
        other_predictions: of these, how many differ from what was evaluated.
        accuracy: of the loaded file; None where it was not measured.
    """

    format: str
    bytes: int
    ratio: float
    max_difference: float
    reviews: int
    other_predictions: int
    accuracy: float | None
    seconds: float

    @property
    def markdown(self) -> str:
        """The row of the table."""
        accuracy = "" if self.accuracy is None else f"{self.accuracy:.4f}"
        return (
            f"| `{self.format}` | {self.bytes:,} | {self.ratio:.2f}x | {self.max_difference:.2g} |"
            f" {self.other_predictions} of {self.reviews:,} | {accuracy} | {self.seconds:.0f} |"
        )


class Exports:
    """The evaluated model and its reviews."""

    def __init__(self, record: EvaluationRecord, device: str) -> None:
        config = record.result.config
        self.record, self.session = record, Session()
        self.evaluated = evaluated_model(record, self.session, Silent())
        self.machine = pick_machine(device, config.precision)
        reviews = self.evaluated.reviews()
        tokens = tokenize(reviews, self.evaluated.tokenizer, self.evaluated.max_length, Silent())
        self.work = Workload(tokens=tokens, machine=self.machine)
        self.before = evaluate(self.evaluated.model, self.work, Silent(), "")

    def rows(self) -> Iterator[Row]:
        """Yield a row for each format that holds the plan, and say which do not."""
        for name, file_format in FORMATS.items():
            with tempfile.TemporaryDirectory() as parent:
                folder = Path(parent) / "model"
                try:
                    done = export_model(self.record.path, folder, name, session=self.session)
                except MpqError as refused:
                    print(f"{name}: {refused.title}")
                    continue
                check = done.comparison
                same, count, accuracy = check.same_predictions, check.reviews, None
                if name != RUNTIME:
                    after = evaluate(file_format.load(folder), self.work, Silent(), "")
                    same = int((after.predictions == self.before.predictions).sum())
                    count, accuracy = len(after.predictions), after.accuracy.accuracy
                yield Row(
                    format=name,
                    bytes=done.size.total,
                    ratio=done.size.original / done.size.total,
                    max_difference=check.max_difference,
                    reviews=count,
                    other_predictions=count - same,
                    accuracy=accuracy,
                    seconds=done.seconds,
                )


def main() -> None:
    """Print the table, and write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("record", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    exports = Exports(read_evaluation(options.record), options.device)
    result = exports.record.result
    print(
        f"{result.setting.model_name}, bits {' '.join(result.allocation.texts)}, embeddings"
        f" {result.embeddings}, {device_name(exports.machine)}; evaluated accuracy"
        f" {result.final.accuracy:.4f}, here {exports.before.accuracy.accuracy:.4f}.\n"
    )
    rows = []
    headings = "format|bytes|smaller|largest difference of the logits|other predictions|accuracy|seconds"
    print(f"| {headings.replace('|', ' | ')} |\n|{'---|' * 7}", flush=True)
    for row in exports.rows():
        print(row.markdown, flush=True)
        rows.append(asdict(row))
        if options.json:
            content = {
                "record": options.record.name,
                **provenance(exports.machine, exports.record.revision),
                "accuracy": exports.before.accuracy.accuracy,
                "rows": rows,
            }
            options.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
