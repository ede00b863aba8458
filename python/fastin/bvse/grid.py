"""Energy grids of one mobile ion: `compute_bvse` and `EnergyGrid`; `fastin.bvse.field` defines the energy."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastin.bvse.field import CONVENTIONS, Field, build_field
from fastin.bvse.files import parse_title, read_grid, write_grid
from fastin.bvse.pairs import element_table
from fastin.bvse.symmetry import commensurate_shape, denominators_of, grid_operations
from fastin.crystal.ions import IonName, MobileIon, OxidationStates
from fastin.crystal.warnings import CrystalWarning, merge_warnings, refuse_severe
from fastin.errors import InputError, ResourceError
from fastin.runtime.arguments import checked_arguments, checked_methods, real_array
from fastin.runtime.duration import require_time, seconds_allowed
from fastin.runtime.html import number_text, numbers_text, table, with_picture
from fastin.runtime.late import later
from fastin.runtime.memory import memory_limit, require
from fastin.runtime.threads import resolve_threads

__all__ = ["CONVENTIONS", "EnergyGrid", "Field", "build_field", "compute_bvse", "grid_shape"]

_FAR = 1e6  # cells: beyond, a fraction has lost the digits of its place in one
#: Coarser grids are refused (A): valleys between two atoms would be missed, and barriers read as zero.
COARSEST = 1.0
#: Coarser grids bring a warning (A): from here the refined barriers may belong to another saddle.
COARSE = 0.5


@checked_methods
@dataclass(frozen=True, eq=False)
class EnergyGrid:
    """Bond valence site energy on a periodic grid.

    Attributes:
        values: (na, nb, nc) float32, C order, read-only (eV); point (i, j, k) lies at frac (i/na, j/nb, k/nc), the end
            points are not repeated. Energies above 1000 eV are stored as 1000 eV.
        cell: (3, 3) rows are lattice vectors (A).
        ion: the mobile ion.
        source: where the crystal came from.
        convention, cutoff, screening: as given to `compute_bvse`; empty string and NaN for grids read from files that
            do not carry them.
        field: the energy as a function of position, for refinement; None for grids read from files.
        notes: derived parameters and other remarks.
        warnings: reasons to doubt the energies (`fastin.crystal.warnings`).
        atom_number: (M,) atomic numbers of the framework, one row a position, for files; the commonest species of each.
        atom_frac: (M, 3) their fractional positions.
    """

    values: NDArray[np.float32]
    cell: NDArray[np.float64]
    ion: MobileIon
    source: str
    convention: str
    cutoff: float
    screening: float
    field: Field | None
    notes: tuple[str, ...] = ()
    warnings: tuple[CrystalWarning, ...] = ()
    atom_number: NDArray[np.int32] = dataclass_field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    atom_frac: NDArray[np.float64] = dataclass_field(default_factory=lambda: np.zeros((0, 3)))

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.values.shape))
        return (
            f"EnergyGrid({self.source}: {self.ion.symbol}, {shape}, {self.convention}, minimum {self.minimum:.3f} eV)"
        )

    def _repr_html_(self) -> str:
        rows = [
            ("source", self.source),
            ("points", " × ".join(map(str, self.shape))),
            ("convention", self.convention or "given"),
            ("minimum, eV", number_text(self.minimum)),
            ("at", numbers_text(self.minimum_frac)),
        ]
        return with_picture(self, table(f"EnergyGrid of {self.ion.symbol}", rows))

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """A slice through the energies.

        Args:
            ax: matplotlib axes to draw into; None makes a figure.
            **options: of `fastin.view.plots.plot_grid`: axis, at, top.

        Returns:
            The axes.

        Raises:
            MissingDependencyError: matplotlib is not installed (extra ``view``).
        """
        return later("plot grid")(self, ax, **options)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of points along each axis."""
        a, b, c = self.values.shape
        return a, b, c

    @property
    def minimum(self) -> float:
        """Lowest energy on the grid (eV)."""
        return float(self.values.min())

    @property
    def minimum_frac(self) -> NDArray[np.float64]:
        """(3,) fractional position of the first point of lowest energy."""
        index = np.unravel_index(int(self.values.argmin()), self.values.shape)
        position: NDArray[np.float64] = np.array(index, dtype=np.float64) / self.values.shape
        return position

    def interpolate(self, frac: ArrayLike) -> NDArray[np.float64]:
        """Energies between the grid points by periodic tricubic convolution.

        The kernel is that of R. G. Keys, IEEE Trans. Acoust. 29, 1153 (1981) with a = -1/2: exact at the grid points
        and for quadratics, error of third order in the spacing. Where `field` is there, ``field.energy`` is exact.

        Args:
            frac: (n, 3) fractional points, any cell.

        Returns:
            (n,) energies (eV).
        """
        points = real_array(frac, "frac")
        if points.ndim != 2 or points.shape[1] != 3:
            raise InputError(f"frac must have shape (n, 3), not {points.shape}")
        if not (np.abs(points) < _FAR).all():
            raise InputError(f"frac must be numbers below {_FAR:g}: beyond, or NaN, they name no point of a cell")
        shape = np.array(self.values.shape)
        scaled = points * shape
        floor = np.floor(scaled)
        weights = _keys_weights(scaled - floor)  # (n, 3, 4)
        index = (floor.astype(np.int64)[:, :, None] + np.arange(-1, 3)) % shape[None, :, None]
        a, b, c = index[:, 0], index[:, 1], index[:, 2]
        block = self.values[a[:, :, None, None], b[:, None, :, None], c[:, None, None, :]]
        result: NDArray[np.float64] = np.einsum(
            "nijk,ni,nj,nk->n", block.astype(np.float64), weights[:, 0], weights[:, 1], weights[:, 2], optimize=True
        )
        return result

    def resample(self, shape: tuple[int, int, int]) -> NDArray[np.float64]:
        """Energies on a regular grid of another shape: `interpolate` at its points, axis by axis.

        Args:
            shape: points along each axis.

        Returns:
            (A, B, C) energies (eV); the point (i, j, k) is at (i / A, j / B, k / C).
        """
        if len(shape) != 3 or min(shape) < 1:
            raise InputError(f"shape must be three numbers of points, not {shape}")
        require_grid_memory(shape, self.cell)
        values = self.values.astype(np.float64)
        for axis, (old, new) in enumerate(zip(self.values.shape, shape, strict=True)):
            scaled = np.arange(new) * (old / new)
            floor = np.floor(scaled)
            matrix = np.zeros((new, old))
            columns = (floor.astype(np.int64)[:, None] + np.arange(-1, 3)) % old
            np.add.at(matrix, (np.arange(new)[:, None], columns), _keys_weights(scaled - floor))
            values = np.moveaxis(np.tensordot(matrix, values, axes=(1, axis)), 0, axis)
        return values

    def write(self, path: str | Path, *, end_points: bool = False) -> Path:
        """Writes the grid for VESTA and other programs; the name says the format.

        Args:
            path: ``.cube``, ``.grd``, ``.vasp``, ``LOCPOT*``, ``CHGCAR*`` or ``.npz``; see `fastin.bvse.files`.
            end_points: of a ``.grd``, repeat the first planes at the end, for programs that expect them.

        Returns:
            The path.
        """
        path = Path(path)
        write_grid(self, path, end_points=end_points)
        return path

    @classmethod
    def from_calculator(cls, source: Any, ion: IonName | None, calculator: Any, **options: Any) -> EnergyGrid:
        """Energies of one ion in the rigid crystal from any ASE calculator, on the points below a bond valence ceiling.

        Symmetry-distinct points are computed, several in one call where the calculator can. The lowest point and the
        percolating saddles are polished with the forces on the ion and take the place of their grid points, so that
        `compute_barriers` of the grid gives the barriers of the continuous landscape. `notes` say how many points were
        computed and the CPU seconds.

        Args:
            source: path, pymatgen ``Structure``, ASE ``Atoms`` or `Crystal`.
            ion: element or species; None takes the most usual one.
            calculator: as for `fastin.relax_hops`.
            **options: ``ceiling`` (1.5 eV above the lowest bond valence energy), ``resolution`` (0.3 A), ``framework``
                (``"empty"``: without the crystal's own mobile ions; ``"full"``: one ion more among them),
                ``supercell`` (7 A at least between images of the ion), ``refine`` (True), ``progress`` (called with
                points done and in all), and those of `compute_bvse`.

        Raises:
            InputError: no such calculator, an element that it does not know, no point below the ceiling.
            DisorderError: what stays in place is disordered.
        """
        found: EnergyGrid = later("grid from calculator")(source, ion, calculator, **options)
        return found

    @classmethod
    def read(cls, path: str | Path, *, end_points: bool | None = None) -> EnergyGrid:
        """Reads a grid that `write` or another program wrote; `field` is None.

        Args:
            path: see `write`. A ``.grd`` keeps lengths and angles of the cell, not its orientation, and no atoms.
            end_points: of a ``.grd``, whether its last planes repeat the first; None compares them.

        Raises:
            InputError: unknown format, or a file that is not what its name says.
        """
        path = Path(path)
        found = read_grid(path, end_points=end_points)
        facts = parse_title(found.title)
        match = re.fullmatch(r"([A-Z][a-z]?)([0-9]?)([+-])", facts.get("ion", ""))
        ion = MobileIon("X", 0, 0, False)
        notes = [f"read from {path}", *found.notes]
        if match is None:
            notes.append("the file does not say which ion the energies belong to")
        else:
            numbers = {entry.symbol: z for z, entry in element_table().items()}
            charge = int(match[2] or 1) * (1 if match[3] == "+" else -1)
            ion = MobileIon(match[1], numbers.get(match[1], 0), charge, False)
        convention = facts.get("convention", "")
        return cls(
            values=found.values,
            cell=found.cell,
            ion=ion,
            source=facts.get("source", str(path)),
            convention=convention if convention in CONVENTIONS else "",
            cutoff=float(facts.get("cutoff", "nan")),
            screening=float(facts.get("screening", "nan")),
            field=None,
            notes=tuple(notes),
            atom_number=found.atom_number,
            atom_frac=found.atom_frac,
        )


