"""Known conductors among unlabelled structures: same elements, doped variants, the table in the package."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from fastin.screening.job import SMALL_CRYSTAL
from fastin.xrd.dataset import load_labelled, load_unlabelled
from fastin.xrd.known import conductors_of, known_conductors, not_known


def test_elements_and_doped_variants() -> None:
    conductors = ["Li6PS5Cl", "Li7La3Zr2O12"]
    formulas = ["Li5PS4Cl2", "Li3PO4", "Li6.4Al0.2La3Zr2O12", "Li7La3Sn2O12", "LiCl", "Li7(La3Zr2)O12"]
    assert known_conductors(formulas, conductors).tolist() == [True, False, True, False, False, True]
    assert known_conductors([], conductors).tolist() == []
    assert not known_conductors(formulas, []).any()
    pool = SimpleNamespace(formulas=tuple(formulas))
    assert not_known(pool, conductors).tolist() == [1, 3, 4]


def test_conductors_come_from_the_labels_and_the_table() -> None:
    labelled = SimpleNamespace(formulas=("Li9XeF2", "LiKrF3"), sigma=np.array([1e-3, 1e-8]))
    found = conductors_of(labelled)
    assert "Li9XeF2" in found
    assert "LiKrF3" not in found
    assert known_conductors(["Li6PS5Cl", "Li10GeP2S12"], found).all()
    assert len(conductors_of(labelled, 1e-2)) < len(found)


def test_records_without_a_cif_are_no_damage(tmp_path: Path) -> None:
    records = [{"id": "a", "cif": SMALL_CRYSTAL, "sigma": 1e-5}, {"id": "b", "cif": None, "sigma": 1e-4}]
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    assert load_labelled(path).ids == ("a",)
    pool = load_unlabelled(path)
    assert pool.ids == ("a",)
    assert pool.failed == (("b", "b: the CIF is empty"),)
