"""The pattern classifier in numpy: torch's numbers, on the shipped weights and on random ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fastin
from fastin.errors import InputError
from fastin.xrd.domain import Domain
from fastin.xrd.match import XRDMatch
from fastin.xrd.model import build_network, coarsen
from fastin.xrd.numpy_networks import NumpySmallNets
from fastin.xrd.settings import TrainConfig, coarsened


@pytest.fixture(scope="module")
def patterns() -> np.ndarray:
    """Of crystals, of noise, of nothing and of a constant."""
    rng = np.random.default_rng(0)
    crystals = np.stack([fastin.xrd_pattern(path)[1] for path in fastin.examples().values()])
    return np.concatenate([crystals, rng.random((3, 4501)), np.zeros((1, 4501)), np.ones((1, 4501))]).astype(np.float32)


def test_the_shipped_classifier_gives_the_numbers_of_torch(patterns: np.ndarray) -> None:
    model = XRDMatch.load(Path(fastin.__file__).parent / "data" / "models" / "xrdmatch.pt")
    assert model._light is not None, "the shipped classifier would wait for torch"
    one, members = model.predict_proba(patterns), model.member_logits(patterns)
    assert len(model.networks) == model.members  # from here on torch predicts
    assert model._light is None
    np.testing.assert_allclose(one, model.predict_proba(patterns), rtol=0, atol=1e-6)
    np.testing.assert_allclose(members, model.member_logits(patterns), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "preset"),
    [({}, "fixed"), ({"hidden": 7, "fwhm": [0.2, 0.9, 2.0], "first": 12.0}, "fixed"), ({"fwhm": (1.1,)}, "faithful")],
)
def test_random_weights_give_the_numbers_of_torch(
    settings: dict[str, Any], preset: str, patterns: np.ndarray, tmp_path: Path
) -> None:
    made = XRDMatch(TrainConfig(network="small", network_settings=settings, preset=preset), members=2)
    networks = []
    for seed in range(2):
        torch.manual_seed(seed)
        network = build_network("small", **settings).eval()
        network.front.centre.normal_().mul_(0.1)
        networks.append(network)
    made.networks = networks
    made.calibration = (0.7, -0.2)
    made.save(tmp_path / "m.pt")
    again = XRDMatch.load(tmp_path / "m.pt")
    assert again._light is not None
    expected = made.member_logits(patterns)
    assert np.ptp(expected, axis=1).min() > 1e-2
    np.testing.assert_allclose(again.member_logits(patterns), expected, rtol=1e-6, atol=2e-6)
    np.testing.assert_allclose(again.member_logits(coarsened(patterns)), expected, rtol=1e-6, atol=2e-6)
    np.testing.assert_allclose(again.predict_proba(patterns), made.predict_proba(patterns), rtol=0, atol=1e-6)
    again.save(tmp_path / "n.pt")  # what was read can be written again
    np.testing.assert_array_equal(XRDMatch.load(tmp_path / "n.pt").member_logits(patterns[:2]), again_logits(tmp_path))
    with pytest.raises(InputError, match="4501"):
        XRDMatch.load(tmp_path / "m.pt").predict_proba(patterns[:, :4000])


def again_logits(folder: Path) -> np.ndarray:
    """What the first file says of the first two examples."""
    found = [fastin.xrd_pattern(path)[1] for path in list(fastin.examples().values())[:2]]
    return XRDMatch.load(folder / "m.pt").member_logits(np.array(found, np.float32))


def test_other_networks_are_left_to_torch(patterns: np.ndarray, tmp_path: Path) -> None:
    made = XRDMatch(TrainConfig(network="elastic"), members=1)
    torch.manual_seed(0)
    made.networks = [build_network("elastic").eval()]
    made.networks[0].set_basis(coarsen(torch.from_numpy(patterns)))
    made.save(tmp_path / "m.pt")
    again = XRDMatch.load(tmp_path / "m.pt")
    assert again._light is None
    np.testing.assert_array_equal(again.member_logits(patterns), made.member_logits(patterns))
    state = {name: value.numpy() for name, value in build_network("small").state_dict().items()}
    with pytest.raises(ValueError, match="another network"):
        NumpySmallNets([{**state, "more": np.zeros(2)}], TrainConfig())
    with pytest.raises(ValueError, match="shapes"):
        NumpySmallNets([state], TrainConfig(network_settings={"first": 20.0}))
    with pytest.raises(ValueError, match="not the small network"):
        NumpySmallNets([state], TrainConfig(network_settings={"formula": True}))


def test_patterns_are_coarsened_as_torch_does(patterns: np.ndarray) -> None:
    np.testing.assert_allclose(coarsened(patterns), coarsen(torch.from_numpy(patterns)).numpy(), rtol=1e-6)


def test_the_domain_survives_its_file() -> None:
    domain = XRDMatch.pretrained().domain
    assert domain is not None
    again = Domain.from_state(domain.state())
    assert again.reference.dtype == np.float16
    np.testing.assert_array_equal(again.reference, domain.reference)
    for k in (0, 100):
        formula, similarity, sigma = domain.nearest(domain.reference[k])[0]
        assert (formula, sigma) == (domain.formulas[k], domain.sigma[k])
        assert similarity == pytest.approx(1.0, abs=1e-5)


def test_classification_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['sklearn'] = None\n"
        "import fastin\nfrom fastin.xrd import XRDMatch\n"
        "print(XRDMatch.pretrained().predict_proba(fastin.xrd_pattern(fastin.examples()['LiCl'])[1])[0, 1])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < float(done.stdout) < 0.5
