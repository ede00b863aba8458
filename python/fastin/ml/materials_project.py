"""Structures from the Materials Project through ``mp-api``, for users with a key."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from fastin.errors import InputError, MissingDependencyError
from fastin.ml.dataset import SourceCif

_FIELDS = ["material_id", "formula_pretty", "structure", "nsites"]


def fetch_sources(
    ion: str, *, api_key: str | None = None, max_sites: int = 160, client: Any = None
) -> Iterator[SourceCif]:
    """Ordered structures that hold an element, as CIF texts with their material ids, in order of id.

    Args:
        ion: element that every structure holds.
        api_key: Materials Project key; default: the variable ``MP_API_KEY``.
        max_sites: largest cell.
        client: an ``MPRester`` (default: a new one with the key).

    Raises:
        MissingDependencyError: mp-api is not installed.
        InputError: no key.
    """
    if client is None:
        key = api_key or os.environ.get("MP_API_KEY", "")
        if not key:
            raise InputError("no Materials Project key: give --api-key or set MP_API_KEY")
        try:
            from mp_api.client import MPRester
        except ImportError:
            raise MissingDependencyError("mp-api is not installed; install it with: pip install mp-api") from None
        client = MPRester(key)
    found = client.materials.summary.search(elements=[ion], num_sites=(1, max_sites), fields=_FIELDS)
    for document in sorted(found, key=lambda d: _number(str(_field(d, "material_id")))):
        structure = _field(document, "structure")
        if isinstance(structure, dict):
            from pymatgen.core import Structure

            structure = Structure.from_dict(structure)
        if structure.is_ordered:
            yield SourceCif(str(_field(document, "material_id")), structure.to(fmt="cif"))


def _field(document: Any, name: str) -> Any:
    return document[name] if isinstance(document, dict) else getattr(document, name)


def _number(material_id: str) -> tuple[int, str]:
    digits = "".join(c for c in material_id if c.isdigit())
    return int(digits or 0), material_id
