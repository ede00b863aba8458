"""Ordered cells: content, charge, distances, minimum by brute force, symmetry copies, files, refusals."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from click.testing import CliRunner
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

import fastin
from fastin.cli import main
from fastin.crystal.crystal import Crystal
from fastin.errors import DisorderError, InputError
from fastin.ordering import arrange
from fastin.ordering.content import choose, sublattice

# Rock salt with mixed cations: disordered LiFeO2 (E. Posnjak, T. F. W. Barth, Phys. Rev. 38, 2234 (1931)).
MIXED = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(4.157), [{"Li+": 0.5, "Fe3+": 0.5}, "O2-"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
# A made-up perovskite with lithium on a quarter of the A sites: three of four are empty.
VACANT = Structure.from_spacegroup(
    "Pm-3m",
    Lattice.cubic(3.9),
    [{"Li+": 0.25}, {"Nb5+": 0.25, "W6+": 0.75}, "O2-"],
    [[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0]],
)


def split(distance):
    """Lithium on one of two positions that far apart, above a chloride."""
    d = distance / 8.0 / 2
    return Structure(
        Lattice.from_parameters(4, 4, 8, 90, 90, 90),
        [{"Li+": 0.5}, {"Li+": 0.5}, "Cl-"],
        [[0, 0, 0.5 + d], [0, 0, 0.5 - d], [0, 0, 0]],
    )


def shortest(structure):
    d = np.array(structure.distance_matrix)
    np.fill_diagonal(d, np.inf)
    return d.min()


def charge(structure):
    return sum(site.specie.oxi_state for site in structure)


def test_enumerated_minimum_is_that_of_brute_force():
    cells = fastin.order(MIXED, supercell=(1, 1, 1), n=10)
    assert cells.method == "enumeration"
    base = [s for s in MIXED if s.is_ordered]
    cations = [s.frac_coords for s in MIXED if not s.is_ordered]
    energies = []
    for lithium in itertools.combinations(range(4), 2):
        names = ["Li+" if k in lithium else "Fe3+" for k in range(4)]
        s = Structure(MIXED.lattice, [*names, *(b.specie for b in base)], [*cations, *(b.frac_coords for b in base)])
        energies.append(EwaldSummation(s).total_energy)
    assert cells[0].energy == pytest.approx(min(energies), abs=1e-5)
    assert len(cells) == 1  # all six are copies of one: layers along an axis
    assert cells.arrangements == pytest.approx(6)


def test_copies_by_symmetry_are_left_out():
    """As many arrangements as pymatgen's matcher tells apart among all of them; each is neutral and complete."""
    cells = fastin.order(MIXED, supercell=(2, 1, 1), n=1000)
    matcher = StructureMatcher(primitive_cell=False, scale=False, attempt_supercell=False)
    groups = matcher.group_structures(cells.structures)
    assert len(groups) == len(cells)
    crystal = Crystal.from_structure(MIXED)
    lattice = sublattice(crystal)
    content = choose(crystal, lattice, (2, 1, 1), 200)
    problem = arrange.build(crystal, lattice, content)
    energy, rows = arrange.enumerate_all(lattice, content, problem)
    assert len(rows) == 70
    assert {round(e, 4) for e in energy} == {round(c.energy, 4) for c in cells}
    copies = arrange.permutations(crystal, problem)
    assert len({arrange.canonical(row, copies) for row in rows}) == len(cells)
    assert all(charge(c.structure) == 0 for c in cells)
    assert list(cells.energies) == sorted(cells.energies)


def test_monte_carlo_finds_the_enumerated_minimum(monkeypatch):
    exact = fastin.order(VACANT, supercell=(2, 2, 2))
    assert exact.method == "enumeration"
    monkeypatch.setattr(arrange, "ENUMERATE", 0)
    found = fastin.order(VACANT, supercell=(2, 2, 2), num_threads=1)
    again = fastin.order(VACANT, supercell=(2, 2, 2), num_threads=2)
    assert found.method == "monte carlo"
    assert found[0].energy == pytest.approx(exact[0].energy, abs=1e-6)
    assert found[0].structure == again[0].structure
    assert found[0].energy == pytest.approx(EwaldSummation(found[0].structure).total_energy, abs=1e-4)


