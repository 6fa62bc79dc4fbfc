"""An exported folder, loaded again in a fresh process as a user would load it: ``python -m`` this module.

The parent writes a question (JSON) and reads an answer (safetensors), so that nothing of its own state can
make a broken folder look whole.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bert_mpq.compute.batches import Batch, tokenize
from bert_mpq.compute.devices import Machine
from bert_mpq.compute.fingerprint import weights_fingerprint
from bert_mpq.compute.forward import run_batches
from bert_mpq.compute.reporting import Silent
from bert_mpq.compute.reviews import Reviews
from bert_mpq.compute.workload import Workload
from bert_mpq.export.formats import Format
from bert_mpq.records.files import disk_errors
from bert_mpq.settings.errors import MpqError


@dataclass(frozen=True, kw_only=True)
class Reloaded:
    """What a folder gave in a fresh process.

    Args:
        logits: (reviews, labels) float32.
        fingerprint: of the tensors asked for (``weights_fingerprint``).
    """

    logits: Tensor
    fingerprint: str


def logits_of(model: Any, tokenizer: Any, texts: Sequence[str], max_length: int) -> Tensor:
    """Return (reviews, labels) float32 logits, always on the CPU and in batches of the same make-up.

    Args:
        model: a transformers classifier.
        tokenizer: its tokenizer.
        texts: reviews.
        max_length: tokens per review at most.

    Raises:
        MpqError: E-MEMORY.
    """
    machine = Machine(device=torch.device("cpu"), num_gpus=0)
    reviews = Reviews(texts=tuple(texts), labels=(0,) * len(texts))
    tokens = tokenize(reviews, tokenizer, max_length, Silent())
    model = model.cpu().eval()

    def forward(batch: Batch) -> Tensor:
        with machine.arithmetic():
            answer: Tensor = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
            return answer

    done = list(run_batches(Workload(tokens=tokens, machine=machine), forward, Silent(), "Reload"))
    rows = torch.cat([torch.from_numpy(each.batch.indices) for each in done])
    logits = torch.cat([each.result.float() for each in done])
    return logits[rows.argsort()].clone()


class Reload:
    """A fresh process that cannot reach the hub loads ``folder`` and is asked about ``texts``.

    It starts at once; as a context manager it is gone at the end, whatever happens.

    Args:
        folder: what was exported, tokenizer included.
        kind: its format.
        names: tensors of the state dict to take the fingerprint of.
        texts: reviews.
        max_length: tokens per review at most.

    Raises:
        MpqError: E-DISK or E-READONLY when there is no room for question and answer.
    """

    def __init__(
        self, folder: Path, kind: Format, names: Sequence[str], texts: Sequence[str], max_length: int
    ) -> None:
        question = {"folder": str(folder), "kind": kind, "names": list(names), "texts": list(texts)}
        with disk_errors(Path(tempfile.gettempdir())):
            self._place = tempfile.TemporaryDirectory(prefix="bert-mpq-")
            asked, self._answered = (Path(self._place.name, name) for name in ("question", "answer"))
            asked.write_text(json.dumps({**question, "max_length": max_length}), encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bert_mpq.export.reload", str(asked), str(self._answered)],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )

    def __enter__(self) -> "Reload":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()
        self._place.cleanup()

    def result(self) -> Reloaded:
        """Wait for the answer.

        Raises:
            MpqError: E-EXPORT when the folder could not be loaded.
        """
        from safetensors import safe_open

        errors = self._process.communicate()[1]
        if self._process.returncode or not self._answered.exists():
            lines = errors.strip().splitlines() or [f"exit code {self._process.returncode}"]
            raise MpqError(
                "E-EXPORT",
                f"The exported folder cannot be loaded again: {lines[-1][:200].rstrip('.')}.",
                "Nothing was kept. Try another format, and report it.",
            )
        with safe_open(self._answered, framework="pt") as opened:
            fingerprint = (opened.metadata() or {})["fingerprint"]
            return Reloaded(logits=opened.get_tensor("logits"), fingerprint=fingerprint)


def answer(asked: Path, answered: Path) -> None:
    """Do what the question says; runs in the fresh process."""
    from safetensors.torch import save_file
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    question = json.loads(asked.read_text(encoding="utf-8"))
    folder, texts = question["folder"], question["texts"]
    if question["kind"] == "mpq":
        from bert_mpq.export.loading import load

        model = load(folder)
    else:
        model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer, length = AutoTokenizer.from_pretrained(folder), question["max_length"]
    # The first forward pass unpacks the weights of compressed-tensors, which only one thread may do.
    logits_of(model, tokenizer, texts[:1], length)
    logits = logits_of(model, tokenizer, texts, length)
    state = model.state_dict()  # after the forward pass, which unpacks compressed weights
    fingerprint = weights_fingerprint({name: state[name] for name in question["names"]})
    save_file({"logits": logits}, answered, metadata={"fingerprint": fingerprint})


def _environment() -> dict[str, str]:
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
    answer(Path(sys.argv[1]), Path(sys.argv[2]))
