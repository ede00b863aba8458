"""Crystals written in every setting, digit count and list form, and read back: the same atoms in the same places."""

from __future__ import annotations

import random
import re
from fractions import Fraction

import gemmi
import numpy as np
import pytest

from fastin import Crystal
from fastin.crystal.cif.settings import distortion, operations_of, settings_by_name
from fastin.crystal.elements import symbol
from fastin.crystal.sites import cell_from_parameters

SETTINGS = [s for s in gemmi.spacegroup_table() if s.number <= 230]


def cell_for(setting, rng):
    """Lengths and angles that the operations keep, and no accidental others."""
    system = setting.crystal_system_str()
    a, b, c = 7.1 + rng.random(), 8.7 + rng.random(), 10.9 + rng.random()
    oblique = 97.0 + 20.0 * rng.random()
    if system == "triclinic":
        return a, b, c, 81.0 + rng.random(), 97.0 + rng.random(), 105.0 + rng.random()
    if system == "monoclinic":
        unique = setting.monoclinic_unique_axis()
        return a, b, c, *(oblique if axis == unique else 90.0 for axis in "abc")
    if system == "orthorhombic":
        return a, b, c, 90.0, 90.0, 90.0
    if system == "tetragonal":
        # a few settings of tetragonal groups stand on other axes: take the first cell that the operations keep
        for p in ((a, a, c), (a, b, b), (a, b, a)):
            if distortion(operations_of(setting.hall, "").rotations, cell_from_parameters(*p, 90.0, 90.0, 90.0)) < 1e-9:
                return *p, 90.0, 90.0, 90.0
    if system in ("trigonal", "hexagonal"):
        if setting.ext == "R":
            angle = 62.0 + 20.0 * rng.random()
            return a, a, a, angle, angle, angle
        return a, a, c, 90.0, 90.0, 120.0
    return 2.0 * a, 2.0 * a, 2.0 * a, 90.0, 90.0, 90.0


def model(setting, rng):
    """A general position of each of two elements, far from special ones, and an anion on a special one if there is."""
    parameters = cell_for(setting, rng)
    cell = cell_from_parameters(*parameters)
    operations = operations_of(setting.hall, "")
    rows = []
    for z in (3, 22, 8):
        for _ in range(2000):
            frac = np.round(np.array([rng.random() for _ in range(3)]), 5)
            images = operations.rotations @ frac + operations.translations
            others = [operations.rotations @ f + operations.translations for _, f in rows]
            gap = images[1:] - frac
            near = [np.linalg.norm((gap - np.rint(gap)) @ cell, axis=1).min(initial=9.0)]
            for other in others:
                gap = other - frac
                near.append(np.linalg.norm((gap - np.rint(gap)) @ cell, axis=1).min())
            if min(near) > 0.6:
                break
        else:
            continue
        rows.append((z, frac))
    return parameters, cell, operations, rows


def truth(operations, rows):
    """All atoms, wrapped: (number, position) rows."""
    out = []
    for z, frac in rows:
        images = operations.rotations @ frac + operations.translations
        out += [(z, *x) for x in (images - np.floor(images)).tolist()]
    return np.array(out)


def text_of(parameters, rows, operations, lines, *, digits=5, formula=True, units=True, occupancy=None):
    """A CIF of the model: `lines` state the symmetry."""
    order = len(operations.rotations)
    amounts = {}
    for z, _ in rows:
        amounts[z] = amounts.get(z, 0) + 1
    out = ["data_x"]
    if formula:
        out.append("_chemical_formula_sum '" + " ".join(f"{symbol(z)}{n}" for z, n in sorted(amounts.items())) + "'")
    if units:
        out.append(f"_cell_formula_units_Z {order}")
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    out += [f"_cell_{n} {v:.5f}" for n, v in zip(names, parameters, strict=True)]
    out += lines
    out += ["loop_", "_atom_site_label", "_atom_site_type_symbol", *(f"_atom_site_fract_{x}" for x in "xyz")]
    out += ["_atom_site_occupancy"]
    for k, (z, frac) in enumerate(rows):
        position = " ".join(f"{x:.{digits}f}" for x in frac)
        out.append(f"{symbol(z)}{k + 1} {symbol(z)} {position} {1 if occupancy is None else occupancy}")
    return "\n".join(out) + "\n"


def triplets(setting):
    return [op.triplet() for op in setting.operations()]


