"""A scene as balls, rods and triangles in space: what the page draws, for pictures without a browser."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.view.isosurface import isosurface

Floats = NDArray[np.float64]

_EDGE = (0.42, 0.47, 0.53)
_SURFACE = (0.23, 0.59, 0.95)
_SURFACE_OPACITY = 0.5
_UNKNOWN = "#7aa7d9"  # voids where no energies were computed
_POLYHEDRON_OPACITY = 0.3
_BOUNDARY = 0.011  # fractional; what lies this near to the block's boundary is drawn on both sides


@dataclass
class Drawing:
    """Primitives in angstrom.

    Attributes:
        balls: (centre, radius, colours) of solid balls; colours are (rgb, share) sectors.
        glass: (centre, radius, rgb, opacity) of translucent balls.
        rods: (start, end, radius, rgb).
        meshes: (corners (T, 3, 3), normals (T, 3, 3), rgb, opacity).
        corners: (8, 3) of the block.
    """

    balls: list[tuple[Floats, float, list[tuple[Floats, float]]]] = field(default_factory=list)
    glass: list[tuple[Floats, float, Floats, float]] = field(default_factory=list)
    rods: list[tuple[Floats, Floats, float, Floats]] = field(default_factory=list)
    meshes: list[tuple[Floats, Floats, Floats, float]] = field(default_factory=list)
    corners: Floats = field(default_factory=lambda: np.zeros((8, 3)))


def rgb(text: str) -> Floats:
    """#rrggbb as three numbers in [0, 1]."""
    return np.array([int(text[k : k + 2], 16) / 255 for k in (1, 3, 5)])


def ramp(stops: Sequence[str], t: float) -> Floats:
    """Colour at `t` in [0, 1] between equidistant stops."""
    list_of = [rgb(stop) for stop in stops]
    x = min(max(t, 0.0), 1.0) * (len(list_of) - 1)
    k = min(int(x), len(list_of) - 2)
    mixed: Floats = list_of[k] + (x - k) * (list_of[k + 1] - list_of[k])
    return mixed


def block_of(data: dict[str, Any]) -> tuple[int, int, int]:
    """Cells shown along each axis: needle-shaped cells are doubled along their short axes."""
    lengths = np.linalg.norm(np.array(data["cell"]), axis=1)
    doubled = (lengths < 0.4 * lengths.max()) & (len(data["atoms"]) <= 60)
    a, b, c = (2 if double else 1 for double in doubled.tolist())
    return a, b, c


def images_in(frac: Iterable[float], block: Iterable[int] = (1, 1, 1), margin: float = _BOUNDARY) -> Floats:
    """(n, 3) images of a fractional position inside a block of cells, its boundary included."""
    at, end = np.array(list(frac), dtype=float), np.array(list(block))
    low, high = np.ceil(-margin - at).astype(int), np.floor(end + margin - at).astype(int)
    ranges = [range(a, b + 1) for a, b in zip(low.tolist(), high.tolist(), strict=True)]
    shifted: Floats = np.array(list(itertools.product(*ranges)), dtype=float).reshape(-1, 3) + at
    return shifted


def frame(cell: Any, block: Iterable[int] = (1, 1, 1)) -> Drawing:
    """A drawing with the edges of the cells."""
    vectors, end = np.asarray(cell, dtype=float), np.array(list(block))
    out = Drawing(corners=np.array(list(itertools.product((0, 1), repeat=3))) * end @ vectors)
    for corner in itertools.product(*(range(n + 1) for n in end.tolist())):
        for k in range(3):
            last = list(corner)
            last[k] += 1
            if last[k] <= end[k]:
                out.rods.append((np.array(corner) @ vectors, np.array(last) @ vectors, 0.035, np.array(_EDGE)))
    return out


