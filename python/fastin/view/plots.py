"""What ``result.plot()`` draws (matplotlib): each takes a result and axes (None: a new figure) and returns the axes.

Every plot's title names what it shows, its source and the method.
"""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import fastin
from fastin.errors import FastinError, InputError
from fastin.runtime.figures import axes_for
from fastin.view.drawing import Drawing, build_drawing, frame, images_in, ramp, rgb
from fastin.view.figure import draw_pattern, draw_profile, extent, rotation_of
from fastin.view.palette import ENERGY, SERIES, colours_of
from fastin.view.raster import Camera, render
from fastin.view.scene import build_scene, paths_of

_SOFT = "#4f5d6b"
_CAP = 3.0  # eV above the minimum, where the colours of a slice end


def _title(axes: Any, what: str, source: str, method: str, warnings: Iterable[Any] = ()) -> None:
    """Small lines above the axes: what, of what, how, and the codes of the warnings. Foreign text is no mathematics."""
    file = source.replace("\\", "/").rpartition("/")[2]
    parts = [f"{what}, {file}", *f"{method}; fastin {fastin.__version__}".split("; ")]
    lines = [parts[0]]
    for part in parts[1:]:  # few words a line: axes may be narrow
        joined = f"{lines[-1]}; {part}"
        if len(lines) > 1 and len(joined) <= 44:
            lines[-1] = joined
        else:
            lines.append(part)
    if codes := list(dict.fromkeys(warning.code for warning in warnings)):
        lines.append(f"warnings: {', '.join(codes)}")
    axes.set_title("\n".join(lines), fontsize="small", loc="left", color=_SOFT, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)


def _bvse(convention: str, zero: str) -> str:
    return f"BVSE, {convention + ' convention' if convention else 'given grid'}; zero: {zero}"


def plot_barriers(barriers: Any, ax: Any = None) -> Any:
    """Energy along the percolating paths; paths that coincide are one curve with both names."""
    axes = axes_for(ax)
    data = {"cell": barriers.cell, "paths": paths_of(barriers), "grid": True, "series": SERIES}
    draw_profile(axes, data)
    axes.set_title("")
    if (legend := axes.get_legend()) is not None:
        handles, labels = axes.get_legend_handles_labels()
        legend.remove()
        axes.legend(handles, labels, frameon=False, fontsize="small", loc="best")
    zero = {"network": "lowest point of the sites that conduct", "global": "lowest point of the cell"}[barriers.zero]
    method = _bvse(barriers.convention, zero) + (
        "; saddles refined to the continuous energy" if barriers.refined else ""
    )
    _title(axes, f"{barriers.ion.symbol} paths", barriers.source, method, barriers.warnings)
    return axes


