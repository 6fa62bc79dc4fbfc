"""Which algorithm quantizes a weight at a bit width: the rule behind ``--quantizer``, and its words.

A new algorithm is an entry here, a file in ``bert_mpq.quantization`` and a line in
``bert_mpq.quantization.layer``. Nothing here knows torch: the plan is shown before that is imported.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from bert_mpq.settings.bits import SUPPORTED_BITS

GROUP_SIZES = (32, 64, 128)
FEW_BITS = 3  # up to here learned rounding is worth its time
Algorithm = Literal["gptq", "learned", "rtn-mse", "rtn", "per-tensor"]
QuantizerName = Literal["auto", Algorithm]


@dataclass(frozen=True, kw_only=True)
class QuantizerFacts:
    """What there is to know of an algorithm without running it.

    Args:
        without_reviews: what takes its place where there are no calibration reviews; None = it needs none.
        reviews: calibration reviews that it looks at, if at any, unless another number is asked for.
        whole_weight: whether a weight has one scale, not one for each group of inputs or output channel.
        scale_bits: bits of a scale.
        symmetric: whether its codes have no zero point; one takes as many bits as a code.
    """

    title: str
    menu: str
    without_reviews: Algorithm | None = None
    reviews: int = 128
    whole_weight: bool = False
    scale_bits: int = 16
    symmetric: bool = True


QUANTIZERS: dict[Algorithm, QuantizerFacts] = {
    "gptq": QuantizerFacts(
        title="GPTQ",
        menu="Makes up for rounding errors, on calibration reviews",
        without_reviews="rtn-mse",
    ),
    "learned": QuantizerFacts(
        title="learned rounding",
        menu="Learns the rounding by layer: best at 2 and 3 bits, minutes",
        without_reviews="rtn-mse",
        reviews=512,
    ),
    "rtn-mse": QuantizerFacts(
        title="round to nearest, clipped for the least squared error",
        menu="Needs no reviews: the clip of least squared error",
    ),
    "rtn": QuantizerFacts(title="round to nearest", menu="Plain rounding to nearest"),
    "per-tensor": QuantizerFacts(
        title="min-max, one scale per weight (for comparison only)",
        menu="Min-max, one scale per weight: collapses below 8 bits",
        whole_weight=True,
        scale_bits=32,
        symmetric=False,
    ),
}


def menu_rows() -> list[tuple[str, QuantizerName, str]]:
    """Return what the menu offers: title, name and description; the recommended row first."""
    rows: list[tuple[str, QuantizerName, str]] = [
        ("auto (recommended)", "auto", "8 bits: one scale per channel; fewer: GPTQ")
    ]
    return [*rows, *((name, name, facts.menu) for name, facts in QUANTIZERS.items())]


@dataclass(frozen=True, kw_only=True)
class WidthQuantizer:
    """What quantizes the weights of one bit width.

    Args:
        group_size: input weights that share a scale; None = a whole output channel.
    """

    bits: int
    algorithm: Algorithm
    group_size: int | None

    @property
    def facts(self) -> QuantizerFacts:
        """What there is to know of the algorithm."""
        return QUANTIZERS[self.algorithm]

    @property
    def text(self) -> str:
        """The flags' words, for files: ``gptq, group size 64``."""
        if self.facts.whole_weight:
            return self.algorithm
        return f"{self.algorithm}, group size {self.group_size or 'channel'}"

    @property
    def title(self) -> str:
        """Plain words, for screens: ``4 bits: GPTQ, groups of 64``."""
        if self.facts.whole_weight:
            return f"{self.bits} bits: {self.facts.title}"
        scales = f"groups of {self.group_size}" if self.group_size else "one scale per channel"
        return f"{self.bits} bits: {self.facts.title}, {scales}"

    @property
    def group_bits(self) -> int:
        """Bits of one scale, and of the zero point beside it where there is one."""
        return self.facts.scale_bits + (0 if self.facts.symmetric else self.bits)

    @property
    def scale_bits(self) -> float:
        """Bits of scales per weight, but for those per channel or tensor, which are next to nothing."""
        if self.group_size is None or self.facts.whole_weight:
            return 0.0
        return self.group_bits / self.group_size


def quantizer_for(
    name: QuantizerName, bits: int, group_size: int | None, calibrated: bool = True
) -> WidthQuantizer:
    """Return what ``name`` means at a bit width below 16.

    ``auto``: at 8 bits one scale per channel is lossless, whatever the group size; below, GPTQ. Learned
    rounding leaves 8 bits to that, too. Without calibration inputs another algorithm takes the place of one
    that needs them.

    Args:
        bits: 2 to 8.
    """
    if name in ("auto", "learned") and bits == 8:
        return WidthQuantizer(bits=bits, algorithm="rtn", group_size=None)
    algorithm: Algorithm = "gptq" if name == "auto" else name
    if not calibrated:
        algorithm = QUANTIZERS[algorithm].without_reviews or algorithm
    return WidthQuantizer(bits=bits, algorithm=algorithm, group_size=group_size)


def quantizers_for(
    name: QuantizerName, widths: Iterable[int], group_size: int | None, calibrated: bool = True
) -> tuple[WidthQuantizer, ...]:
    """Return what quantizes each of ``widths`` below 16 bits, widest first."""
    used = sorted({bits for bits in widths if bits < 16}, reverse=True)
    return tuple(quantizer_for(name, bits, group_size, calibrated) for bits in used)


def needs_calibration(name: QuantizerName, widths: Iterable[int]) -> bool:
    """Return whether an allocation has a width whose algorithm looks at calibration reviews."""
    return any(entry.facts.without_reviews is not None for entry in quantizers_for(name, widths, None))


def reviews_for(name: QuantizerName, asked: int | None) -> int:
    """Return the calibration reviews that ``name`` looks at; ``asked`` = None leaves it to the quantizer."""
    return asked or QUANTIZERS["gptq" if name == "auto" else name].reviews


def for_probes(name: QuantizerName) -> QuantizerName:
    """Return what quantizes the probes of Phase 1: many at many widths are no place to learn rounding in."""
    return "auto" if name == "learned" else name


def is_symmetric(name: QuantizerName) -> bool:
    """Return whether no weight gets a zero point, whatever its width."""
    return all(entry.facts.symmetric for entry in quantizers_for(name, SUPPORTED_BITS, None))
