"""``fastin network``: tables, JSON, files, exit status."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from fastin.cli import main
from fastin.network.network import InterstitialNetwork

LICL = """data_LiCl
_cell_length_a 5.13
_cell_length_b 5.13
_cell_length_c 5.13
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'F m -3 m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Li1 Li+ 0.5 0.5 0.5 1
Cl1 Cl- 0 0 0 1
"""


@pytest.fixture
def licl(tmp_path):
    path = tmp_path / "LiCl.cif"
    path.write_text(LICL)
    return path


def run(*arguments):
    return CliRunner().invoke(main, ["network", *map(str, arguments)])


def test_json(licl):
    result = run(licl, "--json", "--exact", "--reduce")
    assert result.exit_code == 0, result.output
    row = json.loads(result.stdout)
    assert row["ion"] == "Li+"
    assert row["n_sites"] == 12  # octahedral and tetrahedral holes of the fcc chlorine packing
    assert {s["multiplicity"] for s in row["site_classes"]} == {4, 8}
    triangle = 5.13 / 6**0.5
    radius = 5.13 / 2 - row["largest_sphere_radius_A"]  # of chlorine, from the octahedral hole
    assert row["free_sphere_radii_A"] == pytest.approx([triangle - radius] * 3, abs=1e-6)
    assert row["exact_percolation_radii_A"] == pytest.approx(row["percolation_radii_A"], abs=1e-9)
    assert row["recovery_rate"] == 1.0


def test_text_and_files(licl, tmp_path):
    targets = [tmp_path / f"out.{s}" for s in ("net", "json", "cif", "vasp", "graphml")]
    result = run(licl, "--reduce", *(x for t in targets for x in ("-o", t)))
    assert result.exit_code == 0, result.output
    assert "free sphere along a, b, c" in result.output
    assert "in cell" in result.output
    assert all(t.stat().st_size > 0 for t in targets)
    assert len(InterstitialNetwork.read(targets[0]).site_radius) == 12


def test_probe_decides_the_channels(licl):
    wide = json.loads(run(licl, "--json", "--probe", "0.01").stdout)
    none = json.loads(run(licl, "--json", "--probe", "2.0").stdout)
    assert wide["channels"][0]["dimensionality"] == 3
    assert none["channels"] == []


def test_options_reach_the_computation(licl):
    row = json.loads(run(licl, "--json", "--clearance", "generators", "--ion", "Cl", "--radii", "atomic").stdout)
    assert row["clearance"] == "generators"
    assert row["ion"] == "Cl-"
    plain = json.loads(run(licl, "--json", "--ion", "Cl").stdout)
    assert row["largest_sphere_radius_A"] != plain["largest_sphere_radius_A"]
    faces = json.loads(run(licl, "--json", "--ion", "Cl", "--face-centers").stdout)
    assert faces["n_sites"] == plain["n_sites"] + 24  # of the rhombic dodecahedra


def test_failures(licl, tmp_path):
    missing = run(tmp_path / "absent.cif")
    assert missing.exit_code == 2
    assert "absent.cif" in missing.stderr.replace("\n", "")
    suffix = run(licl, "-o", tmp_path / "out.xyz")
    assert suffix.exit_code == 2
    assert ".graphml" in suffix.output
    assert run().exit_code == 2
