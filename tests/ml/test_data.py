"""Store, batches and PyG data hold the same numbers as the numpy graphs; labels, splits, metrics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from synthetic import synthetic_entry
from torch_geometric.loader import DataLoader

from fastin.errors import InputError
from fastin.graph.graph import InterstitialGraph
from fastin.ml.data import TensorStore
from fastin.ml.labels import CEILING, FLOOR, label_columns, label_summary, to_barriers, to_targets
from fastin.ml.metrics import barrier_scores, by_barrier, calibration, mae, r2, summarise
from fastin.ml.splits import Split, grouped_folds, grouped_split, make_split, random_split
from fastin.ml.store import FIELDS, LABELS, GraphStore, prune_edges


def bare(seed: int) -> InterstitialGraph:
    return synthetic_entry(seed).interstitial


def test_batches_equal_the_numpy_graphs(store: GraphStore) -> None:
    batch = TensorStore(store, "interstitial").batch([5, 2])
    for k, seed in enumerate((5, 2)):
        graph = bare(seed)
        nodes = batch.batch == k
        np.testing.assert_allclose(batch.x[nodes], graph.x, rtol=1e-5, atol=1e-5)
        edges = batch.batch[batch.edge_index[0]] == k
        np.testing.assert_allclose(batch.edge_attr[edges], graph.edge_attr, rtol=1e-5, atol=1e-5)
        assert np.array_equal(batch.edge_index[:, edges] - int(batch.ptr[k]), graph.edge_index)
        np.testing.assert_allclose(batch.per_target[edges], graph.per_target)


def test_crystal_batches_equal_the_numpy_graphs(store: GraphStore) -> None:
    batch = TensorStore(store, "crystal").batch([7, 1])
    crystal = synthetic_entry(1).crystal
    assert crystal is not None
    nodes = batch.batch == 1
    np.testing.assert_allclose(batch.x[nodes], crystal.x, rtol=1e-5, atol=1e-5)
    edges = nodes[batch.edge_index[1]]
    assert np.array_equal(batch.edge_index[:, edges] - int(batch.ptr[1]), crystal.edge_index)
    np.testing.assert_allclose(batch.edge_attr[edges], crystal.edge_attr, rtol=1e-5)


def test_store_round_trips_and_selects(store: GraphStore, tmp_path: Path) -> None:
    store.save(tmp_path / "s.npz")
    back = GraphStore.load(tmp_path / "s.npz")
    joined = GraphStore.concatenate([back.select(np.arange(10)), back.select(np.arange(10, len(back)))])
    for other in (back, joined):
        assert np.array_equal(other.ids, store.ids)
        np.testing.assert_array_equal(other.labels, store.labels)
        for name in FIELDS:
            np.testing.assert_array_equal(other.arrays[name], store.arrays[name])
    one = store.select(np.array([3]))
    assert one.pointers["site"].tolist() == [0, 8]
    assert one.has_crystals


def test_pruning_keeps_the_percolating_network(store: GraphStore) -> None:
    pruned = prune_edges(store, 0.05)
    assert 0 < pruned.pointers["edge"][-1] < store.pointers["edge"][-1]
    everything = prune_edges(store, 100.0)
    for name in FIELDS:
        np.testing.assert_array_equal(everything.arrays[name], store.arrays[name])
    for g in (0, 11, 40):
        one, two = store.select(np.array([g])), pruned.select(np.array([g]))
        radius = one.arrays["bottleneck_radius"]
        kept = set(two.arrays["bottleneck_radius"].tolist())
        assert kept == {r for r in radius.tolist() if r >= min(kept)}
        # The full networks agree on what is left, and still percolate in three dimensions.
        widths = two.arrays["bottleneck_radius"][two.arrays["cover_edge"]]
        np.testing.assert_array_equal(np.sort(widths), np.sort(two.arrays["bottleneck_radius"]))
        from fastin.runtime.openmp import _core

        saddle, _ = _core.critical_elements(
            np.array([0, 8]),
            np.array([0, len(widths)]),
            two.arrays["cover_ends"],
            two.arrays["cover_image"],
            np.full(8, -9.0, np.float32),
            -widths,
            1,
        )
        assert saddle[0, 2] != np.iinfo(np.int64).max


def test_too_large_a_structure_is_refused() -> None:
    entry = synthetic_entry(0)
    big = entry.interstitial.to_dict() | {"site_neighbour": np.full((8, 12), 40000, np.int32)}
    with pytest.raises(InputError, match="too large"):
        GraphStore.from_entries([type(entry)("a", "X", "X", InterstitialGraph.from_dict(big))])


def test_pyg_data_loader_with_workers() -> None:
    data = [bare(seed).to_pyg(y=1.0) for seed in range(6)]
    loader = DataLoader(data, batch_size=3, num_workers=2, multiprocessing_context="spawn")
    batches = list(loader)
    assert [b.num_graphs for b in batches] == [3, 3]
    assert batches[0].x.dtype == torch.float32
    assert torch.equal(batches[0].x[:8], data[0].x)


def test_label_rule() -> None:
    targets = to_targets(np.array([0.0, 0.5, CEILING, CEILING + 1e-6, np.inf, np.nan]))
    assert targets[0] == np.log10(FLOOR)
    np.testing.assert_allclose(to_barriers(targets[1:3]), [0.5, CEILING])
    assert np.isnan(targets[3:]).all()
    assert label_summary(np.array([0.1, np.inf, 9.0, np.nan])) == {
        "usable": 1,
        "infinite": 1,
        "above_ceiling": 1,
        "missing": 1,
    }
    assert label_columns(["e3d_network"]) == [LABELS.index("e3d_network")]
    with pytest.raises(InputError, match="e9d"):
        label_columns(["e9d"])


@given(st.lists(st.integers(0, 12), min_size=60, max_size=200), st.integers(0, 5))
def test_splits_partition_and_keep_groups_together(groups: list[int], seed: int) -> None:
    if len(set(groups)) < 3:
        return
    split = grouped_split(groups, seed)
    parts = [split.train, split.validation, split.test]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(groups)))
    sets = [{groups[i] for i in part} for part in parts]
    assert sum(map(len, sets)) == len(set().union(*sets))
    again = grouped_split(groups, seed)
    assert np.array_equal(split.test, again.test)


def test_random_split_is_eight_to_one_to_one() -> None:
    split = random_split(1000, 3)
    assert [len(p) for p in (split.train, split.validation, split.test)] == [800, 100, 100]
    assert not np.array_equal(split.test, random_split(1000, 4).test)
    with pytest.raises(InputError, match="sum to 1"):
        random_split(10, 0, (0.5, 0.1, 0.1))
    with pytest.raises(InputError, match="three groups"):
        grouped_split([0] * 10, 0)
    with pytest.raises(InputError, match="unknown split"):
        make_split("nope", [0, 1, 2], 0)


@pytest.mark.parametrize("seed", range(5))
def test_no_part_with_a_share_is_empty(seed: int) -> None:
    """Three groups, each larger than the part: the first epoch passed for the best on an empty validation part."""
    for groups in ([0] * 4 + [1] * 4 + [2] * 4, [0] * 3 + [1] * 9 + [2] * 8, list(range(3)), list(range(7))):
        split = grouped_split(groups, seed)
        parts = [{groups[i] for i in part} for part in (split.train, split.validation, split.test)]
        assert all(parts)
        assert sum(map(len, parts)) == len(set(groups))
        bare = grouped_split(groups, seed, (0.85, 0.15, 0.0))
        assert len(bare.validation)
        assert len(bare.train)
        assert not len(bare.test)


def test_split_round_trips_by_id(tmp_path: Path) -> None:
    ids = [f"m{i}" for i in range(30)]
    split = random_split(30, 0)
    split.save(tmp_path / "split.json", ids)
    back = Split.load(tmp_path / "split.json", ids[::-1])
    assert {ids[::-1][i] for i in back.test} == {ids[i] for i in split.test}


def test_folds_cover_every_group_once() -> None:
    groups = np.repeat(np.arange(20), np.random.default_rng(0).integers(1, 6, 20))
    seen = []
    for train, test in grouped_folds(groups, 5, 0):
        assert not set(groups[train]) & set(groups[test])
        seen += test.tolist()
    assert sorted(seen) == list(range(len(groups)))


def test_scores_are_the_textbook_ones() -> None:
    truth, predicted = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.5, 2.5])
    assert r2(truth, predicted) == pytest.approx(1 - 0.5 / 2)
    assert mae(truth, predicted) == pytest.approx(1 / 3)
    scores = barrier_scores(np.array([0.0, np.nan, -1.0]), np.array([0.0, 1.0, -1.0]))
    assert (scores["n"], scores["r2"], scores["mae_ev"]) == (2, 1.0, 0.0)
    rows = by_barrier(np.log10([0.2, 0.4, 3.0]), np.log10([0.2, 0.4, 3.0]))
    assert [row["n"] for row in rows] == [1, 1, 0, 0, 0, 1]
    assert summarise([{"r2": 0.8}, {"r2": 0.9}])["r2"]["mean"] == pytest.approx(0.85)
    rng = np.random.default_rng(0)
    std = rng.uniform(0.5, 2.0, 4000)
    honest = calibration(rng.normal(size=4000) * std, np.zeros(4000), std)
    assert honest["within_1_std"] == pytest.approx(0.683, abs=0.03)
    assert honest["rms_z"] == pytest.approx(1.0, abs=0.05)
