"""Seconds from starting ``bert-mpq run`` to its first batch, beside what its libraries and weights take.

Run: python tests/benchmarks/first_batch.py [--reviews 200] [--max-length 64] [--repeat 3]

The command is stopped as the first batch of Phase 1 begins; before it come the batches that check the labels.
Every figure is the median of processes that run in turns. Processor seconds are those of all cores.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

LIBRARIES = """
import torch, transformers, datasets
from safetensors.torch import load_file
from bert_mpq.sources.embedded.bases import SMALL, WEIGHTS
from bert_mpq.sources.embedded.files import base_folder
load_file(base_folder(SMALL) / WEIGHTS)
"""
CLASS = LIBRARIES + "transformers.BertForSequenceClassification\n"
STAGES = ("Check the labels ...", "Compare activations ...")


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What has passed since a process was started, in seconds: of the user, and of the processor."""

    wall: float
    processor: float


def libraries(code: str) -> Moment:
    """Return what a Python process with this code takes."""
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("the libraries cannot be imported")
    return Moment(wall=time.perf_counter() - begun, processor=usage.ru_utime + usage.ru_stime)


def command(reviews: int | None, max_length: int) -> list[Moment]:
    """Return when a run comes to each of the stages; the run is then stopped."""
    with tempfile.TemporaryDirectory() as folder:
        size = [] if reviews is None else [f"--calibration-size={reviews}", f"--eval-size={reviews}"]
        words = ["run", "--model=embedded", *size, f"--max-length={max_length}", "--quantizer=rtn", "--yes"]
        words += ["--metrics=cka", "--bits=8", f"--output={folder}"]
        begun = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "bert_mpq", *words],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        moments = []
        for line in process.stderr or ():
            if line.strip() in STAGES:
                moments.append(Moment(wall=time.perf_counter() - begun, processor=_processor(process.pid)))
            if len(moments) == len(STAGES):
                process.send_signal(signal.SIGKILL)
        process.wait()
    return moments


def _processor(process: int) -> float:
    """Return the processor seconds of a process so far (Linux)."""
    with open(f"/proc/{process}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _row(name: str, moments: Sequence[Moment], reference: float) -> str:
    wall = [each.wall for each in moments]
    middle = statistics.median(wall)
    processor = statistics.median(each.processor for each in moments)
    spread = f"{min(wall):.2f} to {max(wall):.2f}"
    return f"| {name} | {middle:.2f} ({spread}) | {middle / reference:.2f} | {processor:.2f} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reviews", type=int, default=None, help="of each phase; default all")
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    names = (
        "libraries and weights",
        "with the model's class",
        "first batch",
        "first batch of Phase 1",
    )
    rounds = [
        [libraries(LIBRARIES), libraries(CLASS), *command(asked.reviews, asked.max_length)]
        for _ in range(asked.repeat)
    ]
    columns = list(zip(*rounds, strict=True))
    reference = statistics.median(each.wall for each in columns[0])
    print("| until | seconds | x the first row | processor seconds |\n|---|---|---|---|")
    for name, moments in zip(names, columns, strict=True):
        print(_row(name, moments, reference))


if __name__ == "__main__":
    main()
