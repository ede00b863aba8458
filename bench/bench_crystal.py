"""CIF text to framework, on the bundled examples; bench/crystals.py measures the shared data sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastin import examples
from fastin.crystal.cif import parse_cif
from fastin.crystal.crystal import Crystal

NAMES = ("LiFePO4", "Li10GeP2S12", "Li7La3Zr2O12_tetragonal", "Li7La3Zr2O12_cubic")


def p1_text(name: str) -> str:
    """The example written out in P1, as databases deliver it."""
    crystal = Crystal.from_file(examples()[name])
    header = Path(examples()[name]).read_text().partition("_space_group_name_H-M_alt")[0]
    cell = [line for line in Path(examples()[name]).read_text().splitlines() if line.startswith("_cell_")]
    loop = ["loop_", "_atom_site_label", "_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z"]
    rows = [
        f"{label} {x:.5f} {y:.5f} {z:.5f} {share:.4f}"
        for label, (x, y, z), share in zip(crystal.label, crystal.frac, crystal.occupancy, strict=True)
    ]
    lines = [header, "_symmetry_space_group_name_H-M 'P 1'", *cell, *loop, "_atom_site_occupancy", *rows]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.benchmark(group="CIF text to sites, asymmetric unit")
def test_parse(benchmark, name: str) -> None:
    text = Path(examples()[name]).read_text()
    sites = benchmark(parse_cif, text, name)
    assert len(sites.number) > 20


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.benchmark(group="CIF text to framework, P1")
def test_text_to_framework(benchmark, name: str) -> None:
    text = p1_text(name)
    framework = benchmark(lambda: Crystal.from_cif_string(text, source=name).framework("Li"))
    assert len(framework.frac) > 20


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.benchmark(group="crystal to framework")
def test_framework(benchmark, name: str) -> None:
    crystal = Crystal.from_file(examples()[name])
    framework = benchmark(crystal.framework, "Li")
    assert len(framework.frac) > 20
