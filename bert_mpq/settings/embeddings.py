"""In how many bits the embedding tables are kept, and the words for it."""

from dataclasses import dataclass
from typing import Literal

EmbeddingPrecision = Literal["fp32", "fp16", "int8", "int4"]
EmbeddingChoice = Literal["auto", EmbeddingPrecision]
TABLE_GROUP = 64  # features of a row that share a scale


@dataclass(frozen=True, kw_only=True)
class EmbeddingFacts:
    """What there is to know of a precision.

    Args:
        bits: of an entry.
        title: plain words, for screens and model cards.
        menu: what the menu says of it.
    """

    bits: int
    title: str
    menu: str

    @property
    def coded(self) -> bool:
        """Whether entries are signed codes with float16 scales."""
        return self.bits < 16


OFFERED: tuple[EmbeddingPrecision, ...] = ("fp32", "int8", "int4")  # what a budget chooses among
EMBEDDINGS: dict[EmbeddingPrecision, EmbeddingFacts] = {
    "fp32": EmbeddingFacts(bits=32, title="float32", menu="As they are"),
    "fp16": EmbeddingFacts(bits=16, title="rounded to float16", menu="Half their size"),
    "int8": EmbeddingFacts(
        bits=8,
        title=f"8-bit codes in groups of {TABLE_GROUP}",
        menu="A quarter of their size, no loss to speak of",
    ),
    "int4": EmbeddingFacts(
        bits=4, title=f"4-bit codes in groups of {TABLE_GROUP}", menu="An eighth, a small loss"
    ),
}


def menu_rows() -> list[tuple[str, EmbeddingChoice, str]]:
    """Return what the menu offers: title, name and description; the default first."""
    rows: list[tuple[str, EmbeddingChoice, str]] = [
        ("auto (default)", "auto", "fp32; a budget of the whole model chooses by the loss")
    ]
    return [*rows, *((name, name, facts.menu) for name, facts in EMBEDDINGS.items())]
