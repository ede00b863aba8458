"""DFT migration barriers of single hops: features of one jump, and the model fitted to published NEB runs.

A hop is a straight jump of the mobile ion from one position to another. Its surroundings are searched, not its line:
energies and clearances are computed on a fine grid in a tube around the line, and the way with the lowest maximum
(energy) or the largest minimum (clearance) inside the tube is found exactly on that grid. So a coarse or straight start
path does no harm, and other routes through the crystal do not count. The other mobile ions are no part of the bond
valence energy; their distances to the way are features of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastin.crystal.warnings import CrystalWarning, merge_warnings
from fastin.errors import FastinError, InputError

if TYPE_CHECKING:
    from fastin.crystal.crystal import Crystal
    from fastin.crystal.ions import MobileIon
    from fastin.ml.forest import Forest
    from fastin.relax.potentials import Potential

FloatArray = NDArray[np.float64]

_SPACING = 0.2  # A between the points of the tube
_WIDTH = 1.8  # A: half width of the tube
_BEYOND = 0.8  # A by which the tube reaches over both ends
_SETTLE = 0.8  # A within which the ion may settle around an end
_AT_PLACE = 1.0  # A within which an end of a hop holds an ion or a void
_HIGHEST = 30.0  # eV: energies above count as this
_REACH = 8.0  # A: distances beyond count as this
_IMAGES = 3  # between the ends of a relaxed hop, as in the hops that the stack was fitted to
#: Smallest distance (A) of the straight line of a hop from the atoms that stay, for hops that are trained on.
SOUND_CONTACT = 1.2


@dataclass(frozen=True)
class HopPrediction:
    """Expected DFT (NEB) barrier of one hop.

    Attributes:
        source: the structure.
        ion: the mobile ion, e.g. ``"Li+"``.
        barrier: eV; `barrier_std` is half the width of its 68 % interval. With a potential for which constants ship
            (CHGNet) and no flag that doubts it, the relaxed barrier counts in it.
        low_68, high_68, low_90, high_90: eV; the intervals, not below 0; published barriers of hosts that were left out
            of the training fell into them as often.
        bvse_barrier: eV; the bond valence barrier of the same hop (``spse``), lowest way in a tube around the line;
            NaN without parameters.
        length: distance between the ends (A).
        model: what the model is.
        warnings: reasons to doubt the crystal, and why the hop may lie outside the training set.
        potential: that the hop was relaxed with; empty for none.
        relaxed_barrier, relaxed_barrier_backward: eV, every atom relaxed with it; NaN without one.
        relaxed_flags: what casts doubt on them (`fastin.relax.flags`).
        barrier_without: eV; of the model that does not see the relaxed barrier; `barrier` itself where that does not
            count.
    """

    source: str
    ion: str
    barrier: float
    barrier_std: float
    bvse_barrier: float
    length: float
    model: str
    warnings: tuple[CrystalWarning, ...] = ()
    low_68: float = math.nan
    high_68: float = math.nan
    low_90: float = math.nan
    high_90: float = math.nan
    potential: str = ""
    relaxed_barrier: float = math.nan
    relaxed_barrier_backward: float = math.nan
    relaxed_flags: tuple[str, ...] = ()
    barrier_without: float = math.nan


class Tube:
    """Cartesian points on a grid around the line of a hop.

    Attributes:
        points: (a, b, c, 3) angstrom; the first axis runs along the line.
        start, end: (3,) ends of the line.
        ends: two boolean masks (a, b, c): where the ion may settle around each end.
        length: of the line, angstrom.
    """

    def __init__(self, start: FloatArray, end: FloatArray) -> None:
        self.start, self.end = start, end
        line = end - start
        self.length = float(np.linalg.norm(line))
        if self.length < 0.1:
            raise InputError(f"the two ends of a hop must lie apart, not {self.length:.3f} A")
        along = line / self.length
        side = np.eye(3)[np.argmin(np.abs(along))]
        side = np.cross(along, side) / np.linalg.norm(np.cross(along, side))
        other = np.cross(along, side)
        count = max(2, math.ceil((self.length + 2 * _BEYOND) / _SPACING))
        u = np.linspace(-_BEYOND, self.length + _BEYOND, count + 1)
        w = np.linspace(-_WIDTH, _WIDTH, 2 * round(_WIDTH / _SPACING) + 1)
        self.points = (
            start + u[:, None, None, None] * along + w[None, :, None, None] * side + w[None, None, :, None] * other
        )
        self.ends = tuple(np.linalg.norm(self.points - x, axis=-1) <= _SETTLE for x in (start, end))

    def lowest_way(self, height: FloatArray) -> tuple[int, int, int]:
        """Flat indices of the two settled ends and of the highest point of the way with the lowest maximum.

        Args:
            height: (a, b, c) values; the way takes steps between the 26 neighbours of a point.
        """
        from scipy.ndimage import label

        flat = height.ravel()
        ends = [int(np.flatnonzero(mask.ravel())[np.argmin(flat[mask.ravel()])]) for mask in self.ends]
        order = np.argsort(flat, kind="stable")
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        ranks = rank.reshape(height.shape)
        low, high = int(max(rank[ends[0]], rank[ends[1]])), len(order) - 1
        while low < high:
            middle = (low + high) // 2
            parts, _ = label(ranks <= middle, np.ones((3, 3, 3)))
            joined = parts.ravel()[ends[0]] == parts.ravel()[ends[1]]
            low, high = (low, middle) if joined else (middle + 1, high)
        return ends[0], ends[1], int(order[low])


def hop_features(
    crystal: Crystal, ion: str | MobileIon, start: ArrayLike, end: ArrayLike, *, landscape: bool = True
) -> dict[str, float]:
    """Features of one hop.

    Args:
        crystal: with the mobile ions in the positions that stay filled; the moving ion may be among them, at `start`
            or `end`: mobile ions within 1 A of either end do not count as neighbours.
        ion: the mobile ion.
        start: (3,) fractional position, not wrapped.
        end: (3,) fractional position, not wrapped: the difference is the jump.
        landscape: add the percolation barriers of the crystal (a grid of the whole cell).

    Returns:
        Name -> value with its unit in the name; NaN where it cannot be computed (no bond valence parameters).

    Raises:
        InputError: the ends are less than 0.1 A apart.
    """
    mobile = crystal.resolve_ion(ion)
    ends = np.array([start, end], np.float64)
    tube = Tube(*(ends @ crystal.cell))
    found = {"hop_length_A": tube.length, **_ion_facts(mobile), **_surroundings(crystal, mobile, tube)}
    for convention in ("spse", "bvlain"):
        found.update(_energies(crystal, mobile, tube, convention))
    if landscape:
        found.update(_landscape(crystal, mobile))
    return found


def _ion_facts(ion: MobileIon) -> dict[str, float]:
    from fastin.crystal.element_features import element_table
    from fastin.crystal.radii import ionic_radius

    table = element_table()
    return {
        "ion_charge_e": float(ion.charge),
        "ion_number": float(ion.number),
        "ion_radius_A": ionic_radius(ion.number, ion.charge, 6).value,
        "ion_softness": float(table.softness[ion.number]),
        "ion_electronegativity": float(table.electronegativity[ion.number]),
    }


def _energies(crystal: Crystal, ion: MobileIon, tube: Tube, convention: str) -> dict[str, float]:
    """Barrier of the tube and of the line, difference of the ends (eV)."""
    from fastin.bvse.field import build_field

    names = ("barrier", "barrier_from_first", "ends_difference", "line_barrier")
    try:
        field = build_field(crystal, ion, convention=convention)
    except FastinError:
        return {f"hop_{convention}_{name}_eV": math.nan for name in names}
    shape = tube.points.shape[:3]
    frac = tube.points.reshape(-1, 3) @ np.linalg.inv(crystal.cell)
    energy = np.minimum(field.energy(np.ascontiguousarray(frac), num_threads=1), 1000.0).reshape(shape)
    first, last, top = tube.lowest_way(energy)
    flat = energy.ravel()
    centre = shape[1] // 2
    line = energy[:, centre, centre]
    inner = line[round(_BEYOND / _SPACING) : len(line) - round(_BEYOND / _SPACING)]
    values = (
        flat[top] - min(flat[first], flat[last]),
        flat[top] - flat[first],
        abs(flat[last] - flat[first]),
        inner.max() - min(inner[0], inner[-1]),
    )
    return {f"hop_{convention}_{n}_eV": float(min(v, _HIGHEST)) for n, v in zip(names, values, strict=True)}


def _surroundings(crystal: Crystal, ion: MobileIon, tube: Tube) -> dict[str, float]:
    """Clearance, coordination and distances at the ends and at the narrowest point of the widest way."""
    from fastin.network.exact import clearance_at

    shape = tube.points.shape[:3]
    points = np.ascontiguousarray(tube.points.reshape(-1, 3))
    found: dict[str, float] = {}
    try:
        framework = crystal.framework(ion)
    except FastinError:
        return found
    clearance = clearance_at(framework, points, num_threads=1).reshape(shape)
    first, last, narrow = tube.lowest_way(-clearance)
    flat = clearance.ravel()
    found["hop_bottleneck_radius_A"] = float(flat[narrow])
    found["hop_end_radius_A"] = float(max(flat[first], flat[last]))
    found["hop_narrower_end_radius_A"] = float(min(flat[first], flat[last]))
    found["hop_bottleneck_over_ion_radius"] = float(flat[narrow]) / max(framework.mobile_radius, 0.1)
    mobile = crystal.number == ion.number
    counter = crystal.charge * ion.charge < 0
    like = ~mobile & (crystal.charge * ion.charge > 0)
    places = {
        "start": tube.start,
        "middle": 0.5 * (tube.start + tube.end),
        "end": tube.end,
        "bottleneck": points[narrow],
    }
    staying = mobile & (
        _nearest(crystal, np.ones(len(mobile), bool), np.array([tube.start, tube.end])).min(axis=0) > 1.0
    )
    for name, place in places.items():
        to_counter, to_like, to_mobile = (_nearest(crystal, mask, place[None])[0] for mask in (counter, like, staying))
        nearest = float(to_counter.min(initial=_REACH))
        found[f"hop_{name}_anion_distance_A"] = nearest
        found[f"hop_{name}_coordination"] = float((to_counter < nearest + 0.6).sum())
        found[f"hop_{name}_cation_distance_A"] = float(to_like.min(initial=_REACH))
        found[f"hop_{name}_mobile_distance_A"] = float(to_mobile.min(initial=_REACH))
        charges = crystal.charge[like]
        found[f"hop_{name}_cation_charge_e"] = float(charges[np.argmin(to_like)]) if len(charges) else 0.0
    for key in ("anion_distance_A", "coordination", "cation_distance_A", "mobile_distance_A"):
        values = sorted((found.pop(f"hop_start_{key}"), found.pop(f"hop_end_{key}")))
        found[f"hop_ends_low_{key}"], found[f"hop_ends_high_{key}"] = values
    return found


def _nearest(crystal: Crystal, mask: NDArray[Any], places: FloatArray) -> FloatArray:
    """(P, n) distance of every place to the nearest image of each chosen row, at most `_REACH`."""
    frac = crystal.frac[mask]
    if len(frac) == 0:
        return np.empty((len(places), 0))
    inverse = np.linalg.inv(crystal.cell)
    delta = frac[None] - (places @ inverse)[:, None]
    delta -= np.round(delta)
    shifts = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    vectors = (delta[:, :, None, :] + shifts) @ crystal.cell
    return np.asarray(np.minimum(np.linalg.norm(vectors, axis=-1).min(axis=-1), _REACH))


def _landscape(crystal: Crystal, ion: MobileIon) -> dict[str, float]:
    from fastin.bvse.barriers import compute_barriers

    names = [f"crystal_barrier_{d}d_network_eV" for d in (1, 2, 3)]
    try:
        barriers = compute_barriers(crystal, ion.symbol, resolution=0.3, num_threads=1)
    except FastinError:
        return dict.fromkeys(names, math.nan)
    return dict(zip(names, np.minimum(barriers.values("network"), _HIGHEST).tolist(), strict=True))


def hop_row(crystal: Crystal, ion: str | MobileIon, start: ArrayLike, end: ArrayLike) -> dict[str, float]:
    """Inputs of the model: `hop_features` and the features of the composition. No landscape of the whole crystal."""
    from fastin.ml.composition import composition_features
    from fastin.ml.conductivity import amounts_of

    mobile = crystal.resolve_ion(ion)
    amounts: Mapping[str, float] = {mobile.element: 0.0, **amounts_of(crystal)}
    return {
        **composition_features(amounts, mobile.element),
        **hop_features(crystal, mobile, start, end, landscape=False),
    }


def nearest_image(cell: FloatArray, start: FloatArray, end: FloatArray) -> FloatArray:
    """The image of `end` nearest to `start` (fractional); `end` itself where that is the start."""
    gap = end - start
    near = np.stack(np.meshgrid(*[(-1, 0, 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    images = gap - np.round(gap) + near
    lengths = np.linalg.norm(images @ cell, axis=1)
    if lengths.min() < 0.1:
        return end
    image: FloatArray = start + images[lengths.argmin()]
    return image


def straight_contact(crystal: Crystal, ion: str | MobileIon, start: ArrayLike, end: ArrayLike) -> tuple[float, str]:
    """Smallest distance of the straight line of a hop from the atoms that stay.

    Args:
        crystal: as for `hop_features`.
        ion: the mobile ion.
        start: (3,) fractional.
        end: (3,) fractional.

    Returns:
        Distance in angstrom (8 where no atom is nearer) and the element there, "" without. Mobile ions within 1 A of
        either end are the moving one and do not count.
    """
    from fastin.crystal.elements import symbol

    mobile = crystal.resolve_ion(ion)
    ends = np.array([start, end], np.float64)
    first, last = ends @ crystal.cell
    at_ends = _nearest(crystal, np.ones(len(crystal.number), bool), np.array([first, last])).min(axis=0) < _AT_PLACE
    moving = (crystal.number == mobile.number) & at_ends
    rows = np.flatnonzero(~moving)
    if not len(rows):
        return _REACH, ""
    count = max(2, math.ceil(float(np.linalg.norm(last - first)) / 0.05))
    points = first + np.linspace(0.0, 1.0, count + 1)[:, None] * (last - first)
    distance = _nearest(crystal, ~moving, points).min(axis=0)
    k = int(distance.argmin())
    return float(distance[k]), symbol(int(crystal.number[rows[k]])) if distance[k] < _REACH else ""


def _refuse_nowhere(crystal: Crystal, ion: MobileIon, start: FloatArray, end: FloatArray) -> None:
    """Refuses ends where neither an ion nor a void is.

    Raises:
        InputError: names the end and what is nearest.
    """
    from fastin.network.network import compute_network

    network = compute_network(crystal, ion.symbol if ion.guest else ion.element, num_threads=1)
    voids = network.site_frac[network.site_radius >= network.probe_radius]
    like = (
        crystal.charge * ion.charge > 0 if ion.guest else crystal.number == ion.number
    )  # a guest may take their place
    places = np.concatenate([crystal.frac[like], voids])
    for name, x in (("start", start), ("end", end)):
        gap = x - places
        near = np.stack(np.meshgrid(*[(-1, 0, 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
        distance = np.linalg.norm((gap - np.round(gap) + near) @ crystal.cell, axis=-1).min(initial=math.inf)
        if distance > _AT_PLACE:
            raise InputError(
                f"{crystal.source}: the {name} ({', '.join(f'{v:.4f}' for v in x)}) of the hop holds neither "
                f"{ion.symbol} nor a void for it: the nearest is {distance:.2f} A away"
            )


def predict_hop(
    source: Any,
    start: ArrayLike,
    end: ArrayLike,
    ion: str | None = None,
    *,
    calculator: Any = None,
    supercell: float = 8.0,
) -> HopPrediction:
    """The barrier that a DFT-NEB run would be expected to give for one hop.

    Trained on published runs of Li, Na, K, Rb, Mg, Ca, Zn and Al ions (R. Devi et al., npj Comput. Mater. 2026,
    10.1038/s41524-026-01972-8); errors are in ``data/models/README.md``.

    Args:
        source: path, pymatgen Structure, ASE Atoms or `Crystal`; with the ions that stay in place during the hop.
        start: (3,) fractional position where the ion starts.
        end: (3,) fractional position where it ends: its image nearest to the start; where that is the start itself, as
            given.
        ion: mobile ion; default: the most usual one present.
        calculator: relaxes the hop too (`fastin.relax.single.relax_hop`, three images): a name, an ASE calculator or a
            function that makes one. CHGNet's barrier counts in the prediction (`fastin.ml.hop_stack`); each potential
            errs its own way, so that of another one stands beside.
        supercell: for that, smallest distance (angstrom) between images of the moving ion.

    Raises:
        InputError: unknown ion, ends less than 0.1 A apart, or an end with neither an ion nor a void within 1 A.

    Examples:
        >>> import fastin
        >>> from fastin.ml.migration import predict_hop
        >>> hop = predict_hop(fastin.examples()["LiFePO4"], (0, 0, 0), (0, 0.5, 0))
        >>> 0.1 < hop.barrier < 0.8
        True
    """
    from fastin.crystal.crystal import as_crystal
    from fastin.ml.conductivity import load_forest
    from fastin.ml.hop_stack import shipped_stack
    from fastin.relax.potentials import load_potential

    crystal = as_crystal(source)
    mobile = crystal.resolve_ion(ion)
    forest = load_forest("neb_barrier", "hop")
    start, end = np.array(start, np.float64), np.array(end, np.float64)
    end = nearest_image(crystal.cell, start, end)
    _refuse_nowhere(crystal, mobile, start, end)
    row = hop_row(crystal, mobile, start, end)
    inputs = forest.row(row)
    mean, std = forest.predict(inputs)
    without = float(mean[0])
    two = forest.card["uncertainty"].get("two", 2.0)
    model = f"{forest.card.get('model', 'trees')} on {forest.card.get('features', 'hop')}"
    warnings = _hop_doubts(crystal, mobile, start, end, forest)
    relaxed: dict[str, Any] = {}
    if calculator is not None:
        potential = load_potential(calculator)
        relaxed = _relaxed(crystal, mobile, start, end, potential, supercell)
        stack = None if potential.spec is None else shipped_stack(potential.spec)
        if stack is not None and stack.counts(relaxed["relaxed_flags"]):
            mean, std = stack.predict(forest, inputs, np.array([relaxed["relaxed_barrier"]]))
            two = stack.card["uncertainty"]["two"]
            model += f", with the relaxed barrier of {stack.potential}"
    barrier, one = float(mean[0]), float(std[0])
    return HopPrediction(
        source=crystal.source,
        ion=mobile.symbol,
        barrier=barrier,
        barrier_std=one,
        bvse_barrier=row["hop_spse_barrier_eV"],
        length=row["hop_length_A"],
        model=model,
        warnings=merge_warnings(
            crystal.warnings, mobile.warnings, (CrystalWarning("outside-training", text) for text in warnings)
        ),
        low_68=max(barrier - one, 0.0),
        high_68=barrier + one,
        low_90=max(barrier - two * one, 0.0),
        high_90=barrier + two * one,
        barrier_without=without,
        **relaxed,
    )


def _relaxed(
    crystal: Crystal, ion: MobileIon, start: FloatArray, end: FloatArray, potential: Potential, supercell: float
) -> dict[str, Any]:
    """What a potential says of the hop, as fields of `HopPrediction`."""
    from fastin.relax.single import relax_hop

    leg = relax_hop(crystal, potential, start, end, ion, images=_IMAGES, supercell=supercell)
    return {
        "potential": potential.name,
        "relaxed_barrier": leg.barrier,
        "relaxed_barrier_backward": leg.barrier_backward,
        "relaxed_flags": leg.flags,
    }


def _hop_doubts(crystal: Crystal, ion: MobileIon, start: FloatArray, end: FloatArray, forest: Forest) -> list[str]:
    """Why a hop lies outside what the model was fitted to."""
    from fastin.ml.conductivity import amounts_of

    warnings = []
    unseen = set(amounts_of(crystal)) - set(forest.card.get("elements", amounts_of(crystal)))
    if unseen:
        warnings.append(f"the training set holds no {', '.join(sorted(unseen))}")
    ions = forest.card.get("ions", [ion.element])
    if ion.element not in ions:
        warnings.append(f"trained on hops of {', '.join(ions)}, not of {ion.element}")
    low, high = forest.card.get("hop_length_A", (0.0, math.inf))
    length = float(np.linalg.norm((end - start) @ crystal.cell))
    if not low <= length <= high:
        warnings.append(f"the hop is {length:.2f} A long; those of the training set {low:.2f} to {high:.2f}")
    nearest, element = straight_contact(crystal, ion, start, end)
    if nearest < forest.card.get("contact_A", 0.0):
        warnings.append(
            f"the straight line between the ends passes {nearest:.2f} A from {element}: no such hop was trained on; "
            "split it at the sites that it passes"
        )
    return warnings
