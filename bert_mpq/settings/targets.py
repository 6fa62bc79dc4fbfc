"""What a user may ask for instead of bits: a size, a ratio, mean bits, or an accuracy drop."""

import math
import re
from dataclasses import dataclass
from typing import Literal

from bert_mpq.settings.errors import UsageError, excerpt

TargetKind = Literal["ratio", "megabytes", "bits", "drop"]
KINDS: dict[str, TargetKind] = {"x": "ratio", "mb": "megabytes", "bits": "bits", "bit": "bits", "pp": "drop"}
WORDS: dict[TargetKind, str] = {"ratio": "x", "megabytes": "MB", "bits": "bits", "drop": "pp"}
EXAMPLES = "1.5x (whole model), 50MB (whole model), 4.5bits (per encoder weight) or 0.5pp (accuracy drop)"


@dataclass(frozen=True, kw_only=True)
class Target:
    """A goal for an allocation.

    Args:
        kind: ``ratio``, FP32 size over quantized size of the whole model; ``megabytes``, the whole model,
            1 MB = 1024^2 bytes; ``bits``, mean bits per encoder weight, scales included; ``drop``,
            percentage points of accuracy that may be lost.
    """

    kind: TargetKind
    value: float

    @property
    def text(self) -> str:
        """As a user writes it: ``4x``, ``30MB``, ``4.5bits``, ``0.5pp``."""
        return f"{self.value:.10g}{WORDS[self.kind]}"


def parse_target(text: str) -> Target:
    """Read ``4x``, ``30MB``, ``4.5bits`` or ``0.5pp``; raises UsageError E-BUDGET."""
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)\s*([a-z]+)", text.strip().lower())
    kind = KINDS.get(match[2]) if match else None
    if match is None or kind is None:
        raise UsageError("E-BUDGET", f'"{excerpt(text.strip())}" is no target.', f"Write {EXAMPLES}.")
    value = float(match[1])
    if not math.isfinite(value) or (value <= 0 and kind != "drop"):
        raise UsageError(
            "E-BUDGET", f'"{text.strip()}" is no target: it must be above 0.', f"Write {EXAMPLES}."
        )
    return Target(kind=kind, value=value)


def parse_pin(text: str) -> tuple[str, int]:
    """Read ``layer_11=16`` or ``*.attention.*=8`` as (pattern of names, bits), whatever the model.

    Raises:
        UsageError: E-BUDGET.
    """
    match = re.fullmatch(r"([a-zA-Z*?\[][^\s=]{0,200})=([1-9][0-9]?)", text.strip())
    if match is None:
        hint = "Write layer_11=16 or *.attention.*=8."
        raise UsageError("E-BUDGET", f'"{excerpt(text.strip())}" pins nothing.', hint)
    return match[1], int(match[2])
