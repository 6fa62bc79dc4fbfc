"""Peak memory of both phases at two sizes, and of reading a data set larger than the memory it may use.

Peaks are of anonymous memory (Linux: RssAnon, every 20 ms): pages of memory-mapped files do not count, for
the system drops them when it needs the space. With ``--stored MIB`` the calibration reviews are an Arrow data
set of that size, read, drawn from and tokenized like any other.

Run: python tests/benchmarks/memory.py [--sizes 1000,4000] [--max-length 32] [--stored 2048]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

REVIEW = "A film that takes its time, and is better for it. " * 26  # 1.3 KB, like a review of IMDB


def anonymous() -> float:
    """Return the anonymous memory of this process in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("this benchmark needs Linux")


def peak_of(function: Callable[[], object]) -> float:
    """Return the peak while ``function`` runs, in MiB."""
    peaks, ended = [anonymous()], threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            peaks.append(anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        function()
    finally:
        ended.set()
        watcher.join()
    return max(peaks)


def phase(name: str, size: int, max_length: int) -> None:
    """Run a phase and print its peak."""
    from bert_mpq import RunConfig, analyse, quantize_and_evaluate

    with tempfile.TemporaryDirectory() as folder:
        common = {"model": "embedded", "max_length": max_length, "quantizer": "rtn", "output": folder}
        scores = Path(folder, "scores.json")
        scores.write_text(json.dumps({f"layer_{index}": 0.1 * (index + 1) for index in range(6)}))
        first = RunConfig(**common, calibration_size=size, metrics=("cka",))
        second = RunConfig(**common, eval_size=size, sensitivities=str(scores))
        run = {"1": lambda: analyse(first), "2": lambda: quantize_and_evaluate(second)}[name]
        print(json.dumps(peak_of(run)))


def stored(mebibytes: int, max_length: int) -> None:
    """Write an Arrow data set, then read, draw from and tokenize it; print peak and reviews."""
    from datasets import Dataset

    from bert_mpq.compute.batches import tokenize
    from bert_mpq.compute.reporting import Silent
    from bert_mpq.sources.classifiers import find_classifier, load_classifier
    from bert_mpq.sources.reviews import find_reviews, load_reviews
    from bert_mpq.sources.sampling import sample

    count = mebibytes * 2**20 // len(REVIEW)

    def rows():  # type: ignore[no-untyped-def]
        for number in range(count):
            yield {"text": f"{number} {REVIEW}", "label": number % 2}

    with tempfile.TemporaryDirectory() as folder:
        Dataset.from_generator(rows, cache_dir=folder).save_to_disk(f"{folder}/reviews")
        tokenizer = load_classifier(find_classifier("embedded")).tokenizer
        before = anonymous()

        def read() -> None:
            reviews = load_reviews(find_reviews(f"{folder}/reviews"), "calibration")
            tokenize(sample(reviews, None, "stratified", 42), tokenizer, max_length, Silent())

        print(json.dumps([count, before, peak_of(read)]))


def main() -> None:
    """Compare the sizes, each in its own process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1000,4000")
    parser.add_argument("--max-length", type=int, default=32)
    parser.add_argument("--stored", type=int, metavar="MIB")
    parser.add_argument("--child", nargs=2, metavar=("PHASE", "SIZE"))
    arguments = parser.parse_args()
    length = arguments.max_length
    if arguments.child:
        name, size = arguments.child[0], int(arguments.child[1])
        return stored(size, length) if name == "stored" else phase(name, size, length)

    def child(name: str, size: int):  # type: ignore[no-untyped-def]
        command = [sys.executable, __file__, "--child", name, str(size), "--max-length", str(length)]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    if arguments.stored:
        count, before, peak = child("stored", arguments.stored)
        print("| data set (MiB) | reviews | memory before (MiB) | peak (MiB) |\n|---|---|---|---|")
        print(f"| {arguments.stored:,} | {count:,} | {before:.0f} | {peak:.0f} |")
        return None
    print("| phase | reviews | peak memory (MiB) | ratio |\n|---|---|---|---|")
    for name in ("1", "2"):
        peaks = []
        for size in map(int, arguments.sizes.split(",")):
            peaks.append(child(name, size))
            print(f"| {name} | {size:,} | {peaks[-1]:.0f} | {peaks[-1] / peaks[0]:.3f} |", flush=True)
    return None


if __name__ == "__main__":
    main()
