"""How transport networks and NEB chains hold on many crystals: the counts of faults, each of which should be zero.

    python bench/transport_check.py DATA [--files li_mp_ordered.jsonl.gz ...] [--count 1400] [--out rows.jsonl]

DATA is a folder with gzipped JSON lines, one crystal a line (keys ``id`` and ``cif``; what ``charge == "no"`` marks is
left out). Checked on a seeded sample, with the crystal's own space group (spglib, 0.01 A):

* hop lists closed under the space group: every operation permutes the sites of each class and maps every hop on a hop
  of the same energy; how far images of sites lie from their like is counted apart;
* the diffusivity at 600 K obeys every rotation (largest deviation over its largest element);
* the components that percolate hold an ion, or the network says that they do not;
* no site lies below the lowest;
* the NEB chains of the lowest legs by vacancy, interstitial and exchange: moving ions that come nearer than 1.2 A to a
  like ion, contacts below 0.6 of the crystal's shortest distance between the two elements, compositions and charges
  other than announced (the crystal's content less those taken out, and one less or one more), elements that do not
  form one block. Refused chains are counted apart.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import random
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure

import fastin
from fastin.crystal.crystal import Crystal
from fastin.transport.legs import Leg
from fastin.transport.neb import neb_chain
from fastin.transport.network import TransportNetwork

FILES = ("li_mp_ordered.jsonl.gz", "na_mp_ordered.jsonl.gz", "f_conductor_mp_ordered.jsonl.gz")
FAULTS = (
    *("like ion within 1.2 A", "contact below 0.6", "composition", "charge", "elements not in blocks", "refused"),
)
MOST_LEGS = 8  # chains checked of a crystal, lowest saddles first
MECHANISMS = ("vacancy", "interstitial", "exchange")


def matches(
    cell: np.ndarray, points: np.ndarray, known: np.ndarray, kind: np.ndarray, kinds: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nearest known point of the same kind as each, the cell it lies in, and how far it is."""
    gap = points[:, None, :] - known[None]
    whole = np.round(gap)
    distance = np.linalg.norm((gap - whole) @ cell, axis=2)
    distance[kind[:, None] != kinds[None]] = np.inf
    best = distance.argmin(axis=1)
    at = np.arange(len(points))
    return best, whole[at, best].astype(int), distance[at, best]


def open_hops(paths: TransportNetwork, crystal: Crystal) -> tuple[int, float]:
    """Hops with an image that is not in the list; how far the image of a site lies from its like, at most (A).

    Sites are paired with the nearest of their class, and every operation must be a permutation of them: where atoms
    obey the space group within some 0.01 A only, a soft minimum lies farther from the image of its like than that.
    """
    key = {}
    for h, ((i, j), s) in enumerate(zip(paths.hop_index.T.tolist(), paths.hop_image.tolist(), strict=True)):
        key.setdefault((i, j, *s), []).append(h)
        key.setdefault((j, i, *(-v for v in s)), []).append(h)
    missing = np.zeros(len(paths.hop_energy), dtype=bool)
    i, j = paths.hop_index
    ends = paths.site_frac[j] + paths.hop_image
    orbit, worst = paths.site_orbit, 0.0
    for rotation, translation in zip(crystal.rotations, crystal.translations, strict=True):

        def image(points: np.ndarray, kind: np.ndarray, r: Any = rotation, t: Any = translation) -> Any:
            return matches(paths.cell, points @ r.T + t, paths.site_frac, kind, orbit)

        every, _, far = image(paths.site_frac, orbit)
        worst = max(worst, float(far.max(initial=0.0)))
        if len(np.unique(every)) < len(every):
            missing[:] = True
        a, cell_a, _ = image(paths.site_frac[i], orbit[i])
        b, cell_b, _ = image(ends, orbit[j])
        for h in range(len(i)):
            moved = (cell_b[h] - cell_a[h]).tolist()
            there = key.get((int(a[h]), int(b[h]), *moved), [])
            missing[h] |= not any(abs(paths.hop_energy[k] - paths.hop_energy[h]) < 1e-3 for k in there)
    return int(missing.sum()), worst


def asymmetry(d: np.ndarray, crystal: Crystal) -> float:
    """Largest change of a Cartesian tensor under the rotations, over its largest element."""
    inverse = np.linalg.inv(crystal.cell)
    worst = 0.0
    for rotation in crystal.rotations:
        r = crystal.cell.T @ rotation @ inverse.T
        worst = max(worst, float(np.abs(r @ d @ r.T - d).max()))
    return worst / float(np.abs(d).max()) if np.abs(d).max() > 0 else 0.0


def shortest_contacts(structure: Structure, ion: str) -> dict[str, float]:
    """Shortest distance of the ion to each element in the crystal, A."""
    wide = structure * (2, 2, 2)
    mine = [k for k, s in enumerate(wide) if s.specie.symbol == ion][::8]
    out: dict[str, float] = {}
    for element in {site.specie.symbol for site in structure}:
        others = [k for k, s in enumerate(wide) if s.specie.symbol == element]
        d = wide.lattice.get_all_distances(wide.frac_coords[mine], wide.frac_coords[others])
        out[element] = float(d[d > 1e-6].min())
    return out


