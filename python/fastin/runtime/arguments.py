"""Arguments of public functions: numbers are numbers before anything is computed.

`checked_arguments` reads a function's annotations and refuses what they do not allow with an `InputError` that names
function, argument and value: text, None, NaN, complex numbers and arrays where a number is expected, 2.5 where a whole
one is, and ``"false"`` (which Python takes for true) where yes or no is. Truth values are no numbers: ``True`` is not a
resolution of 1 angstrom. Scalars of numpy become Python's. Ranges are the functions' own business.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import wraps
from numbers import Integral, Real
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

from fastin.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")

_SCALARS = ("float", "int", "bool", "str", "None")
_MISS = object()
_WORDS = {"float": "a number", "int": "a whole number", "bool": "True or False", "str": "text", "None": "None"}


class _Kind(NamedTuple):
    """What an annotation allows: scalars by name, sequences and mappings of scalars, and whether anything else."""

    scalars: tuple[str, ...]
    sequences: tuple[tuple[str, int], ...]  # (scalar, length; 0 for any)
    values: str  # scalar of a mapping's values, or ""
    others: bool

    def words(self) -> str:
        found = [_WORDS[name] for name in self.scalars if not (name == "int" and "float" in self.scalars)]
        found += [f"{length or 'several'} {_plural(name)}" for name, length in self.sequences]
        found += [f"a mapping to {_plural(self.values)}"] if self.values else []
        return " or ".join(found)


def checked_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """The function with its numbers, truth values and texts checked by its annotations; the rest passes as it is."""
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    kinds: dict[str, _Kind] = {}

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if not kinds:
            kinds.update(_kinds(function.__annotations__))
        for name, value in kwargs.items():
            kind = kinds.get(name)
            if kind is not None:
                kwargs[name] = _fitting(kind, value, function.__name__, name)
        given: Any = args
        if any(name in kinds for name in names[: len(given)]):
            given = [
                _fitting(kinds[name], value, function.__name__, name) if name in kinds else value
                for name, value in zip(names, given, strict=False)
            ] + list(given[len(names) :])
        return function(*given, **kwargs)

    return call


def checked_methods(made: type[C]) -> type[C]:
    """The class with `checked_arguments` on its public methods and class methods that take numbers or texts."""
    for name, held in list(vars(made).items()):
        function = held.__func__ if isinstance(held, classmethod) else held
        if name.startswith("_") or not isinstance(function, FunctionType) or not _kinds(function.__annotations__):
            continue
        checked = checked_arguments(function)
        setattr(made, name, classmethod(checked) if isinstance(held, classmethod) else checked)
    return made


def real(value: Any, what: str, error: type[InputError] = InputError) -> float:
    """The value as a number; text, None, truth values and arrays are refused. NaN is the caller's business.

    Raises:
        InputError: names `what` and the value.
    """
    found = _scalar("float", value)
    if found is _MISS and isinstance(value, Real) and value != value:
        return math.nan
    if found is _MISS:
        raise error(f"{what} must be a number, not {_shown(value)}")
    return float(found)


def real_array(values: Any, what: str, error: type[InputError] = InputError) -> NDArray[np.float64]:
    """The values as an array of numbers; what is text, ragged or complex is refused. NaN is the caller's business.

    Raises:
        InputError: names `what` and the values.
    """
    import numpy as np

    try:
        found = np.asarray(values)
        plain = found.dtype.kind in "iuf" or (found.dtype.kind == "O" and all(isinstance(v, Real) for v in found.flat))
        if found.dtype.kind == "b" or not (plain or found.size == 0):
            raise TypeError
        return found.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise error(f"{what} must be numbers, not {_shown(values)}") from None


def _kinds(annotations: dict[str, Any]) -> dict[str, _Kind]:
    """Parameters whose annotations, as text, say something of numbers, truth values or text."""
    found = {}
    for name, annotation in annotations.items():
        if name in ("return", "ion") or not isinstance(annotation, str):
            continue
        kind = _read(annotation)
        if kind.sequences or kind.values or any(s != "None" for s in kind.scalars):
            found[name] = kind
    return found


def _read(annotation: str) -> _Kind:
    scalars: list[str] = []
    sequences: list[tuple[str, int]] = []
    values, others = "", False
    for part in _members(annotation):
        inner = [p.strip() for p in part[part.find("[") + 1 : -1].split(",")] if part.endswith("]") else []
        if part in _SCALARS:
            scalars.append(part)
        elif part.startswith("tuple[") and set(inner) <= {inner[0]} & {"float", "int"}:
            sequences.append((inner[0], len(inner)))
        elif part in ("Sequence[int]", "Sequence[float]"):
            sequences.append((inner[0], 0))
        elif part in ("Mapping[str, float]", "Mapping[str, int]"):
            values = inner[1]
        else:
            others = True
    return _Kind(tuple(scalars), tuple(sequences), values, others)


def _members(annotation: str) -> list[str]:
    """Parts of a union, split outside brackets."""
    parts, depth = [""], 0
    for letter in annotation:
        depth += (letter == "[") - (letter == "]")
        if letter == "|" and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _fitting(kind: _Kind, value: Any, function: str, name: str) -> Any:
    for scalar in kind.scalars:
        found = _scalar(scalar, value)
        if found is not _MISS:
            return found
    for scalar, length in kind.sequences:
        found = _sequence(scalar, length, value)
        if found is not _MISS:
            return found
    if kind.values and isinstance(value, Mapping):
        found = {key: _scalar(kind.values, held) for key, held in value.items()}
        wrong = next((key for key, held in found.items() if held is _MISS), None)
        if wrong is None:
            return found
        raise InputError(f"{function}: {name}[{wrong!r}] must be {_WORDS[kind.values]}, not {_shown(value[wrong])}")
    plain = value is None or isinstance(value, (str, bool, Real, complex))
    if kind.others and not plain:
        return value
    raise InputError(f"{function}: {name} must be {kind.words()}, not {_shown(value)}")


def _scalar(scalar: str, value: Any) -> Any:
    """The value as that scalar, or _MISS."""
    if scalar == "None":
        return None if value is None else _MISS
    if scalar == "str":
        return value if isinstance(value, str) else _MISS
    value = _plain(value)
    if scalar == "bool":
        return bool(value) if isinstance(value, bool) or (isinstance(value, Integral) and value in (0, 1)) else _MISS
    if isinstance(value, bool) or not isinstance(value, Real):
        return _MISS
    if scalar == "int":
        if isinstance(value, Integral):
            return int(value)
        number = float(value)
        return int(number) if number.is_integer() else _MISS
    try:
        number = float(value)
    except OverflowError:
        return _MISS
    return _MISS if math.isnan(number) else number


def _plain(value: Any) -> Any:
    """Scalars and arrays of no dimension of numpy, torch and the like as Python's."""
    if isinstance(value, (bool, int, float, str, bytes, list, tuple, dict)) or value is None:
        return value
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value


def _sequence(scalar: str, length: int, value: Any) -> Any:
    """The value as a list or tuple of that scalar, or _MISS."""
    if isinstance(value, (str, bytes, Mapping)) or not hasattr(value, "__len__") or not hasattr(value, "__getitem__"):
        return _MISS
    if getattr(value, "shape", None) == () or (length and len(value) != length):
        return _MISS
    found = tuple(_scalar(scalar, part) for part in value)
    return _MISS if any(part is _MISS for part in found) else found


def _plural(scalar: str) -> str:
    return {"float": "numbers", "int": "whole numbers", "str": "texts", "bool": "truth values"}[scalar]


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"
