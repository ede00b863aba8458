"""Crystals: reading, oxidation states, symmetry, and the framework that a mobile ion sees."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastin.crystal.build import assemble, position_kinds
from fastin.crystal.data import CrystalData
from fastin.crystal.elements import element, species_name, symbol
from fastin.crystal.framework import Framework, build_framework
from fastin.crystal.ions import IonName, MobileIon, OxidationStates, Radii
from fastin.crystal.mobile import choose_ion, parse_ion
from fastin.crystal.symmetry import primitive_operations
from fastin.crystal.warnings import CrystalWarning, refuse_severe
from fastin.errors import InputError
from fastin.runtime.arguments import checked_methods
from fastin.runtime.html import number_text, table, with_picture
from fastin.runtime.late import later

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastin.crystal.sites import Sites

__all__ = ["Crystal", "Framework", "MobileIon", "OxidationStates", "Radii", "as_crystal"]


_PROTON = (
    "a proton is bonded to one anion and leaps to the next when both come near (Grotthuss): a rigid framework and the "
    "bond valence energy leave that out; barriers and paths are no estimates"
)
_OF_CHARGES = frozenset({"oxidation-ambiguous", "charge-residue"})  # warnings that go with the oxidation states


@checked_methods
@dataclass(frozen=True, eq=False)
class Crystal(CrystalData):
    """A crystal with oxidation states and symmetry: one row per (position, species).

    Holds `source`, `cell`, the table `atoms`, the space group `symmetry`, `notes` and `warnings`, described in
    `CrystalData`; the columns of the two parts (``frac``, ``number``, ``charge``, ``rotations``...) are attributes of
    the crystal as well.
    """

    # ------------------------------------------------------------------------------------------------ construction

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        block: str | int | None = None,
        oxidation_states: OxidationStates | None = None,
        strict: bool = False,
    ) -> Crystal:
        """Reads a CIF or POSCAR (by name or content); other formats through pymatgen or ASE.

        Args:
            path: the file; ``.gz``, ``.bz2`` and ``.xz`` are unpacked.
            block: of several, the data block (name or number from 1) of a CIF, or the frame of a trajectory; None takes
                the first block with atoms, the last frame.
            oxidation_states: species or element -> charge, or one value a site; assigned by fastin when absent.
            strict: refuse a crystal with severe warnings.

        Raises:
            InputError: the file is missing, unreadable, or holds no usable crystal; severe warnings where `strict`.
            GeometryError: the cell has no volume.
        """
        from fastin.crystal.files import read_sites

        if not isinstance(path, str | PathLike):
            raise InputError(f"the path of a file is expected, not {type(path).__name__}")
        sites, source = read_sites(Path(path), block)
        return build_crystal(sites, source, oxidation_states, strict)

    @classmethod
    def from_cif_string(
        cls,
        text: str,
        *,
        source: str = "CIF string",
        block: str | int | None = None,
        oxidation_states: OxidationStates | None = None,
        strict: bool = False,
    ) -> Crystal:
        """Reads a CIF given as text; `source` names it in messages. `block` and errors as from_file."""
        from fastin.crystal.cif import parse_cif

        return build_crystal(parse_cif(text, source, block=block), source, oxidation_states, strict)

    @classmethod
    def from_structure(
        cls,
        structure: Any,
        *,
        source: str | None = None,
        oxidation_states: OxidationStates | None = None,
        strict: bool = False,
    ) -> Crystal:
        """From a pymatgen Structure, with its partial occupancies and, if every species has one, its charges."""
        from fastin.crystal.files import sites_from_structure

        if not hasattr(structure, "lattice") or not hasattr(structure, "composition"):
            raise InputError(f"a pymatgen Structure is expected, not {type(structure).__name__}")
        source = source or f"Structure {structure.composition.reduced_formula}"
        return build_crystal(sites_from_structure(structure, source), source, oxidation_states, strict)

    @classmethod
    def from_atoms(
        cls,
        atoms: Any,
        *,
        source: str | None = None,
        oxidation_states: OxidationStates | None = None,
        strict: bool = False,
    ) -> Crystal:
        """From ASE Atoms with a three-dimensional cell."""
        from fastin.crystal.files import sites_from_atoms

        if not hasattr(atoms, "get_chemical_formula") or not hasattr(atoms, "cell"):
            raise InputError(f"ASE Atoms are expected, not {type(atoms).__name__}")
        source = source or f"Atoms {atoms.get_chemical_formula(empirical=True)}"
        return build_crystal(sites_from_atoms(atoms, source), source, oxidation_states, strict)

    def to_structure(self) -> Any:
        """The crystal as a pymatgen Structure with oxidation states and partial occupancies."""
        from pymatgen.core import Lattice, Species, Structure

        species: list[dict[Any, float]] = []
        coords = []
        for k in range(self.num_positions):
            rows = np.flatnonzero(self.position == k)
            held: dict[Any, float] = {}
            for r in rows:
                ion = Species(symbol(int(self.number[r])), float(round(self.charge[r], 6)))
                held[ion] = held.get(ion, 0.0) + float(self.occupancy[r])
            species.append(held)
            coords.append(self.frac[rows[0]])
        return Structure(Lattice(self.cell), species, coords)

    def __repr__(self) -> str:
        """Counts, not contents."""
        return (
            f"Crystal({self.formula}, {self.num_positions} positions, {self.space_group} ({self.space_group_number}), "
            f"{self.volume:.1f} A^3)"
        )

    def _repr_html_(self) -> str:
        amounts: dict[str, float] = {}
        for number, charge, occupancy in zip(self.number, self.charge, self.occupancy, strict=True):
            name = species_name(int(number), float(charge))
            amounts[name] = amounts.get(name, 0.0) + float(occupancy)
        rows = [
            ("source", self.source),
            ("space group", f"{self.space_group} ({self.space_group_number})"),
            ("volume, Å³", number_text(self.volume, 1)),
            ("in the cell", ", ".join(f"{name} {amount:g}" for name, amount in amounts.items())),
        ]
        return with_picture(self, table(f"Crystal {self.formula}", rows))

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """Atoms, bonds and coordination polyhedra of one cell.

        Args:
            ax: matplotlib axes to draw into; None makes a figure.
            **options: of `fastin.view.plots.plot_crystal`: view.

        Returns:
            The axes.

        Raises:
            MissingDependencyError: matplotlib is not installed (extra ``view``).
        """
        return later("plot crystal")(self, ax, **options)

    # ------------------------------------------------------------------------------------------------ mobile ion

    def resolve_ion(self, ion: IonName | None = None) -> MobileIon:
        """The mobile ion that a request means.

        Args:
            ion: element ("Li", "li") or species ("Li+", "F-", "O2-"), also a pymatgen Element or Species, or a
                MobileIon. None takes the likeliest: Li+, Na+, K+, Ag+, Cu+, then the free anions, then Mg2+ and others;
                the rule is written in `fastin.crystal.mobile`. An ion that the crystal does not hold is a guest.

        Returns:
            The ion; its ``warnings`` say where None leaves a doubt (``ion-guessed``).

        Raises:
            InputError: unknown name, a charge that contradicts the crystal's oxidation states, or None and none of
                the usual ions is present.
        """
        if isinstance(ion, MobileIon):
            return ion
        if not (ion is None or isinstance(ion, str)):
            return self._mobile(*parse_ion(ion, self.source))
        if ion not in self._ions:
            self._ions[ion] = self._likeliest() if ion is None else self._mobile(*parse_ion(ion, self.source))
        return self._ions[ion]

    @cached_property
    def _ions(self) -> dict[str | None, MobileIon]:
        """The ions that names were resolved to."""
        return {}

    def _likeliest(self) -> MobileIon:
        number, doubt = choose_ion(self)
        chosen = self._mobile(number, math.nan)
        return replace(chosen, warnings=(CrystalWarning("ion-guessed", doubt),)) if doubt else chosen

    def _mobile(self, number: int, charge: float) -> MobileIon:
        rows = self.number == number
        guest = not bool(rows.any())
        held = self.occupancy[rows]
        own = 0.0 if guest else float(self.charge[rows] @ held / held.sum())
        if math.isnan(charge) or charge == 0:
            charge = round(own) if round(own) != 0 else _usual_charge(number)
        elif round(own) != 0 and abs(charge - own) > 0.5:
            raise InputError(
                f"{self.source}: {symbol(number)} has oxidation state {own:+.3g} in this crystal, not {charge:+.3g}; "
                f'name the element (ion="{symbol(number)}") or give oxidation_states'
            )
        warnings = (CrystalWarning("proton", _PROTON),) if number == 1 and charge > 0 else ()
        return MobileIon(symbol(number), number, round(charge), guest, warnings=warnings)

    def framework(self, ion: IonName | None = None, *, radii: Radii = "ionic") -> Framework:
        """Everything but the mobile ion, split and mixed sites resolved, with radii.

        Args:
            ion: as in resolve_ion.
            radii: ``"ionic"`` (Shannon crystal radii by element, charge and coordination number), ``"effective"``
                (his effective ionic radii), ``"atomic"``, a mapping from species or element to radius (A), or one
                radius a framework position in input order.

        Raises:
            InputError: unknown ion, no framework left, or unusable radii.
            DisorderError: every framework site is occupied by less than 0.2.
            MissingParameterError: no radius is known for a species.
        """
        mobile = self.resolve_ion(ion)
        if not isinstance(radii, str):
            return build_framework(self, mobile, radii)
        key = (mobile.number, mobile.charge, mobile.guest, mobile.warnings, radii)
        if key not in self._frameworks:
            self._frameworks[key] = build_framework(self, mobile, radii)
        return self._frameworks[key]

    @cached_property
    def _frameworks(self) -> dict[tuple[Any, ...], Framework]:
        """What `framework` has built: its arrays cannot be written to, so that all callers may share them."""
        return {}

    @cached_property
    def primitive_group(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Operations of the primitive cell on this one's columns: `fastin.crystal.symmetry.primitive_operations`."""
        kinds = position_kinds(self.number, self.occupancy, self.charge, self.position)
        return primitive_operations(self.cell, self.frac[self.first_rows], kinds)


