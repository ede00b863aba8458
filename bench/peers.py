"""The comparison table of docs/benchmarks.md: fastin beside the peers that install from the package index, in one run.

Usage: OMP_NUM_THREADS=1 python bench/peers.py [--json FILE] [--skip-large]

Tessellation, CPU time of one thread on the same spheres, symmetry off and on; the peers give cells only, fastin the
merged complex with bottlenecks, clearances and percolation. Two packages carry Voro++: multivoro hands out the cells of
the C++ library (rectangular cells only), so its time is near to that of Voro++ itself; pyvoro2 turns every cell into
Python objects and is several times slower than that. A peer whose cells do not fill the crystal is not timed.
Barriers: bvlain on the same structure, oxidation states and 0.2 angstrom resolution; each side in a process of its
own: CPU seconds of the computation and peak memory above that of the process with its libraries
imported and warmed up on alpha-Li3N; reading the CIF counts on both sides.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import platform
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import fastin
from fastin.crystal.crystal import as_crystal

TESSELLATION_CASES = ("Li3N", "LiFePO4", "Li10GeP2S12", "Li7La3Zr2O12_tetragonal")
BARRIER_CASES = ("LiFePO4", "Li7La3Zr2O12_tetragonal")


def median_ms(call: Callable[[], Any], repeat: int) -> float:
    """Median CPU time of `call` in ms."""
    times = []
    for _ in range(repeat):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return 1e3 * statistics.median(times)


def check_volumes(name: str, peer: str, volumes: Iterable[float], cell: np.ndarray) -> None:
    """Refuses to time a peer whose cells do not fill the crystal.

    Raises:
        SystemExit: names the peer and the sum.
    """
    share = float(np.sum(list(volumes)) / abs(np.linalg.det(cell)))
    if abs(share - 1.0) > 1e-6:
        raise SystemExit(f"{peer}: the cells of {name} fill {share:.6f} of the crystal; no time of a wrong result")


def polyhedron_volume(vertices: np.ndarray, faces: Sequence[int]) -> float:
    """Of a convex cell; faces as Voro++ writes them: (number of vertices, their indices), one after another."""
    points = vertices - vertices.mean(axis=0)
    total, at = 0.0, 0
    while at < len(faces):
        corners = points[list(faces[at + 1 : at + 1 + faces[at]])]
        fan = np.stack([np.broadcast_to(corners[0], corners[2:].shape), corners[1:-1], corners[2:]], axis=1)
        total += float(np.abs(np.linalg.det(fan)).sum()) / 6
        at += 1 + faces[at]
    return total


def pyvoro2_ms(name: str, f: Any, repeat: int) -> float:
    """Cells by pyvoro2."""
    import pyvoro2

    domain = pyvoro2.PeriodicCell(vectors=tuple(map(tuple, f.cell)))
    points = f.frac @ f.cell

    def run() -> Any:
        return pyvoro2.compute(points, domain=domain, mode="power", radii=f.radius)

    made = run()
    check_volumes(name, "pyvoro2", [cell["volume"] for cell in getattr(made, "cells", made)], f.cell)
    return median_ms(run, repeat)


def multivoro_ms(name: str, f: Any, repeat: int) -> float | None:
    """Cells by multivoro; None where the crystal's cell is not rectangular."""
    from multivoro import compute_voronoi

    edges = np.diag(f.cell).copy()
    if np.abs(f.cell - np.diag(edges)).max() > 1e-9:
        return None
    points, radii = f.frac * edges, np.array(f.radius)
    limits, periodic = np.array([[0.0, 0.0, 0.0], edges]), np.array([True] * 3)

    def run() -> Any:
        return compute_voronoi(points, limits=limits, periodic_boundaries=periodic, radii=radii)

    volumes = [polyhedron_volume(np.array(c.get_vertices()), list(c.get_face_vertices())) for c in run()]
    check_volumes(name, "multivoro", volumes, f.cell)
    return median_ms(run, repeat)


