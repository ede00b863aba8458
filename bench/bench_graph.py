"""Graph building beyond the network: pytest bench/bench_graph.py."""

from __future__ import annotations

import pytest

import fastin
from fastin.crystal.examples import examples
from fastin.graph.graph import build_crystal_graph, build_interstitial_graph

NAMES = ["Li3N", "LiFePO4", "Li10GeP2S12", "Li7La3Zr2O12_tetragonal"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("reduce", [True, False], ids=["reduced", "full"])
def test_interstitial_graph(benchmark, name, reduce):
    network = fastin.compute_network(examples()[name])

    def build():
        graph = build_interstitial_graph(network, reduce=reduce, num_threads=1)
        return graph.x, graph.edge_attr, graph.edge_index

    x, edge_attr, edge_index = benchmark(build)
    assert len(x) > 0
    assert len(edge_attr) == edge_index.shape[1]


@pytest.mark.parametrize("name", NAMES)
def test_crystal_graph(benchmark, name):
    crystal = fastin.Crystal.from_file(examples()[name])
    graph = benchmark(build_crystal_graph, crystal, num_threads=1)
    assert graph.neighbour.shape[1] == 12
