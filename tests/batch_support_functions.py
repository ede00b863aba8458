"""A function for worker processes, importable by name."""

from __future__ import annotations

import os
from collections.abc import Callable


def squares(num_threads: int) -> Callable[[int], int]:
    """Squares the items."""
    return lambda item: item * item


def settings(num_threads: int) -> Callable[[str], str | None]:
    """The worker's environment variables of those names."""
    return lambda name: os.environ.get(name)
