"""Comparison of networks up to relabelling, named crystals, and a slow twin of the tessellation."""

from __future__ import annotations

import gzip
import itertools
import json

import numpy as np
from scipy.spatial import cKDTree

from fastin.network.network import network_from_arrays

IMAGES = np.array(list(itertools.product((-1, 0, 1), repeat=3)))


def fcc(a=5.0):
    return a * np.eye(3), np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]), np.full(4, 1.5)


def bcc(a=4.0):
    return a * np.eye(3), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.full(2, 1.2)


def rock_salt(a=5.6):
    _, anions, _ = fcc()
    frac = np.concatenate([anions, anions + np.array([0.5, 0, 0])])
    return a * np.eye(3), frac, np.repeat([1.7, 1.0], 4)


def simple_cubic(a=4.0):
    return a * np.eye(3), np.zeros((1, 3)), np.ones(1)


def hexagonal(a=3.6, c=3.9):
    cell = np.array([[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]])
    return cell, np.zeros((1, 3)), np.array([1.3])


def needle():
    z = (np.arange(12) + 0.1 * np.sin(np.arange(12.0))) / 12
    return np.diag([3.1, 3.2, 40.0]), np.column_stack([np.zeros(12), np.full(12, 0.2), z]), np.full(12, 1.1)


def random_crystal(seed=7, n=14):
    rng = np.random.default_rng(seed)
    cell = np.array([[8.0, 0, 0], [1.0, 7.0, 0], [-2.0, 1.5, 9.0]])
    frac = []
    while len(frac) < n:
        trial = rng.random(3)
        gaps = [np.linalg.norm((((trial - f + 0.5) % 1) - 0.5) @ cell) for f in frac]
        if all(g > 1.5 for g in gaps):
            frac.append(trial)
    return cell, np.array(frac), rng.uniform(0.5, 1.6, n)


NAMED = {
    "fcc": fcc,
    "bcc": bcc,
    "rock salt": rock_salt,
    "simple cubic": simple_cubic,
    "hexagonal": hexagonal,
    "needle": needle,
    "random": random_crystal,
}


def match_sites(cell, ours, theirs, tolerance):
    """For each of `theirs`: the nearest of `ours` and its cell, so that ours[m] + shift is at theirs."""
    home = np.floor(theirs)
    tree = cKDTree((ours[None] + IMAGES[:, None]).reshape(-1, 3) @ cell)
    distance, index = tree.query((theirs - home) @ cell)
    assert distance.max() <= tolerance, f"a site is {distance.max():.3g} A from its nearest counterpart"
    return index % len(ours), IMAGES[index // len(ours)] + home.astype(int)


def edge_table(network):
    i, j = network.edge_index
    return {(int(a), int(b), *map(int, s)): e for e, (a, b, s) in enumerate(zip(i, j, network.edge_image, strict=True))}


def canonical(i, j, image):
    image = tuple(int(x) for x in image)
    if j < i or (i == j and image < (0, 0, 0)):
        i, j, image = j, i, tuple(-x for x in image)
    return (int(i), int(j), *image)


def assert_same_network(one, two, *, frac_of_two=None, tolerance=1e-6):
    """The same sites, edges with images, radii and volumes; `frac_of_two` gives two's sites in one's coordinates."""
    frac = two.site_frac if frac_of_two is None else frac_of_two
    assert len(one.site_radius) == len(two.site_radius)
    assert len(one.edge_length) == len(two.edge_length)
    m, shift = match_sites(one.cell, one.site_frac, frac, 10 * tolerance)
    assert len(set(m.tolist())) == len(m)
    np.testing.assert_allclose(one.site_radius[m], two.site_radius, atol=tolerance)
    table = edge_table(one)
    return m, shift, table


def assert_same_edges(one, two, m, shift, table, turn=None, tolerance=1e-6):
    """Edges of two, mapped by the site match, are one's; `turn` maps two's images into one's basis."""
    order = []
    for e, (i, j) in enumerate(two.edge_index.T):
        image = two.edge_image[e] if turn is None else two.edge_image[e] @ turn
        order.append(table[canonical(m[i], m[j], shift[j] + image - shift[i])])
    assert len(set(order)) == len(order)
    for name in ("edge_length", "edge_bottleneck_radius"):
        np.testing.assert_allclose(getattr(one, name)[order], getattr(two, name), atol=10 * tolerance)
    return order


def parse_operations(strings):
    """ "x, y+1/2, -z" strings as rotations and translations."""
    if not strings:
        return None, None
    rotations, translations = [], []
    for text in strings:
        rotation, translation = np.zeros((3, 3), int), np.zeros(3)
        for k, part in enumerate(text.replace(" ", "").split(",")):
            zero = {"x": 0, "y": 0, "z": 0}
            translation[k] = eval(part, {"__builtins__": {}}, zero)
            for a, name in enumerate("xyz"):
                rotation[k, a] = round(eval(part, {"__builtins__": {}}, zero | {name: 1}) - translation[k])
        rotations.append(rotation)
        translations.append(translation)
    return np.array(rotations), np.array(translations)


def reference_names(shared):
    return sorted(p.name.removesuffix(".json.gz") for p in (shared / "reference" / "network").glob("*.json.gz"))


def load_reference(shared, name):
    with gzip.open(shared / "reference" / "network" / f"{name}.json.gz", "rt") as stream:
        return json.load(stream)


def reference_network(reference, **options):
    given = reference["input"]
    rotations, translations = parse_operations(given.get("symmetry_ops"))
    return network_from_arrays(
        given["lattice"],
        [a["frac"] for a in given["atoms"]],
        [a["radius"] for a in given["atoms"]],
        rotations=rotations,
        translations=translations,
        probe_radius=given["minRad"],
        source=reference["name"],
        **options,
    )
