"""Everything that a picture of one structure shows, computed once and kept as plain numbers.

What cannot be computed (no bond valence parameters for a pair, say) is left out, and a note says why.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.crystal.warnings import merge_warnings
from fastin.errors import FastinError, InputError
from fastin.runtime.plain import plain
from fastin.view import atoms
from fastin.view.atoms import rounded
from fastin.view.palette import ENERGY, SERIES
from fastin.view.relaxed import relaxed_data

_GRID_POINTS = 60_000  # points of the energy grid that a page carries
_GRID_CAP = 8.0  # eV above the zero
_SLIDER_TOP = 4.0  # eV
_MAX_VOIDS = 1500
_MANY_VOIDS = 300  # in the cell; pictures with more begin without
_MAX_EDGES = 4000
_MAX_HOPS = 80
_MANY_POLYHEDRA = 24  # in the cell; more of them hide everything else, so pictures begin without
_VISIBLE_VOID = 0.35  # A; smaller holes between atoms are no place for an ion
_VISIBLE_BOTTLENECK = 0.2  # A


@dataclass
class Scene:
    """One structure as plain numbers and texts (lengths in angstrom, energies in eV).

    Attributes:
        data: what the page reads, JSON-able.
        notes: what was left out, and remarks of the crystal and the energies.
        results: what it was made of, by name: network, grid, barriers, paths, peaks.
    """

    data: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    results: dict[str, Any] = field(default_factory=dict, repr=False)


def _number(value: float) -> float | str | None:
    """JSON has neither NaN nor infinity."""
    if math.isnan(value):
        return None
    return "inf" if math.isinf(value) else round(float(value), 5)


def _text_of_barrier(value: float) -> str:
    return "does not percolate" if math.isinf(value) else f"{value:.3f} eV"


def _voids(network: Any, grid: Any, zero: float) -> list[dict[str, Any]]:
    keep = np.flatnonzero(network.site_radius >= _VISIBLE_VOID)
    keep = keep[np.argsort(-network.site_radius[keep], kind="stable")][:_MAX_VOIDS]
    energies = grid.interpolate(network.site_frac[keep]) - zero if grid is not None else np.full(len(keep), np.nan)
    return [
        {
            "number": site,
            "frac": rounded(network.site_frac[site]),
            "radius": float(network.site_radius[site]),
            "energy": _number(float(energy)) if energy < _GRID_CAP else (_GRID_CAP if energy == energy else None),
            "text": f"void {site}: radius {network.site_radius[site]:.3f} Å"
            + (f", energy {energy:.2f} eV" if energy == energy else ""),
        }
        for site, energy in zip(keep.tolist(), energies.tolist(), strict=True)
    ]


def _edges(network: Any) -> list[dict[str, Any]]:
    radius = network.edge_bottleneck_radius
    keep = np.flatnonzero(radius >= _VISIBLE_BOTTLENECK)
    keep = keep[np.argsort(-radius[keep], kind="stable")][:_MAX_EDGES]
    start = network.site_frac[network.edge_index[0, keep]]
    end = network.site_frac[network.edge_index[1, keep]] + network.edge_image[keep]
    at = _on_edges(network.edge_bottleneck_frac[keep], start, end, network.cell)
    columns = (keep, start, end, at, radius[keep], network.edge_length[keep])
    return [
        {
            "number": number,
            "from": first,
            "to": last,
            "at": middle,
            "radius": size,
            "length": length,
            "text": f"bottleneck {number}: radius {size:.3f} Å, edge {length:.2f} Å",
        }
        for number, first, last, middle, size, length in zip(
            *(rounded(x) if x.ndim > 1 else x.tolist() for x in columns), strict=True
        )
    ]


def _on_edges(
    at: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64], cell: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(E, 3) the images of `at`, which is stored in the home cell, nearest to the segments.

    All images around the middle of a segment are tried: cells may be skewed.
    """
    along = (end - start) @ cell
    size = np.maximum((along**2).sum(axis=1), 1e-12)
    best = at + np.round((start + end) / 2 - at)
    nearest = best
    shortest = np.full(len(at), math.inf)
    for shift in np.ndindex(3, 3, 3):
        candidate = best + np.array(shift) - 1
        offset = (candidate - start) @ cell
        t = np.clip((offset * along).sum(axis=1) / size, 0, 1)
        distance = np.linalg.norm(offset - t[:, None] * along, axis=1)
        better = distance < shortest - 1e-9
        nearest = np.where(better[:, None], candidate, nearest)
        shortest = np.where(better, distance, shortest)
    return nearest


