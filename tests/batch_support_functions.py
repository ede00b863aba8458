"""A function for worker processes, importable by name."""

from __future__ import annotations

from collections.abc import Callable


def squares(num_threads: int) -> Callable[[int], int]:
    """Squares the items."""
    return lambda item: item * item
