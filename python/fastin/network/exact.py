"""Exact free spheres: the clearance ``min_i(|x - c_i| - r_i)`` itself, not its values on radical edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fastin.errors import InputError
from fastin.runtime.openmp import _core
from fastin.runtime.threads import resolve_threads

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]


class Spheres(Protocol):
    """Anything with a cell (rows are vectors), fractional centres and radii: a `Framework`, for one."""

    @property
    def cell(self) -> Any:
        """(3, 3), angstrom."""

    @property
    def frac(self) -> Any:
        """(N, 3)."""

    @property
    def radius(self) -> Any:
        """(N,), angstrom."""


@dataclass(frozen=True, eq=False)
class ExactFreeSpheres:
    """Widest paths through a periodic set of spheres, and the bottlenecks and voids that they pass.

    Radii are in angstrom and may be negative where the spheres leave no room.

    Attributes:
        free_sphere_radii: (3,) widest periodic path with a net displacement along a, b, c (the other axes free).
        percolation_radii: (3,) widest path systems that span one, two and three dimensions.
        largest_sphere_radius: the widest void on those paths.
        void_frac: (V, 3) maxima of the clearance that the bottlenecks below lead to.
        void_radius: (V,) the clearance there.
        link: (L, 2) int; the two voids that a bottleneck joins.
        link_image: (L, 3) int; ``void_frac[link[:, 1]] + link_image - void_frac[link[:, 0]]`` is the displacement.
        link_radius: (L,) clearance of the bottleneck.
        bottleneck_frac: (S, 3) bottlenecks that were followed, widest first (down to three dimensions).
        bottleneck_radius: (S,) the clearance there.
    """

    free_sphere_radii: FloatArray
    percolation_radii: FloatArray
    largest_sphere_radius: float
    void_frac: FloatArray
    void_radius: FloatArray
    link: IntArray
    link_image: IntArray
    link_radius: FloatArray
    bottleneck_frac: FloatArray
    bottleneck_radius: FloatArray

    def __repr__(self) -> str:
        a, b, c = self.free_sphere_radii
        return (
            f"ExactFreeSpheres(a={a:.4f}, b={b:.4f}, c={c:.4f} A, {len(self.void_radius)} voids, "
            f"{len(self.bottleneck_radius)} bottlenecks)"
        )


def _arrays(spheres: Spheres) -> tuple[FloatArray, FloatArray, FloatArray]:
    cell = np.ascontiguousarray(spheres.cell, dtype=np.float64)
    frac = np.ascontiguousarray(spheres.frac, dtype=np.float64)
    radius = np.ascontiguousarray(spheres.radius, dtype=np.float64)
    if cell.shape != (3, 3):
        raise InputError(f"cell must have shape (3, 3), not {cell.shape}")
    if frac.ndim != 2 or frac.shape[1] != 3 or radius.shape != frac.shape[:1]:
        raise InputError(f"frac (N, 3) and radius (N,) do not match: {frac.shape} and {radius.shape}")
    return cell, frac, radius


def exact_free_spheres(spheres: Spheres, *, num_threads: int | None = None) -> ExactFreeSpheres:
    """Exact largest free spheres of the clearance ``f(x) = min_i(|x - c_i| - r_i)``.

    The bottlenecks are the points where three or more spheres touch in one plane, with their outward gradients around
    it (the saddles of f that join two sides); each is followed upwards on both sides along a path on which f does not
    fall, and the voids so joined are percolated with their lattice offsets. Every radius returned is the smallest f of
    an explicit path; the edges of the radical (power) diagram, which peers use, need not contain the widest one.

    Args:
        spheres: cell, centres and radii, such as a `Framework`.
        num_threads: threads of the core; the result does not depend on it.

    Returns:
        The radii along the axes and for one to three dimensions, with bottlenecks and voids.

    Raises:
        InputError: no spheres, or arrays that do not match or are not finite.
        GeometryError: a cell of zero volume.
        ConvergenceError: the ascents do not connect the crystal (an internal certificate failed).
        ResourceError: voids so wide that the search would take minutes or gigabytes.
    """
    cell, frac, radius = _arrays(spheres)
    out = _core.exact_free_spheres(cell, frac, radius, resolve_threads(num_threads))
    return ExactFreeSpheres(
        free_sphere_radii=out["axis"],
        percolation_radii=out["rank"],
        largest_sphere_radius=out["largest"],
        void_frac=out["void_frac"],
        void_radius=out["void_radius"],
        link=out["link"],
        link_image=out["link_image"],
        link_radius=out["link_radius"],
        bottleneck_frac=out["saddle_frac"],
        bottleneck_radius=out["saddle_radius"],
    )


def clearance_at(spheres: Spheres, points: npt.ArrayLike, *, num_threads: int | None = None) -> FloatArray:
    """Clearance ``min_i(|x - c_i| - r_i)`` at Cartesian points.

    Args:
        spheres: cell, centres and radii, such as a `Framework`.
        points: (P, 3) Cartesian positions in angstrom, anywhere.
        num_threads: threads of the core.

    Returns:
        (P,) clearances in angstrom.

    Raises:
        InputError: no spheres, or arrays that do not match or are not finite.
    """
    where = np.ascontiguousarray(points, dtype=np.float64)
    if where.ndim != 2 or where.shape[1] != 3 or not np.isfinite(where).all():
        raise InputError(f"points must be finite, of shape (P, 3), not {where.shape}")
    result: FloatArray = _core.clearance_at(*_arrays(spheres), where, resolve_threads(num_threads))
    return result
