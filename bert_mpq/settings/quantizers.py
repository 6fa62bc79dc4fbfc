"""Which algorithm quantizes a weight at a bit width: the rule behind ``--quantizer``, and its words.

It knows no torch: the plan shows it before anything heavy is imported.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

QuantizerName = Literal["auto", "gptq", "rtn-mse", "rtn", "per-tensor"]
Algorithm = Literal["gptq", "rtn-mse", "rtn", "per-tensor"]

TITLES: dict[Algorithm, str] = {
    "gptq": "GPTQ",
    "rtn-mse": "round to nearest, clipped for the least squared error",
    "rtn": "round to nearest",
    "per-tensor": "min-max, one scale per weight (the original's, for comparison)",
}


@dataclass(frozen=True, kw_only=True)
class WidthQuantizer:
    """What quantizes the weights of one bit width.

    Args:
        bits: the width.
        algorithm: the quantizer.
        group_size: input weights that share a scale; None = a whole output channel.
    """

    bits: int
    algorithm: Algorithm
    group_size: int | None

    @property
    def text(self) -> str:
        """The flags' words, for files: ``gptq, group size 64``."""
        if self.algorithm == "per-tensor":
            return self.algorithm
        return f"{self.algorithm}, group size {self.group_size or 'channel'}"

    @property
    def title(self) -> str:
        """Plain words, for screens: ``4 bits: GPTQ, groups of 64``."""
        if self.algorithm == "per-tensor":
            return f"{self.bits} bits: {TITLES['per-tensor']}"
        scales = f"groups of {self.group_size}" if self.group_size else "one scale per channel"
        return f"{self.bits} bits: {TITLES[self.algorithm]}, {scales}"

    @property
    def scale_bits(self) -> float:
        """Bits of scales per weight, but for those per channel or tensor, which are next to nothing."""
        grouped = self.group_size is not None and self.algorithm != "per-tensor"
        return 16 / self.group_size if grouped and self.group_size else 0.0


def quantizer_for(
    name: QuantizerName, bits: int, group_size: int | None, calibrated: bool = True
) -> WidthQuantizer:
    """Return what ``name`` means at a bit width below 16.

    ``auto``: at 8 bits one scale per channel is lossless, whatever the group size; below, GPTQ. Without
    calibration inputs GPTQ becomes rounding to nearest with the clip of least squared error.

    Args:
        name: the quantizer asked for.
        bits: 2 to 8.
        group_size: input weights that share a scale; None = a whole channel.
        calibrated: whether there are calibration inputs.
    """
    if name == "auto" and bits == 8:
        return WidthQuantizer(bits=bits, algorithm="rtn", group_size=None)
    algorithm: Algorithm = "gptq" if name == "auto" else name
    if algorithm == "gptq" and not calibrated:
        algorithm = "rtn-mse"
    return WidthQuantizer(bits=bits, algorithm=algorithm, group_size=group_size)


def quantizers_for(
    name: QuantizerName, widths: Iterable[int], group_size: int | None, calibrated: bool = True
) -> tuple[WidthQuantizer, ...]:
    """Return what quantizes each of ``widths`` below 16 bits, widest first."""
    used = sorted({bits for bits in widths if bits < 16}, reverse=True)
    return tuple(quantizer_for(name, bits, group_size, calibrated) for bits in used)


def needs_calibration(name: QuantizerName, widths: Iterable[int]) -> bool:
    """Return whether an allocation has a width that GPTQ will quantize."""
    return any(entry.algorithm == "gptq" for entry in quantizers_for(name, widths, None))
