"""Units that are kept at a width: by the name of a layer, a module or a Linear, or by a pattern of names."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from bert_mpq.records.outline import Unit
from bert_mpq.settings.errors import MpqError


def pinned_units(pins: Sequence[tuple[str, int]], units: Sequence[Unit]) -> dict[int, int]:
    """Return the bits of the pinned units by their index.

    Args:
        pins: (pattern, bits); ``layer_3`` stands for all Linears of layer 3, ``*`` for any part of a name.
            Where two match the same Linear, the later one counts.
        units: of the whole model.

    Raises:
        MpqError: E-BUDGET when a pattern matches nothing, or a unit would need several widths.
    """
    bits: dict[str, int] = {}
    for pattern, width in pins:
        matched = [each for unit in units for each in unit.linears if _matches(each.title, pattern)]
        if not matched:
            raise MpqError("E-BUDGET", f"--pin {pattern} matches nothing.", _what_exists(units))
        bits |= {linear.name: width for linear in matched}
    pinned = {}
    for index, unit in enumerate(units):
        widths = {bits.get(linear.name) for linear in unit.linears}
        if len(widths) > 1:
            raise _in_part(unit, bits)
        if (width_of_all := widths.pop()) is not None:
            pinned[index] = width_of_all
    return pinned


def check_probed(pins: Mapping[int, int], units: Sequence[Unit], widths: Sequence[int]) -> None:
    """Refuse to keep a unit at a width whose loss is not known.

    Args:
        widths: those that were probed.

    Raises:
        MpqError: E-BUDGET.
    """
    for index, bits in pins.items():
        if bits not in {*widths, 16, 32}:
            probed = ", ".join(map(str, sorted(widths)))
            raise MpqError(
                "E-BUDGET",
                f"{units[index].name} is pinned to {bits} bits, but only {probed} were probed.",
                f"Pin one of these, 16 or 32, or probe {bits} too (--probe-bits).",
            )


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def _what_exists(units: Sequence[Unit]) -> str:
    inside = [each.title for unit in units for each in unit.linears if each.layer == 0]
    names = ", ".join(name.removeprefix("layer_0.") for name in inside)
    return f"There are layer_0 to layer_{units[-1].layer}, and in layer_0: {names}."


def _in_part(unit: Unit, bits: Mapping[str, int]) -> MpqError:
    kept = [linear.title for linear in unit.linears if linear.name in bits]
    whole_layer = unit.name.count(".") == 0
    hint = (
        "Use --granularity linear to give every Linear a width of its own."
        if whole_layer
        else "Pin all of them alike, or use --no-tie."
    )
    return MpqError("E-BUDGET", f"{unit.name} has one width, but {', '.join(kept)} would have another.", hint)
