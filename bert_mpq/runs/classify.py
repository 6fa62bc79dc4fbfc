"""``text_classifier``: labels and probabilities from any model that the tool can load or has exported.

A folder that ``--format onnx`` wrote runs without torch, which is imported for the others only.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bert_mpq.export.formats import FORMATS
from bert_mpq.settings.paths import user_path

LABELS = ("negative", "positive")
Ids = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Classification:
    """What a model says of a text.

    Args:
        label: ``negative`` or ``positive``.
        probability: of that label, by the softmax of the logits.
        logits: of negative and of positive.
    """

    label: str
    probability: float
    logits: tuple[float, float]

    @property
    def positive(self) -> float:
        """The probability of positive."""
        return self.probability if self.label == LABELS[1] else 1 - self.probability


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the model says of a text."""

    text: str
    found: Classification


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What the model says of all texts.

    Args:
        accuracy: share of the reviews of --data with the right label; None where texts were given.
    """

    model: str
    answers: tuple[Answer, ...]
    accuracy: float | None


class TextClassifier(Protocol):
    """A loaded model and its tokenizer.

    Attributes:
        max_length: tokens per text at most.
    """

    max_length: int

    def logits(self, texts: Sequence[str]) -> Logits:
        """Return (texts, 2) logits, that of negative first."""
        ...

    def run(self, ids: Ids, mask: Ids) -> Logits:
        """Return (B, 2) logits of (B, T) token ids, that of negative first."""
        ...


class TorchClassifier:
    """A classifier of transformers.

    Args:
        max_length: tokens per text at most.
    """

    def __init__(self, model: Any, tokenizer: Any, max_length: int) -> None:
        self._model, self._tokenizer, self.max_length = model, tokenizer, max_length

    def logits(self, texts: Sequence[str]) -> Logits:
        """Return (texts, 2) logits, that of negative first."""
        from bert_mpq.export.reload import logits_of

        return logits_of(self._model, self._tokenizer, texts, self.max_length)

    def run(self, ids: Ids, mask: Ids) -> Logits:
        """Return (B, 2) logits of (B, T) token ids, that of negative first."""
        import torch

        from bert_mpq.compute.outputs import outputs_of

        with torch.inference_mode():
            logits = self._model(
                input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)
            ).logits
        return np.asarray(logits[:, list(outputs_of(self._model).order)].numpy(), np.float64)


def text_classifier(name: str, threads: int | None = None) -> TextClassifier:
    """Load a model.

    Args:
        name: a folder of any export format, or what ``--model`` takes.
        threads: of ONNX Runtime; None = as many as there are cores.

    Raises:
        MpqError: E-NOFILE, E-EXTRA, E-MODEL, E-NETWORK, E-OFFLINE.
    """
    folder = user_path(name)
    file_format = format_of(folder)
    if file_format == "onnx":
        from bert_mpq.export.onnx_classifier import OnnxClassifier

        return OnnxClassifier(folder, threads)
    if file_format is not None:
        from transformers import AutoTokenizer

        model, tokenizer = FORMATS[file_format].load(folder), AutoTokenizer.from_pretrained(folder)
        return TorchClassifier(model, tokenizer, tokenizer.model_max_length)
    from bert_mpq.sources.classifiers import find_classifier, load_classifier

    loaded = load_classifier(find_classifier(name))
    loaded.model.eval()
    length = min(loaded.source.max_length, loaded.tokenizer.model_max_length)
    return TorchClassifier(loaded.model, loaded.tokenizer, length)


def format_of(folder: Path) -> str | None:
    """Return the format of an exported folder; None for a plain checkpoint, and for what is no folder."""
    for name in ("onnx", "mpq"):
        if (folder / FORMATS[name].weights_file).is_file():
            return name
    try:
        packed = b'"quantization_config"' in (folder / "config.json").read_bytes()
    except OSError:
        return None
    return "compressed-tensors" if packed else None


def classify(classifier: TextClassifier, texts: Sequence[str]) -> list[Classification]:
    """Return what a model says of each text."""
    if not texts:
        return []
    return [_classification(negative, positive) for negative, positive in classifier.logits(texts)]


def _classification(negative: float, positive: float) -> Classification:
    best = max(negative, positive)
    return Classification(
        label=LABELS[int(positive > negative)],
        probability=1 / (1 + math.exp(min(negative, positive) - best)),
        logits=(float(negative), float(positive)),
    )
