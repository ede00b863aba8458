"""Relaxed barriers on a crystal with closed-form energies: exact saddles, symmetry, resumed runs, flags, bad input."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from relax_support import MorseCrystal

import fastin
from fastin.crystal.crystal import Crystal
from fastin.errors import DisorderError, GeometryError, InputError, MissingDependencyError
from fastin.relax import flags
from fastin.relax.band import Relaxed, RelaxedBand, relax_cell
from fastin.relax.cells import build_band, common_supercell
from fastin.relax.hops import prepare
from fastin.relax.percolation import relaxed_edges
from fastin.relax.potentials import load_potential
from fastin.relax.request import Request
from fastin.transport.paths import compute_paths

pytest.importorskip("ase")

FILES = fastin.examples()
QUICK = {"images": 3, "supercell": 5.0, "fmax": 0.05}


@pytest.fixture(scope="module")
def licl():
    return compute_paths(FILES["LiCl"])


@pytest.fixture(scope="module")
def relaxed(licl):
    return fastin.relax_hops(licl, MorseCrystal(), **QUICK | {"fmax": 0.01})


def test_the_saddle_is_that_of_a_relaxation_on_the_mirror_plane(licl, relaxed):
    """Half way the ion lies on a mirror plane, across which no force acts: minimising there gives the saddle."""
    (leg,) = relaxed.legs.values()
    still = np.zeros((len(licl.crystal.number), 3))
    band = build_band(licl, licl.legs("vacancy")[leg.number], 3, relaxed.supercell, still)
    quiet = lambda *_: None  # noqa: E731
    top = relax_cell(MorseCrystal(), band.numbers, band.cell, band.positions[2], 1e-3, 300, quiet, "saddle")
    low = relax_cell(MorseCrystal(), band.numbers, band.cell, band.positions[0], 1e-3, 300, quiet, "start")
    assert top.converged
    assert low.converged
    assert leg.barrier == pytest.approx(top.energy - low.energy, abs=2e-3)
    assert leg.barrier == pytest.approx(leg.barrier_backward, abs=1e-3)
    assert leg.fitted == pytest.approx(leg.barrier, abs=5e-3)


def test_the_saddle_is_stationary_with_one_way_down(relaxed):
    from ase import Atoms

    (leg,) = relaxed.legs.values()
    k = int(leg.profile.argmax())
    atoms = Atoms(numbers=leg.numbers, positions=leg.positions[k], cell=leg.cell, pbc=True)
    atoms.calc = MorseCrystal()
    assert np.linalg.norm(atoms.get_forces(), axis=1).max() < 0.02
    tangent = leg.positions[k + 1] - leg.positions[k - 1]
    tangent /= np.linalg.norm(tangent)

    def energy(step):
        moved = atoms.copy()
        moved.positions += step
        moved.calc = atoms.calc
        return moved.get_potential_energy()

    here = energy(0.0)
    assert energy(0.1 * tangent) < here
    assert energy(-0.1 * tangent) < here
    for seed in range(3):
        across = np.random.default_rng(seed).normal(size=tangent.shape)
        across -= np.vdot(across, tangent) * tangent
        across *= 0.3 / np.linalg.norm(across)
        assert energy(across) > here - 1e-3


def test_percolation_and_diffusivity_of_one_barrier(licl, relaxed):
    (leg,) = relaxed.legs.values()
    np.testing.assert_allclose(relaxed.barriers, leg.barrier, atol=1e-3)
    t, nu = 600.0, 1e13
    # 12 neighbours on an fcc lattice, two ways to each: beside the edge of two tetrahedra
    jump = 24 * nu * np.exp(-leg.barrier / (8.617333262e-5 * t))
    length = licl.cell[0, 0] / np.sqrt(2)
    expected = jump * (length * 1e-8) ** 2 / 6
    np.testing.assert_allclose(relaxed.diffusivity(t, prefactor=nu), expected * np.eye(3), rtol=1e-2, atol=1e-25)
    finder = licl.leg_finder
    places = relaxed._places
    ends = places.frac[places.index[0, 0]], places.frac[places.index[1, 0]] + places.image[0]
    on_line = {0: 0.5 * (ends[0] + ends[1])}  # whichever of the equal ways comes first
    assert len(relaxed_edges(finder, "vacancy", relaxed._places, on_line)[2]) in (24, 48)
    with pytest.raises(InputError, match="carriers_per_cell"):
        relaxed.conductivity(t, carriers_per_cell=0)
    assert np.trace(relaxed.conductivity(t, carriers_per_cell=0.04)) > 0


@pytest.mark.parametrize("shift", [(0.25, 0.1, 0.4)])
def test_the_barrier_does_not_depend_on_origin_and_order(shift, relaxed):
    structure = Crystal.from_file(FILES["LiCl"]).to_structure()
    structure.translate_sites(range(len(structure)), shift)
    mixed = structure.__class__.from_sites([structure[k] for k in (5, 2, 7, 0, 1, 6, 3, 4)])
    other = fastin.relax_hops(mixed, MorseCrystal(), **QUICK | {"fmax": 0.01})
    np.testing.assert_allclose(other.barriers, relaxed.barriers, atol=1e-3)


class _Killed(Exception):
    pass


COMPUTED = [0]  # structures of a whole run


@pytest.fixture(scope="module")
def whole(licl, tmp_path_factory):
    morse = MorseCrystal()
    found = fastin.relax_hops(licl, morse, **QUICK, out=tmp_path_factory.mktemp("whole"))
    COMPUTED[:] = [morse.evaluations]
    return found


@pytest.mark.parametrize("stop", [("parent", 0), ("shaken", 1), ("start", 0), ("end", 0), ("band", 0), ("band", 5)])
def test_a_run_killed_anywhere_ends_with_the_same_numbers(licl, whole, tmp_path, stop):

    def kill(progress):
        if (progress.stage, progress.step) == stop:
            raise _Killed

    part = tmp_path / "part"
    first = MorseCrystal()
    with pytest.raises(_Killed):
        fastin.relax_hops(licl, first, **QUICK, out=part, progress=kill)
    again = MorseCrystal()
    resumed = fastin.relax_hops(licl, again, **QUICK, out=part)
    assert resumed.to_dict() == whole.to_dict()
    for leg, twin in zip(resumed.legs.values(), whole.legs.values(), strict=True):
        np.testing.assert_array_equal(leg.positions, twin.positions)
    assert first.evaluations + again.evaluations == COMPUTED[0]  # nothing twice
    third = MorseCrystal()
    fastin.relax_hops(licl, third, **QUICK, out=part)
    assert third.evaluations == 0  # all was there
    assert not list(part.rglob("*.steps"))


def test_kills_one_after_another_at_random_structures(licl, whole, tmp_path):
    """Each run dies when it has computed a few structures, sometimes while it writes one."""
    random = np.random.default_rng(7)

    class Dying(MorseCrystal):
        name = "morsecrystal"
        left = 0

        def calculate(self, *args, **named):
            if self.evaluations == self.left:
                raise KeyboardInterrupt
            super().calculate(*args, **named)

    kills = 0
    while True:
        dying = Dying()
        dying.left = int(random.integers(3, 30))
        try:
            found = fastin.relax_hops(licl, dying, **QUICK, out=tmp_path)
            break
        except KeyboardInterrupt:
            kills += 1
        for steps in tmp_path.rglob("*.steps"):  # none where it died between two stages
            if random.random() > 0.4:
                continue
            # the last record torn
            steps.write_bytes(steps.read_bytes()[: -int(random.integers(1, 30))])
    assert kills > 3
    assert found.to_dict() == whole.to_dict()
    np.testing.assert_array_equal(found.legs[0].positions, whole.legs[0].positions)


def test_a_journal_of_other_numbers_is_not_used(licl, whole, tmp_path):
    def kill(progress):
        if (progress.stage, progress.step) == ("band", 4):
            raise _Killed

    with pytest.raises(_Killed):
        fastin.relax_hops(licl, MorseCrystal(), **QUICK, out=tmp_path, progress=kill)
    (steps,) = tmp_path.rglob("*.steps")
    data = bytearray(steps.read_bytes())
    data[50] ^= 1  # an energy
    steps.write_bytes(data)
    assert fastin.relax_hops(licl, MorseCrystal(), **QUICK, out=tmp_path).to_dict() == whole.to_dict()
    for what in (data, b"nonsense" * 100, b""):
        steps.write_bytes(what)
        (tmp_path / "leg_00" / "band.json").unlink()
        assert fastin.relax_hops(licl, MorseCrystal(), **QUICK, out=tmp_path).to_dict() == whole.to_dict()


def test_a_damaged_or_foreign_checkpoint_is_computed_anew(licl, whole, tmp_path):
    fastin.relax_hops(licl, MorseCrystal(), **QUICK, out=tmp_path)
    file = next(tmp_path.glob("leg_*/band.json"))
    held = json.loads(file.read_text())
    held["result"]["energy"][1] += 1.0
    file.write_text(json.dumps(held))
    assert fastin.relax_hops(licl, MorseCrystal(), **QUICK, out=tmp_path).to_dict() == whole.to_dict()
    file.write_text(file.read_text()[:200])
    assert fastin.relax_hops(licl, MorseCrystal(), **QUICK, out=tmp_path).to_dict() == whole.to_dict()
    other = MorseCrystal()
    fastin.relax_hops(licl, other, **QUICK | {"fmax": 0.2}, out=tmp_path)
    assert other.evaluations > 0


def test_a_spent_budget_gives_what_is_there(licl, tmp_path):
    found = fastin.relax_hops(licl, MorseCrystal(), **QUICK, out=tmp_path, budget=0.0)
    assert not found.legs
    assert "budget" in found.left[0]
    assert not np.isfinite(found.barriers).any()
    assert fastin.relax_hops(licl, MorseCrystal(), **QUICK, out=tmp_path).legs


# ------------------------------------------------------------------------------------------------------------- flags


@pytest.mark.parametrize(
    ("energy", "expected"),
    [
        ([0, 0.2, 0.4, 0.2, 0], []),
        ([0, 0.2, -0.05, 0.2, 0], ["lower-on-the-way", "minimum-on-the-way"]),
        ([0, 0.3, 0.2, 0.4, 0.1], ["minimum-on-the-way"]),
        ([0, 0.3, 0.28, 0.4, 0.1], []),
        ([0.1, 0.05, 0.2, 0.15, 0], []),
        ([0, -0.2, 0.2, 0.1, 0], ["lower-on-the-way"]),
    ],
)
def test_flags_of_a_profile(energy, expected):
    found = flags.profile_flags(np.array(energy, dtype=float))
    assert [f for f in found if f != "minimum-on-the-way" or f in expected] == expected


def test_flags_of_ends_and_images(licl):
    still = np.zeros((len(licl.crystal.number), 3))
    leg = licl.legs("vacancy")[0]
    band = build_band(licl, leg, 3, common_supercell(licl, [leg], 8.0), still)
    places = band.positions[0][list(band.mobile)]
    places = np.concatenate([places, band.positions[-1][list(band.moving)]])
    energy = np.array([0, 0.2, 0.4, 0.2, 0.0])

    def ends(change=None, converged=True):
        made = []
        for k in (0, -1):
            x = band.positions[k].copy()
            if change is not None:
                x[change[0]] += change[1]
            made.append(Relaxed(x, 0.0, np.zeros_like(x), converged, 3, 3))
        return made

    def found(ends_of, images=None, converged=True, of=band):
        x = band.positions.copy() if images is None else images
        made = RelaxedBand(x, energy, np.zeros_like(x), 0.01, converged, 5, 5)
        return set(flags.band_flags(of, ends_of, made, places)) - flags.REMARKS

    assert found(ends()) == set()
    assert found(ends(converged=False)) == {"not-converged"}
    assert found(ends(), converged=False) == {"not-converged"}
    ion, chlorine = band.mobile[0], int(np.flatnonzero(band.numbers == 17)[0])
    assert found(ends((ion, (0.6, 0, 0)))) == {"end-moved"}
    step = band.positions[-1][band.moving[0]] - band.positions[0][band.moving[0]]
    assert found(ends((band.moving[0], step))) >= {"end-moved", "end-in-other-site"}
    moved = band.positions.copy()
    moved[2, chlorine] += (1.2, 0, 0)
    assert found(ends(), moved) == {"concerted"}
    small = build_band(licl, leg, 3, (1, 1, 1), still)
    x = small.positions
    made = RelaxedBand(x, energy, np.zeros_like(x), 0.01, True, 5, 5)
    same = [Relaxed(x[k], 0.0, np.zeros_like(x[k]), True, 3, 3) for k in (0, -1)]
    assert "small-cell" in flags.band_flags(small, same, made, small.positions[0][list(small.mobile)])
    assert found(ends(), of=replace(band, taken_out=1)) == {"ions-taken-out"}
    assert flags.parent_flags(np.zeros((4, 3)), True) == []
    assert flags.parent_flags(np.ones((4, 3)), True) == []  # all drift alike
    assert flags.parent_flags(np.eye(4, 3) * 0.9, True) == ["parent-unstable"]
    assert flags.parent_flags(np.zeros((4, 3)), True, 0.1) == ["parent-unstable"]
    assert flags.parent_flags(np.zeros((4, 3)), False) == ["parent-unstable"]


def test_every_flag_is_explained_and_percolation_names_its_flags(licl):
    found = fastin.relax_hops(licl, MorseCrystal(), **QUICK | {"supercell": (2, 2, 2), "fmax": 0.5}, band_steps=1)
    (leg,) = found.legs.values()
    assert "not-converged" in leg.flags
    assert found.flags_of(3) == tuple(f for f in leg.flags if f not in flags.REMARKS)
    assert any("did not fall below" in note for note in found.notes)
    assert set(leg.flags) <= set(flags.FLAGS)


@pytest.mark.parametrize("fmax", [0.05, 1.0])
def test_a_crystal_on_a_maximum_is_flagged(licl, fmax):
    """The potential pulls like ions together in pairs: the symmetric crystal has no forces and is no minimum.

    However coarse the bands are: the shaken crystal must get off the slope.
    """

    class Pairing(MorseCrystal):
        def calculate(self, atoms=None, properties=None, system_changes=()):
            super().calculate(atoms, properties, system_changes)
            away = atoms.positions - home
            n = len(atoms)
            square = (away**2).sum()
            self.results["energy"] += -3.0 * square + 20.0 * (away**4).sum()
            self.results["forces"] = self.results["forces"] + 6.0 * away - 80.0 * away**3
            assert n == len(home)

    crystal = licl.crystal
    home = crystal.frac @ crystal.cell
    run = prepare(licl, Pairing(), Request(**QUICK | {"fmax": fmax}))
    displacement, rested, energy = run.parent(lambda *_: None)
    assert rested
    assert np.abs(displacement).max() < 1e-6
    drop = run.drop(displacement, energy, lambda *_: None)
    assert drop > 0.02
    assert flags.parent_flags(displacement, rested, drop) == ["parent-unstable"]
    assert fastin.relax_hops(licl, MorseCrystal(), **QUICK).drop == pytest.approx(0.0, abs=0.005)


# --------------------------------------------------------------------------------------------------------- bad input


def test_bad_calculators():
    for bad, message in (
        (None, "no calculator"),
        ("nonsense", "unknown calculator 'nonsense'"),
        ("mace:", "unknown calculator"),
        ("no_such_module:make", "no_such_module"),
        ("relax_support:missing", "missing"),
        ("relax_support:CUTOFF", "no function"),
        (3, "is no calculator"),
        (MorseCrystal, "is no calculator"),
    ):
        with pytest.raises(InputError, match=message):
            load_potential(bad)
    with pytest.raises(InputError, match="is no ASE calculator"):
        load_potential(lambda: 3).calculator()

    def broken():
        raise RuntimeError("no weights")

    with pytest.raises(InputError, match="broken: RuntimeError: no weights"):
        load_potential(broken).calculator()
    assert load_potential("relax_support:make").calculator().known_elements == (3, 17, 35)


def test_a_library_that_is_not_installed(monkeypatch):
    from fastin.relax import potentials

    monkeypatch.setattr(potentials, "find_spec", lambda name: None if name in ("chgnet", "sevenn", "mace") else name)
    for name in ("chgnet", "sevennet"):
        with pytest.raises(MissingDependencyError, match="mlip"):
            load_potential(name)
    with pytest.raises(InputError, match="mace-torch"):
        load_potential("mace:model.pt")


def test_refused_crystals_and_names(licl):
    with pytest.raises(InputError, match=r"does not know Fe, O, P|does not know O, P, Fe"):
        fastin.relax_hops(FILES["LiFePO4"], MorseCrystal())
    with pytest.raises(DisorderError, match="fastin order"):
        fastin.relax_hops(FILES["Li10GeP2S12"], MorseCrystal())
    for bad in ("first", [7], [True], ["0"], []):
        with pytest.raises(InputError, match="leg"):
            fastin.relax_hops(licl, MorseCrystal(), legs=bad)
    for name, value in (("images", 0), ("images", 2.5), ("fmax", 0.0), ("fmax", np.nan), ("band_steps", 0)):
        with pytest.raises(InputError, match=name):
            fastin.relax_hops(licl, MorseCrystal(), **{name: value})
    with pytest.raises(InputError, match="mechanism"):
        fastin.relax_hops(licl, MorseCrystal(), mechanism="jump")
    with pytest.raises(InputError, match="one position of a supercell"):
        fastin.relax_hops(compute_paths(licl.crystal.to_structure().get_primitive_structure()), MorseCrystal(),
                          supercell=(1, 1, 1))  # fmt: skip


def test_numbers_that_are_none_are_an_error(licl):
    class Broken(MorseCrystal):
        def calculate(self, *args, **named):
            super().calculate(*args, **named)
            self.results["energy"] = np.nan

    with pytest.raises(InputError, match="no numbers"):
        fastin.relax_hops(licl, Broken(), **QUICK)

    class Failing(MorseCrystal):
        def calculate(self, *args, **named):
            raise KeyError("Li")

    with pytest.raises(InputError, match="the potential failed: KeyError: 'Li'"):
        fastin.relax_hops(licl, Failing(), **QUICK)


def test_what_a_calculator_may_say_and_what_not(licl):
    class Says(MorseCrystal):
        def calculate(self, *args, **named):
            super().calculate(*args, **named)
            self.results = self.change(self.results)

    def relaxed_with(change, properties=("energy", "forces")):
        made = Says()
        made.change = change
        made.implemented_properties = properties
        return fastin.relax_hops(licl, made, **QUICK | {"fmax": 0.3})

    usual = relaxed_with(lambda held: held).barriers
    one = relaxed_with(lambda held: {**held, "energy": np.array([held["energy"]])})
    np.testing.assert_array_equal(one.barriers, usual)
    for change, message in (
        (lambda held: {**held, "forces": held["forces"][:-1]}, r"forces of shape \(7, 3\) for 8 atoms"),
        (lambda held: {**held, "forces": held["forces"].T}, r"forces of shape \(3, 8\)"),
        (lambda held: {**held, "energy": np.ones(2)}, r"energy of shape \(2,\)"),
        (lambda held: {**held, "forces": np.where(np.arange(3) == 1, np.inf, held["forces"])}, "no numbers"),
        (lambda held: {"energy": held["energy"]}, "gives no energy or no forces"),
    ):
        with pytest.raises(InputError, match=message):
            relaxed_with(change)

    class Leaves(MorseCrystal):
        def calculate(self, *args, **named):
            raise SystemExit(3)

    with pytest.raises(InputError, match="failed: SystemExit: 3"):
        fastin.relax_hops(licl, Leaves(), **QUICK)


def test_a_supercell_that_nobody_can_pay_is_refused_at_once(licl):
    from fastin.relax.single import relax_hop

    with pytest.raises(InputError, match=r"12 x 12 x 12 cells hold 13824 atoms, more than 5000"):
        fastin.relax_hops(licl, MorseCrystal(), supercell=60.0)
    with pytest.raises(InputError, match="a smaller supercell"):
        relax_hop(licl.crystal, MorseCrystal(), (0, 0, 0), (0.5, 0.5, 0), supercell=60.0)


class Flat(MorseCrystal):
    """No forces anywhere: everything rests where it is."""

    known_elements = None

    def calculate(self, atoms=None, properties=None, system_changes=()):
        self.results = {"energy": 1.0, "free_energy": 1.0, "forces": np.zeros((len(atoms), 3))}


def test_a_leg_between_two_minima_of_one_position_moves_no_vacancy():
    """Li3N's ions rattle between two minima on either side of a plane; the first leg of the list is that."""
    paths = compute_paths(FILES["Li3N"])
    for legs in ("needed", "smallest", "all"):
        run = prepare(paths, Flat(), Request(**QUICK, legs=legs))
        assert set(run.idle) == {0}
        assert 0 not in run.numbers
        assert run.estimate().structures > 0
        found = run.finish()
        assert not found.left
        assert "two minima of one position" in found.closed[0]
        np.testing.assert_allclose(found.barriers[:2], 0.0, atol=1e-9)
    named = prepare(paths, Flat(), Request(**QUICK, legs=[0, 1])).finish()
    assert "moves" not in named.closed.get(0, "")
    assert "the way leads to no vacancy" in named.left[0]
    with pytest.raises(GeometryError, match="no vacancy"):
        prepare(paths, Flat(), Request(**QUICK, legs=[0])).estimate()
