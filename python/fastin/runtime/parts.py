"""Results in parts: a big result holds a few small tables, and offers their columns as its own attributes."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

import numpy as np

T = TypeVar("T")


class Column(property, Generic[T]):
    """Short name on a result for a column of one of its tables: ``site_energy`` for ``sites.energy``.

    Not a dataclass field (give it no annotation), read-only like everything it reads. A property, so that reading runs
    no Python: a screened structure reads 150 columns.

    Args:
        table: attribute of the result that holds the table.
        name: column of that table.
    """

    def __init__(self, table: str, name: str) -> None:
        super().__init__(attrgetter(f"{table}.{name}"), doc=f"`{table}.{name}`.")
        self.table, self.name = table, name

    if TYPE_CHECKING:

        @overload
        def __get__(self, result: None, owner: type | None = None) -> Column[T]: ...

        @overload
        def __get__(self, result: object, owner: type | None = None) -> T: ...

        def __get__(self, result: object | None, owner: type | None = None) -> Any: ...

    def __set__(self, result: object, value: Any) -> None:
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
