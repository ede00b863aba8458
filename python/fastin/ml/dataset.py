"""From CIF collections to graph data sets with BVSE labels.

A data set is a folder: ``dataset.json`` (version, options, counts, failures) and ``shards/`` (one `GraphStore` and one
record of its inputs each). The version is a hash of every input, option and parameter table, so that two data sets
with the same version hold the same numbers. A build that was interrupted continues with the missing shards.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

import fastin
from fastin.crystal.nearest import NEIGHBOURS
from fastin.errors import FastinError, InputError
from fastin.graph.graph import build_crystal_graph, build_interstitial_graph
from fastin.ml.store import Entry, GraphStore

_SHARD = 200
_MANIFEST = "dataset.json"


@dataclass(frozen=True)
class BuildOptions:
    """What decides the numbers of a data set.

    Attributes:
        ion: mobile ion, or None for the most usual one present.
        resolution: largest spacing of the BVSE grid, angstrom.
        convention: of the BVSE energy.
        refine: polish the critical points of the barriers.
        neighbours: framework atoms that describe each void and bottleneck.
        energies: keep BVSE energies at voids and bottlenecks (additional targets, never inputs).
        crystals: keep the crystal graphs too.
        max_positions: larger structures are left out (and listed).
    """

    ion: str | None = None
    resolution: float = 0.2
    convention: str = "spse"
    refine: bool = True
    neighbours: int = NEIGHBOURS
    energies: bool = True
    crystals: bool = True
    max_positions: int = 2000


@dataclass(frozen=True)
class SourceCif:
    """One input: a unique id and the text of its CIF."""

    id: str
    cif: str


def read_sources(paths: Iterable[Path | str], limit: int = 0) -> Iterator[SourceCif]:
    """CIF texts of files, folders of ``.cif`` and ``.jsonl`` / ``.jsonl.gz`` collections (fields ``id`` and ``cif``).

    Raises:
        InputError: a path that is none of these, or a record without these fields.
    """
    count = 0
    for path in map(Path, paths):
        for item in _read_source(path):
            if limit and count >= limit:
                return
            count += 1
            yield item


def _read_source(path: Path) -> Iterator[SourceCif]:
    if path.is_dir():
        for file in sorted(f for f in path.glob("*.cif") if f.is_file()):
            yield SourceCif(file.stem, file.read_text(encoding="utf-8", errors="replace"))
    elif path.suffixes[-2:] == [".jsonl", ".gz"] or path.suffix == ".jsonl":
        opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                if not line.strip():
                    continue
                try:
                    record = json.loads(line)
                    text = record["cif"]
                    name = str(record["id"])
                except (ValueError, KeyError, TypeError) as error:
                    raise InputError(f"{path}, line {number}: not a record with id and cif ({error})") from None
                if text:
                    yield SourceCif(name, str(text))
    elif path.is_file():
        yield SourceCif(path.stem, path.read_text(encoding="utf-8", errors="replace"))
    else:
        raise InputError(f"{path}: no such file or folder")


def chemical_system(numbers: Iterable[int]) -> str:
    """Elements in alphabetical order, e.g. ``"Fe-Li-O-P"``."""
    from fastin.crystal.element_features import element_table

    symbols = element_table().symbol
    return "-".join(sorted({symbols[int(z)] for z in numbers}))


def make_entry(source: SourceCif, options: BuildOptions) -> Entry:
    """Graphs and labels of one structure.

    Raises:
        FastinError: whatever the network, the landscape or the barriers raise; names the structure.
    """
    from fastin.bvse.barriers import compute_barriers
    from fastin.bvse.grid import compute_bvse
    from fastin.crystal.crystal import Crystal
    from fastin.network.network import compute_network

    crystal = Crystal.from_cif_string(source.cif, source=source.id)
    if crystal.num_positions > options.max_positions:
        raise InputError(f"{source.id}: {crystal.num_positions} positions, more than {options.max_positions}")
    framework = crystal.framework(options.ion)
    network = compute_network(crystal, options.ion, num_threads=1)
    if len(network.site_frac) == 0 or len(network.edge_length) == 0:
        raise InputError(f"{source.id}: the network has no voids or no bottlenecks")
    grid = compute_bvse(
        crystal, options.ion, resolution=options.resolution, convention=options.convention, num_threads=1
    )
    labels: dict[str, float] = {}
    barriers = compute_barriers(grid, refine=options.refine, num_threads=1)
    for zero in ("global", "network"):
        labels |= {f"e{d}d_{zero}": float(e) for d, e in enumerate(barriers.values(zero), 1)}
    energy: dict[str, Any] = {}
    if options.energies and grid.field is not None:
        energy["site_energy"] = grid.field.energy(network.site_frac, num_threads=1)
        energy["edge_energy"] = grid.field.energy(network.edge_bottleneck_frac, num_threads=1)
    graph = build_interstitial_graph(network, framework, neighbours=options.neighbours, num_threads=1, **energy)
    return Entry(
        id=source.id,
        formula=crystal.formula,
        system=chemical_system(crystal.number),
        interstitial=graph,
        crystal=build_crystal_graph(crystal, num_threads=1) if options.crystals else None,
        labels=labels,
    )


@cache
def _tables() -> str:
    """Hash of the tables that come with fastin: radii, bond valence parameters, elements."""
    folder = resources.files("fastin") / "data"
    tables = sorted((f for f in folder.iterdir() if f.name.endswith(".csv")), key=lambda f: f.name)
    return hashlib.sha256(b"".join(f.read_bytes() for f in tables)).hexdigest()


def _digest(sources: Sequence[SourceCif], options: BuildOptions) -> str:
    text = json.dumps(asdict(options) | {"fastin": fastin.__version__, "tables": _tables()}, sort_keys=True)
    return hashlib.sha256((text + "".join(f"\0{s.id}\0{s.cif}" for s in sources)).encode()).hexdigest()


def _build_shard(sources: Sequence[SourceCif], options: BuildOptions, stem: Path) -> dict[str, Any]:
    entries, failures = [], {}
    for source in sources:
        try:
            entries.append(make_entry(source, options))
        except FastinError as error:
            failures[source.id] = f"{type(error).__name__}: {error}"
    if entries:
        GraphStore.from_entries(entries).save(stem.with_suffix(".npz"))
    record = {"digest": _digest(sources, options), "structures": len(entries), "failures": failures}
    stem.with_suffix(".json").write_text(json.dumps(record, indent=0))
    return record


def _finished(stem: Path, digest: str) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads(stem.with_suffix(".json").read_text())
    except (OSError, ValueError):
        return None
    complete = record.get("digest") == digest and (not record["structures"] or stem.with_suffix(".npz").is_file())
    return record if complete else None


def build_dataset(
    sources: Iterable[SourceCif],
    out: Path | str,
    options: BuildOptions | None = None,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Builds or completes a data set.

    Args:
        sources: the structures; ids must be unique.
        out: folder of the data set.
        options: what to compute.
        workers: processes (spawned, one thread each).
        progress: called with (shards done, shards).

    Returns:
        The manifest: version, options, structures, failures by id, label counts.

    Raises:
        InputError: no sources, an id twice, or a folder that holds a data set made with other options.
    """
    options = options or BuildOptions()
    items = list(sources)
    if not items:
        raise InputError("no structures to build a data set from")
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise InputError(f"the id {item.id!r} occurs twice")
        seen.add(item.id)
    folder = Path(out)
    _refuse_other_options(folder, options)
    (folder / "shards").mkdir(parents=True, exist_ok=True)
    parts = [items[i : i + _SHARD] for i in range(0, len(items), _SHARD)]
    stems = [folder / "shards" / f"{k:05d}" for k in range(len(parts))]
    digests = [_digest(part, options) for part in parts]
    records = [_finished(stem, digest) for stem, digest in zip(stems, digests, strict=True)]
    todo = [k for k, record in enumerate(records) if record is None]
    if todo:  # until they are made, the folder must not pass for the data set it was, nor for the new one
        (folder / _MANIFEST).unlink(missing_ok=True)
    done = len(parts) - len(todo)
    if workers > 1 and len(todo) > 1:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            arguments = ([parts[k] for k in todo], [options] * len(todo), [stems[k] for k in todo])
            for k, record in zip(todo, pool.map(_build_shard, *arguments), strict=True):
                records[k] = record
                done += 1
                if progress is not None:
                    progress(done, len(parts))
    else:
        for k in todo:
            records[k] = _build_shard(parts[k], options, stems[k])
            done += 1
            if progress is not None:
                progress(done, len(parts))
    return _write_manifest(folder, options, digests, [r for r in records if r is not None])


