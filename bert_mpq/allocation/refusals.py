"""What is said of a budget that no plan keeps, and what could be asked for instead."""

import math
from collections.abc import Sequence
from fractions import Fraction

from bert_mpq.allocation.knapsack import Options
from bert_mpq.records.numbers import MEBIBYTE_BITS, megabytes
from bert_mpq.records.sizes import SizeReport
from bert_mpq.settings.embeddings import EmbeddingPrecision
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.targets import Target

NARROWER: dict[EmbeddingPrecision, EmbeddingPrecision] = {"fp32": "int8", "fp16": "int8", "int8": "int4"}


def too_many_widths(options: Sequence[Options], allowed: int | None) -> MpqError:
    """Return E-BUDGET for pins that need more widths than are allowed."""
    pinned = {option.bits for each in options if len(each) == 1 for option in each}
    return MpqError(
        "E-BUDGET",
        f"The pins need {len(pinned)} widths, --max-widths allows {allowed}.",
        "Allow more widths, or pin fewer.",
    )


def out_of_reach(target: Target, least: SizeReport, embeddings: EmbeddingPrecision) -> MpqError:
    """Return E-BUDGET for a size target that the smallest plan, of size ``least``, does not meet."""
    rest = least.whole_bits - least.quantized_bits
    offer = _hardest(target, least)
    hint = f"Ask for --target {offer.text}{' or less' if target.kind == 'ratio' else ' or more'}"
    if embeddings in NARROWER and target.kind != "bits":
        hint += f", or --embeddings {NARROWER[embeddings]}"
    return MpqError(
        "E-BUDGET",
        f"{target.text} cannot be reached: the smallest plan takes {least.bits_per_weight:.2f} bits per "
        f"encoder weight, {megabytes(least.whole_bits):.2f} MB in all ({least.whole_ratio:.2f}x), "
        f"{megabytes(rest):.2f} MB of it not encoder weights.",
        f"{hint}.",
    )


def _hardest(target: Target, least: SizeReport) -> Target:
    """Return the hardest target of this kind that the smallest plan meets, to two decimals."""
    if target.kind == "ratio":
        value = math.floor(100 * Fraction(least.whole_original_bits, least.whole_bits))
    elif target.kind == "bits":
        value = math.ceil(100 * Fraction(least.quantized_bits, least.linear_weights))
    else:
        value = math.ceil(100 * Fraction(least.whole_bits, MEBIBYTE_BITS))
    return Target(kind=target.kind, value=value / 100)