def _keys_weights(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights (..., 4) of the points at -1, 0, 1, 2 for positions t in [0, 1)."""
    t2, t3 = t * t, t * t * t
    return 0.5 * np.stack([-t3 + 2.0 * t2 - t, 3.0 * t3 - 5.0 * t2 + 2.0, -3.0 * t3 + 4.0 * t2 + t, t3 - t2], axis=-1)


# A shape made commensurate with the space group may hold this many times the points of the plain one; the points that
# symmetry then saves outweigh it, but everything after the grid (percolation) still walks all points.
_MOST_GROWTH = 1.3


# Bytes a point. Without symmetry the grid, the order of its points, their energies and the far part take 16.5 while it
# is filled; the search for barriers then adds at most 8 (links between points where asked for) and the passes.
_POINT_BYTES = 20


def require_grid_memory(shape: tuple[int, ...], cell: NDArray[np.float64]) -> None:
    """Refuses a grid that, with the search for barriers on it, would not fit into the memory allowed.

    Args:
        shape: points along each axis.
        cell: (3, 3) rows are lattice vectors (A), for the message.

    Raises:
        ResourceError: names the cell's edges and the resolution that would fit.
    """
    points = math.prod(shape)
    limit = memory_limit() if points * _POINT_BYTES > 2**25 else None
    if limit is None or points * _POINT_BYTES <= limit:
        return
    lengths = np.linalg.norm(cell, axis=1)
    spacing = float(np.max(lengths / shape))
    coarser = spacing * (points * _POINT_BYTES / limit) ** (1.0 / 3.0) if limit else spacing
    edges, counts = " x ".join(f"{x:.6g}" for x in lengths), " x ".join(map(str, shape))
    require(
        points * _POINT_BYTES,
        f"a grid of {counts} points (cell edges {edges} A, {spacing:.3g} A apart)",
        f"check the cell edges, or use a resolution of {math.ceil(100.0 * coarser) / 100.0:g} A",
    )


# Seconds a pair of a point and an atom image within the cutoff, about (bench/bench_kernels.py: 0.9 to 4 ns).
_PAIR_SECONDS = 2e-9


def require_grid_time(field: Field, shape: tuple[int, int, int], operations: int, threads: int) -> None:
    """Refuses a grid that would take longer than is allowed: distinct points times the atoms within the cutoff.

    Raises:
        ResourceError: names the cell's edges, the cutoff, and the resolution that would do.
    """
    ball = 4.0 / 3.0 * math.pi * field.cutoff**3 / abs(float(np.linalg.det(field.cell)))
    pairs = max(1.0, ball * len(field.atom_number))
    seconds = math.prod(shape) / max(1, operations) * pairs * _PAIR_SECONDS / threads
    if seconds <= 1.0:
        return
    lengths = np.linalg.norm(field.cell, axis=1)
    spacing = float(np.max(lengths / shape))
    coarser = spacing * (seconds / seconds_allowed()) ** (1.0 / 3.0)
    edges = " x ".join(f"{x:.6g}" for x in lengths)
    advice = (
        f"use a resolution of {math.ceil(100.0 * coarser) / 100.0:g} A" if coarser <= COARSEST else "a smaller cell"
    )
    require_time(
        seconds,
        f"a grid of {math.prod(shape):.3g} points ({spacing:.3g} A apart, cell edges {edges} A) with {pairs:.3g} atoms "
        f"within {field.cutoff:g} A of each",
        f"check the cell edges and the cutoff, or {advice}",
    )


def grid_shape(field: Field, resolution: float) -> tuple[int, int, int]:
    """Points along each axis: spacing at most `resolution`, commensurate with the space group where that costs nothing.

    Args:
        field: its cell and operations count.
        resolution: largest spacing along each axis (A).

    Raises:
        InputError: the resolution is not positive or the grid would exceed 2^31 - 1 points.
    """
    if not resolution > 0.0 or not math.isfinite(resolution):
        raise InputError(f"resolution must be positive, not {resolution}")
    if resolution > COARSEST:
        raise InputError(f"resolution must be at most {COARSEST:g} A, not {resolution:g}: valleys would be missed")
    lengths = np.linalg.norm(field.cell, axis=1)
    a, b, c = (max(1, math.ceil(length / resolution - 1e-9)) for length in lengths)
    base = (a, b, c)
    if a * b * c > 2**31 - 1:
        edges = " x ".join(f"{length:.6g}" for length in lengths)
        raise InputError(
            f"a grid of {a} x {b} x {c} points is too large (cell edges {edges} A): check the cell edges, or use a "
            f"coarser resolution than {resolution} A"
        )
    denominators = denominators_of(field.translations)
    rational = (denominators > 0).all(axis=1)
    if np.count_nonzero(rational) < 2:
        return base
    better = commensurate_shape(base, field.rotations[rational], denominators[rational])
    if better == base:
        return base
    cost = math.prod(base) / max(1, len(grid_operations(base, field.rotations, field.translations)[0]))
    gain = math.prod(better) / max(1, len(grid_operations(better, field.rotations, field.translations)[0]))
    return better if gain <= cost and math.prod(better) <= _MOST_GROWTH * math.prod(base) else base


@checked_arguments
def compute_bvse(
    source: Any,
    ion: IonName | None = None,
    *,
    resolution: float = 0.2,
    cutoff: float = 10.0,
    convention: str = "spse",
    screening: float = 0.74,
    shape: tuple[int, int, int] | None = None,
    symmetry: bool = True,
    plain_sum: bool = False,
    oxidation_states: OxidationStates | None = None,
    strict: bool = False,
    num_threads: int | None = None,
) -> EnergyGrid:
    """Bond valence site energy of one mobile ion on a periodic grid.

    Args:
        source: path, pymatgen ``Structure``, ASE ``Atoms`` or `Crystal`.
        ion: element ("Li") or species ("Li+"); None takes the most usual mobile ion present. An ion that the crystal
            does not hold is a guest: the whole crystal is framework.
        resolution: largest spacing of the grid along each axis (A), at most 1; above 0.5 the result carries a warning.
        cutoff: every image of every framework atom within this distance counts (A). What lies beyond counts with its
            mean.
        convention: ``"spse"``, ``"bvlain"`` or ``"softbv"``, see `fastin.bvse.field`.
        screening: factor f in the screened Coulomb term.
        shape: points along each axis, instead of `resolution`.
        symmetry: compute one point of each orbit of the space group (the same energies either way).
        plain_sum: sum every pair at every point. False sums pairs up to 4.5 A and interpolates the smooth rest where
            that is cheaper (`Field.split_for`): within 2e-4 eV of the plain sum, refined barriers the same.
        oxidation_states: of the species or atoms, as for `Crystal`.
        strict: refuse a crystal with severe warnings.
        num_threads: None takes the default of `set_num_threads`.

    Returns:
        The grid, float32. Energies below 20 eV are within 2e-4 eV of the float64 sum over all pairs (with `plain_sum`
        within 1e-4 eV), those above within 1e-4 of the energy.

    Raises:
        MissingParameterError: no bond valence parameters for a pair of species; names it.
        InputError: arguments out of range, unreadable source, empty framework, severe warnings where `strict`.
        ResourceError: the grid would not fit into the memory allowed (`fastin.runtime.memory`), or would take longer
            than is allowed (`fastin.runtime.duration`).
        OxidationStateError: no oxidation states could be assigned.

    Examples:
        >>> import fastin
        >>> grid = fastin.compute_bvse(fastin.examples()["LiFePO4"], "Li")
        >>> grid.shape
        (52, 32, 24)
        >>> round(grid.minimum, 2)
        -1.7
    """
    from fastin.crystal.crystal import as_crystal

    crystal = as_crystal(source, oxidation_states=oxidation_states, strict=strict)
    field = build_field(crystal, ion, convention=convention, cutoff=cutoff, screening=screening, plain_sum=plain_sum)
    refuse_severe(crystal.source, field.warnings, strict)
    try:
        values = fill_grid(field, resolution, shape=shape, symmetry=symmetry, num_threads=num_threads)
    except (InputError, ResourceError) as error:
        raise type(error)(f"{crystal.source}: {error}") from None
    spacing = float((np.linalg.norm(field.cell, axis=1) / values.shape).max())
    coarse = CrystalWarning("resolution-coarse", f"grid points lie {spacing:.2f} A apart, barriers need {COARSE:g} A")
    return EnergyGrid(
        values=values,
        cell=field.cell,
        ion=field.ion,
        source=crystal.source,
        convention=convention,
        cutoff=field.cutoff,
        screening=field.screening,
        field=field,
        notes=field.notes,
        warnings=merge_warnings(field.warnings, [coarse] if spacing > COARSE + 1e-9 else []),
        atom_number=field.atom_number,
        atom_frac=field.atom_frac,
    )


def fill_grid(
    field: Field,
    resolution: float = 0.2,
    *,
    shape: tuple[int, int, int] | None = None,
    symmetry: bool = True,
    num_threads: int | None = None,
) -> NDArray[np.float32]:
    """Energies of a field on a periodic grid (see `compute_bvse`)."""
    if shape is None:
        shape = grid_shape(field, resolution)
    if len(shape) != 3 or min(shape) < 1 or math.prod(shape) > 2**31 - 1:
        raise InputError(f"shape must be three positive numbers with a product below 2^31, not {tuple(shape)}")
    shape = (int(shape[0]), int(shape[1]), int(shape[2]))
    require_grid_memory(shape, field.cell)
    rotations, shifts = grid_operations(shape, field.rotations, field.translations)
    if not symmetry:
        rotations, shifts = rotations[:0], shifts[:0]
    threads = resolve_threads(num_threads)
    require_grid_time(field, shape, len(rotations), threads)
    energy = field.split_for(shape, num_threads=threads) or field.core
    values: NDArray[np.float32] = energy.grid(shape, rotations, shifts, threads)
    return values