def listed(texts, tag="_space_group_symop_operation_xyz"):
    return ["loop_", tag, *(f"'{t}'" for t in texts)]


def magnetic(texts, rng):
    rows = [f"{k} {t},{rng.choice(['+1', '-1'])}" for k, t in enumerate(texts, 1)]
    return ["loop_", "_space_group_symop_magn_operation.id", "_space_group_symop_magn_operation.xyz", *rows]


def superspace(texts):
    changed = [re.sub("z", "x3", re.sub("y", "x2", re.sub("x", "x1", t))) for t in texts]
    return ["loop_", "_space_group_symop_ssg_id", "_space_group_symop_ssg_operation_algebraic",
            *(f"{k} {t},x4" for k, t in enumerate(changed, 1))]  # fmt: skip


FORMS = {
    "list": lambda s, rng: listed(triplets(s)),
    "old list": lambda s, rng: listed(triplets(s), "_symmetry_equiv_pos_as_xyz"),
    "no identity": lambda s, rng: [f"_space_group_name_H-M_alt '{s.xhm()}'", *listed(triplets(s)[1:])],
    "shuffled": lambda s, rng: listed(rng.sample(triplets(s), len(triplets(s)))),
    "one missing": lambda s, rng: [f"_space_group_name_H-M_alt '{s.xhm()}'", *listed(triplets(s)[:-1])],
    "centring lost": lambda s, rng: [
        f"_space_group_name_H-M_alt '{s.xhm()}'", *listed([op.triplet() for op in s.operations().sym_ops])
    ],
    "identity alone": lambda s, rng: [f"_space_group_name_H-M_alt '{s.xhm()}'", *listed(["x,y,z"])],
    "name": lambda s, rng: [f"_space_group_name_H-M_alt '{s.xhm()}'"],
    "hall": lambda s, rng: [f"_space_group_name_Hall '{s.hall}'"],
    "magnetic": lambda s, rng: magnetic(triplets(s), rng),
    "superspace": lambda s, rng: superspace(triplets(s)),
}  # fmt: skip

BY_NAME = ("name", "identity alone", "one missing", "no identity", "centring lost")


def check(crystal, wanted, cell):
    """The same atoms in the same places, whatever their order."""
    assert len(crystal.number) == len(wanted)
    for z in np.unique(wanted[:, 0]):
        mine, theirs = crystal.frac[crystal.number == z], wanted[wanted[:, 0] == z][:, 1:]
        gap = mine[:, None] - theirs[None]
        gap -= np.rint(gap)
        distance = np.linalg.norm(gap @ cell, axis=2)
        assert distance.min(axis=1).max() < 0.02
        assert distance.min(axis=0).max() < 0.02


@pytest.mark.parametrize("form", list(FORMS))
def test_every_setting_in_every_form(form):
    """A third of the table for each form, in turn, so that the whole suite covers every setting several times."""
    rng = random.Random(form)
    part = list(FORMS).index(form) % 3
    failures = []
    for at, setting in enumerate(SETTINGS):
        if at % 3 != part or len(list(setting.operations())) == 1:
            continue
        if form in BY_NAME and not found_by_name(setting):
            continue
        parameters, cell, operations, rows = model(setting, rng)
        if len(rows) < 2:
            continue
        text = text_of(parameters, rows, operations, FORMS[form](setting, rng))
        try:
            crystal = Crystal.from_cif_string(text)
            check(crystal, truth(operations, rows), cell)
            said = {w.code for w in crystal.warnings if w.severe} - {"short-contact", "charge-residue", "atoms-apart"}
            assert not said, said
        except Exception as error:
            failures.append(f"{setting.xhm()}: {type(error).__name__} {str(error)[:120]}")
    assert not failures, f"{len(failures)} settings, e.g. {failures[:5]}"


def found_by_name(setting):
    """gemmi's table repeats a few names with other axes; those need a list or a Hall symbol."""
    found = settings_by_name(setting.xhm(), (90.0, 90.0, 120.0 if setting.ext == "H" else 90.0))
    return bool(found) and found[0].xhm() == setting.xhm()


