"""From CIF collections to graph data sets with BVSE labels.

A data set is a folder: ``dataset.json`` (version, options, counts, failures) and ``shards/`` (one `GraphStore` and one
record of its inputs each). The version is a hash of every input, option and parameter table and of `_LAYOUT`, which
rises when oxidation states, labels or energies change, so that two data sets with the same version hold the same
numbers. A build that was interrupted continues with the missing shards.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import fastin
from fastin.crystal.elements import species_name
from fastin.crystal.ions import IonName
from fastin.crystal.mobile import ion_name
from fastin.crystal.nearest import NEIGHBOURS
from fastin.crystal.warnings import SEVERE_CODES, CrystalWarning, codes_of, merge_warnings
from fastin.errors import FastinError, InputError, MissingParameterError
from fastin.graph.graph import InterstitialGraph, build_crystal_graph, build_interstitial_graph
from fastin.ml.landmarks import network_energies
from fastin.ml.store import Entry, GraphStore
from fastin.runtime.files import refuse_special, write_text
from fastin.runtime.isolate import TIME_LIMIT, Failure, isolate

if TYPE_CHECKING:
    from fastin.crystal.crystal import Crystal

_SHARD = 200
_MOST_SHARDS = 10**6
_LOST = ("TimeoutError", "WorkerDied", "MemoryError", "ResourceError")
_MANIFEST = "dataset.json"
_LAYOUT = 5  # of arrays, states, labels, energies (tests/ml/test_dataset.py); shards of another are made again


@dataclass(frozen=True)
class BuildOptions:
    """What decides the numbers of a data set.

    Attributes:
        ion: mobile ion, or None for the most usual one present.
        resolution: largest spacing of the BVSE grid, angstrom.
        convention: of the BVSE energy.
        refine: polish the critical points of the barriers.
        neighbours: framework atoms that describe each void and bottleneck.
        energies: keep BVSE energies at and beside voids and bottlenecks (`fastin.ml.landmarks`; inputs).
        crystals: keep the crystal graphs too.
        max_positions: larger structures are left out (and listed).
        severe: keep structures with severe warnings (`fastin.crystal.warnings`): probably not the crystal that was
            meant; else they are left out (and listed).
    """

    ion: IonName | None = None
    resolution: float = 0.2
    convention: str = "spse"
    refine: bool = True
    neighbours: int = NEIGHBOURS
    energies: bool = True
    crystals: bool = True
    max_positions: int = 2000
    severe: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "ion", ion_name(self.ion))


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
        try:
            files = sorted(f for f in path.iterdir() if f.suffix == ".cif" and f.is_file())
        except OSError as error:
            raise InputError(f"{path}: the folder cannot be listed ({error.strerror or error})") from None
        for file in files:
            yield SourceCif(file.stem, _text(file))
    elif path.suffixes[-2:] == [".jsonl", ".gz"] or path.suffix == ".jsonl":
        refuse_special(path)
        opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
        try:
            with opener(path, "rt", encoding="utf-8") as stream:
                yield from _records(path, stream)
        except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
            raise InputError(f"{path}: cannot be read ({error})") from None
    elif path.is_file():
        yield SourceCif(path.stem, _text(path))
    else:
        refuse_special(path)
        raise InputError(f"{path}: no such file or folder")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None


def _records(path: Path, stream: Iterable[str]) -> Iterator[SourceCif]:
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            text = record["cif"]
            name = str(record["id"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(f"{path}, line {number}: not a record with id and cif ({error})") from None
        if text:
            yield SourceCif(name, str(text))


def chemical_system(numbers: Iterable[int]) -> str:
    """Elements in alphabetical order, e.g. ``"Fe-Li-O-P"``."""
    from fastin.crystal.element_features import element_table

    symbols = element_table().symbol
    return "-".join(sorted({symbols[int(z)] for z in numbers}))


def make_entry(source: SourceCif, options: BuildOptions) -> Entry:
    """Graphs and labels of one structure.

    Raises:
        FastinError: whatever the network, the landscape or the barriers raise, severe warnings, or other species on
            positions of the mobile ion; names the structure.
    """
    from fastin.bvse.barriers import compute_barriers
    from fastin.bvse.grid import compute_bvse
    from fastin.crystal.crystal import Crystal
    from fastin.network.network import compute_network

    crystal = Crystal.from_cif_string(source.cif, source=source.id)
    if crystal.num_positions > options.max_positions:
        raise InputError(f"{source.id}: {crystal.num_positions} positions, more than {options.max_positions}")
    framework = crystal.framework(options.ion)
    _refuse_severe(source.id, framework.warnings, options)
    for warning in _shared_sites(crystal, options.ion):  # labels leave these species out, graphs hold them
        raise InputError(f"{source.id}: {warning.message}")
    network = compute_network(crystal, options.ion, num_threads=1)
    if len(network.site_frac) == 0 or len(network.edge_length) == 0:
        raise InputError(f"{source.id}: the network has no voids or no bottlenecks")
    grid = compute_bvse(
        crystal, options.ion, resolution=options.resolution, convention=options.convention, num_threads=1
    )
    _refuse_severe(source.id, grid.warnings, options)
    labels: dict[str, float] = {}
    barriers = compute_barriers(grid, refine=options.refine, num_threads=1)
    for zero in ("global", "network"):
        labels |= {f"e{d}d_{zero}": float(e) for d, e in enumerate(barriers.values(zero), 1)}
    graph = build_interstitial_graph(network, framework, neighbours=options.neighbours, num_threads=1)
    energies = network_energies(crystal, options.ion, network, graph, num_threads=1) if options.energies else None
    return Entry(
        id=source.id,
        formula=crystal.formula,
        system=chemical_system(crystal.number),
        interstitial=graph,
        crystal=build_crystal_graph(crystal, num_threads=1) if options.crystals else None,
        labels=labels,
        energies=energies,
    )


def _refuse_severe(name: str, warnings: Iterable[CrystalWarning], options: BuildOptions) -> None:
    codes = [] if options.severe else [code for code in codes_of(warnings) if code in SEVERE_CODES]
    if codes:
        raise InputError(f"{name}: severe warnings ({', '.join(codes)}), no labels to learn from")


def graphs_of(
    source: Any,
    ion: IonName | None = None,
    *,
    name: str | None = None,
    crystals: bool = True,
    num_threads: int | None = None,
) -> Entry:
    """Interstitial and crystal graph of one structure, without labels.

    Args:
        source: path, pymatgen Structure, ASE Atoms, `Crystal`, or an `InterstitialGraph` (then there is no crystal).
        ion: mobile ion.
        name: id of the entry; default: the source's own description.
        crystals: build the crystal graph too.
        num_threads: None takes the default of `set_num_threads`.
    """
    if isinstance(source, InterstitialGraph):
        return Entry(name or source.source, "", chemical_system(source.atom_number), source)
    from fastin.crystal.crystal import as_crystal
    from fastin.network.network import compute_network

    crystal = as_crystal(source)
    network = compute_network(crystal, ion, num_threads=num_threads)
    if len(network.site_frac) == 0 or len(network.edge_length) == 0:
        raise InputError(f"{crystal.source}: the network has no voids or no bottlenecks")
    graph = build_interstitial_graph(network, crystal.framework(ion), num_threads=num_threads)
    shared = _shared_sites(crystal, ion)
    try:
        energies = network_energies(crystal, ion, network, graph, num_threads=num_threads)
    except MissingParameterError:
        energies = None
    return Entry(
        id=name or crystal.source,
        formula=crystal.formula,
        system=chemical_system(crystal.number),
        interstitial=replace(graph, warnings=merge_warnings(graph.warnings, shared)) if shared else graph,
        crystal=build_crystal_graph(crystal, num_threads=num_threads) if crystals else None,
        energies=energies,
    )


def _shared_sites(crystal: Crystal, ion: IonName | None) -> tuple[CrystalWarning, ...]:
    """Said where other species sit on the ion's own positions: framework to a graph, left out of the energy."""
    from fastin.bvse.shared import sharing_rows

    mobile = crystal.resolve_ion(ion)
    rows = np.flatnonzero(sharing_rows(crystal, mobile))
    if not len(rows):
        return ()
    names = ", ".join(dict.fromkeys(species_name(int(crystal.number[k]), float(crystal.charge[k])) for k in rows))
    text = (
        f"{names} on positions of {mobile.symbol}: a graph has no such sites, no barrier (fastin barriers computes it)"
    )
    return (CrystalWarning("ion-shared-site", text, ", ".join(dict.fromkeys(crystal.label[k] for k in rows.tolist()))),)


