"""The models in the package: small, loadable without pickles, predictions frozen, card honest."""

from __future__ import annotations

import json

import numpy as np
import pytest

import fastin
from fastin.ml.conductivity import model_folder, predict_composition
from fastin.prediction import load_shipped, predict_many

#: 1D barrier (eV, spse, global zero) that barrier-default.pt predicted when it was shipped; torch 2.13, CPU.
FROZEN = {
    "Li3N": 0.1496,
    "LiFePO4": 0.3794,
    "Li7La3Zr2O12_tetragonal": 0.4678,
    "Li3OCl": 0.4256,
    "LiCoO2": 1.31,
    "Li10GeP2S12": 0.4031,
    "Li3PO4_gamma": 0.455,
    "LiCl": 0.5636,
}


def test_models_are_small_and_carry_a_card() -> None:
    folder = model_folder()
    size = sum(p.stat().st_size for p in folder.glob("*") if p.suffix in (".pt", ".npz"))
    assert size < 10e6
    card = json.loads((folder / "barrier-default.json").read_text())
    shipped = load_shipped("default", "cpu")
    assert shipped.card == card
    assert {"dataset", "split", "training", "test", "calibration", "uncertainty", "domain"} <= set(card)
    assert set(shipped.targets) >= {"e1d_global", "e1d_network", "e2d_network", "e3d_network"}


@pytest.mark.parametrize("name", FROZEN)
def test_predictions_are_frozen(name: str) -> None:
    own = fastin.predict(fastin.examples()[name], "Li", device="cpu", experiment=False)
    assert own.activation_energy == pytest.approx(FROZEN[name], rel=0.01)


def test_predictions_follow_the_barrier_of_lithium_compounds() -> None:
    names = list(FROZEN)
    said = predict_many([fastin.examples()[n] for n in names], "Li", device="cpu", experiment=False)
    truth = [fastin.compute_barriers(fastin.examples()[n], "Li", zero="global").e1d for n in names]
    error = np.abs(np.log10([p.activation_energy for p in said]) - np.log10(truth))
    assert np.median(error) < 0.12
    assert all(p.activation_energy_std > 0 for p in said)


def test_measured_quantities_of_known_conductors() -> None:
    """Argyrodite and Li3PO4 lie five orders of magnitude apart; the model has seen both families."""
    fast, slow = predict_composition("Li6PS5Cl"), predict_composition("Li3PO4")
    assert fast.log10_conductivity > slow.log10_conductivity + 1.5
    assert fast.activation_energy < slow.activation_energy
    crystal = fastin.predict(fastin.examples()["Li10GeP2S12"], device="cpu")
    assert crystal.log10_conductivity is not None
    assert -6 < crystal.log10_conductivity < -1
    other = fastin.predict(fastin.examples()["Na3PS4_cubic"], device="cpu")
    assert other.log10_conductivity is None
    assert any("Li conductors only" in w for w in other.warnings)
