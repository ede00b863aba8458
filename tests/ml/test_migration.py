"""Features of single hops: the exact lowest way in a tube, invariances, the shipped model and its command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import fastin
from fastin.cli import main
from fastin.errors import InputError
from fastin.ml.migration import SOUND_CONTACT, Tube, hop_features, predict_hop, straight_contact

HOP = ((0.0, 0.0, 0.0), (0.0, 0.5, 0.0))  # along b of LiFePO4, the known channel


def _ways(height: np.ndarray, first: int, last: int) -> float:
    """Lowest maximum between two points by relaxation: each value becomes the best of its neighbours, until fixed."""
    best = np.full(height.shape, np.inf)
    best.ravel()[first] = height.ravel()[first]
    while True:
        padded = np.pad(best, 1, constant_values=np.inf)
        around = np.min(
            [
                padded[
                    1 + i : padded.shape[0] - 1 + i, 1 + j : padded.shape[1] - 1 + j, 1 + k : padded.shape[2] - 1 + k
                ]
                for i in (-1, 0, 1)
                for j in (-1, 0, 1)
                for k in (-1, 0, 1)
            ],
            axis=0,
        )
        new = np.minimum(best, np.maximum(around, height))
        if np.array_equal(new, best):
            return float(best.ravel()[last])
        best = new


@pytest.mark.parametrize("seed", range(5))
def test_the_lowest_way_is_exact(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tube = Tube(np.zeros(3), rng.normal(size=3) + 2.0)
    height = rng.random(tube.points.shape[:3])
    first, last, top = tube.lowest_way(height)
    assert height.ravel()[top] == _ways(height, first, last)
    for mask, index in zip(tube.ends, (first, last), strict=True):
        assert mask.ravel()[index]
        assert height.ravel()[index] == height[mask].min()


def test_tube_surrounds_the_line() -> None:
    tube = Tube(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 6.0]))
    assert tube.length == pytest.approx(3.0)
    flat = tube.points.reshape(-1, 3)
    for point in (tube.start, tube.end, 0.5 * (tube.start + tube.end)):
        assert np.linalg.norm(flat - point, axis=1).min() < 0.2
    assert np.ptp(flat[:, 2]) == pytest.approx(3.0 + 1.6)
    with pytest.raises(InputError, match="lie apart"):
        Tube(np.zeros(3), np.full(3, 0.01))


def test_features_do_not_depend_on_direction_image_or_supercell() -> None:
    from pymatgen.core import Structure

    crystal = fastin.Crystal.from_file(fastin.examples()["LiFePO4"])
    one = hop_features(crystal, "Li", *HOP, landscape=False)
    back = hop_features(crystal, "Li", HOP[1], HOP[0], landscape=False)
    moved = hop_features(crystal, "Li", (1, 1, 0), (1, 1.5, 0), landscape=False)
    big = Structure.from_file(fastin.examples()["LiFePO4"]).make_supercell((1, 2, 1))
    large = hop_features(fastin.Crystal.from_structure(big), "Li", (0, 0, 0), (0, 0.25, 0), landscape=False)
    assert one == pytest.approx(moved, abs=1e-6)
    for name in ("hop_length_A", "hop_ends_low_anion_distance_A", "hop_ends_low_coordination"):
        assert one[name] == pytest.approx(back[name], abs=1e-6)
        assert one[name] == pytest.approx(large[name], abs=1e-6)
    assert one["hop_spse_barrier_eV"] == pytest.approx(large["hop_spse_barrier_eV"], abs=0.02)
    assert one["hop_spse_barrier_eV"] == pytest.approx(back["hop_spse_barrier_eV"], abs=0.05)
    exact = fastin.compute_barriers(crystal, "Li").e1d
    assert one["hop_spse_barrier_eV"] == pytest.approx(exact, abs=0.06)


def test_a_missing_parameter_is_nan_not_an_error() -> None:
    crystal = fastin.Crystal.from_file(fastin.examples()["LiFePO4"])
    with_guest = hop_features(crystal, "Mg", *HOP, landscape=False)
    assert with_guest["ion_charge_e"] == 2
    assert np.isfinite(with_guest["hop_bottleneck_radius_A"])


def test_shipped_model_on_known_hops() -> None:
    """LiFePO4's channel along b (published NEB values 0.2 to 0.55 eV) is far easier than the way across it."""
    channel = predict_hop(fastin.examples()["LiFePO4"], *HOP)
    across = predict_hop(fastin.examples()["LiFePO4"], (0, 0, 0), (0, 0, 1))
    assert channel.ion == "Li+"
    assert 0.1 < channel.barrier < 0.8
    assert across.barrier > channel.barrier + 0.3
    assert channel.barrier_std > 0.05
    assert not channel.warnings
    assert channel.low_90 <= channel.low_68 < channel.barrier < channel.high_68 < channel.high_90
    assert channel.high_68 - channel.barrier == pytest.approx(channel.barrier_std)
    assert not across.warnings
    over = predict_hop(fastin.examples()["LiFePO4"], (0, 0, 0), (0, 1, 0))
    assert any("A from Li: no such hop" in w.message for w in over.warnings)
    odd = predict_hop(fastin.examples()["Li3N"], (0, 0, 0.5), (1, 0, 0.5), "Ag")
    assert any("not of Ag" in w.message for w in odd.warnings)