def as_crystal(source: Any, *, oxidation_states: OxidationStates | None = None, strict: bool = False) -> Crystal:
    """Whatever names a crystal, as a Crystal: a path, a pymatgen Structure, ASE Atoms, or a Crystal itself.

    Args:
        source: the crystal. A string is a path; CIF text goes through Crystal.from_cif_string.
        oxidation_states: species or element -> charge, or one value a site; replaces those of a Crystal.
        strict: refuse a crystal with severe warnings.

    Raises:
        InputError: the type is not one of these, the file cannot be used, or severe warnings where `strict`.
    """
    if isinstance(source, Crystal):
        crystal = source if oxidation_states is None else with_oxidation_states(source, oxidation_states)
        refuse_severe(crystal.source, crystal.warnings, strict)
        return crystal
    if isinstance(source, str | Path):
        return Crystal.from_file(source, oxidation_states=oxidation_states, strict=strict)
    if hasattr(source, "lattice") and hasattr(source, "species_and_occu"):
        return Crystal.from_structure(source, oxidation_states=oxidation_states, strict=strict)
    if hasattr(source, "get_scaled_positions") and hasattr(source, "numbers"):
        return Crystal.from_atoms(source, oxidation_states=oxidation_states, strict=strict)
    raise InputError(
        f"cannot read a crystal from {type(source).__name__}; give a path, a pymatgen Structure, ASE Atoms or a Crystal"
    )


