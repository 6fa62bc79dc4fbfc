"""``export``: the model of an evaluation as a folder on disk."""

import argparse
import shlex
import typing
from typing import TYPE_CHECKING

from bert_mpq.export.formats import DEFAULT, FORMATS, Activations
from bert_mpq.ui.commands.command import Command

if TYPE_CHECKING:
    from bert_mpq.ui.execution import Execution


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


def _run(namespace: argparse.Namespace, execution: "Execution") -> None:
    export_and_show(namespace.evaluation, namespace.to, namespace.format, execution, namespace.activations)


def export_and_show(
    evaluation: str, to: str, format_name: str, execution: "Execution", activations: Activations = "fp32"
) -> None:
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


def command_line(evaluation: str, to: str, format_name: str, activations: Activations = "fp32") -> str:
    """Return the shell command that exports this way."""
    words = ["bert-mpq", "export", "--evaluation", evaluation, "--format", format_name, "--to", to]
    return shlex.join([*words, *(["--activations", activations] if activations != "fp32" else [])])


EXPORT = Command(
    name="export",
    help="write the quantized model of an evaluation to disk, load it again, compare",
    add_flags=_add_flags,
    run=_run,
)
