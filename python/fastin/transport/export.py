"""Files of a transport network for other programs; see `write`.

=========== ======================== =================================================================================
what        name                     content
=========== ======================== =================================================================================
``legs``    ``*.csv``                inequivalent ways between places of the ion: barriers, hops, lengths, multiplicity
``profile`` ``*.csv`` (say so)       energy along the cheapest path in 1, 2 and 3 dimensions, point by point
``sites``   ``*.extxyz``, ``*.xyz``  one frame: the framework and the sites (species X) with energy and class, for ASE
``json``    ``*.json``               sites, hops, legs and paths
``kmcpy``   a folder                 input of kMCpy (`fastin.transport.kmcpy`)
=========== ======================== =================================================================================
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fastin.crystal.elements import symbol
from fastin.errors import InputError
from fastin.transport.chain_hops import default_mechanism
from fastin.transport.kmcpy import write_kmcpy
from fastin.transport.parts import FloatArray, Hops, Positions, Sites

if TYPE_CHECKING:
    from fastin.crystal.crystal import Crystal
    from fastin.crystal.ions import MobileIon
    from fastin.transport.lattice_gas import LatticeGas
    from fastin.transport.legs import Leg
    from fastin.transport.profiles import TransportPath

KINDS = ("legs", "profile", "sites", "json", "kmcpy")
_BY_SUFFIX = {".csv": "legs", ".extxyz": "sites", ".xyz": "sites", ".json": "json", "": "kmcpy"}
_LEG_COLUMNS = (
    *("mechanism", "from", "to", "barrier_eV", "barrier_backward_eV", "saddle_energy_eV", "length_A", "multiplicity"),
    *("opens", "hops", "sites", "image", "positions"),
)
_PROFILE_COLUMNS = ("dimensions", "distance_A", "energy_eV", "frac_a", "frac_b", "frac_c", "x_A", "y_A", "z_A")


class _Network(Protocol):
    """What the files take of a transport network."""

    @property
    def source(self) -> str: ...
    @property
    def ion(self) -> MobileIon: ...
    @property
    def cell(self) -> FloatArray: ...
    @property
    def sites(self) -> Sites: ...
    @property
    def hops(self) -> Hops: ...
    @property
    def positions(self) -> Positions: ...
    @property
    def crystal(self) -> Crystal: ...
    def legs(self, mechanism: str = "vacancy") -> tuple[Leg, ...]: ...
    def path(self, dimensions: int) -> TransportPath | None: ...
    def lattice_gas(self) -> LatticeGas: ...
    def to_dict(self) -> dict[str, Any]: ...


def write(
    paths: Any,
    path: str | Path,
    *,
    what: str | None = None,
    mechanism: str | None = None,
    temperature: float = 300.0,
    supercell: Sequence[int] | None = None,
) -> list[Path]:
    """Writes a transport network for another program; the module's table has the kinds.

    Args:
        paths: the transport network.
        path: file, or folder for ``kmcpy``.
        what: kind of the file; None takes it from the name.
        mechanism: of the legs; None takes vacancy, or interstitial for a guest.
        temperature: of the kMCpy run, K.
        supercell: of the kMCpy run; None for the automatic one.

    Returns:
        The files.

    Raises:
        InputError: an unknown kind, no path for a profile, or what kMCpy cannot take.
    """
    target = Path(path)
    kind = what or _BY_SUFFIX.get(target.suffix.lower(), "")
    if kind not in KINDS:
        raise InputError(f"{target}: a transport network is written as {', '.join(KINDS)}; name one with what=")
    if kind == "kmcpy":
        gas = paths.lattice_gas()
        name = Path(paths.source).stem or "fastin"
        element = paths.ion.element
        return write_kmcpy(gas, target, source=name, element=element, temperature=temperature, supercell=supercell)
    if kind == "legs":
        text = _legs(paths.legs(default_mechanism(paths, mechanism)))
    elif kind == "profile":
        text = _profiles(paths)
    elif kind == "sites":
        text = _sites(paths)
    else:
        row = paths.to_dict()
        row["legs"] = [leg.to_dict() for leg in paths.legs(default_mechanism(paths, mechanism))]
        text = json.dumps(_plain(row), indent=2, allow_nan=False) + "\n"
    target.write_text(text, encoding="utf-8")
    return [target]


def _plain(value: Any) -> Any:
    """Plain JSON types; numbers that JSON lacks become null."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()


def _words(values: Sequence[Any]) -> str:
    return " ".join(map(str, values))


def _legs(legs: Sequence[Leg]) -> str:
    rows = [
        [
            *(leg.mechanism, leg.places[0], leg.places[-1]),
            *(f"{v:.6f}" for v in (leg.barrier, leg.barrier_backward, leg.energy, leg.length)),
            leg.multiplicity,
            _words([f"{d}D" for d in leg.opens]),
            # a hop walked from its second to its first site is marked with a minus
            _words([str(h) if forward else f"-{h}" for h, forward in leg.steps]),
            *(_words(leg.sites), _words(leg.image), _words(leg.positions)),
        ]
        for leg in legs
    ]
    return _table(_LEG_COLUMNS, rows)


def _fixed(value: float, digits: int) -> str:
    """A number to so many digits, never a negative zero: no energy lies below the lowest site."""
    return f"{round(float(value), digits) + 0.0:.{digits}f}"


def _profiles(paths: _Network) -> str:
    rows: list[list[Any]] = []
    for dimensions in (1, 2, 3):
        path = paths.path(dimensions)
        if path is None:
            continue
        places = path.frac @ paths.cell
        before = ""  # a descent may end on its site to within the printed digits
        for s, e, frac, x in zip(path.distance, path.energy, path.frac, places, strict=True):
            at = _fixed(s, 6)
            if at != before:
                rows.append([dimensions, at, _fixed(e, 6), *(_fixed(v, 8) for v in (*frac, *x))])
            before = at
    if not rows:
        raise InputError(f"{paths.source}: no path percolates below the cutoff; raise energy_cutoff")
    return _table(_PROFILE_COLUMNS, rows)


def _sites(paths: _Network) -> str:
    """Extended XYZ: framework rows with their occupancies, then the sites as dummy atoms."""
    crystal = paths.crystal
    cell = " ".join(f"{v:.10f}" for v in paths.cell.ravel())
    columns = "species:S:1:pos:R:3:occupancy:R:1:site_energy:R:1:site_class:I:1"
    lines = []
    for z, x, occupancy in zip(crystal.number, crystal.frac @ paths.cell, crystal.occupancy, strict=True):
        if int(z) != paths.ion.number:
            lines.append(f"{symbol(int(z))} {x[0]:.8f} {x[1]:.8f} {x[2]:.8f} {occupancy:.6f} nan -1")
    for k, x in enumerate((paths.sites.frac % 1.0) @ paths.cell):
        held, energy, orbit = paths.sites.occupancy[k], paths.sites.energy[k], paths.sites.orbit[k]
        lines.append(f"X {x[0]:.8f} {x[1]:.8f} {x[2]:.8f} {held:.6f} {energy:.6f} {orbit}")
    return (
        f'{len(lines)}\nLattice="{cell}" Properties={columns} ion={paths.ion.element} pbc="T T T"\n'
        + "\n".join(lines)
        + "\n"
    )
