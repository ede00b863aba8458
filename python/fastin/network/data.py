"""What an interstitial network is: its parts and the facts that follow from them alone."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, Self

import numpy as np

from fastin.crystal.warnings import CrystalWarning
from fastin.errors import InputError
from fastin.network.checks import check_columns, column
from fastin.network.parts import (
    EdgeTable,
    Floats,
    FrameworkSpheres,
    FreeSpheres,
    Ints,
    Longs,
    MobileSites,
    SiteTable,
)
from fastin.runtime.parts import Column, freeze

ClearanceMode = Literal["all", "generators"]


@dataclass(frozen=True, eq=False)
class NetworkData:
    """Voids and bottlenecks in five parts; the columns of the parts are attributes as well, with their prefix.

    Attributes:
        source: what the crystal was read from.
        ion: mobile ion, "Li+".
        guest: the crystal holds none of the ion, all of it is framework.
        cell: (3, 3) lattice vectors in rows, angstrom.
        sites: `SiteTable`.
        edges: `EdgeTable`.
        framework: the spheres.
        cell_volume: (N,) volume of each sphere's power cell, angstrom^3; 0 for a hidden sphere.
        spheres: `FreeSpheres`.
        probe_radius: default probe for `channels`, angstrom.
        mobile: `MobileSites`.
        clearance: "all" (every atom counts) or "generators" (only those that own the vertex or edge).
        notes: what was assumed on the way.
        warnings: reasons to doubt the network (`fastin.crystal.warnings`).
    """

    source: str
    ion: str
    guest: bool
    cell: Floats
    sites: SiteTable
    edges: EdgeTable
    framework: FrameworkSpheres
    cell_volume: Floats
    spheres: FreeSpheres
    probe_radius: float
    mobile: MobileSites
    clearance: ClearanceMode = "all"
    notes: tuple[str, ...] = ()
    warnings: tuple[CrystalWarning, ...] = ()

    site_frac = Column[Floats]("sites", "frac")
    site_radius = Column[Floats]("sites", "radius")
    site_kind = Column[Ints]("sites", "kind")
    site_orbit = Column[Ints]("sites", "orbit")
    edge_index = Column[Longs]("edges", "index")
    edge_image = Column[Ints]("edges", "image")
    edge_length = Column[Floats]("edges", "length")
    edge_bottleneck_frac = Column[Floats]("edges", "bottleneck_frac")
    edge_bottleneck_radius = Column[Floats]("edges", "bottleneck_radius")
    edge_orbit = Column[Ints]("edges", "orbit")
    free_sphere_radii = Column[Floats]("spheres", "free")
    percolation_radii = Column[Floats]("spheres", "percolation")
    included_sphere_radii = Column[Floats]("spheres", "included")
    exact_free_sphere_radii = Column["Floats | None"]("spheres", "exact_free")
    exact_percolation_radii = Column["Floats | None"]("spheres", "exact_percolation")
    mobile_frac = Column[Floats]("mobile", "frac")
    mobile_orbit = Column[Ints]("mobile", "orbit")

    def __post_init__(self) -> None:
        freeze(self)

    @property
    def largest_sphere_radius(self) -> float:
        """Radius of the largest void (angstrom)."""
        return float(self.site_radius.max())

    @property
    def included_sphere_along_free_path(self) -> float:
        """Largest void on the widest path of the easiest axis (angstrom); of axes equally wide, the larger void."""
        widest = self.free_sphere_radii == self.free_sphere_radii.max()
        return float(self.included_sphere_radii[widest].max())

    def edge_vectors(self) -> Floats:
        """(E, 3) Cartesian vectors from site i to the image of site j (angstrom)."""
        i, j = self.edge_index
        step: Floats = (self.site_frac[j] + self.edge_image - self.site_frac[i]) @ self.cell
        return step

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, ready for JSON; `from_dict` gives the same network back."""
        out: dict[str, Any] = {"format": "fastin.InterstitialNetwork", "version": 1}
        for name in _FLAT:
            value = getattr(self, name)
            if isinstance(value, FrameworkSpheres):
                value = {f.name: _plain(getattr(value, f.name)) for f in fields(value) if f.name != "cell"}
            out[name] = _plain(value)
        out["warnings"] = [warning.to_dict() for warning in self.warnings]
        return out

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The network that `to_dict` described.

        Raises:
            InputError: a field is missing or has the wrong length.
        """
        try:
            cell = column(data["cell"], np.float64).reshape(3, 3)
            own = data["framework"]
            n = len(own["radius"])
            framework = FrameworkSpheres(
                cell,
                column(own["frac"], np.float64).reshape(n, 3),
                column(own["radius"], np.float64),
                column(own["number"], np.int32),
                tuple(own["species"]),
                column(own["charge"], np.float64),
                str(own["source"]),
            )
            values: dict[str, Any] = {}
            for name, (dtype, shape) in _ARRAYS.items():
                raw = data[name] if name not in _OPTIONAL else data.get(name)
                values[name] = None if raw is None and name in _OPTIONAL else column(raw, dtype).reshape(shape)
            check_columns({name: value for name, value in values.items() if value is not None})
            return cls.from_columns(
                values,
                framework,
                source=str(data["source"]),
                ion=str(data["ion"]),
                guest=bool(data["guest"]),
                probe_radius=float(data["probe_radius"]),
                clearance=data["clearance"],
                notes=tuple(data.get("notes", ())),
                warnings=tuple(CrystalWarning.from_dict(w) for w in data.get("warnings", ())),
            )
        except (LookupError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise InputError(f"not an interstitial network: {error!r}") from error

    @classmethod
    def from_columns(cls, columns: dict[str, Any], framework: FrameworkSpheres, **facts: Any) -> Self:
        """The network of flat columns, named as the attributes are; `facts` are the fields that are no arrays."""
        return cls(
            cell=columns.get("cell", framework.cell),
            sites=SiteTable(*(columns[f"site_{f.name}"] for f in fields(SiteTable))),
            edges=EdgeTable(*(columns[f"edge_{f.name}"] for f in fields(EdgeTable))),
            framework=framework,
            cell_volume=columns["cell_volume"],
            spheres=FreeSpheres(
                columns["free_sphere_radii"],
                columns["percolation_radii"],
                columns["included_sphere_radii"],
                columns.get("exact_free_sphere_radii"),
                columns.get("exact_percolation_radii"),
            ),
            mobile=MobileSites(columns["mobile_frac"], columns["mobile_orbit"]),
            **facts,
        )


#: Names and order of a network in files.
_FLAT = (
    "source",
    "ion",
    "guest",
    "cell",
    "site_frac",
    "site_radius",
    "site_kind",
    "edge_index",
    "edge_image",
    "edge_length",
    "edge_bottleneck_frac",
    "edge_bottleneck_radius",
    "site_orbit",
    "edge_orbit",
    "framework",
    "cell_volume",
    "free_sphere_radii",
    "percolation_radii",
    "included_sphere_radii",
    "probe_radius",
    "mobile_frac",
    "mobile_orbit",
    "clearance",
    "exact_free_sphere_radii",
    "exact_percolation_radii",
    "notes",
)
#: dtype and shape of the array fields.
_ARRAYS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "cell": (np.float64, (3, 3)),
    "site_frac": (np.float64, (-1, 3)),
    "site_radius": (np.float64, (-1,)),
    "site_kind": (np.int32, (-1,)),
    "edge_index": (np.int64, (2, -1)),
    "edge_image": (np.int32, (-1, 3)),
    "edge_length": (np.float64, (-1,)),
    "edge_bottleneck_frac": (np.float64, (-1, 3)),
    "edge_bottleneck_radius": (np.float64, (-1,)),
    "site_orbit": (np.int32, (-1,)),
    "edge_orbit": (np.int32, (-1,)),
    "cell_volume": (np.float64, (-1,)),
    "free_sphere_radii": (np.float64, (3,)),
    "percolation_radii": (np.float64, (3,)),
    "included_sphere_radii": (np.float64, (3,)),
    "mobile_frac": (np.float64, (-1, 3)),
    "mobile_orbit": (np.int32, (-1,)),
    "exact_free_sphere_radii": (np.float64, (3,)),
    "exact_percolation_radii": (np.float64, (3,)),
}
_OPTIONAL = ("exact_free_sphere_radii", "exact_percolation_radii")


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value
