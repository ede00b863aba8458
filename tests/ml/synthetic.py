"""Small synthetic networks with a learnable barrier."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from fastin.graph.graph import CrystalGraph, InterstitialGraph, build_interstitial_graph, nearest_atoms
from fastin.ml.landmarks import NetworkEnergies
from fastin.ml.store import Entry
from fastin.runtime.openmp import _core

SPECIES = {"O": (8, -2.0, 1.26), "S": (16, -2.0, 1.7), "P": (15, 5.0, 0.31), "Cl": (17, -1.0, 1.67)}


def synthetic_network(seed: int) -> SimpleNamespace:
    """A jittered 2 x 2 x 2 grid of voids in a cell of eight random framework atoms, six edges a void."""
    rng = np.random.default_rng(seed)
    cell = np.diag(rng.uniform(7.0, 9.0, 3)) + rng.normal(scale=0.3, size=(3, 3))
    names = [list(SPECIES)[i] for i in rng.integers(0, len(SPECIES), 8)]
    number, charge, radius = (np.array(c) for c in zip(*(SPECIES[n] for n in names), strict=True))
    frac = rng.uniform(size=(8, 3))
    framework = SimpleNamespace(frac=frac, radius=radius.astype(float), number=number.astype(np.int32), charge=charge)
    corner = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    sites = (corner / 2 + 0.25 + rng.normal(scale=0.02, size=(8, 3))) % 1.0
    ends, image = [], []
    for i, p in enumerate(corner):
        for k in range(3):
            q = p.copy()
            q[k] += 1
            shift = np.zeros(3, int)
            shift[k], q[k] = divmod(q[k], 2)
            ends.append((i, int(np.flatnonzero((corner == q).all(axis=1))[0])))
            image.append(shift)
    ends_array, image_array = np.array(ends), np.array(image, np.int32)
    neck = (sites[ends_array[:, 0]] + sites[ends_array[:, 1]] + image_array) / 2

    def clearance(points: np.ndarray) -> np.ndarray:
        atom, _, distance = nearest_atoms(cell, frac, number.astype(np.int32), points, 12)
        return (distance - framework.radius[atom]).min(axis=1)

    vector = sites[ends_array[:, 1]] + image_array - sites[ends_array[:, 0]]
    return SimpleNamespace(
        source=f"synthetic {seed}",
        ion="Li+",
        cell=cell,
        site_frac=sites,
        site_radius=clearance(sites),
        site_kind=np.zeros(8, np.int32),
        edge_index=ends_array.T,
        edge_image=image_array,
        edge_length=np.linalg.norm(vector @ cell, axis=1),
        edge_bottleneck_frac=neck % 1.0,
        edge_bottleneck_radius=clearance(neck % 1.0),
        site_orbit=np.arange(8),
        edge_orbit=np.arange(24),
        framework=framework,
    )


def barriers_of(graph: InterstitialGraph) -> dict[str, float]:
    """Labels of the synthetic landscape: energy = -clearance, exactly percolated."""
    site = -graph.site_radius.astype(np.float32)
    edge = np.maximum(-graph.bottleneck_radius, site[graph.ends].max(axis=1) + 0.02).astype(np.float32)
    one = np.array([0, graph.num_nodes], np.int64), np.array([0, graph.num_edges], np.int64)
    saddle, lowest = _core.critical_elements(*one, graph.cover_ends, graph.cover_image, site, edge, 1)
    out = {}
    for d in range(3):
        out[f"e{d + 1}d_global"] = float(edge[saddle[0, d]] - site.min())
        out[f"e{d + 1}d_network"] = float(edge[saddle[0, d]] - site[lowest[0, d]])
    return out


def energies_of(graph: InterstitialGraph) -> NetworkEnergies:
    """The synthetic landscape; a walk finds 0.01 eV less than the void and 0.02 less than the bottleneck."""
    site, edge = -graph.site_radius, -graph.bottleneck_radius
    ground = min(site.min(), edge.min()) - 0.02
    return NetworkEnergies(
        np.stack([site, site - 0.01, np.full(len(site), ground)], axis=1), np.stack([edge, edge - 0.02, edge], axis=1)
    )


def synthetic_entry(seed: int, *, energies: bool = True) -> Entry:
    network = synthetic_network(seed)
    graph = build_interstitial_graph(network)
    f = network.framework
    frac = np.concatenate([f.frac, network.site_frac[:1]])
    number = np.concatenate([f.number, [3]]).astype(np.int32)
    skip = np.arange(len(number), dtype=np.int32)
    found, image, distance = nearest_atoms(network.cell, frac, number, frac, 12, skip=skip)
    crystal = CrystalGraph(
        source=network.source,
        cell=network.cell,
        frac=frac,
        number=number,
        charge=np.concatenate([f.charge, [1.0]]),
        radius=np.zeros(len(number)),
        neighbour=found,
        image=image,
        distance=distance,
    )
    return Entry(
        id=f"synthetic-{seed}",
        formula="X",
        system="-".join(sorted({str(z) for z in f.number})),
        interstitial=graph,
        crystal=crystal,
        labels=barriers_of(graph),
        energies=energies_of(graph) if energies else None,
    )
