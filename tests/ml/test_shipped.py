"""The models in the package: small, loadable without pickles, predictions frozen, card honest."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

import fastin
from fastin.cli._common import dump_json
from fastin.ml import outside
from fastin.ml.conductivity import model_folder, predict_composition, predict_crystal
from fastin.ml.migration import predict_hop
from fastin.prediction import load_shipped, predict_many

#: 1D barrier (eV, spse, global zero) that barrier-default.pt predicted when it was shipped; torch 2.13, CPU.
FROZEN = {
    "Li3N": 0.1387,
    "LiFePO4": 0.3735,
    "Li7La3Zr2O12_tetragonal": 0.4495,
    "Li3OCl": 0.4952,
    "LiCoO2": 1.315,
    "Li10GeP2S12": 0.4838,
    "Li3PO4_gamma": 0.4716,
    "LiCl": 0.5776,
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
    assert np.median(error) < 0.01
    assert error.max() < 0.15  # Li3N, without a relative in training
    assert all(p.activation_energy_std > 0 for p in said)


def test_measured_quantities_of_known_conductors() -> None:
    """A relative of Li10GeP2S12 and a lithium phosphate lie decades apart; the model has seen both families."""
    fast, slow = predict_composition("Li9.5Si1.7P1.3S11.7Cl0.3"), predict_composition("Li4SrP2O8")
    assert fast.log10_conductivity > slow.log10_conductivity + 1.5
    assert fast.activation_energy < slow.activation_energy
    crystal = fastin.predict(fastin.examples()["Li10GeP2S12"], device="cpu")
    assert crystal.log10_conductivity is not None
    assert -6 < crystal.log10_conductivity < -1
    other = fastin.predict(fastin.examples()["Na3PS4_cubic"], device="cpu")
    assert other.log10_conductivity is None
    assert other.experiment is None
    assert other.warnings == ()


def test_other_ions_get_their_own_barrier_or_none() -> None:
    """Four mobile ions have one model; another ion gets no number and the reason."""
    for name, ion in (("Na3PS4_cubic", "Na"), ("CaF2", "F"), ("Li3PO4_gamma", "O")):
        path = fastin.examples()[name]
        said = fastin.predict(path, ion, experiment=False)
        exact = fastin.compute_barriers(path, ion, zero="global").e1d
        assert said.activation_energy == pytest.approx(exact, abs=0.03), name
        low, high = said.activation_energy_68
        assert low < said.activation_energy < high
        assert said.activation_energy_90[0] < low
        assert len(said.barriers_68) == len(said.barriers_90) == 3
    other = fastin.predict(fastin.examples()["CaF2"], "Ca", experiment=False)
    assert np.isnan(other.activation_energy)
    assert np.isnan(other.barriers).all()
    assert "no predicted barrier" in repr(other)
    assert any("trained on F-, Li+, Na+, O2-, not on Ca2+" in w.message for w in other.warnings)
    assert '"activation_energy": null' in dump_json(other.to_dict())


def test_what_the_training_set_had_not_widens_the_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    import fastin.ml.pair_terms as module
    from fastin.ml.dataset import graphs_of
    from fastin.prediction import load_predictor, predict_entries

    entry, light = graphs_of(fastin.examples()["LiCl"], "Li", crystals=False), load_predictor()
    blind = replace(entry, energies=None)
    usual, hidden = predict_entries([entry, blind], light)
    monkeypatch.setattr(module, "_terms_of", lambda *_: (0.0,) * 6)
    bare = predict_entries([blind], light)[0]
    assert any("no bond valence parameters" in w.message for w in bare.warnings)
    assert not hidden.warnings
    ratio = [np.log(p.activation_energy_68[1] / p.activation_energy_68[0]) for p in (bare, hidden, usual)]
    assert min(ratio[:2]) > 5 * ratio[2]
    exact = fastin.compute_barriers(fastin.examples()["LiCl"], zero="global").e1d
    for said in (bare, hidden):
        assert said.activation_energy_90[0] < exact < said.activation_energy_90[1]


def test_predictions_of_the_forests_are_frozen() -> None:
    """What the shipped forests said when they were shipped."""
    new = predict_composition("Li9.5Si1.7P1.3S11.7Cl0.3")
    assert "formula" in new.model
    assert (new.log10_conductivity, new.activation_energy) == pytest.approx((-2.061, 0.247), abs=2e-3)
    assert predict_composition("LiAlO2").log10_conductivity == pytest.approx(-9.517, abs=2e-3)
    assert predict_composition("Li2O").log10_conductivity is None  # nobody measured its kind
    far = predict_composition("LiClO4")
    assert far.distance > 3.0
    assert far.log10_conductivity_std > 2 * new.log10_conductivity_std
    crystal = predict_crystal(fastin.examples()["Li3N"])
    assert crystal.conductivity is not None
    assert crystal.conductivity.origin == "measured"
    assert {n.formula for n in crystal.nearest} >= {"Li3N"}
    hop = predict_hop(fastin.examples()["LiFePO4"], (0, 0, 0), (0, 0.5, 0))
    assert hop.barrier == pytest.approx(0.252, abs=0.01)


def test_forests_need_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['sklearn'] = None\n"
        "from fastin.ml.conductivity import predict_composition\n"
        "print(predict_composition('Li9.5Si1.7P1.3S11.7Cl0.3').log10_conductivity)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(-2.061, abs=2e-3)


def test_shared_positions_get_no_barrier() -> None:
    """Sodium on lithium's own positions is framework to a graph: refused, however little; disorder elsewhere is not."""
    cell, frac = Lattice.cubic(3.9), [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 0]]
    for lithium, chlorine, refused in (
        ("Li", "Cl", False),
        ({"Li": 0.95, "Na": 0.05}, "Cl", True),
        ("Li", {"Cl": 0.5, "Br": 0.5}, False),
    ):
        found = fastin.predict(Structure(cell, [lithium] * 3 + ["O", chlorine], frac), "Li", experiment=False)
        codes = [warning.code for warning in found.warnings]
        assert ("ion-shared-site" in codes) == refused
        values = [found.activation_energy, *found.barriers, *found.activation_energy_68, *found.barriers_90[0]]
        assert np.isnan(values).all() if refused else np.isfinite(found.activation_energy)


