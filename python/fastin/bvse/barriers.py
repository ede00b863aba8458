"""Percolation barriers of a bond valence energy landscape: `compute_barriers` and `Barriers`.

A barrier in d dimensions is the energy at which the points below it first form a component that reaches its own
periodic images in d independent directions (a union-find that carries lattice translations, so no supercell and no
bisection), above a zero. With ``refine=True`` the critical points are stationary points of the continuous energy, not
grid points: the grid's own error (14 meV on average at 0.2 A, up to 480 meV at a barrier of 12 eV) is gone.

Which barrier to trust: on 253 training CIFs of OBELiX with full disorder (``bench/obelix_rank.py``) the 3D barrier
with the network zero ranks measured conductivities and activation energies best, Spearman -0.46 with log sigma and
0.46 with Ea in the ``spse`` convention (``bvlain``: -0.50, 0.50; with the positions that other species share blocked at
random, `TransportNetwork.blocked_barriers`, -0.52, 0.53); the 1D barrier with the global zero, the seed paper's, worst
(-0.28, 0.33). Standard errors are 0.05.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastin.bvse.grid import EnergyGrid, compute_bvse, require_grid_memory
from fastin.crystal.warnings import CrystalWarning
from fastin.errors import InputError
from fastin.runtime.arguments import checked_arguments, checked_methods
from fastin.runtime.html import number_text, numbers_text, table, with_picture
from fastin.runtime.late import later
from fastin.runtime.openmp import _core
from fastin.runtime.threads import resolve_threads

if TYPE_CHECKING:
    from fastin.crystal.ions import IonName, MobileIon

__all__ = ["Barriers", "compute_barriers"]

ZEROS = ("network", "global")

# Largest error of a percolation level on a grid of 0.2 A: this much (eV), plus this fraction of its height above the
# minimum. It grows with the square of the spacing. Passes farther than that from a level cannot decide it.
_GRID_ERROR = 0.12
_GRID_ERROR_SLOPE = 0.06
_REFERENCE_SPACING = 0.2


@dataclass(frozen=True, eq=False)
class PercolationPath:
    """The path that sets one barrier: it starts and ends at periodic images of one site.

    Attributes:
        frac: (N, 3) fractional points along the path, not wrapped; ``frac[-1] - frac[0]`` is `translation`.
        energy: (N,) energies above the barrier's zero (eV); the maximum is the barrier.
        translation: (3,) net translation in lattice vectors.
    """

    frac: NDArray[np.float64]
    energy: NDArray[np.float64]
    translation: NDArray[np.int32]

    def __repr__(self) -> str:
        along = " ".join(map(str, self.translation.tolist()))
        return f"PercolationPath({len(self.frac)} points along [{along}], maximum {self.energy.max():.3f} eV)"

    def __len__(self) -> int:
        return len(self.frac)


@checked_methods
@dataclass(frozen=True, eq=False)
class Barriers:
    """Percolation barriers in one, two and three dimensions.

    Attributes:
        ion: the mobile ion.
        source: where the crystal came from.
        cell: (3, 3) rows are lattice vectors (A).
        convention: of the bond valence energy (see `fastin.bvse.field`); empty for grids read from files.
        zero: what `e1d`, `e2d`, `e3d` are measured from: ``"network"``, the lowest point of the component that
            percolates, or ``"global"``, the lowest point of the cell.
        connectivity: neighbours of a grid point, 6 or 26.
        refined: the levels belong to the continuous energy, not to the grid.
        energy_minimum: lowest energy of the cell (eV).
        levels: (3,) energies at which the ion percolates in 1, 2, 3 dimensions (eV, absolute); inf where it cannot.
        network_minimum: (3,) lowest energy of the component that percolates (eV, absolute); nan where none does.
        grid_levels: (3,) the levels of the grid itself.
        saddle_frac: (3, 3) the point that sets each level, in [0, 1); nan where there is none.
        minimum_frac: (3, 3) the lowest point of each component.
        translations: three (r, 3) int32 arrays: independent directions of each component, in lattice vectors.
        flags: what the refinement could not settle; empty in the normal case.
        notes: remarks on parameters and on the flags.
        warnings: those of the grid (`fastin.crystal.warnings`).
    """

    ion: MobileIon
    source: str
    cell: NDArray[np.float64]
    convention: str
    zero: str
    connectivity: int
    refined: bool
    energy_minimum: float
    levels: NDArray[np.float64]
    network_minimum: NDArray[np.float64]
    grid_levels: NDArray[np.float64]
    saddle_frac: NDArray[np.float64]
    minimum_frac: NDArray[np.float64]
    translations: tuple[NDArray[np.int32], ...]
    flags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[CrystalWarning, ...] = ()
    _grid: EnergyGrid | None = field(default=None, repr=False)
    _traced: list[dict[str, Any]] | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        values = ", ".join(f"E{d}D {e:.3f}" for d, e in zip((1, 2, 3), self.values(), strict=True))
        kind = self.convention or "given grid"
        return f"Barriers({self.source}: {self.ion.symbol}, {values} eV, {kind}, zero {self.zero})"

    def _repr_html_(self) -> str:
        rows = []
        for d, (value, saddle) in enumerate(zip(self.values(), self.saddle_frac, strict=True), start=1):
            rows.append((f"{d}D", number_text(float(value)), numbers_text(saddle) if math.isfinite(value) else "–"))
        method = f"{self.convention or 'given grid'}, zero {self.zero}"
        title = f"Barriers of {self.ion.symbol} in {self.source} ({method})"
        return with_picture(self, table(title, rows, ("dimensions", "barrier, eV", "saddle")))

    def plot(self, ax: Any = None) -> Any:
        """Energy along the percolating paths.

        Args:
            ax: matplotlib axes to draw into; None makes a figure.

        Returns:
            The axes.

        Raises:
            MissingDependencyError: matplotlib is not installed (extra ``view``).
        """
        return later("plot barriers")(self, ax)

    def values(self, zero: str | None = None) -> NDArray[np.float64]:
        """(3,) barriers in 1, 2, 3 dimensions (eV), inf where the ion cannot percolate.

        Args:
            zero: ``"network"`` or ``"global"``; None takes `zero`. A shallower component may reach d dimensions above
                a deeper one that reached d - 1; its barrier is then raised to that of d - 1, so that
                E1D <= E2D <= E3D always.
        """
        zero = _checked_zero(self.zero if zero is None else zero)
        bottom = [self.energy_minimum] * 3 if zero == "global" else self.network_minimum.tolist()
        barriers, highest = [], 0.0
        for level, own in zip(self.levels.tolist(), bottom, strict=True):
            height = level - own if math.isfinite(level) else math.inf
            highest = highest if height <= highest else height  # NaN stays
            barriers.append(highest)
        return np.array(barriers)

    @property
    def e1d(self) -> float:
        """Barrier to percolation in one dimension (eV)."""
        return float(self.values()[0])

    @property
    def e2d(self) -> float:
        """Barrier to percolation in two dimensions (eV)."""
        return float(self.values()[1])

    @property
    def e3d(self) -> float:
        """Barrier to percolation in three dimensions (eV)."""
        return float(self.values()[2])

    def dimensionality(self, limit: float) -> int:
        """In how many dimensions the ion percolates below a barrier of `limit` (eV): 0 to 3."""
        return int(np.count_nonzero(self.values() <= limit))

    def to_dict(self, *, paths: bool = False) -> dict[str, Any]:
        """Plain types; barriers that do not exist are None. `paths` adds the three paths."""
        out: dict[str, Any] = {
            "source": self.source,
            "ion": self.ion.symbol,
            "guest": self.ion.guest,
            "convention": self.convention,
            "zero": self.zero,
            "connectivity": self.connectivity,
            "refined": self.refined,
            "energy_minimum_eV": self.energy_minimum,
        }
        for zero in ZEROS:
            for d, barrier in enumerate(self.values(zero), start=1):
                value = float(barrier) if math.isfinite(barrier) else None
                out[f"e{d}d_{zero}_eV"] = value
                if zero == self.zero:
                    out[f"e{d}d_eV"] = value
        for d in range(3):
            if math.isfinite(self.levels[d]):
                out[f"saddle_{d + 1}d_frac"] = self.saddle_frac[d].tolist()
                out[f"minimum_{d + 1}d_frac"] = self.minimum_frac[d].tolist()
                out[f"translations_{d + 1}d"] = self.translations[d].tolist()
        out["conduction_dimensionality_below_1eV"] = self.dimensionality(1.0)
        out["flags"] = list(self.flags)
        out["notes"] = list(self.notes)
        out["warnings"] = [w.to_dict() for w in self.warnings]
        if paths:
            for d, path in enumerate((self.path_1d, self.path_2d, self.path_3d), start=1):
                if path is not None:
                    out[f"path_{d}d"] = {
                        "frac": path.frac.tolist(),
                        "energy_eV": path.energy.tolist(),
                        "translation": path.translation.tolist(),
                    }
        return out

    @property
    def grid(self) -> EnergyGrid | None:
        """The grid that they were computed on."""
        return self._grid

    @property
    def path_1d(self) -> PercolationPath | None:
        """The path that sets `e1d`: steepest descents from the saddles; None where the ion does not percolate."""
        return self._paths[0]

    @property
    def path_2d(self) -> PercolationPath | None:
        """The path that sets `e2d`."""
        return self._paths[1]

    @property
    def path_3d(self) -> PercolationPath | None:
        """The path that sets `e3d`."""
        return self._paths[2]

    @cached_property
    def _paths(self) -> tuple[PercolationPath | None, ...]:
        traced = self._traced
        if traced is None:
            if self._grid is None:
                raise InputError(f"{self.source}: these barriers carry no energy grid to trace paths on")
            traced = _solve(self._grid, self.connectivity, self.refined, paths=True)["levels"]
        values = self.values()
        paths: list[PercolationPath | None] = []
        for d, level in enumerate(traced):
            if "path_frac" not in level:
                paths.append(None)
                continue
            energy = level["path_energy"] - (self.levels[d] - values[d])
            energy.setflags(write=False)
            paths.append(PercolationPath(level["path_frac"], energy, level["path_translation"]))
        return tuple(paths)


def _checked_zero(zero: str) -> str:
    if zero not in ZEROS:
        raise InputError(f"zero must be 'network' or 'global', not {zero!r}")
    return zero


def grid_margins(grid: EnergyGrid) -> tuple[float, float]:
    """Largest error of a level on this grid (eV) and its growth with the height above the minimum."""
    spacing = float(np.max(np.linalg.norm(grid.cell, axis=1) / grid.values.shape))
    growth = max(1.0, (spacing / _REFERENCE_SPACING) ** 2)
    return growth * _GRID_ERROR, growth * _GRID_ERROR_SLOPE


def _solve(
    grid: EnergyGrid, connectivity: int, refine: bool, *, paths: bool = False, num_threads: int | None = None
) -> dict[str, Any]:
    """The core's answer for a grid: minimum, levels and, for refined ones, what the search did."""
    threads = resolve_threads(num_threads)
    if not refine:
        result: dict[str, Any] = _core.percolate_grid(grid.values, connectivity, paths, threads)
        return result
    assert grid.field is not None
    error, slope = grid_margins(grid)
    result = _core.refine_percolation(
        grid.values,
        grid.field.core,
        grid.field.split_for(grid.values.shape, num_threads=threads),
        grid.field.rotations,
        grid.field.translations,
        connectivity,
        error,
        slope,
        paths,
        threads,
    )
    return result