def plot_leg(leg: Any, ax: Any = None, *, label: str | None = None) -> Any:
    """Energy along a `HopProfile` or `TransportPath`."""
    axes = axes_for(ax)
    axes.plot(leg.distance, leg.energy, color=SERIES[0], linewidth=1.8, label=label)
    top = int(np.argmax(leg.energy))
    axes.plot(leg.distance[top], leg.energy[top], "o", color=SERIES[1], markersize=5)
    place = (leg.distance[top], leg.energy[top])
    axes.annotate(f"{leg.energy[top]:.3f} eV", place, (0, 6), textcoords="offset points", ha="center")
    axes.margins(x=0, y=0.14)
    axes.set_xlabel("distance along the path (Å)")
    axes.set_ylabel("BVSE energy (eV)")
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def plot_relaxed(found: Any, ax: Any = None, *, leg: int | None = None) -> Any:
    """Energy along a leg of a `RelaxedHops`, relaxed and of the landscape; default: the leg with the highest barrier.

    Raises:
        InputError: no such leg, or none has a barrier.
    """
    if not found.legs:
        raise InputError(f"{found.source}: no leg has a relaxed barrier")
    number = max(found.legs, key=lambda k: found.legs[k].barrier) if leg is None else leg
    if number not in found.legs:
        raise InputError(f"{found.source}: leg {number} has no relaxed barrier; there are {sorted(found.legs)}")
    axes, chosen = axes_for(ax), found.legs[number]
    axes.plot(chosen.distance, chosen.bvse_profile, color=SERIES[1], linewidth=1.4, linestyle="--", label="BVSE, rigid")
    axes.plot(chosen.distance, chosen.profile, color=SERIES[0], linewidth=1.8, marker="o", label=found.potential)
    axes.margins(x=0.02, y=0.14)
    axes.set_xlabel("distance along the path (Å)")
    axes.set_ylabel("energy above the start (eV)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    flags = f"; {', '.join(chosen.flags)}" if chosen.flags else ""
    title = f"{found.paths.ion.symbol} leg {number}: {chosen.barrier:.3f} eV"
    _title(axes, title, found.source, f"relaxed with {found.potential}{flags}", found.paths.warnings)
    return axes


def plot_transport(paths: Any, ax: Any = None, *, dimensions: int | None = None, hop: int | None = None) -> Any:
    """Energy along the cheapest path in so many dimensions (default: the fewest), its sites marked; or along one hop.

    Raises:
        InputError: both given, no such hop, or no path in so many dimensions below the cutoff.
    """
    if dimensions is not None and hop is not None:
        raise InputError("plot takes dimensions or a hop, not both")
    method = _bvse(paths.barriers.convention, "lowest site")
    if hop is not None:
        profile = paths.profile(hop)
        axes = plot_leg(profile, ax)
        i, j = (int(site) for site in paths.hop_index[:, hop])
        _title(axes, f"{paths.ion.symbol} hop {hop}: site {i} to {j}", paths.source, method, paths.warnings)
        return axes
    wanted = (1, 2, 3) if dimensions is None else (dimensions,)
    path = next((found for d in wanted if (found := paths.path(d)) is not None), None)
    if path is None:
        which = "at all" if dimensions is None else f"in {dimensions} dimensions"
        raise InputError(f"{paths.source}: {paths.ion.symbol} does not percolate {which} below the energy cutoff")
    axes = plot_leg(path, ax)
    at = 0.0
    for k, site in enumerate(path.sites):
        axes.annotate(
            str(site), (at, paths.site_energy[site]), (0, -11), textcoords="offset points", ha="center",
            fontsize="x-small", color=_SOFT,
        )  # fmt: skip
        axes.plot(at, paths.site_energy[site], "o", color=SERIES[0], markersize=3.5)
        if k < len(path.hops):
            at += float(paths.profile(path.hops[k]).distance[-1])
    along = " ".join(map(str, path.translation.tolist()))
    method = f"{method}; barrier of the path {path.barrier:.3f} eV"
    _title(axes, f"{paths.ion.symbol} path, {path.dimensions}D along [{along}]", paths.source, method, paths.warnings)
    return axes


def plot_grid(grid: Any, ax: Any = None, *, axis: str = "c", at: float | None = None, top: float = _CAP) -> Any:
    """A slice through the energies, in angstrom.

    Args:
        grid: an `EnergyGrid`.
        ax: axes, or None.
        axis: "a", "b" or "c": the lattice vector that the slice crosses.
        at: where it crosses, fractional; None takes the lowest point of the grid.
        top: energy above the minimum at which the colours end (eV).

    Raises:
        InputError: another axis, or numbers that are not finite.
    """
    if axis not in ("a", "b", "c"):
        raise InputError(f"axis must be a, b or c, not {axis!r}")
    k = "abc".index(axis)
    where = float(grid.minimum_frac[k]) if at is None else float(at)
    if not (math.isfinite(where) and math.isfinite(top) and top > 0):
        raise InputError(f"at must be finite and top positive, not {at} and {top}")
    axes = axes_for(ax, (4.6, 4.0))
    shape = np.array(grid.shape)
    u, v = (i for i in range(3) if i != k)
    if k == 1:
        u, v = v, u
    fu, fv = np.arange(shape[u] + 1) / shape[u], np.arange(shape[v] + 1) / shape[v]
    frac = np.empty((len(fu), len(fv), 3))
    frac[..., k], frac[..., u], frac[..., v] = where, fu[:, None], fv[None]
    energy = grid.interpolate(frac.reshape(-1, 3)).reshape(frac.shape[:2]) - grid.minimum
    right = grid.cell[u] / np.linalg.norm(grid.cell[u])
    up = grid.cell[v] - (grid.cell[v] @ right) * right
    up /= np.linalg.norm(up)
    plane = (frac[..., [u, v]] @ grid.cell[[u, v]]) @ np.stack([right, up], axis=1)
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("energy", ENERGY)
    x, y = plane[..., 0], plane[..., 1]
    mesh = axes.pcolormesh(x, y, energy, cmap=colours, vmin=0, vmax=top, shading="gouraud", rasterized=True)
    lines = axes.contour(x, y, np.minimum(energy, 2 * top), levels=np.linspace(0, top, 7)[1:], colors="white")
    lines.set_linewidth(0.5)
    axes.figure.colorbar(mesh, ax=axes, extend="max", label="energy above the minimum (eV)")
    axes.set_aspect("equal")
    axes.set_xlabel(f"along {'abc'[u]} (Å)")
    axes.set_ylabel(f"across, in the plane of {'abc'[u]} and {'abc'[v]} (Å)")
    _slice_atoms(axes, grid, (k, u, v), where, np.stack([right, up], axis=1))
    spacing = float((np.linalg.norm(grid.cell, axis=1) / shape).max())
    method = _bvse(grid.convention, "minimum") + f"; spacing {spacing:.2f} Å"
    _title(axes, f"{grid.ion.symbol} energy at {axis} = {where:.3f}", grid.source, method, grid.warnings)
    return axes


def _slice_atoms(axes: Any, grid: Any, order: tuple[int, int, int], where: float, plane: NDArray[np.float64]) -> None:
    """Framework atoms within half an angstrom of the slice."""
    from fastin.crystal import elements

    k, u, v = order
    normal = np.cross(grid.cell[u], grid.cell[v])
    height = abs(float(grid.cell[k] @ normal)) / float(np.linalg.norm(normal))
    colours = colours_of(dict.fromkeys(int(n) for n in grid.atom_number if n > 0))
    for number, frac in zip(grid.atom_number.tolist(), grid.atom_frac, strict=True):
        gap = frac[k] - where
        if number <= 0 or abs(gap - round(gap)) * height > 0.5:
            continue
        for a in (0, 1):
            for b in (0, 1):
                image = np.array([frac[u] % 1 + a, frac[v] % 1 + b])
                if (image > 1.001).any():
                    continue
                x, y = (image @ grid.cell[[u, v]]) @ plane
                axes.plot(x, y, "o", markersize=9, color=colours[number], markeredgecolor="white", markeredgewidth=0.7)
                axes.text(x, y, elements.symbol(number), ha="center", va="center", fontsize="xx-small", color="black")


def _show(axes: Any, drawing: Drawing, cell: Any, view: Any, pixels: int = 900) -> None:
    rotation = rotation_of(np.asarray(cell, dtype=float), view)
    low, high = extent(drawing, rotation)
    width, height = high[0] - low[0], high[1] - low[1]
    scale = pixels / max(width, height)
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    camera = Camera(rotation, (low + high) / 2 @ rotation, scale, *size, 1.1 * (high[2] - low[2]) / 2)
    axes.imshow(render(drawing, camera))
    axes.set_axis_off()


def plot_network(network: Any, ax: Any = None, *, view: Any = None, smallest: float = 0.35) -> Any:
    """Voids (coloured by radius) and bottlenecks between them, with the framework.

    Args:
        network: an `InterstitialNetwork`.
        ax: axes, or None.
        view: "a", "b", "c" or angles, see `fastin.view.figure.rotation_of`.
        smallest: radius (A) below which voids and edges are not drawn.
    """
    from fastin.crystal import elements

    axes = axes_for(ax, (5.2, 4.8))
    drawing = frame(network.cell)
    spheres = network.framework
    colours = colours_of(dict.fromkeys(int(n) for n in spheres.number))
    for number, frac in zip(spheres.number.tolist(), spheres.frac, strict=True):
        for place in images_in(frac) @ network.cell:
            drawing.balls.append((place, 0.3, [(rgb(colours[number]), 1.0)]))
    span = max(float(network.site_radius.max()), smallest + 0.1)
    for frac, radius in zip(network.site_frac, network.site_radius.tolist(), strict=True):
        if radius < smallest:
            continue
        colour = ramp(ENERGY, (radius - smallest) / (span - smallest))
        for place in images_in(frac) @ network.cell:
            drawing.glass.append((place, 0.5 * radius, colour, 0.5))
    for e in np.flatnonzero(network.edge_bottleneck_radius >= smallest):
        i, j = network.edge_index[:, e]
        start = network.site_frac[i]
        step = network.site_frac[j] + network.edge_image[e] - start
        for place in images_in(start):
            drawing.rods.append((place @ network.cell, (place + step) @ network.cell, 0.05, np.full(3, 0.45)))
    _show(axes, drawing, network.cell, view)
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize
    from matplotlib.lines import Line2D

    scale = ScalarMappable(Normalize(smallest, span), LinearSegmentedColormap.from_list("radius", ENERGY))
    axes.figure.colorbar(scale, ax=axes, label="radius of the void (Å)", shrink=0.7)
    marks = [
        Line2D([], [], marker="o", linestyle="", color=colour, label=elements.symbol(number) if number > 0 else "X")
        for number, colour in colours.items()
    ]
    axes.legend(handles=marks, ncols=len(marks), loc="upper center", bbox_to_anchor=(0.5, 0), frameon=False)
    method = f"radical Voronoi diagram, probe {network.probe_radius:.3f} Å; voids and necks above {smallest:g} Å"
    _title(axes, f"voids for {network.ion}", network.source, method, network.warnings)
    return axes


def plot_crystal(crystal: Any, ax: Any = None, *, view: Any = None) -> Any:
    """Atoms, bonds and coordination polyhedra of one cell."""
    axes = axes_for(ax, (4.6, 4.4))
    scene = build_scene(crystal, parts=[])
    shown = ["framework", "mobile", *(["polyhedra"] if scene.data["show_polyhedra"] else [])]
    _show(axes, build_drawing(scene.data, shown), crystal.cell, view)
    from matplotlib.lines import Line2D

    looks = scene.data["elements"].items()
    marks = [Line2D([], [], marker="o", linestyle="", color=look["colour"], label=symbol) for symbol, look in looks]
    axes.legend(handles=marks, ncols=len(marks), loc="upper center", bbox_to_anchor=(0.5, 0), frameon=False)
    group = f"{crystal.space_group} (no. {crystal.space_group_number})"
    _title(axes, crystal.formula, crystal.source, group, crystal.warnings)
    return axes


def plot_peaks(
    peaks: Any,
    ax: Any = None,
    *,
    source: str = "",
    profile: tuple[Any, Any] | None = None,
    two_theta: tuple[float, float] | None = None,
) -> Any:
    """Powder pattern as sticks or as a profile, the strongest peaks with their indices.

    Args:
        peaks: `fastin.xrd.pattern.PowderPeaks`.
        ax: axes, or None.
        source: what the peaks are of, for the title.
        profile: angles (degrees) and intensities drawn instead of sticks.
        two_theta: first and last angle; None fits the peaks.
    """
    axes = axes_for(ax, (7.0, 3.2))
    low, high = (float(peaks.two_theta.min()), float(peaks.two_theta.max())) if len(peaks) else (0.0, 90.0)
    data = {
        "two_theta": peaks.two_theta.tolist(),
        "intensity": peaks.intensity.tolist(),
        "hkl": peaks.hkl.tolist(),
        "range": list(two_theta or (max(0.0, low - 2), min(180.0, high + 2))),
        "label": f"{peaks.wavelength:.4f} Å",
    }
    draw_pattern(axes, {"xrd": data}, profile)
    _title(axes, "powder pattern", source or "computed", "kinematic intensities, Lorentz-polarisation factor")
    return axes


def plot_parity(
    truth: ArrayLike,
    predicted: ArrayLike,
    std: ArrayLike | None = None,
    ax: Any = None,
    *,
    quantity: str = "value",
    unit: str = "",
    title: str = "",
) -> Any:
    """Predicted against given values, with the mean absolute error and R2.

    Args:
        truth: (n,) given values; rows with a NaN in either are left out.
        predicted: (n,).
        std: (n,) uncertainties of the predictions, drawn as bars, or None.
        ax: axes, or None.
        quantity: what it is.
        unit: of both.
        title: of the plot.

    Raises:
        InputError: sizes that differ, or nothing to draw.
    """
    given, found = (np.asarray(v, dtype=float).reshape(-1) for v in (truth, predicted))
    bars = None if std is None else np.asarray(std, dtype=float).reshape(-1)
    if len(given) != len(found) or (bars is not None and len(bars) != len(given)):
        sizes = f"{len(given)} and {len(found)}" + ("" if bars is None else f" with {len(bars)} uncertainties")
        raise InputError(f"given and predicted values must be as many: not {sizes}")
    known = np.isfinite(given) & np.isfinite(found)
    if not known.any():
        raise InputError("no row has both a given and a predicted value")
    axes = axes_for(ax, (4.4, 4.2))
    given, found = given[known], found[known]
    low, high = float(min(given.min(), found.min())), float(max(given.max(), found.max()))
    margin = 0.05 * (high - low) or 0.5
    ends = (low - margin, high + margin)
    axes.plot(ends, ends, color="0.6", linewidth=1)
    if bars is not None:
        axes.errorbar(given, found, bars[known], fmt="none", ecolor=SERIES[0], alpha=0.35, linewidth=0.8)
    axes.plot(given, found, "o", color=SERIES[0], markersize=3.5, alpha=0.7)
    spread = float(((given - given.mean()) ** 2).sum())
    r2 = f"{1 - float(((found - given) ** 2).sum()) / spread:.3f}" if spread > 0 else "undefined"
    text = f"{title + ': ' if title else ''}MAE {np.abs(found - given).mean():.3g} {unit}, R² {r2}, {len(given)} rows"
    axes.set_title(text, fontsize="small", loc="left", color=_SOFT, parse_math=False)
    axes.set_xlim(ends)
    axes.set_ylim(ends)
    axes.set_aspect("equal")
    label = quantity + (f" ({unit})" if unit else "")
    axes.set_xlabel(f"given {label}", parse_math=False)
    axes.set_ylabel(f"predicted {label}", parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def plot_predictor(model: Any, structures: Any, y: Any, ax: Any = None) -> Any:
    """Parity of a fitted `Predictor`'s predictions for labelled structures."""
    mean, std = model.predict(structures, return_std=True)
    if mean.ndim != 1:
        raise InputError("plot draws one label; this model predicts several")
    return plot_parity(y, mean, std if model.members > 1 else None, ax, title=model.model)


def picture(result: Any) -> str:
    """``<img>`` of a result's plot for notebooks; empty where it cannot be drawn (no matplotlib, no path)."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return ""
    figure = Figure(figsize=(4.4, 3.2), dpi=90, layout="constrained")
    stream = io.BytesIO()
    try:
        result.plot(figure.subplots())
        figure.savefig(stream, format="png")
    except FastinError:
        return ""
    code = base64.b64encode(stream.getvalue()).decode()
    alt = html.escape(repr(result), quote=True)
    return f'<img src="data:image/png;base64,{code}" alt="{alt}" style="max-width:420px" />'
