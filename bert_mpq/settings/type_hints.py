"""Values held against type hints: what JSON has becomes what a frozen dataclass expects, or is refused."""

import dataclasses
import functools
import math
import types
import typing
from typing import Any, Literal


@functools.cache
def hints_of(kind: Any) -> dict[str, Any]:
    """Return the types of a dataclass's fields, by name; kept, for to find them takes a millisecond."""
    return typing.get_type_hints(kind)


def converted(value: Any, hint: Any, where: str) -> Any:
    """Return a JSON value as the type it should have.

    Lists become tuples, objects dataclasses (keys that these do not know are passed over, absent ones keep
    their default), whole numbers floats where those are expected, and null NaN.

    Args:
        value: out of a JSON file, or a value of the type already.
        hint: the type: a dataclass, tuple, Literal, ``X | None``, str, int, float or bool.
        where: path to the value, for the sentence that refuses it; "" for a whole file.

    Raises:
        ValueError: where what is wrong.
    """
    if type(value) is hint:  # not isinstance: True is an int
        return value
    if dataclasses.is_dataclass(hint):
        return _fields(value, hint, where)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        return converted(value, next(each for each in arguments if each is not type(None)), where)
    if origin is tuple and isinstance(value, list | tuple):
        hints = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(hints) == len(value):
            return tuple(
                converted(item, each, f"{where}[{index}]")
                for index, (item, each) in enumerate(zip(value, hints, strict=True))
            )
    if origin is Literal and value in arguments:
        return value
    if hint is float and (value is None or type(value) is int):
        try:
            return math.nan if value is None else float(value)  # NaN is written as null
        except OverflowError as error:
            raise ValueError(f"{where} is too large a number") from error
    raise ValueError(f"{where} is {'missing' if value is None else 'not what it should be'}")


def fits(value: object, hint: Any) -> bool:
    """Return whether ``value`` is of the type as it stands, with nothing to be converted."""
    try:
        made = converted(value, hint, "")
    except ValueError:
        return False
    return made is value or (type(value) is tuple and made == value)


def _fields(value: Any, kind: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is {'missing' if value is None else 'not an object'}")
    hints = hints_of(kind)
    given = {}
    for field in dataclasses.fields(kind):
        name = f"{where}.{field.name}" if where else field.name
        if field.name in value:
            given[field.name] = converted(value[field.name], hints[field.name], name)
        elif field.default is dataclasses.MISSING:
            raise ValueError(f"{name} is missing")
    return kind(**given)
