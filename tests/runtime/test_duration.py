"""Work that would take hours is refused before it begins, with the numbers to look at."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

import fastin
from fastin.errors import InputError, ResourceError
from fastin.network.network import network_from_arrays
from fastin.runtime import duration, memory


@pytest.fixture(autouse=True)
def memory_for_it():
    memory.set_memory_limit("1TB")  # these are about time
    yield
    memory.set_memory_limit(None)


def rocksalt(edge: float = 5.13) -> Structure:
    return Structure(Lattice.cubic(edge), ["Li", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_points_times_pairs_are_bounded(monkeypatch):
    monkeypatch.setenv(duration.ENVIRONMENT, "5")
    with pytest.raises(ResourceError, match=r"LiCl.*points.*cell edges 5.13.*within 50 A.*resolution of [0-9.]+ A"):
        fastin.compute_bvse(rocksalt(), "Li", resolution=0.02, cutoff=50.0, symmetry=False)
    fastin.compute_bvse(rocksalt(), "Li", resolution=0.3, cutoff=50.0)


def test_the_resolution_named_would_do(monkeypatch):
    monkeypatch.setenv(duration.ENVIRONMENT, "2")
    with pytest.raises(ResourceError) as caught:
        fastin.compute_bvse(rocksalt(), "Li", resolution=0.02, cutoff=20.0, symmetry=False, num_threads=1)
    words = str(caught.value).split()
    resolution = float(words[words.index("resolution") + 2])
    assert 0.02 < resolution < 0.2
    fastin.compute_bvse(rocksalt(), "Li", resolution=resolution, cutoff=20.0, symmetry=False, num_threads=1)


def test_an_hour_is_allowed_where_nothing_is_said(monkeypatch):
    monkeypatch.delenv(duration.ENVIRONMENT, raising=False)
    duration.require_time(3599.0, "it", "less")
    with pytest.raises(ResourceError, match=r"it would take about 3 hours, and 60 minutes are allowed: less"):
        duration.require_time(3.0 * 3600.0, "it", "less")
    monkeypatch.setenv(duration.ENVIRONMENT, "soon")
    with pytest.raises(InputError, match="FASTIN_SECONDS"):
        duration.seconds_allowed()


def test_many_atoms_are_bounded():
    memory.set_memory_limit("40MB")
    structure = Structure(Lattice.cubic(4.0), ["Li", "F"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    structure.make_supercell((24, 24, 20))
    with pytest.raises(ResourceError, match=r"the network of 11520 atoms would take about"):
        network_from_arrays(
            structure.lattice.matrix, structure.frac_coords[: len(structure) // 2], [1.0] * (len(structure) // 2)
        )
