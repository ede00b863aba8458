"""Files and converters of the interstitial network.

| suffix | holds | read back |
|---|---|---|
| ``.json`` | everything, without loss | yes |
| ``.net`` | lattice, voids, connections both ways (text layout of Zeo++ and CAVD) | yes, without the framework |
| ``.graphml`` | voids and connections with their numbers as attributes, the rest as one JSON attribute | yes |
| ``.cif`` | framework, voids and bottlenecks as dummy atoms with their radius | no |
| ``.vasp`` | POSCAR: framework, voids as He, bottlenecks as Ne (CAVD's habit), radius behind each position | no |
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from fastin.errors import InputError, missing_extra
from fastin.network.checks import check_columns, column
from fastin.network.data import NetworkData
from fastin.network.viewers import to_cif, to_vasp, wrapped
from fastin.runtime.files import refuse_special
from fastin.runtime.openmp import _core

if TYPE_CHECKING:
    import networkx
    import pandas


N = TypeVar("N")

_FORMAT = "fastin.InterstitialNetwork"
_VERSION = 1
READABLE = (".json", ".net", ".graphml")
WRITABLE = (".json", ".net", ".cif", ".vasp", ".graphml")


_WHOLE_BOX = 4  # cells

_SITES = "Interstitial table:"
_CONNECTIONS = "Connection table:"

# The tables of a network: name, dtype, shape with S sites and E edges.
_FIELDS: dict[str, tuple[type, str]] = {
    "site_frac": (np.float64, "S3"),
    "site_radius": (np.float64, "S"),
    "site_kind": (np.int32, "S"),
    "site_orbit": (np.int32, "S"),
    "edge_index": (np.int64, "2E"),
    "edge_image": (np.int32, "E3"),
    "edge_length": (np.float64, "E"),
    "edge_bottleneck_frac": (np.float64, "E3"),
    "edge_bottleneck_radius": (np.float64, "E"),
    "edge_orbit": (np.int32, "E"),
}


class NetworkTables(NamedTuple):
    """A network as two pandas tables, one row a site and one row an edge."""

    sites: pandas.DataFrame
    edges: pandas.DataFrame


def _suffix(path: Path, known: tuple[str, ...], verb: str) -> str:
    suffix = path.suffix.lower()
    if suffix not in known:
        hint = ""
        if verb == "read" and suffix in WRITABLE:
            hint = f"; {suffix} files are written for viewers and hold no connections"
        raise InputError(
            f"{path}: cannot {verb} a network as {suffix or 'a file without suffix'!r}; "
            f"the suffixes are {', '.join(known)}{hint}"
        )
    return suffix


def write(network: NetworkData, path: str | PathLike[str]) -> Path:
    """Writes a network in the format of the suffix.

    Args:
        network: what to write.
        path: target; ``.json`` (lossless), ``.net``, ``.cif``, ``.vasp`` or ``.graphml``.

    Returns:
        The path written.

    Raises:
        InputError: another suffix; the message lists the known ones.
    """
    path = Path(path)
    suffix = _suffix(path, WRITABLE, "write")
    if suffix == ".json":
        text = to_json(network)
    elif suffix == ".net":
        text = to_net(network)
    elif suffix == ".cif":
        text = to_cif(network)
    elif suffix == ".vasp":
        text = to_vasp(network)
    else:
        _write_graphml(network, path)
        return path
    path.write_text(text, encoding="utf-8")
    return path


def read(path: str | PathLike[str], build: Callable[[dict[str, Any]], N] = NetworkData.from_dict) -> N:  # type: ignore[assignment]
    """Reads a network written by `write` (``.json``, ``.net`` or ``.graphml``), or a ``.net`` file of Zeo++ or CAVD.

    Args:
        path: the file.
        build: makes the result of the plain fields.

    Raises:
        InputError: no such file, another suffix, or a file that is not of its format; the message names the line.
    """
    path = Path(path)
    suffix = _suffix(path, READABLE, "read")
    refuse_special(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    if suffix == ".json":
        fields = _from_json(text, path)
    elif suffix == ".net":
        fields = _from_net(text, path)
    else:
        fields = _from_graphml(text, path)
    try:
        return build(fields)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


# --- JSON ---------------------------------------------------------------------------------------------------------


def to_json(network: NetworkData) -> str:
    """The whole network as JSON text: the entries of ``to_dict()``, floats with all their digits."""
    return json.dumps(network.to_dict())


def _from_json(text: str, path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error})") from error
    if not isinstance(fields, dict) or fields.get("format") != _FORMAT:
        raise InputError(f"{path}: not a network file of fastin (its format is not {_FORMAT!r})")
    if fields.get("version") != _VERSION:
        raise InputError(f"{path}: network format version {fields.get('version')!r}; this fastin reads {_VERSION}")
    return fields


# --- .net ---------------------------------------------------------------------------------------------------------


def _row(values: npt.ArrayLike) -> str:
    return " ".join(repr(float(v)) for v in np.ravel(np.asarray(values)))


def to_net(network: NetworkData) -> str:
    """CAVD's text: lattice, ``Interstitial table:``, ``Connection table:`` with both directions, full precision.

    Voids: id, symmetry class, position, radius (and a last column 1 for a face centre). Connections: from, to, lattice
    offset, position of the bottleneck seen from the first void, radius, length. Bottlenecks of radius 0 or less, which
    CAVD leaves out, are written.
    """
    lines = [f"fastin network of {network.ion}", ""]
    lines += [f"    {_row(vector)}" for vector in np.asarray(network.cell)]
    lines += ["", _SITES]
    for i, (frac, radius, kind, orbit) in enumerate(
        zip(network.site_frac, network.site_radius, network.site_kind, network.site_orbit, strict=True)
    ):
        lines.append(f"{i}\t{orbit}\t{_row(frac)}\t{float(radius)!r}" + (f"\t{kind}" if kind else ""))
    lines += ["", _CONNECTIONS]
    forward, backward = [], []
    index = np.asarray(network.edge_index)
    necks = _unwrapped_bottlenecks(network)
    for e in range(index.shape[1]):
        i, j = int(index[0, e]), int(index[1, e])
        image = np.asarray(network.edge_image[e], dtype=np.int64)
        where = necks[e]
        tail = f"{float(network.edge_bottleneck_radius[e])!r}\t{float(network.edge_length[e])!r}"
        offset = " ".join(str(int(v)) for v in image)
        back = " ".join(str(-int(v)) for v in image)
        forward.append(f"{i}\t{j}\t{offset}\t{_row(where)}\t{tail}")
        backward.append(f"{j}\t{i}\t{back}\t{_row(where - image)}\t{tail}")
    return "\n".join([*lines, *forward, *backward]) + "\n"


def _unwrapped_bottlenecks(network: NetworkData) -> npt.NDArray[np.float64]:
    """(E, 3) the image of each bottleneck that lies on its edge, with the first void in the home cell."""
    i, j = network.edge_index
    start = np.asarray(network.site_frac)[i]
    vector = np.asarray(network.site_frac)[j] + network.edge_image - start
    neck = np.asarray(network.edge_bottleneck_frac, dtype=np.float64)
    cell = np.asarray(network.cell)
    length2 = np.maximum(((vector @ cell) ** 2).sum(axis=1), np.finfo(float).tiny)
    best, best_miss = neck.copy(), np.full(len(neck), np.inf)
    near = np.round(start + 0.5 * vector - neck)
    for shift in _shifts(vector):
        candidate = neck + near + shift
        along = (((candidate - start) @ cell) * (vector @ cell)).sum(axis=1) / length2
        off = (candidate - start - np.clip(along, 0.0, 1.0)[:, None] * vector) @ cell
        miss = (off**2).sum(axis=1)
        closer = miss < best_miss - 1e-12
        best[closer], best_miss[closer] = candidate[closer], miss[closer]
    return best


def _shifts(vector: npt.NDArray[np.float64]) -> Iterator[npt.NDArray[Any]]:
    """Lattice offsets to try around the middle of each edge: all in its box, or, of a long one, those along it."""
    reach = int(np.ceil(0.5 * np.abs(vector).max(initial=0.0))) + 1
    if reach <= _WHOLE_BOX:
        yield from map(np.asarray, itertools.product(range(-reach, reach + 1), repeat=3))
        return
    for t in np.linspace(-0.5, 0.5, 4 * reach + 1):
        for shift in itertools.product((-1, 0, 1), repeat=3):
            yield np.round(t * vector) + shift


def _numbers(line: str, counts: tuple[int, ...], path: Path, number: int) -> list[float]:
    words = line.split()
    try:
        values = [float(w) for w in words]
    except ValueError as error:
        raise InputError(f"{path}, line {number}: {error}") from error
    if len(values) not in counts or not np.isfinite(values).all():
        raise InputError(f"{path}, line {number}: expected {' or '.join(map(str, counts))} finite numbers")
    return values


def _from_net(text: str, path: Path) -> dict[str, Any]:
    cell: list[list[float]] = []
    sites: list[list[float]] = []
    edges: list[list[float]] = []
    section = "cell"
    title = ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line:
            continue
        if line.lower() == _SITES.lower():
            section = "sites"
        elif line.lower() in (_CONNECTIONS.lower(), "channel table:"):
            section = "edges"
        elif section == "cell":
            if number == 1:
                title = line
            else:
                cell.append(_numbers(line, (3,), path, number))
        elif section == "sites":
            sites.append(_numbers(line, (6, 7), path, number))
        else:
            edges.append(_numbers(line, (10,), path, number))
    if len(cell) != 3 or section == "cell":
        raise InputError(f"{path}: not a .net file (a lattice of three lines and {_SITES!r} are needed)")
    return _fields_of_net(title, cell, sites, edges, path)


def _fields_of_net(
    title: str, cell: list[list[float]], sites: list[list[float]], edges: list[list[float]], path: Path
) -> dict[str, Any]:
    ids = {int(row[0]): n for n, row in enumerate(sites)}
    rows: list[tuple[int, int, tuple[int, int, int], list[float], float, float]] = []
    for row in edges:
        if int(row[0]) not in ids or int(row[1]) not in ids:
            raise InputError(f"{path}: the connection {int(row[0])} -> {int(row[1])} names a void that is not listed")
        image = (int(row[2]), int(row[3]), int(row[4]))
        rows.append((ids[int(row[0])], ids[int(row[1])], image, row[5:8], row[8], row[9]))
    # Each undirected edge once: i < j, or a self-loop with the lexicographically positive offset.
    once = [r for r in rows if (r[0] < r[1]) or (r[0] == r[1] and r[2] > (0, 0, 0))]
    if 2 * len(once) != len(rows):
        raise InputError(f"{path}: {len(rows)} connections are not {len(once)} pairs of both directions")
    once.sort(key=lambda r: (r[0], r[1], r[2]))
    ion = re.match(r"fastin network of (\S+)", title)
    try:
        tables = _tables(
            site_frac=[row[2:5] for row in sites],
            site_radius=[row[5] for row in sites],
            site_kind=[int(row[6]) if len(row) == 7 else 0 for row in sites],
            site_orbit=[row[1] for row in sites],
            edge_index=np.array([[r[0] for r in once], [r[1] for r in once]], dtype=np.int64),
            edge_image=[r[2] for r in once],
            edge_length=[r[5] for r in once],
            edge_bottleneck_frac=wrapped([r[3] for r in once]),
            edge_bottleneck_radius=[r[4] for r in once],
        )
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{path}: {error}") from error
    return _without_framework(ion.group(1) if ion else "X", cell, path, tables)


def _tables(**arrays: Any) -> dict[str, Any]:
    """The site and edge tables in their types; edges without symmetry classes are each their own."""
    sites, edges = len(arrays["site_radius"]), len(arrays["edge_length"])
    arrays.setdefault("edge_orbit", np.arange(edges))
    sizes = {"S": (sites,), "S3": (sites, 3), "E": (edges,), "E3": (edges, 3), "2E": (2, edges)}
    return {name: column(arrays[name], t).reshape(sizes[shape]) for name, (t, shape) in _FIELDS.items()}


def _without_framework(ion: str, cell: Any, path: Path, tables: dict[str, Any]) -> dict[str, Any]:
    """All fields of a network of which only the tables are known; the free spheres follow from them."""
    try:
        check_columns({"cell": np.asarray(cell, dtype=np.float64), **tables})
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    free = _core.free_spheres(
        tables["site_radius"], tables["edge_index"], tables["edge_image"], tables["edge_bottleneck_radius"]
    )
    empty: list[Any] = []
    return tables | {
        "source": str(path),
        "ion": ion,
        "guest": False,
        "cell": cell,
        "framework": dict.fromkeys(("frac", "radius", "number", "species", "charge"), empty) | {"source": str(path)},
        "cell_volume": empty,
        "free_sphere_radii": free["axis"],
        "percolation_radii": free["rank"],
        "included_sphere_radii": free["included"],
        "probe_radius": float("nan"),
        "mobile_frac": empty,
        "mobile_orbit": empty,
        "clearance": "all",
        "notes": (f"read from {path.name}, which holds no framework and no probe radius",),
    }


# --- networkx, GraphML, pandas ------------------------------------------------------------------------------------


def to_networkx(network: NetworkData) -> networkx.MultiGraph:
    """The network as an undirected ``networkx.MultiGraph``, one node a void and one edge a bottleneck.

    Nodes carry ``frac``, ``radius``, ``kind`` and ``orbit``; edges ``source``, ``target`` (an undirected graph forgets
    which end came first), ``image``, ``length``, ``bottleneck_frac``, ``bottleneck_radius`` and ``orbit``; the graph
    ``cell`` and ``ion``. Tuples and plain numbers only.
    """
    try:
        import networkx
    except ImportError as error:
        raise missing_extra("networkx", "test") from error
    graph = networkx.MultiGraph(ion=str(network.ion), cell=tuple(tuple(map(float, row)) for row in network.cell))
    for i in range(len(network.site_radius)):
        graph.add_node(
            i,
            frac=tuple(float(v) for v in network.site_frac[i]),
            radius=float(network.site_radius[i]),
            kind=int(network.site_kind[i]),
            orbit=int(network.site_orbit[i]),
        )
    for e in range(len(network.edge_length)):
        i, j = (int(v) for v in network.edge_index[:, e])
        graph.add_edge(
            i,
            j,
            key=e,
            source=i,
            target=j,
            image=tuple(int(v) for v in network.edge_image[e]),
            length=float(network.edge_length[e]),
            bottleneck_frac=tuple(float(v) for v in network.edge_bottleneck_frac[e]),
            bottleneck_radius=float(network.edge_bottleneck_radius[e]),
            orbit=int(network.edge_orbit[e]),
        )
    return graph


def _write_graphml(network: NetworkData, path: Path) -> None:
    import networkx

    graph = to_networkx(network)
    rest = {k: v for k, v in network.to_dict().items() if k not in _FIELDS}
    flat = networkx.MultiGraph(fastin=json.dumps(rest))
    for node, data in graph.nodes(data=True):
        flat.add_node(node, **_flatten(data))
    for i, j, key, data in graph.edges(keys=True, data=True):
        flat.add_edge(i, j, key=key, **_flatten(data))
    networkx.write_graphml(flat, str(path), named_key_ids=True)


def _flatten(data: dict[str, Any]) -> dict[str, Any]:
    """GraphML holds scalars only: ``frac`` becomes ``frac_a``, ``frac_b``, ``frac_c``."""
    out: dict[str, Any] = {}
    for name, value in data.items():
        if isinstance(value, tuple):
            out |= {f"{name}_{axis}": v for axis, v in zip("abc", value, strict=True)}
        else:
            out[name] = value
    return out


def _from_graphml(text: str, path: Path) -> dict[str, Any]:
    import xml.etree.ElementTree as ElementTree

    import networkx

    try:
        graph = networkx.parse_graphml(text, node_type=int, force_multigraph=True)
        nodes = [graph.nodes[i] for i in range(graph.number_of_nodes())]
        edges = sorted((d for _, _, d in graph.edges(data=True)), key=_edge_key)
        rest: dict[str, Any] = json.loads(graph.graph["fastin"])
        if not isinstance(rest, dict):
            raise ValueError("the attribute 'fastin' holds no facts")
        return rest | _tables(
            site_frac=[_triple(d, "frac") for d in nodes],
            site_radius=[d["radius"] for d in nodes],
            site_kind=[d["kind"] for d in nodes],
            site_orbit=[d["orbit"] for d in nodes],
            edge_index=np.array([[d["source"] for d in edges], [d["target"] for d in edges]], dtype=np.int64),
            edge_image=[_triple(d, "image") for d in edges],
            edge_length=[d["length"] for d in edges],
            edge_bottleneck_frac=[_triple(d, "bottleneck_frac") for d in edges],
            edge_bottleneck_radius=[d["bottleneck_radius"] for d in edges],
            edge_orbit=[d["orbit"] for d in edges],
        )
    except (
        *(LookupError, ValueError, TypeError, OverflowError, AttributeError, RecursionError),
        *(ElementTree.ParseError, networkx.NetworkXException),
    ) as error:
        raise InputError(f"{path}: not a network in GraphML as fastin writes it ({error!r})") from error


def _triple(data: dict[str, Any], name: str) -> list[Any]:
    return [data[f"{name}_{axis}"] for axis in "abc"]


def _edge_key(data: dict[str, Any]) -> tuple[Any, ...]:
    return (data["source"], data["target"], *_triple(data, "image"))


def to_dataframe(network: NetworkData) -> NetworkTables:
    """The network as two pandas tables, ``sites`` and ``edges``; lengths and radii in angstrom."""
    try:
        import pandas
    except ImportError as error:
        raise missing_extra("pandas", "test") from error
    site_frac = np.asarray(network.site_frac).reshape(-1, 3)
    sites = pandas.DataFrame(
        {
            "frac_a": site_frac[:, 0],
            "frac_b": site_frac[:, 1],
            "frac_c": site_frac[:, 2],
            "radius": np.asarray(network.site_radius),
            "kind": np.asarray(network.site_kind),
            "orbit": np.asarray(network.site_orbit),
        }
    ).rename_axis("site")
    index = np.asarray(network.edge_index)
    image = np.asarray(network.edge_image).reshape(-1, 3)
    neck = np.asarray(network.edge_bottleneck_frac).reshape(-1, 3)
    edges = pandas.DataFrame(
        {
            "site_i": index[0],
            "site_j": index[1],
            **{f"image_{axis}": image[:, k] for k, axis in enumerate("abc")},
            "length": np.asarray(network.edge_length),
            "bottleneck_radius": np.asarray(network.edge_bottleneck_radius),
            **{f"bottleneck_{axis}": neck[:, k] for k, axis in enumerate("abc")},
            "orbit": np.asarray(network.edge_orbit),
        }
    ).rename_axis("edge")
    return NetworkTables(sites, edges)
