"""What may be wrong with a crystal or with a result computed from it: one kind of object, one table of codes.

A note says what was assumed; a warning says that a number may be wrong. Every result carries the warnings of what it
was computed from. Severe ones say that the crystal is probably not the one meant: rankings leave such rows out, and
``strict=True`` (``--strict``) turns them into errors.

The codes are stable: programs may rely on them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from fastin.errors import InputError


class WarningCode(NamedTuple):
    """What a code means, and whether it says that the crystal is probably not the one meant."""

    severe: bool
    meaning: str


#: Every code, in the order of the tables: severe ones first.
WARNING_CODES: dict[str, WarningCode] = {
    "formula-mismatch": WarningCode(True, "the cell does not hold what the file's own formula says"),
    "symmetry-mismatch": WarningCode(
        True, "the listed operations, the group's name and the cell contradict each other"
    ),
    "setting-mismatch": WarningCode(True, "no setting of the space group that the file names keeps the cell's metric"),
    "origin-undecided": WarningCode(True, "the space group has several origins and nothing in the file says which"),
    "hydrogen-missing": WarningCode(True, "hydrogen that the file states has no position in the model"),
    "disorder-unresolved": WarningCode(True, "alternative positions without occupancies: too many atoms at once"),
    "framework-dropped": WarningCode(True, "faintly occupied framework sites that were left out add up"),
    "framework-smeared": WarningCode(True, "atoms spread over faint sites: all of them count as obstacles"),
    "charge-residue": WarningCode(True, "the oxidation states leave more than 5 % of the positive charge"),
    "short-contact": WarningCode(True, "two full atoms are nearer than 0.9 A (hydrogen aside)"),
    "atoms-apart": WarningCode(True, "atoms without neighbours: a cell in other units, or atoms missing"),
    "cell-mismatch": WarningCode(True, "the cell's lengths and angles contradict the volume that the file states"),
    "modulation-ignored": WarningCode(False, "a modulated crystal is read as its basic structure"),
    "oxidation-ambiguous": WarningCode(False, "another set of oxidation states is about as likely"),
    "ion-guessed": WarningCode(False, "another mobile ion is about as likely as the one chosen"),
    "parameters-derived": WarningCode(False, "bond valence parameters of a pair are derived or doubtful"),
    "proton": WarningCode(False, "protons move by another mechanism than ions between the sites of a rigid framework"),
    "ion-shared-site": WarningCode(
        False, "other species share the ion's own positions: they are left out of its energy"
    ),
    "path-without-ion": WarningCode(False, "the part of the landscape that percolates holds no ion of the crystal"),
    "ion-off-site": WarningCode(False, "the landscape holds no site at a position of the ion"),
    "resolution-coarse": WarningCode(False, "the energy grid is coarser than what barriers were tested with"),
    "vacuum": WarningCode(False, "a molecule, wire or slab in vacuum: the ion's paths lead through empty space"),
    "flat-energy": WarningCode(False, "no atom reaches a part of the cell: sites and hops end below its energy"),
    "outside-training": WarningCode(False, "the structure lies outside what the model was trained on"),
}

#: The severe codes.
SEVERE_CODES = frozenset(code for code, facts in WARNING_CODES.items() if facts.severe)


@dataclass(frozen=True)
class CrystalWarning:
    """One reason to doubt a crystal or a number computed from it.

    Attributes:
        code: one of `WARNING_CODES`.
        message: what was found, with numbers.
        where: site, pair of sites or tag of the file; empty for the whole crystal.
    """

    code: str
    message: str
    where: str = ""

    def __post_init__(self) -> None:
        if self.code not in WARNING_CODES:
            raise InputError(f"unknown warning code {self.code!r}; there are: {', '.join(WARNING_CODES)}")

    @property
    def severe(self) -> bool:
        """True where the crystal is probably not the one meant."""
        return self.code in SEVERE_CODES

    def __str__(self) -> str:
        """The message, with its place where the message does not name it."""
        return self.message if not self.where or self.where in self.message else f"{self.where}: {self.message}"

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return {"code": self.code, "severe": self.severe, "message": self.message, "where": self.where}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> CrystalWarning:
        """The warning that `to_dict` described."""
        return cls(str(data["code"]), str(data["message"]), str(data.get("where", "")))


def merge_warnings(*groups: Iterable[CrystalWarning]) -> tuple[CrystalWarning, ...]:
    """All warnings once, severe ones first, else in order."""
    every = dict.fromkeys(warning for group in groups for warning in group)
    return tuple(sorted(every, key=lambda warning: not warning.severe))


def codes_of(warnings: Iterable[CrystalWarning]) -> tuple[str, ...]:
    """The codes, each once, in the order of `WARNING_CODES`."""
    held = {warning.code for warning in warnings}
    return tuple(code for code in WARNING_CODES if code in held)


def refuse_severe(source: str, warnings: Iterable[CrystalWarning], strict: bool) -> None:
    """Raises the severe warnings as an error where `strict`.

    Raises:
        InputError: names every severe warning.
    """
    severe = [warning for warning in warnings if warning.severe] if strict else []
    if severe:
        reasons = "; ".join(f"{warning.code}: {warning}" for warning in severe)
        raise InputError(f"{source}: {reasons} (strict: correct the file, or allow it without strict)")
