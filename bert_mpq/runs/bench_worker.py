"""One model in a process of its own, which runs what it is asked to: ``python -m`` this module.

Questions and answers are JSON, one a line: ``{"run": [batch, tokens]}`` gives seconds, ``{"memory": null}``
bytes. The first line it writes says what loading took.
"""

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bert_mpq.runs.classify import TextClassifier, format_of, text_classifier
from bert_mpq.settings.paths import user_path


def main() -> None:
    """Load the model named by the first argument, on as many threads as the second says, and answer."""
    name, threads = sys.argv[1], int(sys.argv[2])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # libraries may print
        _import_library(name, threads)
        before, started = resident_bytes(), time.perf_counter()
        classifier = text_classifier(name, threads)
        loaded = {"seconds": time.perf_counter() - started, "library": before, "loaded": resident_bytes()}
        print(json.dumps({**loaded, "longest": classifier.max_length}), file=answers, flush=True)
        for line in sys.stdin:
            print(json.dumps(_answer(classifier, json.loads(line))), file=answers, flush=True)


def resident_bytes() -> int:
    """Return the memory of this process that is resident now; where the system does not say, the peak."""
    status = Path("/proc/self/statm")
    if status.is_file():
        return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _import_library(name: str, threads: int) -> None:
    """Import what runs the model, so that its memory is not counted as the model's."""
    if format_of(user_path(name)) == "onnx":
        import onnxruntime

        _ = onnxruntime
        return
    import torch
    from transformers import AutoModelForSequenceClassification, BertConfig

    from bert_mpq.export import reload

    torch.set_num_threads(threads)
    with torch.device("meta"):  # imports what a first model needs, and takes no memory for it
        AutoModelForSequenceClassification.from_config(BertConfig())
    _ = reload


def _answer(classifier: TextClassifier, question: dict[str, Any]) -> float:
    if "memory" in question:
        return resident_bytes()
    batch, tokens = question["run"]
    ids = np.random.default_rng(0).integers(1000, 2000, (batch, tokens))
    mask = np.ones_like(ids)
    started = time.perf_counter()
    classifier.run(ids, mask)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
