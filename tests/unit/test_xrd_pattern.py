"""Powder patterns: agreement with pymatgen, invariances, grid and profile rules, errors."""

from __future__ import annotations

import gzip
import json
import warnings

import gemmi
import numpy as np
import pytest
from pymatgen.analysis.diffraction.xrd import ATOMIC_SCATTERING_PARAMS, XRDCalculator
from pymatgen.core import Lattice, Structure

import fastin
from fastin.xrd import PeakProfile, xrd_patterns, xrd_peaks
from fastin.xrd.pattern import _coefficients


def merged(two_theta, intensity, tolerance=1e-4):
    """Peaks closer than the tolerance joined, strongest 1."""
    order = np.argsort(two_theta)
    angle, value = np.asarray(two_theta)[order], np.asarray(intensity)[order]
    start = np.r_[0, np.flatnonzero(np.diff(angle) > tolerance) + 1]
    value = np.add.reduceat(value, start)
    return angle[start], value / value.max()


def assert_same_peaks(first, second, *, angle=1e-4, intensity=1e-3):
    for (x, i), (y, j) in ((first, second), (second, first)):
        strong = i > intensity
        nearest = np.abs(x[strong][:, None] - y[None]).argmin(axis=1)
        assert np.abs(x[strong] - y[nearest]).max() < angle
        assert np.abs(i[strong] - j[nearest]).max() < intensity


@pytest.fixture(autouse=True)
def tin(monkeypatch):
    """pymatgen's third amplitude of tin is wrong (see `test_scattering_factors_of_every_element`)."""
    monkeypatch.setitem(
        ATOMIC_SCATTERING_PARAMS, "Sn", [[3.45, 59.104], [3.735, 14.179], [2.778, 2.855], [0.877, 0.327]]
    )


def peaks_of(structure, **options):
    peaks = xrd_peaks(structure, **options)
    return merged(peaks.two_theta, peaks.intensity)


@pytest.fixture(scope="module")
def spinel():
    return Structure.from_spacegroup(
        "Fd-3m", Lattice.cubic(8.16), ["Li", "Mn", "O"], [[1 / 8] * 3, [1 / 2] * 3, [0.2635] * 3]
    )


@pytest.fixture(scope="module")
def triclinic():
    rng = np.random.default_rng(3)
    species = [{"Li": 0.7}, {"Li": 0.3, "Na": 0.4}, {"P": 1}, {"S": 0.6, "Se": 0.4}, {"S": 1}, {"Cl": 1}]
    return Structure(Lattice.from_parameters(5.1, 6.3, 9.7, 81, 97, 112), species, rng.random((6, 3)))


@pytest.mark.parametrize("wavelength", ["CuKa", "MoKa", "CrKa1", 1.2])
def test_equal_to_pymatgen(spinel, triclinic, wavelength):
    for structure in (spinel, triclinic):
        reference = XRDCalculator(wavelength).get_pattern(structure)
        assert_same_peaks(merged(reference.x, reference.y), peaks_of(structure, wavelength=wavelength))


def test_scattering_factors_of_every_element():
    """Within 6 % of International Tables C, table 6.1.1.4 (gemmi); hydrogen, there bonded, as the isolated atom."""
    s = np.linspace(0.0, 0.65, 27)
    compared = 0
    for number, (symbol, row) in _coefficients().items():
        a, b = np.array(row[1:5])[:, None], np.array(row[5:])[:, None]
        factor = number - 41.78214 * s**2 * (a * np.exp(-b * s**2)).sum(axis=0)
        if number == 1:
            expected = (1.0 + (2.0 * np.pi * 0.529177 * s) ** 2) ** -2.0
            assert np.abs(factor - expected).max() < 0.012
        elif (table := gemmi.Element(symbol).it92) is not None:
            expected = np.array([table.calculate_sf(x * x) for x in s])
            assert np.abs(factor / expected - 1.0).max() < 0.06, symbol
            compared += 1
    assert compared > 85


def test_debye_waller_equal_to_pymatgen(triclinic):
    factors = {"Li": 3.0, "S": 1.1}
    reference = XRDCalculator(debye_waller_factors=factors).get_pattern(triclinic)
    assert_same_peaks(merged(reference.x, reference.y), peaks_of(triclinic, debye_waller=factors))


@pytest.mark.slow
def test_equal_to_pymatgen_on_shared_structures(shared):
    def cifs(name, every):
        with gzip.open(shared / "data" / name, "rt") as lines:
            rows = [json.loads(line) for line in lines]
        return [row["cif"] for row in rows if row.get("cif")][::every]

    calculator = XRDCalculator()
    texts = [*cifs("obelix_train.jsonl.gz", 2), *cifs("li_mp_ordered.jsonl.gz", 130)]
    assert len(texts) >= 200
    for text in texts:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            structure = Structure.from_str(text, fmt="cif")
        reference = calculator.get_pattern(structure)
        assert_same_peaks(merged(reference.x, reference.y), peaks_of(structure))


