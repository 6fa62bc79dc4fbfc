"""``export``: the model of an evaluation as a folder on disk."""

import argparse
import shlex
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bert_mpq.export.formats import DEFAULT, FORMATS, Activations
from bert_mpq.export.result import FileSize, ReloadComparison
from bert_mpq.ui.commands.command import Command

if TYPE_CHECKING:
    from bert_mpq.export.result import Export
    from bert_mpq.runs.dry_run import DryRun
    from bert_mpq.ui.execution import Execution


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What --json says of an export.

    Args:
        evaluation: the run record that it was made from.
        size: of the weights file.
        comparison: of the reloaded folder with the evaluated model.
    """

    evaluation: Path
    format: str
    folder: Path
    files: tuple[Path, ...]
    size: FileSize
    comparison: ReloadComparison
    seconds: float


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--evaluation",
        metavar="RUN.json",
        required=True,
        help="run record in Evaluation/ (or the report beside it)",
    )
    parser.add_argument("--to", metavar="DIR", required=True, help="folder to make; nothing is overwritten")
    titles = "; ".join(f"{name}: {each.title}" for name, each in FORMATS.items())
    parser.add_argument(
        "--format", choices=tuple(FORMATS), default=DEFAULT, help=f"{titles} (default: {DEFAULT})"
    )
    parser.add_argument(
        "--activations",
        choices=typing.get_args(Activations),
        default="fp32",
        help="int8, with --format onnx: 8-bit weights and activations, faster; the file is evaluated"
        " (default: fp32)",
    )


def _run(namespace: argparse.Namespace, execution: "Execution") -> Exported:
    asked = namespace.evaluation, namespace.to, namespace.format, namespace.activations
    if execution.dry:
        execution.leave(_dry_run(*asked))
    export = export_and_show(*asked[:3], execution, namespace.activations)
    return Exported(
        evaluation=export.record.path,
        format=export.file_format.name,
        folder=export.folder,
        files=export.files,
        size=export.size,
        comparison=export.comparison,
        seconds=export.seconds,
    )


def _dry_run(evaluation: str, to: str, format_name: str, activations: Activations) -> "DryRun":
    from bert_mpq.runs.dry_run import DryRun
    from bert_mpq.runs.export import check_export
    from bert_mpq.runs.outcome import Outcome

    record, folder, _ = check_export(evaluation, to, format_name, activations)
    return DryRun(
        command=command_line(evaluation, to, format_name, activations),
        reviews={},
        bits=record.result.allocation.bits,
        outcomes=(Outcome.of(record.result.sizes),),
        files=(folder,),
        seconds=None,
    )


def export_and_show(
    evaluation: str, to: str, format_name: str, execution: "Execution", activations: Activations = "fp32"
) -> "Export":
    """Export, and print what came back and the command that repeats it; raises as ``export_model``."""
    from bert_mpq.ui.views import panels
    from bert_mpq.ui.views.export import export_views

    with execution.reporter() as reporter:
        from bert_mpq.runs.export import export_model

        export = export_model(evaluation, to, format_name, reporter, execution.session, activations)
    execution.written = True
    for view in (*export_views(export), panels.heading("Load it")):
        execution.output.print(view)
    loading = export.file_format.loading.format(folder=export.folder)
    execution.output.print(loading, soft_wrap=True, markup=False)  # unwrapped, so that it can be copied
    execution.show([""], export.files, export.seconds)
    panels.print_repeat(command_line(evaluation, to, format_name, activations), execution.output)
    return export


def command_line(evaluation: str, to: str, format_name: str, activations: Activations = "fp32") -> str:
    """Return the shell command that exports this way."""
    words = ["bert-mpq", "export", "--evaluation", evaluation, "--format", format_name, "--to", to]
    return shlex.join([*words, *(["--activations", activations] if activations != "fp32" else [])])


EXPORT = Command(
    name="export",
    help="write the quantized model of an evaluation to disk, load it again, compare",
    add_flags=_add_flags,
    run=_run,
    result="bert_mpq.ui.commands.export:Exported",
    starts=True,
)