def chain_faults(paths: TransportNetwork, leg: Leg, structure: Structure, shortest: dict[str, float]) -> Counter[str]:
    """What is wrong with the chain of a leg."""
    faults: Counter[str] = Counter()
    try:
        chain = neb_chain(paths, leg, 3)
    except (fastin.GeometryError, fastin.DisorderError):
        return Counter(refused=1)
    ion = paths.ion.element
    cells = int(np.prod(chain.supercell))
    residue = float(paths.crystal.charge @ paths.crystal.occupancy) * cells
    content = structure.composition[ion] * cells
    wanted = content - chain.taken_out + (-1 if leg.mechanism == "vacancy" else 1)
    for image in chain.images:
        symbols = [s.specie.symbol for s in image]
        faults["elements not in blocks"] += sum(x != y for x, y in itertools.pairwise(symbols)) + 1 > len(set(symbols))
        faults["composition"] += image.composition[ion] != wanted
        faults["charge"] += abs(chain.charge - paths.ion.charge * (image.composition[ion] - content) - residue) > 1e-3
        for mover in range(len(image) - chain.moving, len(image)):
            others = [k for k in range(len(image)) if k != mover]
            d = image.lattice.get_all_distances(image.frac_coords[mover], image.frac_coords[others])[0]
            for element in {symbols[k] for k in others}:
                near = float(d[[symbols[k] == element for k in others]].min())
                faults["contact below 0.6"] += near < 0.6 * shortest[element] - 1e-6
                faults["like ion within 1.2 A"] += element == ion and near < 1.2
    return Counter({name: 1 for name, count in faults.items() if count})


def check(record: dict[str, Any]) -> dict[str, Any]:
    """The row of one crystal."""
    row: dict[str, Any] = {"id": record["id"]}
    start = time.perf_counter()
    try:
        crystal = Crystal.from_cif_string(record["cif"])
        paths = fastin.compute_paths(crystal, num_threads=1)
        row["sites"], row["hops"] = len(paths.site_energy), len(paths.hop_energy)
        row["open"], row["site_shift"] = open_hops(paths, crystal)
        row["below_zero"] = bool((paths.site_energy < -1e-9).any())
        structure = crystal.to_structure()
        structure.remove_oxidation_states()
        shortest = shortest_contacts(structure, paths.ion.element)
        for mechanism in MECHANISMS:
            legs = paths.legs(mechanism)
            chains = legs[:MOST_LEGS]
            faults = [chain_faults(paths, leg, structure, shortest) for leg in chains]
            row[mechanism] = {"legs": len(legs), "chains": len(chains), **sum(faults, Counter[str]())}
        row["said"] = bool(len(paths.positions)) <= (
            not len(paths.conducting_components)
            or paths.conducting_ions > 0
            or any(w.code in ("path-without-ion", "ion-off-site") for w in paths.warnings)
        )
        if len(paths.conducting_sites):
            row["asymmetry"] = asymmetry(paths.diffusivity(600.0), crystal)
    except fastin.FastinError as error:
        row["error"] = f"{type(error).__name__}: {error}"
    row["seconds"] = time.perf_counter() - start
    return row


def sample(folder: Path, files: list[str], count: int, seed: int) -> list[dict[str, Any]]:
    """Records of all files in a seeded order, the same number of each file where there are enough."""
    chosen: list[dict[str, Any]] = []
    for name in files:
        with gzip.open(folder / name, "rt", encoding="utf-8") as lines:
            records = [r for r in map(json.loads, lines) if r.get("cif") and r.get("charge") != "no"]
        random.Random(seed).shuffle(records)
        chosen += records[: -(-count // len(files))]
    return chosen[:count]


def summary(rows: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """Counts of what went wrong."""
    done = [r for r in rows if "error" not in r]
    conducting = [r for r in done if "asymmetry" in r]
    return [
        ("crystals", len(rows)),
        ("typed errors", len(rows) - len(done)),
        ("hop lists open under the space group", sum(r["open"] > 0 for r in done)),
        ("sites farther than 0.05 A from the image of their like", sum(r["site_shift"] > 0.05 for r in done)),
        ("with a percolating component", len(conducting)),
        ("D off symmetry by > 1 %", sum(r["asymmetry"] > 1e-2 for r in conducting)),
        ("D off symmetry by > 1e-6", sum(r["asymmetry"] > 1e-6 for r in conducting)),
        ("energies below the lowest site", sum(r["below_zero"] for r in done)),
        ("percolate without an ion and say nothing", sum(not r["said"] for r in done)),
        *(
            (f"{mechanism}: {name}", sum(r[mechanism].get(name, 0) for r in done))
            for mechanism in MECHANISMS
            for name in ("legs", "chains", *FAULTS)
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--files", nargs="+", default=list(FILES))
    parser.add_argument("--count", type=int, default=1400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--out", type=Path, default=Path(os.devnull), help="one row a crystal, JSON lines, as they come"
    )
    options = parser.parse_args()
    records = sample(options.data, options.files, options.count, options.seed)
    rows = []
    with ProcessPoolExecutor(options.workers) as pool, options.out.open("w", encoding="utf-8") as out:
        for row in pool.map(check, records, chunksize=4):
            rows.append(row)
            out.write(json.dumps(row) + "\n")
            out.flush()
    for name, value in summary(rows):
        print(f"{name:55s} {value}")
    errors = Counter(row["error"].split(":")[0] for row in rows if "error" in row)
    for name, value in errors.most_common():
        print(f"  {name:53s} {value}")
    print(f"{'seconds':55s} {sum(r['seconds'] for r in rows):.0f}")
    sys.exit(0)


if __name__ == "__main__":
    main()
