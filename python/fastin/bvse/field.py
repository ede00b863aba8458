"""Bond valence site energy (BVSE) of one mobile ion: on a periodic grid and, with derivatives, at any point.

    E(x) = sum over counter-ions of       occupancy * D ((exp(alpha (Rmin - R)) - 1)^2 - 1)
         + sum over like-charged ions of  occupancy * s * 14.4 |q_M q_A| / sqrt(n_M n_A) / R * erfc(R / (f (r_M + r_A)))

with all framework atoms and all their images within the cutoff. Conventions (D0 as published):

=========== ======= =================== ==========================================================================
convention  D       r in erfc           s
=========== ======= =================== ==========================================================================
``spse``    D0 / 2  softBV radii        sum of |q| occ / sqrt(n) over counter-ions / the same over like-charged
                                        ions, over the whole crystal with its mobile ions
``bvlain``  D0 / 2  covalent (Cordero)  1
``softbv``  D0      softBV radii        as ``spse``
=========== ======= =================== ==========================================================================

Every term is switched off smoothly over the last angstrom before its cutoff, and what the cutoff removes comes back as
its mean over space (a constant); an energy above 1000 eV (the ion on top of an atom) is returned as 1000 eV. With
10 A energies are within 1e-4 eV of those with 20 A, with 8 A within 1e-3 eV (tests/unit/test_bvse.py). Adams and
Prasada Rao, phys. stat. sol. (a) 208, 1746 (2011); Chen, Wong and Adams, Acta Cryst. B75, 18 (2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as dataclass_field
from math import ceil, prod, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastin.bvse.pairs import COULOMB, element, softbv_radius, species
from fastin.bvse.parameters import pair_mixture
from fastin.bvse.shared import sharing_rows, sharing_warnings
from fastin.bvse.symmetry import DENOMINATORS, slices_of, spline_shape
from fastin.crystal.warnings import CrystalWarning, merge_warnings
from fastin.errors import InputError, MissingParameterError
from fastin.runtime.arrays import distinct
from fastin.runtime.openmp import _core
from fastin.runtime.threads import resolve_threads

if TYPE_CHECKING:
    from fastin.crystal.crystal import Crystal
    from fastin.crystal.ions import IonName, MobileIon

CONVENTIONS = ("spse", "bvlain", "softbv")

# When the split sum is the cheaper: measured by bench/bench_split.py.
MIN_POINTS_PER_NODE = 4
MAX_NEAR_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Field:
    """The energy as a function of position; build it with `build_field`.

    Attributes:
        core: the compiled `BvseField`.
        cell: (3, 3) rows are lattice vectors (A), as given; `core` has them without their rounding errors, so that the
            operations keep distances.
        ion: the mobile ion.
        convention, cutoff, screening, plain_sum: as given.
        rotations, translations: (G, 3, 3) int32 and (G, 3) operations ``x' = R x + t`` that the field obeys exactly.
        notes: derived or suspect parameters, mixtures of charges.
        warnings: those of the crystal and of the ion, and pairs whose parameters are not published ones.
        atom_number: (M,) atomic number of each framework position, of the commonest species there.
        atom_frac: (M, 3) fractional positions.
    """

    core: Any
    cell: NDArray[np.float64]
    ion: MobileIon
    convention: str
    cutoff: float
    screening: float
    rotations: NDArray[np.int32]
    translations: NDArray[np.float64]
    notes: tuple[str, ...]
    atom_number: NDArray[np.int32]
    atom_frac: NDArray[np.float64]
    warnings: tuple[CrystalWarning, ...] = ()
    plain_sum: bool = False
    _split: list[Any] = dataclass_field(default_factory=list, repr=False)

    def split_for(self, shape: tuple[int, ...], *, num_threads: int | None = None) -> Any:
        """The energy as a near sum and a spline (the core's `BvseSplit`) where that makes a grid of the shape cheaper.

        That is where the grid has at least four times the spline's points (a point each 0.55 A) and the near sum at
        most half the pairs of the plain one. The split belongs to the field: it is built once.

        Args:
            shape: points of the grid along each axis.
            num_threads: None takes the default of `set_num_threads`.

        Returns:
            The split; None where the plain sum is the cheaper or was asked for.
        """
        if self.plain_sum:
            return None
        nodes = [max(1, ceil(length / _core.BvseSplit.spacing)) for length in np.linalg.norm(self.cell, axis=1)]
        if prod(shape) < MIN_POINTS_PER_NODE * prod(nodes) or self.core.near_share > MAX_NEAR_SHARE:
            return None
        if not self._split:
            a, b, c = nodes
            best, operations = spline_shape((a, b, c), self.rotations, self.translations)
            self._split.append(_core.BvseSplit(self.core, best, *operations, resolve_threads(num_threads)))
        return self._split[0]

    def energy(self, frac: ArrayLike, *, num_threads: int | None = None) -> NDArray[np.float64]:
        """Energies (n,) in eV at (n, 3) fractional points, float64, at most 1000 eV."""
        energies: NDArray[np.float64] = self.core.energy(_points(frac), resolve_threads(num_threads))
        return energies

    def derivatives(
        self, frac: ArrayLike, *, num_threads: int | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Energies (n,) (eV), Cartesian gradients (n, 3) (eV/A), Hessians (n, 3, 3) (eV/A^2); without the ceiling."""
        energy, gradient, hessian = self.core.derivatives(_points(frac), resolve_threads(num_threads))
        return energy, gradient, hessian


def _points(frac: ArrayLike) -> NDArray[np.float64]:
    points = np.ascontiguousarray(frac, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise InputError(f"frac must have shape (n, 3), not {points.shape}")
    if not np.isfinite(points).all():
        raise InputError("frac holds values that are not finite")
    return points


@dataclass(frozen=True)
class _Terms:
    """Kinds of framework species as the core wants them, and the rows of framework that use them."""

    coulomb: list[bool]
    amplitude: list[float]
    length: list[float]
    alpha: list[float]

    def add(self, coulomb: bool, amplitude: float, length: float, alpha: float) -> int:
        self.coulomb.append(coulomb)
        self.amplitude.append(amplitude)
        self.length.append(length)
        self.alpha.append(alpha)
        return len(self.coulomb) - 1


def coulomb_scaling(
    number: NDArray[np.int32], charge: NDArray[np.float64], occupancy: NDArray[np.float64], ion_charge: float
) -> float:
    """Factor s on the like-charged terms: the crystal's weighted charge of counter-ions over that of like-charged ions.

    Args:
        number: (N,) atomic numbers of every species in the crystal, the mobile ions among them.
        charge: (N,) oxidation states.
        occupancy: (N,) occupancies.
        ion_charge: of the mobile ion.
    """
    like = counter = 0.0
    for z, q, share in zip(number.tolist(), charge.tolist(), occupancy.tolist(), strict=True):
        weighted = abs(q) * share / sqrt(element(z).n)
        if q * ion_charge > 0:
            like += weighted
        elif q * ion_charge < 0:
            counter += weighted
    return counter / like if like > 0.0 else 1.0


def _like_term(terms: _Terms, ion: MobileIon, number: int, charge: float, convention: str, screening: float) -> int:
    mobile, other = element(ion.number), element(number)
    strength = COULOMB * abs(ion.charge * charge) / sqrt(mobile.n * other.n)
    if convention == "bvlain":
        radii = mobile.covalent_radius + other.covalent_radius
    else:
        radii = softbv_radius(ion.number, ion.charge) + softbv_radius(number, charge)
    return terms.add(True, strength, screening * radii, 0.0)


def _counter_terms(
    terms: _Terms,
    ion: MobileIon,
    number: int,
    charge: float,
    convention: str,
    notes: list[str],
    warnings: list[CrystalWarning],
) -> list[tuple[int, float]]:
    """Morse terms, with weights, of one counter-ion species."""
    symbol = element(number).symbol
    if ion.charge > 0:
        mixture = pair_mixture(ion.element, ion.charge, symbol, charge)
    else:
        mixture = pair_mixture(symbol, charge, ion.element, ion.charge)
    if len(mixture) > 1:
        parts = " and ".join(f"{w:.3g} {species(pair.cation, pair.cation_charge)}" for pair, w in mixture)
        notes.append(f"{species(symbol, charge)} counts as {parts}")
    out = []
    for pair, weight in mixture:
        if pair.quality in ("derived", "suspect"):
            notes.append(f"{pair.name}: {pair.quality} parameters ({pair.note})")
            warnings.append(CrystalWarning("parameters-derived", f"{pair.quality} parameters ({pair.note})", pair.name))
        depth = pair.d0 if convention == "softbv" else 0.5 * pair.d0
        out.append((terms.add(False, depth, pair.rmin, 1.0 / pair.b), weight))
    return out


@dataclass(frozen=True)
class _Rows:
    """The framework as the energy sees it: one row a (position, species)."""

    source: str
    cell: NDArray[np.float64]
    frac: NDArray[np.float64]
    number: NDArray[np.int32]
    charge: NDArray[np.float64]
    occupancy: NDArray[np.float64]
    position: NDArray[np.int64]


def _framework_rows(crystal: Crystal, ion: MobileIon) -> _Rows:
    """Everything but the mobile ion and what shares its positions (`fastin.bvse.shared`)."""
    rows = np.flatnonzero((crystal.number != ion.number) & ~sharing_rows(crystal, ion))
    if len(rows) == 0:
        raise InputError(f"{crystal.source}: nothing is left without {ion.element}: there is no framework")
    return _Rows(
        source=crystal.source,
        cell=np.ascontiguousarray(crystal.cell, dtype=np.float64),
        frac=np.ascontiguousarray(crystal.frac[rows], dtype=np.float64),
        number=crystal.number[rows],
        charge=np.round(crystal.charge[rows], 6),
        occupancy=crystal.occupancy[rows],
        position=crystal.position[rows],
    )


def _species_terms(
    terms: _Terms,
    ion: MobileIon,
    number: int,
    charge: float,
    rows: _Rows,
    scaling: float,
    convention: str,
    screening: float,
    notes: list[str],
    warnings: list[CrystalWarning],
) -> list[tuple[int, float]]:
    """Terms, with weights, of one framework species."""
    if charge * ion.charge > 0:
        return [(_like_term(terms, ion, number, charge, convention, screening), scaling)]
    if charge == 0.0:
        raise MissingParameterError(
            f"{rows.source}: {ion.symbol} - {element(number).symbol}0: an atom without charge has no bond valence "
            "parameters; give oxidation_states"
        )
    try:
        return _counter_terms(terms, ion, number, charge, convention, notes, warnings)
    except MissingParameterError as error:
        raise MissingParameterError(f"{rows.source}: {error}") from None


def _kinds(rows: _Rows) -> tuple[list[tuple[int, float]], NDArray[np.int64]]:
    """Distinct (number, charge) and the one of each row."""
    index: dict[tuple[int, float], int] = {}
    kinds = [index.setdefault(key, len(index)) for key in zip(rows.number.tolist(), rows.charge.tolist(), strict=True)]
    return list(index), np.array(kinds, dtype=np.int64)


# An operation counts as obeyed when it maps every atom within this distance (A) of an equivalent one; the atoms are
# then averaged over the operations, so that energies with and without symmetry are the same. Positions of CIFs are
# rounded to 1e-5, which is 1e-4 A; the averaging moves atoms by less than this tolerance.
SYMMETRY_TOLERANCE = 5e-4
# Atoms of a crystal obey its space group within this (A): twice the precision that it is found with.
ROUNDED = 2e-2


def _snapped(
    rotations: NDArray[np.int32], translations: NDArray[np.float64], cell: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Translations made exact along the axes where all are fractions (denominator up to 24) within the tolerance.

    Axes that a rotation mixes go together, so that the operations stay a group: with the origin anywhere, single
    components are near fractions by chance.
    """
    near = translations.copy()
    hit = np.zeros(translations.shape, dtype=np.bool_)
    lengths = np.linalg.norm(cell, axis=1)
    for some in slices_of(len(translations)):
        fraction = np.rint(translations[some] * DENOMINATORS) / DENOMINATORS
        close = np.abs(fraction - translations[some]) * lengths < SYMMETRY_TOLERANCE
        hit[some] = close.any(axis=0)
        denominator = close.argmax(axis=0) + 1.0  # the smallest that fits
        smallest = np.rint(translations[some] * denominator) / denominator
        near[some] = np.where(hit[some], smallest, near[some])
    whole = np.asarray(hit.all(axis=0))
    mixed: NDArray[np.bool_] = np.any(rotations != 0, axis=0)
    mixed = mixed | mixed.T
    for _ in range(2):  # three axes: two steps reach all that are mixed
        whole = ~np.any(mixed & ~whole, axis=1)
    snapped = np.where(whole, near, translations)
    result: NDArray[np.float64] = snapped - np.floor(snapped)
    return result


def crystal_symmetry(crystal: Crystal, field: Field) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Operations of the crystal that the field obeys to within rounded coordinates: those of `Field` and a few more.

    Args:
        crystal: what the field was built from.
        field: its energy.
    """
    if len(field.rotations) >= len(crystal.rotations):
        return field.rotations, field.translations
    rows = _framework_rows(crystal, field.ion)
    _, rotations, translations = _symmetric_rows(crystal, rows, _kinds(rows)[1], ROUNDED)
    return (rotations, translations) if len(rotations) > len(field.rotations) else (field.rotations, field.translations)


def _symmetric_rows(
    crystal: Crystal, rows: _Rows, kind: NDArray[np.int64], tolerance: float = SYMMETRY_TOLERANCE
) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.float64]]:
    """Framework positions averaged over the operations that they obey closely, and those operations."""
    rotations = np.ascontiguousarray(crystal.rotations, dtype=np.int32)
    translations = np.ascontiguousarray(crystal.translations)
    if len(rotations) < 2:
        return rows.frac, rotations, translations
    classes: dict[tuple[int, float], int] = {}
    occupied = np.round(rows.occupancy, 6).tolist()
    keys = zip(kind.tolist(), occupied, strict=True)
    labels = np.array([classes.setdefault(key, len(classes)) for key in keys], dtype=np.int32)
    kept, averaged, _ = _core.site_symmetry(rows.cell, rows.frac, labels, rotations, translations, tolerance)
    rotations, translations = rotations[kept], translations[kept]
    # What is kept and the averages belong to the operations as spglib found them, wherever the origin is. Exact
    # fractions then move all positions together, by less than the tolerance.
    exact = _snapped(rotations, translations, rows.cell)
    if len(kept) > 1 and (exact != translations).any():
        again, moved, _ = _core.site_symmetry(rows.cell, averaged, labels, rotations, exact, 4.0 * SYMMETRY_TOLERANCE)
        if len(again) == len(kept):
            averaged, translations = moved, exact
    return averaged, rotations, translations


def _symmetric_cell(cell: NDArray[np.float64], rotations: NDArray[np.int32]) -> NDArray[np.float64]:
    """The cell whose metric the rotations keep, next to one whose lengths and angles were rounded.

    Energies of a point and its images are then the same: on the flank of an atom (20 eV) a strain of 1e-5 is a meV.
    """
    metric = cell @ cell.T
    turned = np.einsum("gji,jk,gkl->il", rotations, metric, rotations) / len(rotations)
    if np.abs(turned - metric).max() <= 1e-12 * np.abs(metric).max():
        return cell
    inverse = np.linalg.inv(cell)
    stretches, axes = np.linalg.eigh(inverse @ turned @ inverse.T)
    symmetric: NDArray[np.float64] = np.ascontiguousarray(cell @ (axes * np.sqrt(stretches)) @ axes.T)
    return symmetric


def build_field(
    crystal: Crystal,
    ion: IonName | None = None,
    *,
    convention: str = "spse",
    cutoff: float = 10.0,
    screening: float = 0.74,
    plain_sum: bool = False,
) -> Field:
    """The energy of `ion` in the framework of `crystal`, ready for points and grids.

    Args:
        crystal: with oxidation states.
        ion: element, species or the crystal's `MobileIon`; see `compute_bvse`.
        convention: ``"spse"``, ``"bvlain"`` or ``"softbv"`` (see the module's table).
        cutoff: distance (A) up to which all images count; 4 to 50.
        screening: factor f in the screened Coulomb term.
        plain_sum: never use the split sum (`Field.split_for`).

    Raises:
        MissingParameterError: no bond valence parameters for a pair; names it.
        InputError: unknown convention, cutoff out of range, empty framework.
    """
    if convention not in CONVENTIONS:
        raise InputError(f"convention must be one of {', '.join(CONVENTIONS)}, not {convention!r}")
    if not 0.1 <= screening <= 3.0:
        raise InputError(f"screening must lie between 0.1 and 3, not {screening}")
    mobile = crystal.resolve_ion(ion)
    rows = _framework_rows(crystal, mobile)
    notes, warnings = list(crystal.notes), [*crystal.warnings, *mobile.warnings]
    warnings += sharing_warnings(crystal, mobile, sharing_rows(crystal, mobile))
    if mobile.guest:
        notes.append(f"{mobile.symbol} is a guest: the crystal holds none, all of it is framework")
    scaling = 1.0
    if convention != "bvlain":
        scaling = coulomb_scaling(crystal.number, crystal.charge, crystal.occupancy, mobile.charge)
    species_of_kind, kind = _kinds(rows)
    frac, rotations, translations = _symmetric_rows(crystal, rows, kind)
    terms = _Terms([], [], [], [])
    row, term, weight = [], [], []
    for index, (number, charge) in enumerate(species_of_kind):
        uses = _species_terms(terms, mobile, number, charge, rows, scaling, convention, screening, notes, warnings)
        members = np.flatnonzero(kind == index)
        for k, share in uses:
            row.append(members)
            term.append(np.full(len(members), k, dtype=np.int32))
            weight.append(share * rows.occupancy[members])
    core = _core.BvseField(
        _symmetric_cell(rows.cell, rotations) if len(rotations) > 1 else rows.cell,
        np.ascontiguousarray(frac[np.concatenate(row)]),
        np.concatenate(term),
        np.concatenate(weight),
        np.array(terms.coulomb, dtype=np.bool_),
        np.array(terms.amplitude, dtype=np.float64),
        np.array(terms.length, dtype=np.float64),
        np.array(terms.alpha, dtype=np.float64),
        float(cutoff),
    )
    commonest = _commonest(rows)
    return Field(
        core=core,
        cell=rows.cell,
        ion=mobile,
        convention=convention,
        cutoff=float(cutoff),
        screening=float(screening),
        rotations=rotations,
        translations=translations,
        notes=tuple(dict.fromkeys(notes)),
        atom_number=np.ascontiguousarray(rows.number[commonest], dtype=np.int32),
        atom_frac=np.ascontiguousarray(rows.frac[commonest]),
        warnings=merge_warnings(warnings),
        plain_sum=plain_sum,
    )


def _commonest(rows: _Rows) -> NDArray[np.int64]:
    """The row of highest occupancy at each position."""
    if len(distinct(rows.position)) == len(rows.position):
        return np.arange(len(rows.position))
    order = np.argsort(-rows.occupancy, kind="stable")
    first = np.unique(rows.position[order], return_index=True)[1]
    return np.sort(order[first])
