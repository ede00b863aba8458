"""Descriptors of a crystal as an ion conductor: composition, interstitial network, energy landscape, bond valence.

Every key ends in its unit; a key without one is a count, a share or a ratio. A descriptor that does not exist for a
crystal (mobile sites of a guest, the path where nothing percolates, bond valences of a framework pair without
parameters) is NaN, a barrier that does not exist is inf.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.warnings import CrystalWarning, merge_warnings, refuse_severe
from fastin.errors import FastinError, InputError
from fastin.runtime.arguments import checked_arguments
from fastin.runtime.openmp import _core

if TYPE_CHECKING:
    from fastin.bvse.barriers import Barriers
    from fastin.bvse.grid import EnergyGrid
    from fastin.crystal.crystal import Crystal
    from fastin.crystal.ions import IonName, MobileIon, OxidationStates
    from fastin.network.network import InterstitialNetwork

#: Heights above the minimum (eV) at which the accessible share of the volume is given.
ACCESSIBLE_LEVELS = (0.1, 0.2, 0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 3.0)
_REACH = 8.0  # A: distances of mobile sites to their neighbours are given up to here
_SAME_SITE = 0.5  # A: nearer rows are alternatives of one atom
_AVOGADRO = 0.602214076  # u / A^3 to g / cm^3 is the inverse


class Descriptors(dict[str, float]):
    """Name -> value, as `describe` returns it.

    Attributes:
        warnings: reasons to doubt the crystal or the values (`fastin.crystal.warnings`).
    """

    warnings: tuple[CrystalWarning, ...] = ()


@checked_arguments
def describe(
    source: Any,
    ion: IonName | None = None,
    *,
    resolution: float = 0.2,
    convention: str = "spse",
    on_error: str = "raise",
    network: InterstitialNetwork | None = None,
    barriers: Barriers | None = None,
    grid: EnergyGrid | None = None,
    paths: bool = False,
    oxidation_states: OxidationStates | None = None,
    strict: bool = False,
    num_threads: int | None = None,
) -> Descriptors:
    """Descriptors of one crystal for one mobile ion.

    Args:
        source: path, pymatgen ``Structure``, ASE ``Atoms`` or `Crystal`.
        ion: as for `compute_network`.
        resolution: spacing of the energy grid (A).
        convention: of the bond valence energy.
        on_error: ``"raise"``, or ``"nan"``: a group of descriptors that cannot be computed (no bond valence parameters,
            no ionic radius) is filled with NaN instead.
        network: the result of `compute_network` for this crystal and ion, if it is there already.
        barriers: the result of `compute_barriers`, likewise.
        grid: the result of `compute_bvse`, likewise.
        paths: trace the paths that set the barriers, for ``path_*`` and ``tortuosity_*``.
        oxidation_states: as for `Crystal`.
        strict: refuse a crystal with severe warnings.
        num_threads: None takes the default of `set_num_threads`.

    Returns:
        Name -> value, always the same names in the same order (those of paths only with `paths`). Groups: cell and
        composition; ``void_*``,
        ``bottleneck_*``, ``free_sphere_*``, ``percolation_*`` of the interstitial network; ``barrier_*`` with both
        zeros, ``accessible_share_*`` (share of the cell's volume at most that far above its minimum), ``path_*`` and
        ``tortuosity_*`` (length of the path that sets the barrier over the length of its net translation) of the energy
        landscape; ``valence_mismatch_*`` of the mobile sites and ``global_instability_index_e``. The dictionary carries
        ``warnings``.

    Raises:
        InputError: unreadable source, unknown `on_error`, severe warnings where `strict`.
        FastinError: what the parts raise, unless ``on_error="nan"``.

    Examples:
        >>> import fastin
        >>> facts = fastin.describe(fastin.examples()["LiFePO4"])
        >>> round(facts["barrier_1d_global_eV"], 1)
        0.4
    """
    from fastin.crystal.crystal import as_crystal

    if on_error not in ("raise", "nan"):
        raise InputError(f"on_error must be 'raise' or 'nan', not {on_error!r}")
    crystal = as_crystal(source, oxidation_states=oxidation_states, strict=strict)
    mobile = crystal.resolve_ion(ion)
    found = _composition(crystal, mobile)
    doubts: list[CrystalWarning] = [*crystal.warnings, *mobile.warnings]
    parts: tuple[tuple[tuple[str, ...], Callable[[], dict[str, float]]], ...] = (
        (_NETWORK, partial(_network, crystal, mobile, network, num_threads, doubts)),
        (
            _LANDSCAPE + _PATHS if paths else _LANDSCAPE,
            partial(_landscape, crystal, mobile, grid, barriers, resolution, convention, paths, num_threads, doubts),
        ),
        (_VALENCE, partial(_valence, crystal, mobile)),
    )
    for names, compute in parts:
        try:
            part = compute()
        except FastinError:
            if on_error == "raise":
                raise
            part = dict.fromkeys(names, math.nan)
        found.update({name: part[name] for name in names})
    refuse_severe(crystal.source, doubts, strict)
    result = Descriptors({name: float(value) for name, value in found.items()})
    result.warnings = merge_warnings(doubts)
    return result


def _spread(prefix: str, values: NDArray[np.float64], unit: str) -> dict[str, float]:
    """Mean, deviation, extremes and median of some values; NaN for none."""
    found = _core.spread(np.ascontiguousarray(values, dtype=np.float64))
    return {f"{prefix}_{name}_{unit}": value for name, value in zip(_SPREAD, found, strict=True)}


_SPREAD = ("mean", "std", "min", "median", "max")


def _composition(crystal: Crystal, mobile: MobileIon) -> dict[str, float]:
    from fastin.crystal.elements import column

    number, occupancy = crystal.number, crystal.occupancy
    atoms = float(occupancy.sum())
    mass = float((column("mass")[number] * occupancy).sum())
    chi = column("electronegativity")[number]
    is_mobile = number == mobile.number
    mobile_atoms = float(occupancy[is_mobile].sum())
    framework = ~is_mobile
    cations, anions = crystal.charge > 0, crystal.charge < 0
    return {
        "cell_volume_A3": crystal.volume,
        "atoms_per_cell": atoms,
        "volume_per_atom_A3": crystal.volume / atoms,
        "density_g_cm3": mass / crystal.volume / _AVOGADRO,
        "space_group_number": crystal.space_group_number,
        "mobile_charge_e": mobile.charge,
        "mobile_share_of_atoms": mobile_atoms / atoms,
        "mobile_density_per_nm3": 1000.0 * mobile_atoms / crystal.volume,
        "mobile_site_occupancy_mean": float(occupancy[is_mobile].mean()) if is_mobile.any() else math.nan,
        "framework_disordered_share": float((occupancy[framework] < 0.99).mean()) if framework.any() else math.nan,
        "anion_electronegativity_mean": _mean(chi[anions], occupancy[anions]),
        "framework_cation_electronegativity_mean": _mean(chi[cations & framework], occupancy[cations & framework]),
        "framework_cation_charge_mean_e": _mean(crystal.charge[cations & framework], occupancy[cations & framework]),
        **_mobile_geometry(crystal, is_mobile),
    }


def _mean(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    known = np.isfinite(values)
    return float(values[known] @ weights[known] / weights[known].sum()) if known.any() else math.nan


def _mobile_geometry(crystal: Crystal, is_mobile: NDArray[np.bool_]) -> dict[str, float]:
    """Distances of the mobile sites to each other and to the framework (nearest, averaged over the sites)."""
    names = ("mobile_mobile_distance_A", "mobile_framework_distance_A")
    if not is_mobile.any():
        return dict.fromkeys(names, math.nan)
    found = _core.nearest_kinds(
        np.ascontiguousarray(crystal.cell, dtype=np.float64),
        np.ascontiguousarray(crystal.frac, dtype=np.float64),
        is_mobile,
        reach=_REACH,
        too_near=_SAME_SITE,
    )
    return {name: float(distance.mean()) for name, distance in zip(names, found, strict=True)}


def _network(
    crystal: Crystal,
    mobile: MobileIon,
    network: InterstitialNetwork | None,
    num_threads: int | None,
    doubts: list[CrystalWarning],
) -> dict[str, float]:
    from fastin.network.network import compute_network

    if network is None:
        network = compute_network(crystal, mobile.symbol, num_threads=num_threads)
    doubts += network.warnings
    voids = network.site_radius
    bottlenecks, lengths = network.edge_bottleneck_radius, network.edge_length
    channels = network.channels()
    spheres = network.framework
    volume = crystal.volume
    axes = dict(zip("abc", network.free_sphere_radii.tolist(), strict=True))
    dims = dict(zip((1, 2, 3), network.percolation_radii.tolist(), strict=True))
    wide = bottlenecks >= network.probe_radius
    return {
        "largest_sphere_radius_A": network.largest_sphere_radius,
        "included_sphere_radius_A": network.included_sphere_along_free_path,
        **{f"free_sphere_radius_{axis}_A": radius for axis, radius in axes.items()},
        **{f"percolation_radius_{d}d_A": radius for d, radius in dims.items()},
        "probe_radius_A": network.probe_radius,
        "channel_dimensionality": max((channel.dimensionality for channel in channels), default=0),
        "channels": len(channels),
        "void_density_per_nm3": 1000.0 * len(voids) / volume,
        "bottleneck_density_per_nm3": 1000.0 * len(bottlenecks) / volume,
        "inequivalent_voids": len(set(network.site_orbit.tolist())),
        "inequivalent_bottlenecks": len(set(network.edge_orbit.tolist())),
        "edges_per_void": 2.0 * len(bottlenecks) / len(voids),
        "wide_bottleneck_share": float(wide.mean()) if len(wide) else math.nan,
        "recovery_share": network.recovery(),
        "sphere_volume_share": float((4.0 / 3.0 * np.pi * spheres.radius**3).sum()) / volume,
        **_spread("void_radius", voids, "A"),
        **_spread("bottleneck_radius", bottlenecks, "A"),
        **_spread("edge_length", lengths, "A"),
        **_spread("cell_volume_of_atom", network.cell_volume, "A3"),
    }


def _landscape(
    crystal: Crystal,
    mobile: MobileIon,
    grid: EnergyGrid | None,
    barriers: Barriers | None,
    resolution: float,
    convention: str,
    paths: bool,
    num_threads: int | None,
    doubts: list[CrystalWarning],
) -> dict[str, float]:
    from fastin.bvse.barriers import compute_barriers
    from fastin.bvse.grid import compute_bvse

    if grid is None and barriers is not None and barriers.grid is not None and barriers.grid.field is not None:
        grid = barriers.grid
    if grid is None:
        grid = compute_bvse(
            crystal, mobile.symbol, resolution=resolution, convention=convention, num_threads=num_threads
        )
    if barriers is None:
        barriers = compute_barriers(grid, paths=paths, num_threads=num_threads)
    doubts += barriers.warnings
    found: dict[str, float] = {"energy_minimum_eV": barriers.energy_minimum}
    for zero in ("network", "global"):
        for d, barrier in enumerate(barriers.values(zero).tolist(), start=1):
            found[f"barrier_{d}d_{zero}_eV"] = barrier
    own = barriers.values()
    for limit in (0.5, 1.0, 2.0):
        found[f"conduction_dimensionality_below_{limit:g}eV"] = int(np.count_nonzero(own <= limit))
    shares, thermal = _core.level_shares(
        grid.values, barriers.energy_minimum, np.array(ACCESSIBLE_LEVELS, dtype=np.float32), kt=8.617333e-5 * 1000.0
    )
    found.update({f"accessible_share_{h:g}eV": s for h, s in zip(ACCESSIBLE_LEVELS, shares.tolist(), strict=True)})
    found["thermal_share_1000K"] = thermal
    sites = crystal.frac[crystal.number == mobile.number]
    energies = np.zeros(0)
    if len(sites) and grid.field is not None:
        energies = grid.field.energy(sites, num_threads=num_threads) - barriers.energy_minimum
    found.update(_spread("mobile_site_energy", energies, "eV"))
    if not paths:
        return found
    for d, path in enumerate((barriers.path_1d, barriers.path_2d, barriers.path_3d), start=1):
        length = repeat = math.nan
        if path is not None:
            steps = (path.frac[1:] - path.frac[:-1]) @ grid.cell
            length = float(np.sqrt((steps * steps).sum(axis=1)).sum())
            repeat = math.hypot(*(path.translation @ grid.cell).tolist())
        found[f"path_length_{d}d_A"] = length
        found[f"tortuosity_{d}d"] = length / repeat if repeat else math.nan
    return found


def _valence(crystal: Crystal, mobile: MobileIon) -> dict[str, float]:
    from fastin.bvse.valence import valence_mismatch

    mismatch = valence_mismatch(crystal, missing="nan")
    here = crystal.number == mobile.number
    index = math.sqrt(float(mismatch**2 @ crystal.occupancy / crystal.occupancy.sum()))
    return {**_spread("valence_mismatch", mismatch[here], "e"), "global_instability_index_e": index}


def _names(prefix: str, unit: str) -> tuple[str, ...]:
    return tuple(f"{prefix}_{name}_{unit}" for name in _SPREAD)


_NETWORK = (
    "largest_sphere_radius_A",
    "included_sphere_radius_A",
    *(f"free_sphere_radius_{axis}_A" for axis in "abc"),
    *(f"percolation_radius_{d}d_A" for d in (1, 2, 3)),
    "probe_radius_A",
    "channel_dimensionality",
    "channels",
    "void_density_per_nm3",
    "bottleneck_density_per_nm3",
    "inequivalent_voids",
    "inequivalent_bottlenecks",
    "edges_per_void",
    "wide_bottleneck_share",
    "recovery_share",
    "sphere_volume_share",
    *_names("void_radius", "A"),
    *_names("bottleneck_radius", "A"),
    *_names("edge_length", "A"),
    *_names("cell_volume_of_atom", "A3"),
)
_LANDSCAPE = (
    "energy_minimum_eV",
    *(f"barrier_{d}d_{zero}_eV" for zero in ("network", "global") for d in (1, 2, 3)),
    *(f"conduction_dimensionality_below_{limit:g}eV" for limit in (0.5, 1.0, 2.0)),
    *(f"accessible_share_{level:g}eV" for level in ACCESSIBLE_LEVELS),
    "thermal_share_1000K",
    *_names("mobile_site_energy", "eV"),
)
_PATHS = tuple(name for d in (1, 2, 3) for name in (f"path_length_{d}d_A", f"tortuosity_{d}d"))
_VALENCE = (*_names("valence_mismatch", "e"), "global_instability_index_e")
