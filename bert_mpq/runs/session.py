"""What the runs of one session share, and the keys that say what it was made of."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from bert_mpq.compute.batches import TokenizedReviews
from bert_mpq.compute.checkpoints import EVERY
from bert_mpq.compute.devices import Machine
from bert_mpq.compute.evaluate import Evaluation
from bert_mpq.compute.reviews import Reviews
from bert_mpq.runs.clock import Clock
from bert_mpq.settings.choices import Sampling, Split
from bert_mpq.sources.classifiers import Classifier, ModelSource
from bert_mpq.sources.reviews import DataSource

SAMPLES = 5  # of one run at most: both phases', GPTQ's, the search's, the training's
Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Model:
    """A loaded classifier, and the reviews that its head was fitted on; None where it has its own head."""

    source: ModelSource
    head: "Draw | None" = None


@dataclass(frozen=True, kw_only=True)
class Part:
    """A split of the data."""

    data: DataSource
    split: Split


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Reviews drawn from a part of the data, in the tokens of a model."""

    model: Model
    part: Part
    size: int
    sampling: Sampling
    seed: int
    max_length: int


@dataclass(frozen=True, kw_only=True)
class Measured:
    """An evaluation; ``weights`` is the SHA-256 of the model's, "" for the FP32 model of the draw."""

    draw: Draw
    machine: Machine
    batch_tokens: int
    weights: str = ""


class Kept(Generic[Value]):
    """The values that were made last, each under the key that says what it was made of.

    Args:
        most: values; one more takes the place of the one that was asked for longest ago.
    """

    def __init__(self, most: int = 1) -> None:
        self._most = most
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the value of ``key``, made now where it is not there."""
        value = self._values.pop(key) if key in self._values else make()
        self._values[key] = value
        while len(self._values) > self._most:
            self._values.popitem(last=False)
        return value


class Session:
    """Keeps the last of everything that is slow to make and that the next run may need again.

    Args:
        checkpoint_every: seconds between two checkpoints of a stage at least.
    """

    def __init__(self, checkpoint_every: float = EVERY) -> None:
        self.checkpoint_every = checkpoint_every
        self.clock = Clock()  # of the run under way, whose phases follow one another
        self.classifiers = Kept[Classifier]()
        self.reviews = Kept[Reviews]()
        self.tokens = Kept[TokenizedReviews](SAMPLES)
        # Of the FP32 model, also on the few reviews that show swapped labels, and of the quantized one.
        self.evaluations = Kept[Evaluation](3)
