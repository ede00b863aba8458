"""A clear message where the ``ml`` extra is missing."""

from __future__ import annotations

import importlib
from typing import Any

from fastin.errors import missing_extra


def require(module: str, package: str | None = None) -> Any:
    """The imported module.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and module.startswith(error.name):
            raise missing_extra(package or module, "ml") from None
        raise