SPECIAL = [
    ("P 63/m m c", "x,2x,z", lambda x, y, z: (x, 2 * x, z), 12),
    ("P 63/m m c", "x,2x,1/4", lambda x, y, z: (x, 2 * x, 0.25), 6),
    ("P 6/m m m", "x,2x,0", lambda x, y, z: (x, 2 * x, 0.0), 6),
    ("R -3 m:H", "x,-x,z", lambda x, y, z: (x, -x, z), 18),
    ("F d -3 m:2", "x,x,x", lambda x, y, z: (x, x, x), 32),
    ("F d -3 m:2", "x,x,z", lambda x, y, z: (x, x, z), 96),
    ("I -4 3 d", "x,x,x", lambda x, y, z: (x, x, x), 16),
    ("I 41/a m d:1", "0,y,z", lambda x, y, z: (0.0, y, z), 16),
    ("P 42/m n m", "x,x,0", lambda x, y, z: (x, x, 0.0), 4),
    ("P n m a", "x,1/4,z", lambda x, y, z: (x, 0.25, z), 4),
    ("I a -3 d", "1/8,y,1/4-y", lambda x, y, z: (0.125, y, 0.25 - y), 48),
]


@pytest.mark.parametrize("digits", [2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("occupancy", [1, 0.5, 0.25, 0.1])
def test_special_positions_whatever_the_digits_and_the_occupancy(digits, occupancy):
    rng = random.Random(digits)
    for name, wyckoff, place, multiplicity in SPECIAL:
        setting = gemmi.find_spacegroup_by_name(name)
        operations = operations_of(setting.hall, "")
        for _ in range(3000):
            x, y, z = 0.22 * rng.random(), 0.22 * rng.random(), 0.22 * rng.random()
            parameters = (11.3, 11.3, 11.3 if "3" in name.split()[-1] else 14.9, 90.0, 90.0, 90.0)
            if setting.crystal_system_str() in ("hexagonal", "trigonal"):
                parameters = (11.3, 11.3, 14.9, 90.0, 90.0, 120.0)
            if setting.crystal_system_str() == "cubic":
                parameters = (14.3, 14.3, 14.3, 90.0, 90.0, 90.0)
            cell = cell_from_parameters(*parameters)
            frac = np.array(place(x, y, z))
            images = operations.rotations @ frac + operations.translations
            gap = images - frac
            distance = np.linalg.norm((gap - np.rint(gap)) @ cell, axis=1)
            if ((distance < 1e-6) | (distance > 0.9)).all():
                break
        else:
            raise AssertionError(f"{name} {wyckoff}: no place far from its images")
        rows = [(22, frac)]
        text = text_of(parameters, rows, operations, [f"_space_group_name_H-M_alt '{name}'"], digits=digits,
                       formula=False, units=False, occupancy=occupancy)  # fmt: skip
        crystal = Crystal.from_cif_string(text)
        assert crystal.num_positions == multiplicity, (name, wyckoff, digits)
        assert crystal.occupancy == pytest.approx(occupancy)


def test_fractions_in_the_list_may_be_decimals_or_turned_round():
    setting = gemmi.find_spacegroup_by_name("P n m a")
    rng = random.Random(4)
    parameters, cell, operations, rows = model(setting, rng)
    wanted = truth(operations, rows)

    def decimal(t):
        return re.sub(r"(\d)/(\d)", lambda m: str(float(Fraction(int(m[1]), int(m[2])))), t)

    def turned(t):
        return ",".join(re.sub(r"^(-?[xyz])\+(1/2)$", r"\2+\1", part).replace("+-", "-") for part in t.split(","))

    for change in (decimal, turned, str.upper, lambda t: t.replace(",", " , "), lambda t: " " + t + " "):
        text = text_of(parameters, rows, operations, listed([change(t) for t in triplets(setting)]))
        check(Crystal.from_cif_string(text), wanted, cell)


def test_the_whole_cell_listed_beside_the_operations_is_not_doubled():
    setting = gemmi.find_spacegroup_by_name("P n m a")
    parameters, cell, operations, rows = model(setting, random.Random(5))
    wanted = truth(operations, rows)
    every = [(int(r[0]), r[1:]) for r in wanted]
    for occupancy in (1, 0.5, 0.3):
        for lines in (listed(triplets(setting)), ["_space_group_name_H-M_alt 'P n m a'", *listed(["x,y,z"])]):
            text = text_of(parameters, every, operations, lines, formula=False, units=False, occupancy=occupancy)
            crystal = Crystal.from_cif_string(text)
            check(crystal, wanted, cell)
            assert crystal.occupancy == pytest.approx(occupancy)