def _refuse_other_options(folder: Path, options: BuildOptions) -> None:
    if not (folder / _MANIFEST).is_file():
        return
    then, now = read_manifest(folder).get("options", {}), asdict(options)
    different = [f"{k} {then.get(k)!r}, not {v!r}" for k, v in now.items() if then.get(k) != v]
    if different:
        text = f"{folder}: holds a data set made with {', '.join(different)}"
        raise InputError(f"{text}; choose another folder, or remove this one")


def _write_manifest(
    folder: Path, options: BuildOptions, digests: list[str], records: list[dict[str, Any]]
) -> dict[str, Any]:
    from fastin.ml.labels import label_summary
    from fastin.ml.store import LABELS

    failures: dict[str, str] = {}
    for record in records:
        failures |= record["failures"]
    manifest = {
        "version": hashlib.sha256("".join(digests).encode()).hexdigest()[:16],
        "fastin": fastin.__version__,
        "options": asdict(options),
        "shards": len(records),
        "structures": sum(r["structures"] for r in records),
        "failures": failures,
    }
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1))
    if manifest["structures"]:
        labels = load_dataset(folder).labels
        manifest["labels"] = {name: label_summary(labels[:, k]) for k, name in enumerate(LABELS)}
        (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1))
    return manifest


def read_manifest(folder: Path | str) -> dict[str, Any]:
    """``dataset.json`` of a data set.

    Raises:
        InputError: the folder holds none.
    """
    path = Path(folder) / _MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        raise InputError(f"{folder}: not a data set (no readable {_MANIFEST})") from None
    return manifest


def load_dataset(path: Path | str) -> GraphStore:
    """All graphs of a data set folder, or of one ``.npz`` file.

    Raises:
        InputError: neither of these.
    """
    path = Path(path)
    if path.suffix == ".npz" and path.is_file():
        return GraphStore.load(path)
    manifest = read_manifest(path)
    stems = [path / "shards" / f"{k:05d}.npz" for k in range(manifest["shards"])]
    return GraphStore.concatenate([GraphStore.load(stem) for stem in stems if stem.is_file()])


def find_ids(store: GraphStore, ids: Sequence[str]) -> np.ndarray:
    """Positions of these ids in a store, in the order given; unknown ones are left out."""
    where = {str(name): i for i, name in enumerate(store.ids)}
    return np.array([where[i] for i in ids if i in where], np.int64)