def _zero(grid: Any, barriers: Any) -> float:
    """What every energy of the scene is measured from (eV): the zero of the cheapest path, as the barriers are."""
    if barriers is not None:
        bottoms = barriers.network_minimum if barriers.zero == "network" else [barriers.energy_minimum]
        finite = [float(e) for e in bottoms if math.isfinite(e)]
        if finite:
            return finite[0]
    return float(grid.minimum) if grid is not None else math.nan


def _span(barriers: Any) -> float:
    """Top of the energies' colours (eV): a round number above the cheapest path's barrier."""
    value = float(barriers.values()[0]) if barriers is not None else math.inf
    return next((top for top in (0.25, 0.5, 1.0, 1.5, 2.0) if value <= 0.95 * top), 3.0)


def _grid_data(grid: Any, barriers: Any, zero: float) -> dict[str, Any]:
    """The grid thinned to what a page can carry, as 16-bit codes of the energy above `zero`."""
    import base64

    shape = np.array(grid.values.shape)
    thinned = shape
    if shape.prod() > _GRID_POINTS:
        thinned = np.maximum(4, np.floor(shape * (_GRID_POINTS / shape.prod()) ** (1 / 3))).astype(int)
    values = grid.values
    if not np.array_equal(thinned, shape):
        values = grid.resample(tuple(thinned.tolist()))
    above = np.clip(np.asarray(values, dtype=float) - zero, 0.0, _GRID_CAP)
    level = 1.0
    if barriers is not None:
        finite = [float(e) for e in barriers.levels if math.isfinite(e)]
        if finite:  # just above the pass of the cheapest path, so that its channel is open
            level = min(_SLIDER_TOP * 0.9, finite[0] - zero + 0.05)
    codes = np.round(above / _GRID_CAP * 65535).astype("<u2")
    return {
        "shape": thinned.tolist(),
        "data": base64.b64encode(codes.tobytes()).decode(),
        "cap": _GRID_CAP,
        "top": _SLIDER_TOP,
        "level": round(max(0.05, level), 3),
    }


def paths_of(barriers: Any) -> list[dict[str, Any]]:
    """The percolating paths, one entry a dimension that is reached."""
    paths = []
    for d, path in enumerate((barriers.path_1d, barriers.path_2d, barriers.path_3d), start=1):
        if path is None or not math.isfinite(float(barriers.values()[d - 1])):
            continue
        along = " ".join(str(int(t)) for t in path.translation)
        paths.append(
            {
                "dimensions": d,
                "barrier": round(float(barriers.values()[d - 1]), 5),
                "name": f"{d}D: {float(barriers.values()[d - 1]):.3f} eV along [{along}]",
                "frac": rounded(path.frac),
                "energy": rounded(path.energy),
                "translation": [int(t) for t in path.translation],
            }
        )
    return paths


def _hops(paths: Any) -> list[dict[str, Any]]:
    """One entry a kind of hop, cheapest first, with the way it takes."""
    hops = []
    for row in paths.hop_classes()[:_MAX_HOPS]:
        start, end = row["site_classes"]
        hops.append(
            {
                "name": f"site {start} → {end}",
                "forward": _number(row["barrier_forward_eV"]),
                "backward": _number(row["barrier_backward_eV"]),
                "length": _number(row["length_A"]),
                "radius": _number(row["bottleneck_radius_A"]),
                "multiplicity": row["multiplicity"],
                "dimensions": row["dimensions"],
                "frac": rounded(paths.profile(row["hop"]).frac),
            }
        )
    return hops


#: what a scene may hold; ``hops`` needs the energies and computes them if need be
PARTS = ("network", "energies", "hops", "pattern")