def test_metals_get_no_barrier() -> None:
    """LiAl (Zintl's own phase, a 6.37 A) has no charges and no bond valence barrier; 0.08 eV was predicted."""
    alloy = Structure.from_spacegroup("Fd-3m", Lattice.cubic(6.37), ["Li", "Al"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    found = fastin.predict(alloy)
    assert np.isnan([found.activation_energy, *found.barriers]).all()
    assert any("Al of the framework has no charge" in warning.message for warning in found.warnings)


def test_vacuum_gets_no_barrier() -> None:
    """A slab and a molecule: the way around them is no bulk barrier (a slab of LiCoO2 got 1.29 +- 0.01 eV)."""
    bulk = Structure.from_file(fastin.examples()["LiCoO2"])
    matrix = np.array(bulk.lattice.matrix)
    slab = Structure(Lattice(matrix * [[1.0], [1.0], [2.0]]), bulk.species, bulk.cart_coords, coords_are_cartesian=True)
    molecule = Structure(Lattice.cubic(12.0), ["Li", "Cl"], [[0.5, 0.5, 0.5], [0.5, 0.5, 0.67]])
    for structure in (slab, molecule):
        found = fastin.predict(structure, experiment=False)
        assert np.isnan([found.activation_energy, found.activation_energy_std, *found.barriers]).all()
        assert any("no bulk crystal" in warning.message for warning in found.warnings)
    assert fastin.predict(bulk, experiment=False).activation_energy > 1.0


@pytest.mark.parametrize(("length", "factor"), [(5.14, 1.0), (3.6, 2.7)])
def test_values_out_of_range_widen_the_intervals(length: float, factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rock salt as it is and far too dense: all its voids are smaller than any of the training set."""
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(length), ["Li", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    found = fastin.predict(salt, experiment=False)
    monkeypatch.setattr(outside, "WIDER", ((np.inf, 1.0),))
    plain = fastin.predict(salt, experiment=False)
    assert found.activation_energy == plain.activation_energy
    for own, bare in (
        (found.activation_energy_68, plain.activation_energy_68),
        (found.barriers_90[0], plain.barriers_90[0]),
    ):
        assert np.log10(own[1] / own[0]) == pytest.approx(factor * np.log10(bare[1] / bare[0]))
