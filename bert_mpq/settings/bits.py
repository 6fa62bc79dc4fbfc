"""Bits as a user writes them."""

from collections.abc import Sequence

from bert_mpq.settings.errors import UsageError

SUPPORTED_BITS = (2, 3, 4, 6, 8, 16, 32)


def check_bits(bits: Sequence[int], groups: int | None = None) -> None:
    """Check bits per group, most sensitive group first.

    Raises:
        UsageError: E-BITS-COUNT, E-BITS-VALUE or E-BITS-ORDER.
    """
    wanted = len(bits) if groups is None else groups
    if not wanted:
        raise UsageError("E-BITS-COUNT", "No bits given.", "Write them as 16,8,4.")
    if len(bits) != wanted:
        raise UsageError("E-BITS-COUNT", f"{wanted} groups need {wanted} numbers, you gave {len(bits)}.")
    for value in bits:
        if value not in SUPPORTED_BITS:
            raise UsageError("E-BITS-VALUE", f"{value} bits is not supported; use 2, 3, 4, 6, 8, 16 or 32.")
    if list(bits) != sorted(bits, reverse=True):
        given, right = (",".join(map(str, order)) for order in (bits, sorted(bits, reverse=True)))
        raise UsageError("E-BITS-ORDER", f"{given} rises; the most sensitive group comes first, so {right}.")


def parse_bits(text: str, groups: int | None = None) -> tuple[int, ...]:
    """Read ``16,8,4`` (brackets, spaces and slashes are forgiven).

    Raises:
        UsageError: E-BITS-INT, or what ``check_bits`` raises.
    """
    parts = [part.strip() for part in text.strip().strip("[]()").replace("/", ",").split(",")]
    if len(parts) > 1 and not parts[-1]:
        parts.pop()  # a trailing comma
    for part in parts:
        if not (part.isascii() and part.isdigit() and len(part) < 10):
            raise UsageError("E-BITS-INT", f'"{part}" is not a whole number.', "Write them as 16,8,4.")
    bits = tuple(int(part) for part in parts)
    check_bits(bits, groups)
    return bits