def build_scene(
    source: Any,
    ion: str | None = None,
    *,
    title: str | None = None,
    resolution: float = 0.2,
    convention: str = "spse",
    parts: Iterable[str] = PARTS,
    progress: Callable[[str], None] | None = None,
    relaxed: str | os.PathLike[str] | None = None,
) -> Scene:
    """Computes what there is to show of a structure.

    Args:
        source: path, pymatgen Structure, ASE Atoms or Crystal.
        ion: mobile ion; None takes the default.
        title: name on the picture; None takes the formula.
        resolution: spacing of the energy grid (A).
        convention: of the energies, see `fastin.bvse.field`.
        parts: what is computed, some of `PARTS`.
        progress: called with what begins.
        relaxed: folder of `fastin relax -o` with relaxed barriers of this structure, shown beside the rigid ones.

    Raises:
        InputError: the structure cannot be read, or holds no such ion; an unknown part; relaxed barriers of another
            crystal or ion.
    """
    from fastin.crystal.crystal import as_crystal

    wanted = set(parts)
    if not wanted <= set(PARTS):
        raise InputError(f"parts must be some of {', '.join(PARTS)}, not {', '.join(sorted(wanted))}")
    crystal = as_crystal(source)
    mobile = crystal.resolve_ion(ion)
    notes: list[str] = list(crystal.notes)
    beside = None if relaxed is None else relaxed_data(relaxed, crystal, mobile.symbol)
    results: dict[str, Any] = {"crystal": crystal}
    results |= _compute(crystal, ion, wanted, notes, progress or (lambda stage: None), resolution, convention)
    network, grid, barriers = results.get("network"), results.get("grid"), results.get("barriers")
    warnings = merge_warnings(*(result.warnings for result in results.values() if hasattr(result, "warnings")))
    zero = _zero(grid, barriers)
    ion_text = f"mobile {mobile.symbol}" + (" as a guest" if mobile.guest else "")
    polyhedra = atoms.polyhedra(crystal, None if mobile.guest else mobile.number)
    data: dict[str, Any] = {
        "name": plain(title or crystal.formula),
        "subtitle": f"{crystal.formula}, {crystal.space_group} (no. {crystal.space_group_number}), {ion_text}",
        "ion": mobile.symbol,
        "cell": rounded(crystal.cell),
        "elements": atoms.looks(crystal.number),
        "atoms": atoms.atoms(crystal, None if mobile.guest else mobile.number),
        "polyhedra": polyhedra,
        "show_polyhedra": len(polyhedra) <= _MANY_POLYHEDRA,
        "show_voids": network is not None and len(network.site_radius) <= _MANY_VOIDS,
        "voids": _voids(network, grid, zero) if network is not None else [],
        "edges": _edges(network) if network is not None else [],
        "radius_span": 1.0,
        "energy_span": _span(barriers),
        "ramp": list(ENERGY),
        "series": list(SERIES),
        "grid": _grid_data(grid, barriers, zero) if grid is not None else None,
        "paths": paths_of(barriers) if barriers is not None else [],
        "hops": results.get("hops", []),
        "relaxed": beside,
        "xrd": _pattern(results.get("peaks")),
        "facts": _facts(crystal, network, barriers),
        "method": _method(crystal, results, resolution),
        "warnings": [warning.to_dict() | {"text": str(warning)} for warning in warnings],
        "notes": notes,
    }
    return Scene(data, notes, results)


