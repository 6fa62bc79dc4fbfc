"""What the two outputs of a classifier mean: its config names them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bert_mpq.settings.label_words import label_key, meaning

NUMBERS = {"0", "1", "label_0", "label_1"}


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The outputs of a classifier.

    Args:
        names: of both, as the config has them.
        positive: index of the one that means positive.
        known: whether the names say so; else 0 is negative and 1 positive.
    """

    names: tuple[str, str] = ("LABEL_0", "LABEL_1")
    positive: int = 1
    known: bool = False

    @property
    def order(self) -> tuple[int, int]:
        """Indices of the outputs that mean negative and positive."""
        return 1 - self.positive, self.positive

    @property
    def text(self) -> str:
        """The meaning in words, for screens and records."""
        meanings = {self.positive: "positive", 1 - self.positive: "negative"}
        return ", ".join(
            f"output {index} ({name}) = {meanings[index]}" for index, name in enumerate(self.names)
        )

    @property
    def swapped(self) -> "Outputs":
        """The same outputs with the opposite meaning."""
        names = ("positive", "negative") if self.positive == 1 else ("negative", "positive")
        return Outputs(names=names, positive=1 - self.positive, known=True)

    @property
    def id2label(self) -> dict[int, str]:
        """The names as a config of transformers has them."""
        return dict(enumerate(self.names))


def read_outputs(id2label: object, label2id: object) -> Outputs:
    """Return what the outputs mean, by the names in a config.json.

    Args:
        id2label: name by index, keys as numbers or as text; None where the config has none.
        label2id: index by name, likewise.

    Raises:
        ValueError: in words, where the two contradict each other or name both outputs alike.
    """
    tables = [names for names in (_names(id2label), _names(_reversed(label2id))) if names is not None]
    if not tables:
        return Outputs()
    # Words outweigh the numbers that transformers writes where nobody has given names.
    worded = [names for names in tables if not {label_key(name) for name in names} <= NUMBERS] or tables
    known = {index for names in worded if (index := _positive(names)) is not None}
    if len(known) > 1:
        raise ValueError("its id2label and its label2id contradict each other")
    return Outputs(names=worded[0], positive=min(known, default=1), known=bool(known))


def outputs_of(model: Any) -> Outputs:
    """Return what the outputs of a loaded classifier mean; 0 negative, 1 positive where it has no names."""
    config = getattr(model, "config", None)
    return read_outputs(getattr(config, "id2label", None), None)


def _positive(names: tuple[str, str]) -> int | None:
    """Return the index of the output that means positive; None when the names do not say."""
    meanings = [meaning(name) for name in names]
    if meanings[0] is not None and meanings[0] == meanings[1]:
        raise ValueError(f"it calls both outputs {meanings[0]}")
    if "positive" in meanings:
        return meanings.index("positive")
    return 1 - meanings.index("negative") if "negative" in meanings else None


def _names(id2label: object) -> tuple[str, str] | None:
    if not isinstance(id2label, Mapping):
        return None
    by_index = {str(index): name for index, name in id2label.items()}
    if set(by_index) != {"0", "1"} or not all(isinstance(name, str | int) for name in by_index.values()):
        return None
    return str(by_index["0"]), str(by_index["1"])


def _reversed(label2id: object) -> dict[str, object] | None:
    if not isinstance(label2id, Mapping):
        return None
    return {str(index): name for name, index in label2id.items()}
