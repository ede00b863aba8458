"""Conductivities that sound too sure: full sites, barriers of a few kT, protons, runs without a result.

beta-PbF2: K. Koto, H. Schulz, R. A. Huggins, Solid State Ionics 1, 355 (1980), 1e-6 S/cm at room temperature;
alpha-AgI: R. J. Cava, F. Reidinger, B. J. Wuensch, Solid State Commun. 24, 411 (1977).
"""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from pymatgen.core import Lattice, Structure

import fastin
from fastin.cli import main
from fastin.transport.doubts import kinetic_doubts


def fluorite(a: float, metal: str, anion: object) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [metal, anion], [[0, 0, 0], [0.25, 0.25, 0.25]])


FULL = {
    "PbF2": fluorite(5.94, "Pb", "F"),
    "CaF2": fluorite(5.463, "Ca", "F"),
    "Li2O": Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.619), ["O", "Li"], [[0, 0, 0], [0.25, 0.25, 0.25]]),
}
VACANT = {
    "alpha-AgI": Structure.from_spacegroup(
        "Im-3m", Lattice.cubic(5.0855), ["I", {"Ag": 1 / 6}], [[0, 0, 0], [0.25, 0, 0.5]]
    ),
    "Bi2O3": fluorite(5.65, "Bi", {"O": 0.75}),
    "GDC": fluorite(5.42, "Ce", {"O": 0.95}),
}


@pytest.mark.parametrize("name", FULL)
def test_full_sites(name: str) -> None:
    paths = fastin.compute_paths(FULL[name])
    full, said = kinetic_doubts(paths, 300.0, 1e-8)
    assert full
    assert "share of vacancies" in said[0]
    if name != "Li2O":  # whose ions find vacant sites beside their own
        assert "no move is possible" in repr(paths.simulate(300.0))  # the exact model agrees: nothing moves


@pytest.mark.parametrize("name", VACANT)
def test_vacant_sites(name: str) -> None:
    paths = fastin.compute_paths(VACANT[name])
    assert not kinetic_doubts(paths, 300.0, 1e-8).full


def test_barriers_of_a_few_kt() -> None:
    paths = fastin.compute_paths(FULL["Li2O"])
    lowest = min(paths.levels)
    boundary = lowest / (4.0 * 8.617333e-5)
    assert not any("kT" in text for text in kinetic_doubts(paths, 0.99 * boundary, 1e-8).said)
    assert any("upper bounds" in text for text in kinetic_doubts(paths, 1.01 * boundary, 1e-8).said)
    assert any("upper bounds" in text for text in kinetic_doubts(paths, 300.0, 1e-3).said)


def test_on_the_command_line(tmp_path) -> None:
    path = tmp_path / "PbF2.cif"
    FULL["PbF2"].to(filename=str(path))
    result = CliRunner().invoke(main, ["paths", str(path)])
    words = " ".join(result.output.split())
    assert "S/cm times the share of vacancies" in words
    assert "multiply D and the conductivity by the share of vacancies" in words
    row = json.loads(CliRunner().invoke(main, ["paths", str(path), "--json"]).output)
    kinetics = (row[0] if isinstance(row, list) else row)["kinetics"]
    assert kinetics["needs_vacancies"] is True
    assert len(kinetics["doubts"]) >= 1


def test_protons_are_no_such_ions() -> None:
    perovskite = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(4.19), ["Ba", "Zr", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    )
    assert "proton" in {w.code for w in fastin.compute_barriers(perovskite, "H").warnings}
    hydride = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.083), ["Li", "H"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert "proton" not in {w.code for w in fastin.compute_barriers(hydride, "H").warnings}
