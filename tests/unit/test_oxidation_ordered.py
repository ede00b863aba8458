"""Oxidation states of ordered cells of solid solutions, of delafossites, and of shells that rule a state out.

Delafossites: R. D. Shannon, D. B. Rogers, C. T. Prewitt, Inorg. Chem. 10, 713 (1971); C. T. Prewitt, R. D. Shannon,
D. B. Rogers, Inorg. Chem. 10, 719 (1971). Layers: H.-J. Noh et al., J. Power Sources 233, 121 (2013).
"""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from fastin.crystal.crystal import Crystal
from fastin.crystal.elements import symbol

DELAFOSSITES = {
    "PdCoO2": (2.830, 17.743, 0.1112, "Pd1 Co3"),
    "PtCoO2": (2.823, 17.808, 0.1140, "Pt1 Co3"),
    "PdCrO2": (2.923, 18.087, 0.1105, "Pd1 Cr3"),
    "PdRhO2": (3.021, 18.083, 0.1122, "Pd1 Rh3"),
    "CuFeO2": (3.035, 17.166, 0.1066, "Cu1 Fe3"),
    "CuRhO2": (3.074, 17.094, 0.1070, "Cu1 Rh3"),
    "AgNiO2": (2.939, 18.370, 0.1116, "Ag1 Ni3"),
    "AgCoO2": (2.875, 18.270, 0.1113, "Ag1 Co3"),
    "CuMnO2": (2.880, 17.100, 0.1080, "Cu1 Mn3"),
}
SOLUTIONS = (
    {"Ni": 0.8, "Mn": 0.1, "Co": 0.1},
    {"Ni": 0.6, "Mn": 0.2, "Co": 0.2},
    {"Ni": 0.5, "Mn": 0.2, "Co": 0.3},
    {"Ni": 0.5, "Mn": 0.5},
    {"Ni": 0.9, "Mn": 0.1},
    {"Ni": 0.9, "Ti": 0.1},
    {"Ni": 0.8, "Co": 0.1, "Al": 0.1},
)
EXPECTED = (  # as in LiNiO2, LiCoO2, Li2MnO3 and NMC by X-ray absorption
    "Ni2.875 Mn4 Co3",
    "Ni2.667 Mn4 Co3",
    "Ni2.6 Mn4 Co3",
    "Ni2 Mn4",
    "Ni2.889 Mn4",
    "Ni2.889 Ti4",
    "Ni3 Co3 Al3",
)


def means(crystal: Crystal) -> dict[str, float]:
    return {symbol(int(z)): float(crystal.charge[crystal.number == z].mean()) for z in set(crystal.number.tolist())}


def check(crystal: Crystal, expected: str) -> None:
    found = means(crystal)
    for text in expected.split():
        name = text.rstrip("0123456789.")
        assert found[name] == pytest.approx(float(text[len(name) :]), abs=2e-3), found


@pytest.mark.parametrize("name", DELAFOSSITES)
def test_delafossites_hold_monovalent_metals_between_two_oxygens(name: str) -> None:
    a, c, z, expected = DELAFOSSITES[name]
    metals = [name[:2], name[2:4]]
    cell = Lattice.hexagonal(a, c)
    structure = Structure.from_spacegroup("R-3m", cell, [*metals, "O"], [[0, 0, 0], [0, 0, 0.5], [0, 0, z]])
    crystal = Crystal.from_structure(structure)
    check(crystal, expected)
    assert not [w for w in crystal.warnings if w.code != "ion-guessed"]


def layered(metal: object, lithium: float = 1.0) -> Structure:
    lattice = Lattice.hexagonal(2.872, 14.2)
    species = [{"Li": lithium}, metal, "O"]
    return Structure.from_spacegroup("R-3m", lattice, species, [[0, 0, 0.5], [0, 0, 0], [0, 0, 0.2588]])


def ordered(shares: dict[str, float], removed: float = 0.0, seed: int = 0) -> Structure:
    """Ten formula units a layer, metals and vacancies drawn at random, atoms where the mean crystal has them."""
    cell = layered("Co")
    cell.make_supercell([5, 2, 1])
    draw = np.random.default_rng(seed)
    places = draw.permutation([k for k, site in enumerate(cell) if site.specie.symbol == "Co"])
    names = [name for name, share in shares.items() for _ in range(round(30 * share))]
    for at, name in zip(places, names, strict=True):
        cell.replace(int(at), name)
    lithium = draw.permutation([k for k, site in enumerate(cell) if site.specie.symbol == "Li"])
    cell.remove_sites(lithium[: round(removed * 30)].tolist())
    return cell


@pytest.mark.parametrize(("shares", "expected"), list(zip(SOLUTIONS, EXPECTED, strict=True)), ids=str)
def test_ordered_cells_of_a_solution_have_its_states(shares: dict[str, float], expected: str) -> None:
    """The same composition, disordered or drawn, is the same chemistry."""
    check(Crystal.from_structure(layered(shares)), expected)
    check(Crystal.from_structure(ordered(shares)), expected)


@pytest.mark.parametrize("shares", SOLUTIONS[:5], ids=str)
@pytest.mark.parametrize("removed", [0.5, 0.8])
def test_so_have_delithiated_cells(shares: dict[str, float], removed: float) -> None:
    expected = means(Crystal.from_structure(layered(shares, 1.0 - removed)))
    found = means(Crystal.from_structure(ordered(shares, removed)))
    for name, state in expected.items():
        assert found[name] == pytest.approx(state, abs=2e-2), (found, expected)
    assert found["Mn"] == 4.0


def test_no_octahedral_permanganate() -> None:
    """Mn7+ is tetrahedral: in an octahedron it is not taken because it happens to balance."""
    cell = ordered(SOLUTIONS[0], 0.5)
    found = means(Crystal.from_structure(cell))
    assert found["Mn"] == 4.0
    assert found["Ni"] == pytest.approx(3.5)


def test_whole_states_that_would_react_are_doubted() -> None:
    """Ti3+ beside Ni3+ is all that balances in whole states; Ti4+ with Ni2.89+ is what a chemist would write."""
    cell = ordered(SOLUTIONS[5])
    oxygen = [k for k, site in enumerate(cell) if site.specie.symbol == "O"]
    for k in (k for k, site in enumerate(cell) if site.specie.symbol == "Ti"):  # shells of their own, as relaxed
        for near in (s.index for s in cell.get_neighbors(cell[k], 2.2)):
            if near in oxygen:
                step = cell[near].coords - cell[k].coords
                image = step - cell.lattice.get_cartesian_coords(np.round(cell.lattice.get_fractional_coords(step)))
                cell.translate_sites([near], 0.02 * image, frac_coords=False)
    crystal = Crystal.from_structure(cell)
    found = means(crystal)
    said = [w.message for w in crystal.warnings if w.code == "oxidation-ambiguous"]
    assert found["Ti"] == 4.0 or any("would oxidise the other" in text and "Ti4+" in text for text in said)