def test_supercell_is_chosen_for_the_content():
    cells = fastin.order(VACANT)
    assert np.prod(cells.supercell) == 4
    assert cells.content == {"Li+": (1, 1.0), "Nb5+": (1, 1.0), "W6+": (3, 3.0), "O2-": (12, 12.0)}
    assert charge(cells[0].structure) == 0
    assert not [note for note in cells.notes if "partly filled" in note]


def test_a_content_in_halves_is_rounded_and_said():
    cells = fastin.order(VACANT, supercell=(1, 1, 2))
    assert charge(cells[0].structure) == 0
    assert any("partly filled" in note for note in cells.notes)


@pytest.mark.parametrize("distance", [0.3, 0.7, 1.5])
def test_split_sites_hold_one_ion(distance):
    cells = fastin.order(split(distance), supercell=(2, 1, 1), n=4)
    assert all(c.structure.composition["Li+"] == 2 for c in cells)
    assert all(shortest(c.structure) > 1.8 for c in cells)


def test_positions_that_must_both_be_filled_may_be_close():
    """Occupancies of 0.9 at 1.7 A: nothing excludes them, whatever their radii."""
    s = Structure(
        Lattice.from_parameters(4, 4, 8, 90, 90, 90),
        [{"Li+": 0.9}, {"Li+": 0.9}, "Cl-", {"Cl-": 0.8}],
        [[0, 0, 0.4], [0, 0, 0.6125], [0, 0, 0], [0.5, 0.5, 0.5]],
    )
    cells = fastin.order(s, supercell=(5, 1, 1))
    assert cells[0].structure.composition["Li+"] == 9
    assert charge(cells[0].structure) == 0


def test_garnet_and_thiophosphate():
    """192 and 50 atoms: content, charge, distances, every atom on a position of the crystal."""
    for name, atoms in (("Li7La3Zr2O12_cubic", 192), ("Li10GeP2S12", 50)):
        crystal = Crystal.from_file(fastin.examples()[name])
        cells = fastin.order(crystal, n=2)
        assert len(cells) == 2
        for c in cells:
            assert len(c.structure) == atoms
            assert charge(c.structure) == pytest.approx(0, abs=1e-9)
            assert shortest(c.structure) > 1.5
            for z, x in zip(c.structure.atomic_numbers, c.structure.frac_coords, strict=True):
                gap = crystal.frac[crystal.number == z] - x
                assert np.linalg.norm((gap - np.round(gap)) @ crystal.cell, axis=1).min() < 1e-4
        assert cells[0].energy < cells[1].energy
        assert max(abs(a - b) for a, b in cells.content.values()) < 0.5


def test_origin_and_order_of_the_sites_do_not_matter():
    moved = Structure.from_sites(list(reversed(VACANT.sites)))
    moved.translate_sites(range(len(moved)), [0.13, 0.27, 0.41])
    a, b = fastin.order(VACANT, supercell=(2, 2, 1)), fastin.order(moved, supercell=(2, 2, 1))
    assert a[0].energy == pytest.approx(b[0].energy, abs=1e-4)


def test_ordered_crystals_come_back():
    cells = fastin.order(fastin.examples()["Li3N"], supercell=(2, 1, 1))
    assert cells.method == "ordered already"
    assert len(cells[0].structure) == 8


