"""Mutated CIFs: a crystal or a typed error, never a crash, a hang or a foreign exception."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastin import examples
from fastin.crystal.crystal import Crystal
from fastin.crystal.sites import decode
from fastin.crystal.species import parse_species
from fastin.errors import FastinError

TEXTS = [Path(examples()[name]).read_text() for name in ("LiFePO4", "Li10GeP2S12", "Li3N", "LiCl", "LiCoO2")]
JUNK = [
    *("?", ".", "-1", "0", "1e9", "-1e-9", "1e400", "nan", "inf", "1_0", "0.5(", "'", '"', ";", "#", "loop_", "data_"),
    *(
        "Xx",
        "D",
        "Li99+",
        "O2-",
        "_cell_length_a",
        "x,y,z",
        "-x+1/2,y,z",
        "1/0",
        "\u00e9",
        "\t",
        "  ",
        "\n",
        "\r\n",
        "\0",
    ),
    *("_symmetry_space_group_name_H-M 'P 1'\n", "save_frame", "global_", "stop_", "[1 2]", "0.333", "1.00001", "2"),
]


def usable(text: str) -> None:
    """Reads and builds, or raises one of fastin's own errors with the source in front."""
    message = ""
    try:
        crystal = Crystal.from_cif_string(text, source="fuzz.cif")
        framework = crystal.framework("Li")
    except FastinError as error:
        message = str(error)
    if message:
        assert message.startswith("fuzz.cif: ")
        return
    assert np.isfinite(framework.radius).all()
    assert framework.radius.min() >= 0.0
    assert framework.frac.min() >= 0.0
    assert framework.frac.max() < 1.0
    assert np.isfinite(crystal.charge).all()


@st.composite
def mutated(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(["token", "delete", "insert", "swap", "line", "cut", "repeat", "digit"]))
        at = draw(st.integers(0, max(0, len(text) - 1)))
        lines = text.split("\n")
        row = draw(st.integers(0, max(0, len(lines) - 1)))
        if kind == "token":
            words = lines[row].split(" ")
            words[draw(st.integers(0, len(words) - 1))] = draw(st.sampled_from(JUNK))
            lines[row] = " ".join(words)
            text = "\n".join(lines)
        elif kind == "delete":
            text = text[:at] + text[at + draw(st.integers(1, 30)) :]
        elif kind == "insert":
            text = text[:at] + draw(st.sampled_from(JUNK)) + text[at:]
        elif kind == "swap":
            other = draw(st.integers(0, len(lines) - 1))
            lines[row], lines[other] = lines[other], lines[row]
            text = "\n".join(lines)
        elif kind == "line":
            text = "\n".join(lines[:row] + lines[row + 1 :])
        elif kind == "cut":
            text = text[:at]
        elif kind == "repeat":
            text = "\n".join([*lines[: row + 1], lines[row], *lines[row + 1 :]])
        else:
            digits = [k for k, c in enumerate(text) if c.isdigit()]
            if digits:
                k = digits[draw(st.integers(0, len(digits) - 1))]
                text = text[:k] + draw(st.sampled_from("0123456789-.")) + text[k + 1 :]
    return text


@settings(max_examples=250)
@given(mutated())
def test_mutated_cifs(text: str) -> None:
    usable(text)


@settings(max_examples=150)
@given(st.text(max_size=400))
@example("data_\nloop_\n_atom_site_fract_x\n")
@example("data_x _atom_site_fract_x 0")
@example("data_x\n_cell_length_a 4\n_cell_length_b\n_cell_length_c 4\n_atom_site_fract_x 0\n")
def test_any_text(text: str) -> None:
    usable(text)


@settings(max_examples=150)
@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    try:
        text = decode(data, "fuzz.cif")
    except FastinError:
        return
    usable(text)


@settings(max_examples=200)
@given(st.text(alphabet="LiOFePbSn0123456789+-. ()'", max_size=9))
def test_species_names(text: str) -> None:
    found = parse_species(text)
    assert found is None or 1 <= found[0] <= 103


@settings(max_examples=60)
@given(
    st.lists(st.floats(0.01, 60.0), min_size=3, max_size=3),
    st.lists(st.floats(1.0, 179.0), min_size=3, max_size=3),
    st.lists(st.tuples(st.sampled_from(["Li", "O", "Cl", "La"]), *[st.floats(-2.0, 2.0)] * 3), min_size=1, max_size=8),
)
def test_any_cell_and_positions(
    lengths: list[float], angles: list[float], sites: list[tuple[str, float, float, float]]
) -> None:
    text = "data_x\n" + "".join(f"_cell_length_{n} {v!r}\n" for n, v in zip("abc", lengths, strict=True))
    text += "".join(f"_cell_angle_{n} {v!r}\n" for n, v in zip(("alpha", "beta", "gamma"), angles, strict=True))
    text += "loop_\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
    usable(text + "".join(f"{e} {x!r} {y!r} {z!r}\n" for e, x, y, z in sites))


@pytest.mark.parametrize("name", ["F d -3 m", "I 41/a m d", "R -3 c", "P 21/n", "B b c b", "R3c:R", "C2/c", "Fddd:2"])
def test_names_of_space_groups_with_any_atom(name: str) -> None:
    for site in ("0.1 0.2 0.3", "0 0 0", "0.125 0.125 0.125", "0.3333 0.6667 0.25"):
        text = "data_x\n_cell_length_a 9\n_cell_length_b 9\n_cell_length_c 12\n"
        text += f"_space_group_name_H-M_alt '{name}'\nloop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n"
        usable(text + f"_atom_site_fract_z\nO1 {site}\n")
