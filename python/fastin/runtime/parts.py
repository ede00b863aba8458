"""Results in parts: a big result holds a few small tables, and offers their columns as its own attributes."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar, overload

import numpy as np

T = TypeVar("T")


class Column(Generic[T]):
    """Short name on a result for a column of one of its tables: ``site_energy`` for ``sites.energy``.

    Not a dataclass field (give it no annotation), read-only like everything it reads.

    Args:
        table: attribute of the result that holds the table.
        name: column of that table.
    """

    def __init__(self, table: str, name: str) -> None:
        self.table, self.name = table, name
        self.__doc__ = f"`{table}.{name}`."

    @overload
    def __get__(self, result: None, owner: type) -> Column[T]: ...

    @overload
    def __get__(self, result: object, owner: type) -> T: ...

    def __get__(self, result: object | None, owner: type) -> Any:
        if result is None:
            return self  # on the class: the descriptor itself, for its docstring
        return getattr(getattr(result, self.table), self.name)

    def __set__(self, result: object, value: T) -> None:
        raise AttributeError(f"{type(result).__name__} is read-only: {self.name} belongs to {self.table}")


def freeze(instance: Any) -> None:
    """Makes every array of a dataclass read-only."""
    for value in vars(instance).values():
        if isinstance(value, np.ndarray) and value.flags.writeable:
            value.setflags(write=False)


class Table:
    """Base of the small tables (frozen dataclasses, ``eq=False``): read-only arrays, compared by content."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __post_init__(self) -> None:
        freeze(self)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(_same(getattr(self, name), getattr(other, name)) for name in self.__dataclass_fields__)

    __hash__ = None  # type: ignore[assignment]


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
    return bool(a == b)