def test_mixed_valence_takes_up_the_rest():
    """Rounding 1.92 to 2 manganese leaves a charge, which its mixed valence takes."""
    s = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(4.2), [{"Li+": 0.5, "Mn3+": 0.48}, "O2-"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    cells = fastin.order(s, supercell=(1, 1, 1), oxidation_states={"Li": 1, "Mn": 3.125, "O": -2})
    assert next(n for name, (n, _) in cells.content.items() if name.startswith("Mn")) == 2
    assert any("shifted" in note for note in cells.notes)
    assert charge(cells[0].structure) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("occupancy", "match"),
    [({"Li+": 0.5}, "neutral content"), ({"Li+": 0.25, "Mg2+": 0.25}, "another|nearest neutral|neutral content")],
)
def test_occupancies_that_do_not_balance_are_refused(occupancy, match):
    s = Structure(Lattice.cubic(4.0), [occupancy, "Cl-", "Cl-"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]])
    states = {"Li": 1, "Mg": 2, "Cl": -1}
    with pytest.raises(DisorderError, match=match):
        fastin.order(s, supercell=(2, 1, 1), oxidation_states=states)


def test_full_occupancy_on_positions_that_exclude_each_other_is_refused():
    """Two positions 0.5 A apart with 0.9 each: the content cannot be placed."""
    s = Structure(
        Lattice.from_parameters(4, 4, 8, 90, 90, 90),
        [{"Li+": 0.9}, {"Li+": 0.9}, "Cl-", {"Cl-": 0.8}],
        [[0, 0, 0.5], [0, 0, 0.5625], [0, 0, 0], [0.5, 0.5, 0.25]],
    )
    with pytest.raises(DisorderError, match=r"Li\+ at .*split"):
        fastin.order(s, supercell=(5, 1, 1))


@pytest.mark.parametrize(
    "options", [{"n": 0}, {"seed": -1}, {"supercell": (0, 1, 1)}, {"supercell": (2, 2)}, {"max_atoms": 0}]
)
def test_bad_options_are_refused(options):
    with pytest.raises(InputError):
        fastin.order(VACANT, **options)


def test_too_large_a_cell_is_refused():
    with pytest.raises(InputError, match="smaller supercell"):
        fastin.order(VACANT, supercell=(20, 20, 20))


def test_files_read_back(tmp_path):
    cells = fastin.order(VACANT, supercell=(4, 1, 1), n=2)
    for form in ("cif", "poscar"):
        *files, table = cells.write(tmp_path / form, format=form, stem="x")
        assert len(files) == 2
        for file, c in zip(files, cells, strict=True):
            back = Structure.from_file(file)
            assert back.composition.element_composition == c.structure.composition.element_composition
            crystal = Crystal.from_file(file)
            assert (crystal.occupancy == 1).all()
            if form == "poscar":  # one block an element
                names = file.read_text().splitlines()[5].split()
                assert len(names) == len(set(names)) == 4
        assert table.read_text().startswith("rank,formula,atoms,energy_eV")
    with pytest.raises(InputError, match="poscar"):
        cells.write(tmp_path, format="xyz")
    assert "Li1 Nb1 W3" in cells[0].formula
    assert "O" in cells[0].contact
    assert cells[0].contact[2] == pytest.approx(1.95)
    assert "OrderedCells(" in repr(cells)
    assert "<table" in cells._repr_html_()


def test_command(tmp_path):
    good = str(fastin.examples()["Li10GeP2S12"])
    bad = tmp_path / "bad.cif"
    bad.write_text("data_x\n")
    out = tmp_path / "out"
    result = CliRunner().invoke(main, ["order", good, str(bad), "--json", "--out", str(out), "--format", "poscar"])
    assert result.exit_code == 1
    rows = json.loads(result.stdout)
    assert rows[0]["content"]["Li+"]["here"] == 20
    assert rows[1]["error"].startswith("InputError")
    assert sorted(f.name for f in out.iterdir()) == ["Li10GeP2S12-ordered-0.vasp", "Li10GeP2S12-ordered.csv"]
    text = CliRunner().invoke(main, ["order", good, "-n", "2", "--supercell", "1", "1", "1"])
    assert text.exit_code == 0
    assert "Ewald energy" in text.output