def with_oxidation_states(crystal: Crystal, states: OxidationStates) -> Crystal:
    """The same crystal with other oxidation states."""
    from fastin.crystal.sites import Sites

    sites = Sites(
        *(crystal.cell, crystal.frac, crystal.number, crystal.occupancy, list(crystal.label)),
        notes=list(crystal.notes),
        warnings=[w for w in crystal.warnings if w.code not in _OF_CHARGES],
    )
    return build_crystal(sites, crystal.source, states)


def build_crystal(
    sites: Sites, source: str, oxidation_states: OxidationStates | None = None, strict: bool = False
) -> Crystal:
    """The crystal of rows as read; errors as in `fastin.crystal.build.assemble`."""
    made = assemble(sites, source, oxidation_states)
    refuse_severe(source, made.warnings, strict)
    crystal = Crystal(source, made.cell, made.atoms, made.symmetry, made.notes, made.warnings)
    # already at hand: fills the cached properties
    vars(crystal).update(first_rows=made.first_rows, neighbours=made.neighbours)
    return crystal


def _usual_charge(number: int) -> int:
    facts = element(number)
    known = {q: n for q, n in facts.occurrences.items() if q in facts.common_states} or facts.occurrences
    if not known:
        raise InputError(f'{facts.symbol} has no known oxidation state; name a species such as "{facts.symbol}+"')
    return max(known, key=lambda q: known[q])