@cache
def _tables() -> str:
    """Hash of the tables that come with fastin: radii, bond valence parameters, elements."""
    folder = Path(__file__).parents[1] / "data"
    tables = sorted((f for f in folder.iterdir() if f.name.endswith(".csv")), key=lambda f: f.name)
    return hashlib.sha256(b"".join(f.read_bytes() for f in tables)).hexdigest()


def _digest(sources: Sequence[SourceCif], options: BuildOptions) -> str:
    text = json.dumps(
        asdict(options) | {"layout": _LAYOUT, "fastin": fastin.__version__, "tables": _tables()}, sort_keys=True
    )
    return hashlib.sha256((text + "".join(f"\0{s.id}\0{s.cif}" for s in sources)).encode()).hexdigest()


def worker(options: BuildOptions, num_threads: int) -> Callable[[SourceCif], Entry | Failure]:
    """In a worker process: the function that makes the entry of one structure."""
    import fastin.bvse.barriers
    import fastin.network.network  # noqa: F401

    def answer(source: SourceCif) -> Entry | Failure:
        try:
            return make_entry(source, options)
        except FastinError as error:
            return Failure(type(error).__name__, str(error))

    return answer


def _write_shard(
    sources: Sequence[SourceCif], answers: Sequence[Entry | Failure], options: BuildOptions, stem: Path
) -> dict[str, Any]:
    entries = [answer for answer in answers if not isinstance(answer, Failure)]
    failures, lost = {}, []
    for source, answer in zip(sources, answers, strict=True):
        if isinstance(answer, Failure):
            failures[source.id] = f"{answer.kind}: {answer.message}"
            if answer.kind in _LOST:
                lost.append(source.id)
    if entries:
        GraphStore.from_entries(entries).save(stem.with_suffix(".npz"))
    record = {"digest": _digest(sources, options), "structures": len(entries), "failures": failures}
    if lost:
        record["lost"] = lost
    write_text(stem.with_suffix(".json"), json.dumps(record, indent=0))
    return record


