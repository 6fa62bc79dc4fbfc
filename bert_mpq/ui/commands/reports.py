"""``compare`` and ``doctor``: what is there already, as text, JSON, a figure or a page."""

import argparse
from typing import TYPE_CHECKING

from bert_mpq.settings import flags
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError, UsageError
from bert_mpq.settings.paths import user_path
from bert_mpq.settings.source_settings import OF_DATA
from bert_mpq.ui.commands.command import Command

if TYPE_CHECKING:
    from bert_mpq.runs.compare import Comparison
    from bert_mpq.runs.doctor import Diagnosis
    from bert_mpq.ui.execution import Execution


def _add_compare_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", metavar="DIR", default=".", help="folder of Evaluation/ (default: .)")
    parser.add_argument("--plot", metavar="FILE", help="draw sensitivities, accuracy and bits: .png or .svg")
    parser.add_argument("--html", metavar="FILE", help="write everything as one page")
    parser.add_argument("--open", action="store_true", help="show the page of --html in the browser")


def _compare(namespace: argparse.Namespace, execution: "Execution") -> "Comparison":
    from bert_mpq.runs.compare import compare
    from bert_mpq.ui.views.comparison import comparison_views

    if namespace.open and not namespace.html:
        raise UsageError("E-CONFIG", "--open shows the page of --html.", "Give --html FILE too.")
    if namespace.plot or namespace.html:
        return _draw(namespace, execution)
    comparison = compare(namespace.output)
    if not comparison.groups:
        folder = user_path(namespace.output) / "Evaluation"
        raise MpqError("E-NOFILE", f"No evaluation in {folder}/.", "Run Phase 2 first.")
    for view in comparison_views(comparison, execution.output):
        execution.output.print(view)
    return comparison


def _draw(namespace: argparse.Namespace, execution: "Execution") -> "Comparison":
    from bert_mpq.ui.figures.page import html_page
    from bert_mpq.ui.figures.plots import collect, write_plot

    material = collect(namespace.output)
    files = [write_plot(namespace.plot, material)] if namespace.plot else []
    files += [html_page(namespace.html, material)] if namespace.html else []
    execution.written = True
    for file in files:
        execution.output.print(f"Wrote {file}", soft_wrap=True, markup=False)
    import webbrowser

    if namespace.open and not webbrowser.open(files[-1].absolute().as_uri()):
        execution.errors.print("No browser was found: open the page yourself.", soft_wrap=True)
    return material.comparison


def _add_doctor_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", metavar="DIR", default=".", help="folder to look at (default: .)")
    for name in ("model", "data", *OF_DATA):
        flags.add_flag(parser, name, RunConfig())


def _doctor(namespace: argparse.Namespace, execution: "Execution") -> "Diagnosis":
    from bert_mpq.runs.doctor import diagnose
    from bert_mpq.ui.views.doctor import doctor_views

    diagnosis = diagnose(flags.config_from(namespace, RunConfig()))
    for view in doctor_views(diagnosis.checks):
        execution.output.print(view)
    return diagnosis


COMPARE = Command(
    name="compare",
    help="the evaluations in Evaluation/, side by side",
    add_flags=_add_compare_flags,
    run=_compare,
    result="bert_mpq.runs.compare:Comparison",
)
DOCTOR = Command(
    name="doctor",
    help="versions, devices, hub and cache, folders: text to paste into a report",
    add_flags=_add_doctor_flags,
    run=_doctor,
    result="bert_mpq.runs.doctor:Diagnosis",
)