def _compute(
    crystal: Any,
    ion: str | None,
    wanted: set[str],
    notes: list[str],
    progress: Callable[[str], None],
    resolution: float,
    convention: str,
) -> dict[str, Any]:
    """The results by name; what cannot be computed is missing, and a note says why."""
    from fastin.bvse.barriers import compute_barriers
    from fastin.bvse.grid import compute_bvse
    from fastin.network.network import compute_network
    from fastin.transport.paths import join_network
    from fastin.xrd.pattern import xrd_peaks

    results: dict[str, Any] = {}

    def attempt(name: str, what: str, compute: Callable[[], Any]) -> Any:
        progress(what)
        try:
            results[name] = compute()
        except FastinError as error:
            notes.append(f"No {what}: {error}")
        return results.get(name)

    options: dict[str, Any] = {"resolution": resolution, "convention": convention}
    network = None
    if "network" in wanted:
        network = attempt("network", "network", lambda: compute_network(crystal, ion))
    if wanted & {"energies", "hops"}:
        grid = attempt("grid", "energy landscape", lambda: compute_bvse(crystal, ion, **options))
        if grid is not None:
            barriers = attempt("barriers", "barriers", lambda: compute_barriers(grid, paths=True))
            if barriers is not None:
                notes.extend(note for note in barriers.notes if note not in notes)
            if "hops" in wanted and barriers is not None:
                if "network" not in wanted:
                    network = attempt("voids", "hops", lambda: compute_network(crystal, ion))
                if network is not None:
                    paths = attempt("paths", "hops", lambda: join_network(crystal, network, grid, barriers))
                    if paths is not None:
                        attempt("hops", "hops", lambda: _hops(paths))
    if "pattern" in wanted:
        attempt("peaks", "powder pattern", lambda: xrd_peaks(crystal))
    return results


def _pattern(peaks: Any) -> dict[str, Any] | None:
    if peaks is None or not len(peaks):
        return None
    return {
        "two_theta": rounded(peaks.two_theta),
        "intensity": rounded(peaks.intensity),
        "spacing": rounded(peaks.spacing),
        "hkl": peaks.hkl.tolist(),
        "range": [0, 90],
        "label": f"Cu Kα ({peaks.wavelength:.4f} Å)",
    }


def _method(crystal: Any, results: Mapping[str, Any], resolution: float) -> list[tuple[str, str]]:
    """How the numbers were made: what a caption has to say."""
    import fastin

    lines = [
        ("program", f"fastin {fastin.__version__}"),
        ("source", crystal.source.replace("\\", "/").rpartition("/")[2]),
    ]
    grid, barriers, network = (results.get(name) for name in ("grid", "barriers", "network"))
    if grid is not None:
        points = " × ".join(map(str, grid.shape))
        text = f"bond valence site energy (BVSE), {grid.convention} convention, cut-off {grid.cutoff:g} Å"
        lines.append(("energies", f"{text}, screening {grid.screening:g}"))
        lines.append(("grid", f"{points} points, spacing at most {resolution:g} Å"))
    if barriers is not None:
        zero = {"network": "lowest point of the sites that conduct", "global": "lowest point of the cell"}
        refined = "saddles refined to the continuous energy" if barriers.refined else "levels of the grid"
        lines.append(("barriers", f"zero: {zero[barriers.zero]}; {refined}"))
    if network is not None:
        lines.append(("radii", f"ionic, probe {network.probe_radius:.3f} Å; voids: radical Voronoi diagram"))
    return lines


def _facts(crystal: Any, network: Any, barriers: Any) -> list[tuple[str, str]]:
    lengths = np.linalg.norm(crystal.cell, axis=1)
    facts = [
        ("cell", " × ".join(f"{length:.3f}" for length in lengths) + f" Å, {crystal.volume:.1f} Å³"),
        ("sites", f"{crystal.num_positions}"),
    ]
    if barriers is not None:
        facts += [(f"barrier {d}D", _text_of_barrier(float(barriers.values()[d - 1]))) for d in (1, 2, 3)]
    if network is not None:
        free = ", ".join(f"{axis} {radius:.3f}" for axis, radius in zip("abc", network.free_sphere_radii, strict=True))
        channels = network.channels()
        widest = max((channel.dimensionality for channel in channels), default=0)
        facts += [
            ("free sphere", f"{free} Å"),
            ("largest void", f"{network.largest_sphere_radius:.3f} Å"),
            (
                "network",
                f"{_counted(len(network.site_radius), 'void')}, {_counted(len(network.edge_length), 'bottleneck')}",
            ),
            ("channels", f"{widest}D for a probe of {network.probe_radius:.3f} Å"),
        ]
    return facts


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