@pytest.mark.parametrize("case", ["origin", "supercell", "enantiomorph", "cell choice", "order", "rotation"])
def test_invariances(triclinic, case):
    rng = np.random.default_rng(8)
    other = triclinic.copy()
    if case == "origin":
        other.translate_sites(range(len(other)), rng.random(3))
    elif case == "supercell":
        other.make_supercell([2, 1, 2])
    elif case == "enantiomorph":
        other = Structure(other.lattice, other.species_and_occu, -other.frac_coords)
    elif case == "cell choice":
        other = Structure.from_sites(other.sites)
        other.make_supercell([[1, 2, 0], [0, 1, -1], [0, 0, 1]])
    elif case == "order":
        order = rng.permutation(len(other))
        other = Structure.from_sites([other[int(i)] for i in order])
    else:
        q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        other = Structure(Lattice(other.lattice.matrix @ q), other.species_and_occu, other.frac_coords)
    assert_same_peaks(peaks_of(triclinic), peaks_of(other), angle=1e-7, intensity=1e-7)


def test_sticks_follow_the_published_rule(spinel):
    angles, pattern = fastin.xrd_pattern(spinel)
    assert pattern.shape == (4501,)
    assert pattern.dtype == np.float32
    assert angles[0] == 0.0
    assert angles[-1] == pytest.approx(90.0)
    peaks = xrd_peaks(spinel)
    expected = np.zeros(4501)
    np.add.at(expected, np.ceil(peaks.two_theta / 0.02).astype(int), peaks.intensity)
    np.testing.assert_allclose(pattern, expected / expected.max(), atol=2e-5)
    assert pattern.max() == 1.0


def test_peaks_report_families(spinel):
    peaks = xrd_peaks(spinel)
    assert tuple(peaks.hkl[0]) == (1, 1, 1)
    assert peaks.multiplicity[0] == 8
    assert peaks.spacing[0] == pytest.approx(8.16 / np.sqrt(3))
    assert np.all(np.diff(peaks.two_theta) > 0)


def test_profile_integrates_to_the_sticks(spinel):
    peaks = xrd_peaks(spinel)
    for shape in ("gaussian", "pseudo-voigt", "lorentzian"):
        angles, broad = fastin.xrd_pattern(spinel, fwhm=0.1, shape=shape)
        assert broad.max() == 1.0
        strongest = peaks.two_theta[peaks.intensity.argmax()]
        assert abs(angles[broad.argmax()] - strongest) < 0.02
    angles, broad = fastin.xrd_pattern(spinel, fwhm=0.1, shape="gaussian", step=0.01)
    window = [np.abs(angles - peaks.two_theta[i]) < 0.4 for i in (0, 1)]
    ratio = broad[window[1]].sum() / broad[window[0]].sum()
    assert ratio == pytest.approx(peaks.intensity[1] / peaks.intensity[0], rel=1e-4)


def test_caglioti_width(spinel):
    profile = PeakProfile(u=0.05, v=-0.01, w=0.01, lorentzian_fraction=0.0)
    angles, pattern = fastin.xrd_pattern(spinel, fwhm=profile, step=0.005)
    peaks = xrd_peaks(spinel)
    index = np.abs(peaks.two_theta - 63.8).argmin()  # (440), isolated
    centre = peaks.two_theta[index]
    tangent = np.tan(np.radians(centre / 2))
    expected = np.sqrt(0.05 * tangent**2 - 0.01 * tangent + 0.01)
    near = np.abs(angles - centre) < 0.6
    half = pattern[near] > 0.5 * pattern[near].max()
    assert half.sum() * 0.005 == pytest.approx(expected, abs=0.012)


def test_batch_equals_single_for_any_thread_count(spinel, triclinic):
    sources = [spinel, triclinic] * 6
    _, one = xrd_patterns(sources, num_threads=1)
    _, two = xrd_patterns(sources, num_threads=2)
    assert np.array_equal(one, two)
    assert np.array_equal(one[1], fastin.xrd_pattern(triclinic)[1])
    assert xrd_patterns([])[1].shape == (0, 4501)


def test_ase_atoms(spinel):
    atoms = spinel.to_ase_atoms()
    np.testing.assert_allclose(fastin.xrd_pattern(atoms)[1], fastin.xrd_pattern(spinel)[1], atol=1e-6)


def test_empty_range_is_all_zero(spinel):
    assert not fastin.xrd_pattern(spinel, two_theta=(0.0, 5.0))[1].any()


@pytest.mark.parametrize(
    "options",
    [
        {"wavelength": "ZnKa"},
        {"wavelength": -1.0},
        {"two_theta": (50.0, 20.0)},
        {"two_theta": (0.0, 200.0)},
        {"step": 0.0},
        {"fwhm": 0.0},
        {"fwhm": 0.1, "shape": "square"},
        {"debye_waller": -1.0},
    ],
)
def test_unusable_options(spinel, options):
    with pytest.raises(fastin.InputError):
        fastin.xrd_pattern(spinel, **options)


def test_element_without_scattering_factor():
    structure = Structure(Lattice.cubic(4.0), ["Es"], [[0, 0, 0]])
    with pytest.raises(fastin.MissingParameterError, match="atomic number 99"):
        fastin.xrd_pattern(structure)