def _flags(result: dict[str, Any]) -> list[str]:
    flags = []
    if not result.get("settled", True):
        flags.append(
            f"refinement stopped after {result['rounds']} rounds and {result['evaluations']} evaluations: the barriers "
            "are those of what was found, else of the grid, and may belong to another pass"
        )
    for d, level in enumerate(result["levels"], start=1):
        if "stationary" in level and not level["stationary"]:
            flags.append(f"E{d}D: no stationary point was found at the pass; the value is an upper bound from a string")
    return flags


def _lost_passes(result: dict[str, Any], grid: EnergyGrid) -> list[int]:
    """Dimensions whose refined level lies above the grid's by more than the grid can err: never to be reported."""
    error, slope = grid_margins(grid)
    lost = []
    for d, level in enumerate(result["levels"], start=1):
        on_grid = level.get("grid_energy", math.inf)
        height = on_grid - result["minimum"]
        if math.isfinite(on_grid) and level["energy"] > on_grid + error + slope * height:
            lost.append(d)
    return lost


@checked_arguments
def compute_barriers(
    source_or_grid: Any,
    ion: IonName | None = None,
    *,
    refine: bool = True,
    connectivity: int = 26,
    zero: str = "network",
    paths: bool = False,
    num_threads: int | None = None,
    **bvse_options: Any,
) -> Barriers:
    """Percolation barriers of a mobile ion in its bond valence energy landscape.

    Args:
        source_or_grid: an `EnergyGrid`, or anything that `compute_bvse` takes.
        ion: as for `compute_bvse`; not with an `EnergyGrid`.
        refine: polish minima and saddles to stationary points of the continuous energy, decide the percolation on
            the polished energies. Grids read from files carry no field and are not refined (a note says so).
        connectivity: neighbours of a grid point, 6 or 26.
        zero: what barriers are measured from: ``"network"``, the lowest point of the component that percolates (the
            sites that conduct), or ``"global"``, the lowest point of the cell (used by the seed paper and by BVlain).
        paths: trace the paths now; otherwise they are traced, and the barriers solved again, at their first use.
        num_threads: None takes the default of `set_num_threads`.
        **bvse_options: of `compute_bvse`: resolution, cutoff, convention, screening, shape, symmetry,
            plain_sum, oxidation_states, strict.

    Raises:
        InputError: unknown `zero` or `connectivity`, options that an `EnergyGrid` has already fixed.
        MissingParameterError: no bond valence parameters for a pair of species.

    Examples:
        >>> import fastin
        >>> round(fastin.compute_barriers(fastin.examples()["LiFePO4"], zero="global").e1d, 2)
        0.37
    """
    _checked_zero(zero)
    if connectivity not in (6, 26):
        raise InputError(f"connectivity must be 6 or 26, not {connectivity}")
    if isinstance(source_or_grid, EnergyGrid):
        if ion is not None or bvse_options:
            given = ", ".join(([] if ion is None else ["ion"]) + sorted(bvse_options))
            raise InputError(f"{source_or_grid.source}: the energy grid has already fixed {given}")
        grid = source_or_grid
        require_grid_memory(grid.values.shape, grid.cell)
    else:
        grid = compute_bvse(source_or_grid, ion, num_threads=num_threads, **bvse_options)
    notes = list(grid.notes)
    if refine and grid.field is None:
        refine = False
        notes.append("the grid carries no energy function: barriers are those of the grid points, not refined")
    if refine and min(grid.values.shape) < 4:
        refine = False
        notes.append(f"a grid of {grid.values.shape} points is too coarse to refine")
    result = _solve(grid, connectivity, refine, paths=paths, num_threads=num_threads)
    flags = _flags(result)
    if refine and (lost := _lost_passes(result, grid)):
        refine = False
        result = _solve(grid, connectivity, False, paths=paths, num_threads=num_threads)
        flags = [f"E{d}D: the refinement lost a pass that the grid has; all levels are the grid's" for d in lost]
    return Barriers(
        ion=grid.ion,
        source=grid.source,
        cell=grid.cell,
        convention=grid.convention,
        zero=zero,
        connectivity=connectivity,
        refined=refine,
        energy_minimum=float(result["minimum"]),
        flags=tuple(flags),
        notes=(*notes, *flags),
        warnings=grid.warnings,
        _grid=grid,
        _traced=result["levels"] if paths else None,
        **_level_arrays(result["levels"], grid.values.shape),
    )


def _level_arrays(levels: list[dict[str, Any]], shape: tuple[int, ...]) -> dict[str, Any]:
    energy, bottom, on_grid = (np.full(3, fill) for fill in (np.inf, np.nan, np.inf))
    saddle, minimum = np.full((3, 3), np.nan), np.full((3, 3), np.nan)
    translations = []
    for d, level in enumerate(levels):
        rows = np.array(level.get("translations", []), dtype=np.int32).reshape(-1, 3)
        rows.setflags(write=False)
        translations.append(rows)
        if not math.isfinite(level["energy"]):
            continue
        energy[d], bottom[d] = level["energy"], level["minimum"]
        on_grid[d] = level.get("grid_energy", level["energy"])
        saddle[d] = level["saddle_frac"] if "saddle_frac" in level else np.divide(level["voxel"], shape)
        minimum[d] = level["minimum_frac"] if "minimum_frac" in level else np.divide(level["minimum_voxel"], shape)
    arrays = {
        "levels": energy,
        "network_minimum": bottom,
        "grid_levels": on_grid,
        "saddle_frac": saddle,
        "minimum_frac": minimum,
    }
    for array in arrays.values():
        array.setflags(write=False)
    return {**arrays, "translations": tuple(translations)}