def _finished(stem: Path, digest: str) -> dict[str, Any] | None:
    """What a shard's record says, if it is whole and belongs to these inputs; else it is made again."""
    try:
        record = json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or record.get("digest") != digest or record.get("lost"):
        return None
    structures, failures = record.get("structures"), record.get("failures")
    if not isinstance(structures, int) or not isinstance(failures, dict):
        return None
    if not structures:
        return record
    try:
        whole = len(GraphStore.load(stem.with_suffix(".npz"))) == structures
    except InputError:
        return None
    return record if whole else None


def build_dataset(
    sources: Iterable[SourceCif],
    out: Path | str,
    options: BuildOptions | None = None,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    time_limit: float = TIME_LIMIT,
    memory: int | None = None,
) -> dict[str, Any]:
    """Builds or completes a data set; each structure in a process that it may crash or hang.

    What was lost to a limit of this machine (time, memory, a crash) is tried again by the next build.

    Args:
        sources: the structures; ids must be unique.
        out: folder of the data set.
        options: what to compute.
        workers: processes, one thread each.
        progress: called with (shards done, shards).
        time_limit: seconds for one structure.
        memory: bytes for all structures at work together; None takes three quarters of what is free.

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
    for k, answers in _entries(parts, todo, options, workers, time_limit, memory):
        records[k] = _write_shard(parts[k], answers, options, stems[k])
        done += 1
        if progress is not None:
            progress(done, len(parts))
    return _write_manifest(folder, options, digests, [r for r in records if r is not None])


def _entries(
    parts: Sequence[Sequence[SourceCif]],
    todo: Sequence[int],
    options: BuildOptions,
    workers: int,
    time_limit: float,
    memory: int | None,
) -> Iterator[tuple[int, list[Entry | Failure]]]:
    """The answers of each shard in the order of its structures, as soon as they are all there."""
    place = [(k, n) for k in todo for n in range(len(parts[k]))]
    answers: dict[int, dict[int, Entry | Failure]] = {k: {} for k in todo}
    found = isolate(
        "fastin.ml.dataset:worker", [parts[k][n] for k, n in place], {"options": options},
        time_limit=time_limit, memory=memory, num_threads=1, workers=workers,
    )  # fmt: skip
    for number, answer in found:
        k, n = place[number]
        answers[k][n] = answer
        if len(answers[k]) == len(parts[k]):
            whole = answers.pop(k)
            yield k, [whole[n] for n in range(len(parts[k]))]


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
    lost = [name for record in records for name in record.get("lost", ())]  # decided by the machine, not by the inputs
    manifest = {
        "version": hashlib.sha256("".join([*digests, *lost]).encode()).hexdigest()[:16],
        "fastin": fastin.__version__,
        "options": asdict(options),
        "shards": len(records),
        "structures": sum(r["structures"] for r in records),
        "failures": failures,
    }
    if manifest["structures"]:
        labels = _load_shards(folder, manifest["shards"]).labels
        manifest["labels"] = {name: label_summary(labels[:, k]) for k, name in enumerate(LABELS)}
    write_text(folder / _MANIFEST, json.dumps(manifest, indent=1))
    return manifest


def read_manifest(folder: Path | str) -> dict[str, Any]:
    """``dataset.json`` of a data set.

    Raises:
        InputError: the folder holds none.
    """
    path = Path(folder) / _MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise InputError(f"{folder}: not a data set (no readable {_MANIFEST})") from None
    known = {"version": str, "options": dict, "shards": int, "structures": int, "failures": dict}
    if not isinstance(manifest, dict) or not all(isinstance(manifest.get(k), kind) for k, kind in known.items()):
        raise InputError(f"{path}: damaged (it does not hold {', '.join(known)}); build the data set again")
    if not 0 <= manifest["shards"] <= _MOST_SHARDS:
        raise InputError(f"{path}: damaged ({manifest['shards']} shards); build the data set again")
    return manifest


def load_dataset(path: Path | str) -> GraphStore:
    """All graphs of a data set folder, or of one ``.npz`` file.

    Raises:
        InputError: neither of these, or damaged; names the file.
    """
    path = Path(path)
    refuse_special(path)
    if path.suffix == ".npz" and path.is_file():
        return GraphStore.load(path)
    manifest = read_manifest(path)
    store = _load_shards(path, manifest["shards"])
    if len(store) != manifest["structures"]:
        text = f"{path}: {len(store)} structures in the shards, {manifest['structures']} in {_MANIFEST}"
        raise InputError(f"{text}; build the data set again, it makes what is missing")
    return store


def _load_shards(folder: Path, count: int) -> GraphStore:
    stems = [folder / "shards" / f"{k:05d}.npz" for k in range(count)]
    return GraphStore.concatenate([GraphStore.load(stem) for stem in stems if stem.is_file()])


def find_ids(store: GraphStore, ids: Sequence[str]) -> np.ndarray:
    """Positions of these ids in a store, in the order given; unknown ones are left out."""
    where = {str(name): i for i, name in enumerate(store.ids)}
    return np.array([where[i] for i in ids if i in where], np.int64)
