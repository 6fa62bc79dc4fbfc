"""An exported folder, loaded again in a fresh process as a user would load it: ``python -m`` this module.

Question and answer are JSON over pipes, so that nothing of the parent can make a broken folder look whole.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from bert_mpq.compute.batches import tokenize
from bert_mpq.compute.devices import Machine
from bert_mpq.compute.evaluate import evaluate
from bert_mpq.compute.fingerprint import weights_fingerprint
from bert_mpq.compute.reporting import Silent
from bert_mpq.compute.reviews import Reviews
from bert_mpq.compute.workload import Workload
from bert_mpq.export.formats import FORMATS, Format
from bert_mpq.settings.errors import MpqError


@dataclass(frozen=True, kw_only=True)
class Reloaded:
    """What a folder gave in a fresh process: (reviews, 2) logits, and the asked tensors' fingerprint.

    The fingerprint is "" where the format has no such tensors.
    """

    logits: npt.NDArray[np.float64]
    fingerprint: str


def logits_of(
    model: nn.Module, tokenizer: Any, texts: Sequence[str], max_length: int
) -> npt.NDArray[np.float64]:
    """Return (reviews, 2) logits, always on the CPU and in batches of the same make-up.

    Raises:
        MpqError: E-MEMORY.
    """
    reviews = Reviews(texts=tuple(texts), labels=(0,) * len(texts))
    tokens = tokenize(reviews, tokenizer, max_length, Silent())
    work = Workload(tokens=tokens, machine=Machine(device=torch.device("cpu"), num_gpus=0))
    return evaluate(model, work, Silent(), "Reload").logits


def reloaded(
    folder: Path, file_format: Format, names: Sequence[str], texts: Sequence[str], max_length: int
) -> Reloaded:
    """Load ``folder`` in a fresh process that cannot reach the hub, and ask it about ``texts``.

    The process is gone at the end, whatever happens.

    Args:
        names: tensors of the state dict to take the fingerprint of.

    Raises:
        MpqError: E-EXPORT when the folder could not be loaded.
    """
    question = {
        "folder": str(folder),
        "format": file_format.name,
        "names": list(names),
        "texts": list(texts),
        "max_length": max_length,
    }
    process = subprocess.run(
        [sys.executable, "-m", file_format.reloader],
        input=json.dumps(question),
        env=fresh_environment(),
        capture_output=True,
        text=True,
        errors="replace",
    )
    if process.returncode:
        lines = process.stderr.strip().splitlines() or [f"exit code {process.returncode}"]
        raise MpqError(
            "E-EXPORT",
            f"The exported folder cannot be loaded again: {lines[-1][:200].rstrip('.')}.",
            "Nothing was kept. Try another format, and report it.",
        )
    said = json.loads(process.stdout)
    return Reloaded(logits=np.array(said["logits"]), fingerprint=said["fingerprint"])


def answer(question: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the question asks for; runs in the fresh process."""
    from transformers import AutoTokenizer

    folder, texts, length = question["folder"], question["texts"], question["max_length"]
    model = FORMATS[question["format"]].load(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    # The first forward pass unpacks the weights of compressed-tensors, which only one thread may do.
    logits_of(model, tokenizer, texts[:1], length)
    logits = logits_of(model, tokenizer, texts, length)
    state = model.state_dict()  # after the forward pass, which unpacks compressed weights
    fingerprint = weights_fingerprint({name: state[name] for name in question["names"]})
    return {"logits": logits.tolist(), "fingerprint": fingerprint}


def fresh_environment() -> dict[str, str]:
    """Return an environment in which this very package is found and nothing is fetched."""
    here = str(Path(__file__).parents[2])
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):  # libraries may print
        reply = answer(json.load(sys.stdin))
    print(json.dumps(reply))