def test_ends_are_the_nearest_images_and_hold_something() -> None:
    near = predict_hop(fastin.examples()["LiFePO4"], *HOP)
    far = predict_hop(fastin.examples()["LiFePO4"], HOP[0], tuple(np.add(HOP[1], (1, -2, 1))))
    assert far.length == pytest.approx(near.length)
    assert far.barrier == pytest.approx(near.barrier)
    with pytest.raises(InputError, match=r"holds neither Li\+ nor a void"):
        predict_hop(fastin.examples()["LiFePO4"], HOP[0], (0.282, 0.25, 0.975))  # on an iron atom


def test_contact_of_the_straight_line() -> None:
    from pymatgen.core import Structure

    # Li from corner to corner along x of a tetragonal cell; O beside the line, Li beyond it
    cell = np.diag([5.0, 5.0, 9.0])
    structure = Structure(cell, ["Li", "O", "Li"], [[0, 0, 0], [0.5, 0.2, 0], [0, 0, 0.5]])
    crystal = fastin.Crystal.from_structure(structure)
    assert straight_contact(crystal, "Li", (0, 0, 0), (1, 0, 0)) == (pytest.approx(1.0), "O")
    # the same seen through a periodic face, and backwards
    assert straight_contact(crystal, "Li", (1, 1, 0), (0, 1, 0))[0] == pytest.approx(1.0)
    # an ion of the same kind in the way stays; the one at an end is the moving one
    found = straight_contact(crystal, "Li", (0, 0, 0), (0, 0, 1))
    assert found == (pytest.approx(0.0, abs=0.03), "Li")
    assert straight_contact(crystal, "Li", (0, 0, 0), (0, 0, 0.5))[0] > SOUND_CONTACT
    alone = fastin.Crystal.from_structure(Structure(np.eye(3) * 30, ["Li", "F"], [[0, 0, 0], [0.5, 0.5, 0.5]]))
    assert straight_contact(alone, "Li", (0, 0, 0), (0.1, 0, 0)) == (8.0, "")


def test_command_line(tmp_path: Path) -> None:
    path = str(fastin.examples()["LiFePO4"])
    hop = ["--hop", "0", "0", "0", "0", "0.5", "0"]
    result = CliRunner().invoke(main, ["predict", path, *hop, "--json"])
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.output)
    assert row["barrier"] == pytest.approx(predict_hop(path, *HOP).barrier)
    shown = CliRunner().invoke(main, ["predict", path, *hop])
    assert "DFT-NEB" in shown.output
    assert row["low_90"] <= row["low_68"] <= row["barrier"] <= row["high_68"] <= row["high_90"]
    assert CliRunner().invoke(main, ["predict", *hop]).exit_code == 2
    assert CliRunner().invoke(main, ["predict", path, "--hop", "0", "0", "0", "0", "0", "0"]).exit_code == 1