def tessellation_row(name: str, repeat: int = 15) -> dict[str, Any]:
    """Times of both sides on one bundled example."""
    from fastin.network.network import network_from_arrays

    f = as_crystal(fastin.examples()[name]).framework()
    row: dict[str, Any] = {"structure": name, "framework_atoms": len(f.radius)}
    ops = {"rotations": f.rotations, "translations": f.translations}
    row["fastin_no_symmetry_ms"] = median_ms(
        lambda: network_from_arrays(f.cell, f.frac, f.radius, num_threads=1, use_symmetry=False, **ops), repeat
    )
    row["fastin_symmetry_ms"] = median_ms(
        lambda: network_from_arrays(f.cell, f.frac, f.radius, num_threads=1, **ops), repeat
    )
    for peer, measure in (("multivoro", multivoro_ms), ("pyvoro2", pyvoro2_ms)):
        if importlib.util.find_spec(peer) is not None:
            row[f"{peer}_ms"] = measure(name, f, max(3, repeat // 3))
    return row


def _fastin_barriers(path: str) -> list[float]:
    b = fastin.compute_barriers(path, resolution=0.2, convention="bvlain", num_threads=1)
    return [b.e1d, b.e2d, b.e3d]


def _bvlain_barriers(path: str) -> list[float]:
    from bvlain import Lain

    crystal = as_crystal(path)
    calc = Lain(verbose=False)
    calc.read_structure(crystal.to_structure(), oxi_check=False)
    ion = crystal.resolve_ion()
    calc.bvse_distribution(mobile_ion=f"{ion.element}{ion.charge}+", r_cut=10.0, resolution=0.2)
    result = calc.percolation_barriers(encut=10.0)
    return [float(result[k]) for k in ("E_1D", "E_2D", "E_3D")]


def _measured(which: str, path: str, queue: Any) -> None:
    """Runs one side in this process: CPU seconds and peak memory above the imports."""
    run = _bvlain_barriers if which == "bvlain" else _fastin_barriers
    run(str(fastin.examples()["Li3N"]))  # imports and parameter tables are not what is compared
    before = resource.getrusage(resource.RUSAGE_SELF)
    values = run(path)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    queue.put({"barriers_eV": values, "cpu_s": cpu, "peak_MB": (after.ru_maxrss - before.ru_maxrss) / 1024})


def barrier_row(name: str) -> dict[str, Any]:
    """Both sides on one bundled example, each in a fresh process."""
    row: dict[str, Any] = {"structure": name}
    context = multiprocessing.get_context("spawn")
    for which in ("fastin", "bvlain"):
        if which == "bvlain" and importlib.util.find_spec("bvlain") is None:
            continue
        queue = context.Queue()
        process = context.Process(target=_measured, args=(which, str(fastin.examples()[name]), queue))
        process.start()
        row[which] = queue.get(timeout=1200)
        process.join()
    if "bvlain" in row:
        row["cpu_ratio"] = row["bvlain"]["cpu_s"] / max(row["fastin"]["cpu_s"], 1e-4)
    return row


def main() -> None:
    """Prints the tables; writes JSON on request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--skip-large", action="store_true", help="leave out the 192-atom barrier case")
    args = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, one thread, {fastin.runtime.openmp._core.simd_level()}\n")
    versions = {p: version(p) for p in ("multivoro", "pyvoro2", "bvlain") if importlib.util.find_spec(p) is not None}
    print(", ".join(f"{name} {number}" for name, number in versions.items()) + "\n")
    print(
        "| structure | framework atoms | fastin network, symmetry off, ms | symmetry on, ms | "
        "Voro++ cells in C++ (multivoro), ms | Voro++ cells in Python (pyvoro2), ms |"
    )
    print("|---|---:|---:|---:|---:|---:|")
    tessellations = [tessellation_row(name) for name in TESSELLATION_CASES]
    for r in tessellations:
        peers_ms = []
        for peer in ("multivoro", "pyvoro2"):
            value = r.get(f"{peer}_ms", "not installed")
            peers_ms.append("not rectangular" if value is None else value if isinstance(value, str) else f"{value:.2f}")
        print(
            f"| {r['structure']} | {r['framework_atoms']} | {r['fastin_no_symmetry_ms']:.2f} | "
            f"{r['fastin_symmetry_ms']:.2f} | {' | '.join(peers_ms)} |"
        )
    print("\n| structure | fastin CPU s | peak MB | bvlain CPU s | peak MB | CPU ratio | E1D/2D/3D fastin | bvlain |")
    print("|---|---:|---:|---:|---:|---:|---|---|")
    barriers = []
    for name in BARRIER_CASES[: 1 if args.skip_large else None]:
        r = barrier_row(name)
        barriers.append(r)
        ours, peer_row = r["fastin"], r.get("bvlain")
        text = f"| {name} | {ours['cpu_s']:.4f} | {ours['peak_MB']:.0f} | "
        values = "/".join(f"{e:.3f}" for e in ours["barriers_eV"])
        if peer_row is None:
            print(text + f"not installed | | | {values} | |")
            continue
        peers = "/".join(f"{e:.3f}" for e in peer_row["barriers_eV"])
        print(
            text + f"{peer_row['cpu_s']:.2f} | {peer_row['peak_MB']:.0f} | {r['cpu_ratio']:.0f} | {values} | {peers} |"
        )
    if args.json:
        content = {"versions": versions, "tessellation": tessellations, "barriers": barriers}
        args.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