class _Builder:
    def __init__(self, data: dict[str, Any], repeat: tuple[int, int, int]) -> None:
        self.data = data
        self.repeat = np.array(repeat)
        self.cell = np.array(data["cell"], dtype=float)
        self.out = frame(self.cell, repeat)

    def images(self, frac: Iterable[float], margin: float = _BOUNDARY) -> Floats:
        return images_in(frac, self.repeat, margin)

    def look(self, symbol: str) -> dict[str, Any]:
        found: dict[str, Any] = self.data["elements"].get(symbol, {"colour": "#b0b0b0", "radius": 0.5})
        return found

    def atoms(self, framework: bool, mobile: bool, polyhedra: bool) -> None:
        bonded: list[tuple[Floats, float, float, Floats]] = []  # place, charge, bond length, colour
        for atom in self.data["atoms"]:
            if not (mobile if atom["mobile"] else framework):
                continue
            look, occupancy = self.look(atom["symbol"]), min(1.0, atom["occupancy"])
            radius = look["radius"] * (0.8 if atom["mobile"] else 1.0) * (0.55 + 0.45 * occupancy)
            sectors = [(rgb(self.look(symbol)["colour"]), share) for symbol, share in atom["shares"]]
            for place in self.images(atom["frac"]) @ self.cell:
                if atom["mobile"] and occupancy < 0.99:
                    self.out.glass.append((place, radius, sectors[0][0], 0.35 + 0.6 * occupancy))
                else:
                    self.out.balls.append((place, radius, sectors))
                if not atom["mobile"]:
                    bonded.append((place, atom["charge"], atom["bond"], rgb(look["colour"])))
        if framework:
            if polyhedra:
                self._outer_anions(bonded)
                self._polyhedra()
            self._bonds(bonded)

    def _outer_anions(self, bonded: list[tuple[Floats, float, float, Floats]]) -> None:
        """Corners of polyhedra whose centre is shown, where they lie outside the block."""
        placed = {tuple(np.round(4 * place).astype(int)) for place, *_ in bonded}
        for polyhedron in self.data["polyhedra"]:
            for image in self.images(polyhedron["centre"]):
                shift = image - np.array(polyhedron["centre"])
                for point, symbol in zip(polyhedron["points"], polyhedron["symbols"], strict=True):
                    place = (np.array(point) + shift) @ self.cell
                    key = tuple(np.round(4 * place).astype(int))
                    if key in placed:
                        continue
                    placed.add(key)
                    look = self.look(symbol)
                    colour = rgb(look["colour"])
                    self.out.balls.append((place, look["radius"], [(colour, 1.0)]))
                    bonded.append((place, -1.0, 0.0, colour))

    def _bonds(self, bonded: list[tuple[Floats, float, float, Floats]]) -> None:
        anions = [entry for entry in bonded if entry[1] < 0]
        if not anions:
            return
        places = np.array([place for place, *_ in anions])
        for place, charge, bond, colour in bonded:
            if charge <= 0:
                continue
            distance = np.linalg.norm(places - place, axis=1)
            for k in np.flatnonzero((distance < 1.12 * bond) & (distance > 0.3)):
                middle = (place + places[k]) / 2
                self.out.rods.append((place, middle, 0.1, colour))
                self.out.rods.append((middle, places[k], 0.1, anions[k][3]))

    def _polyhedra(self) -> None:
        groups: dict[str, list[Floats]] = {}
        for polyhedron in self.data["polyhedra"]:
            points, faces = np.array(polyhedron["points"]), np.array(polyhedron["faces"])
            for image in self.images(polyhedron["centre"]):
                corners = (points + image - np.array(polyhedron["centre"])) @ self.cell
                groups.setdefault(polyhedron["symbol"], []).append(corners[faces])
        for symbol, parts in groups.items():
            triangles = np.concatenate(parts)
            normals = np.repeat(_normals(triangles)[:, None], 3, axis=1)
            self.out.meshes.append((triangles, normals, rgb(self.look(symbol)["colour"]), _POLYHEDRON_OPACITY))

    def voids(self) -> None:
        for void in self.data["voids"]:
            energy = void["energy"]
            if energy is not None and energy > self.data["energy_span"]:
                continue  # above the cheapest path
            colour = rgb(_UNKNOWN) if energy is None else ramp(self.data["ramp"], energy / self.data["energy_span"])
            radius = max(0.08, min(0.5 * void["radius"], 1.1))
            for place in self.images(void["frac"]) @ self.cell:
                self.out.glass.append((place, radius, colour, 0.5))

    def path(self) -> None:
        """Every piece of the cheapest path where it falls in the block: the path is periodic."""
        path = self.data["paths"][0]
        points = np.array(path["frac"])
        for a, b, energy in zip(points[:-1], points[1:], path["energy"], strict=False):
            middle = (a + b) / 2
            colour = ramp(self.data["ramp"], energy / self.data["energy_span"])
            for image in self.images(middle, 0.0):
                start, end = (a + image - middle) @ self.cell, (b + image - middle) @ self.cell
                self.out.rods.append((start, end, 0.17, colour))
                self.out.balls += [(start, 0.17, [(colour, 1.0)]), (end, 0.17, [(colour, 1.0)])]

    def surface(self, values: Floats, level: float) -> None:
        found = isosurface(values, level, tuple(self.repeat.tolist()))
        if not len(found.triangles):
            return
        triangles = (found.frac @ self.cell)[found.triangles]
        flat = _normals(triangles, unit=False)
        smooth = np.zeros_like(found.frac)
        for k in range(3):  # area-weighted
            np.add.at(smooth, found.triangles[~found.cap, k], flat[~found.cap])
        normals = smooth[found.triangles]
        normals[found.cap] = flat[found.cap][:, None]
        length = np.linalg.norm(normals, axis=2, keepdims=True)
        self.out.meshes.append((triangles, normals / np.maximum(length, 1e-12), np.array(_SURFACE), _SURFACE_OPACITY))


def _normals(triangles: Floats, unit: bool = True) -> Floats:
    normal: Floats = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12) if unit else normal


def grid_values(data: dict[str, Any]) -> Floats:
    """(na, nb, nc) energies above the scene's zero (eV), as the page decodes them."""
    import base64

    grid = data["grid"]
    codes = np.frombuffer(base64.b64decode(grid["data"]), dtype="<u2").astype(float)
    values: Floats = (codes / 65535 * grid["cap"]).reshape(grid["shape"])
    return values


def build_drawing(data: dict[str, Any], show: Iterable[str], level: float | None = None) -> Drawing:
    """The primitives of a scene.

    Args:
        data: of a `Scene`.
        show: some of framework, mobile, polyhedra, voids, path, surface.
        level: of the isosurface (eV); None takes the scene's own.
    """
    shown = set(show)
    builder = _Builder(data, block_of(data))
    builder.atoms("framework" in shown, "mobile" in shown, "polyhedra" in shown)
    if "voids" in shown:
        builder.voids()
    if "path" in shown and data["paths"]:
        builder.path()
    if "surface" in shown and data["grid"] is not None:
        builder.surface(grid_values(data), data["grid"]["level"] if level is None else level)
    return builder.out
