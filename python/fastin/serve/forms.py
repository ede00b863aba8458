"""What the upload form asks for, checked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException

from fastin.bvse.field import CONVENTIONS
from fastin.crystal.examples import examples
from fastin.view.scene import PARTS

#: what the form calls each part of the work
PART_NAMES = {
    "network": "voids and bottlenecks",
    "energies": "energies and barriers",
    "hops": "hops",
    "pattern": "powder pattern",
}
assert tuple(PART_NAMES) == PARTS


@dataclass(frozen=True)
class Asked:
    """One filled form.

    Attributes:
        ion: mobile ion, None for the structure's own.
        convention: of the energies.
        parts: what is computed.
        text: pasted structure, or nothing.
        example: file of a bundled structure, or None.
    """

    ion: str | None = None
    convention: str = CONVENTIONS[0]
    parts: tuple[str, ...] = PARTS
    text: str = ""
    example: Path | None = None

    def options(self) -> dict[str, Any]:
        """What the computation is told."""
        return {"ion": self.ion, "convention": self.convention, "parts": list(self.parts)}


def parse(fields: Iterable[tuple[str, str]]) -> Asked:
    """The form's text fields.

    Raises:
        HTTPException: 400, a choice that the form does not offer.
    """
    pairs = list(fields)
    values = dict(pairs)
    ion = values.get("ion", "").strip()[:12] or None
    convention = values.get("convention") or CONVENTIONS[0]
    if convention not in CONVENTIONS:
        raise HTTPException(400, f"There is no convention of that name; choose from {', '.join(CONVENTIONS)}.")
    ticked = {value for name, value in pairs if name == "part"}
    if not ticked <= set(PARTS):
        raise HTTPException(400, f"There is no part of that name; choose from {', '.join(PARTS)}.")
    parts = tuple(part for part in PARTS if part in ticked) or PARTS
    example = None
    if chosen := values.get("example"):
        example = examples().get(chosen)
        if example is None:
            raise HTTPException(400, "There is no example of that name.")
    return Asked(ion, convention, parts, values.get("text", "").strip(), example)


def kind_of_text(text: str) -> str:
    """Whether pasted text is a CIF (it names a data block or its items) or a POSCAR."""
    return "cif" if re.search(r"(?im)^\s*(data_|loop_|_\w)", text) else "poscar"
