"""``bench``: speed and memory of exported folders beside the FP32 model."""

import argparse
import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bert_mpq.settings import flags
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import UsageError
from bert_mpq.settings.flag import read_number
from bert_mpq.ui.commands.command import Command

if TYPE_CHECKING:
    from bert_mpq.runs.bench import Bench
    from bert_mpq.ui.execution import Execution


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", metavar="FOLDER", nargs="+", help="as bert-mpq export wrote it")
    flags.add_flag(parser, "model", RunConfig())
    parser.add_argument(
        "--throughput", metavar="TEXTSxTOKENS", default="16x200", help="the large batch (default: 16x200)"
    )
    parser.add_argument("--threads", metavar="N", help="of each process (default: one per core)")
    parser.add_argument("--rounds", metavar="N", default="7", help="times that each is measured (default: 7)")


def _run(namespace: argparse.Namespace, execution: "Execution") -> "Bench":
    shape = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", namespace.throughput)
    threads = read_number(namespace.threads) if namespace.threads else None
    if shape is None or threads == 0 or (rounds := read_number(namespace.rounds)) == 0:
        raise UsageError(
            "E-CONFIG", "A batch is measured as 16x200, on at least one thread, in at least one round."
        )
    model = flags.config_from(namespace, RunConfig()).model
    settings = {"throughput": (int(shape[1]), int(shape[2])), "threads": threads, "rounds": rounds}
    return bench_and_show(namespace.folders, model, execution, **settings)


def bench_and_show(folders: Sequence[str], model: str, execution: "Execution", **settings: Any) -> "Bench":
    """Measure, and print tables.

    Args:
        settings: those of ``bert_mpq.runs.bench.bench``.

    Raises:
        MpqError: what ``bench`` raises.
    """
    from bert_mpq.ui.views.bench import bench_views
    from bert_mpq.ui.views.panels import print_repeat

    with execution.reporter() as reporter:
        from bert_mpq.runs.bench import bench

        found = bench(folders, model, reporter, **settings)
    for view in bench_views(found):
        execution.output.print(view)
    print_repeat(shlex.join(["bert-mpq", "bench", *folders, "--model", model]), execution.output)
    return found


BENCH = Command(
    name="bench",
    help="speed and memory of exported folders here, beside the FP32 model",
    add_flags=_add_flags,
    run=_run,
    result="bert_mpq.runs.bench:Bench",
)
