"""Dataclasses of settings read from TOML or JSON: unknown keys and values of another type are errors that say where."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from fastin.errors import InputError

T = TypeVar("T")


def read_settings(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """An instance of the dataclass `cls`; lists become tuples where the field is one.

    Args:
        cls: dataclass whose fields are bool, int, float, str, dict, tuples of these, or one of them or None.
        values: the fields by name.
        where: file or table, for the message.

    Raises:
        InputError: an unknown key, a missing one, or a value of another type.
    """
    hints = typing.get_type_hints(cls)
    declared = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    for name in values:
        if name not in declared:
            raise InputError(f"{where}: unknown key {name!r} (known: {', '.join(sorted(declared))})")
    for name, f in declared.items():
        if name not in values and f.default is MISSING and f.default_factory is MISSING:
            raise InputError(f"{where}: {name!r} is missing")
    made = {}
    for name, value in values.items():
        found = _as(hints[name], value)
        if found is _WRONG:
            raise InputError(f"{where}: {name} must be {_words(hints[name])}, not {value!r}")
        made[name] = found
    try:
        return cls(**made)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


_WRONG = object()
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", dict: "a table"}


def _as(hint: Any, value: Any) -> Any:
    """The value as the type of the hint, or `_WRONG`."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return next((found for kind in inside if (found := _as(kind, value)) is not _WRONG), _WRONG)
    if hint is type(None):
        return None if value is None else _WRONG
    if origin is tuple:
        if not isinstance(value, list | tuple) or (inside[-1] is not Ellipsis and len(value) != len(inside)):
            return _WRONG
        kinds = [inside[0]] * len(value) if inside[-1] is Ellipsis else inside
        parts = tuple(_as(kind, part) for kind, part in zip(kinds, value, strict=True))
        return _WRONG if any(part is _WRONG for part in parts) else parts
    kind = origin or hint
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return value
    right = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    return value if right else _WRONG


def _words(hint: Any) -> str:
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_words(kind) for kind in inside if kind is not type(None))
    if origin is tuple:
        count = "" if inside[-1] is Ellipsis else f"{len(inside)} times "
        return f"a list ({count}{_words(inside[0])})"
    return _WORDS.get(origin or hint, str(hint))
