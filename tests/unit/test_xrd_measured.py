"""Measured patterns: readers, background, K-alpha2, wavelength, resampling."""

from __future__ import annotations

import numpy as np
import pytest

from fastin.errors import InputError
from fastin.xrd import measured
from fastin.xrd.headers import stated_wavelength
from fastin.xrd.measured import MeasuredPattern

ANGLES = np.arange(5.0, 80.0, 0.02)


def peak(centre, height=1.0, width=0.1, angles=ANGLES):
    return height * np.exp(-4 * np.log(2) * ((angles - centre) / width) ** 2)


@pytest.mark.parametrize(
    ("name", "separator", "header"),
    [
        ("a.xy", " ", ""),
        ("a.xye", "  ", "# instrument\n"),
        ("a.csv", ",", "two_theta,intensity,sigma\n"),
        ("b.csv", ";", "Angle;Counts;Error\n"),
        ("a.dat", "\t", "! comment\n"),
    ],
)
def test_readers(tmp_path, name, separator, header):
    values = np.column_stack([ANGLES, 100 * peak(30.0) + 5, np.full(len(ANGLES), 2.0)])
    lines = [separator.join(f"{x:.5f}" for x in row) for row in values]
    (tmp_path / name).write_text(header + "\n".join(lines) + "\n")
    pattern = measured.read_pattern(tmp_path / name)
    np.testing.assert_allclose(pattern.two_theta, ANGLES, atol=1e-5)
    np.testing.assert_allclose(pattern.intensity, values[:, 1], atol=1e-5)
    assert pattern.sigma is not None
    np.testing.assert_allclose(pattern.sigma, 2.0, atol=1e-5)


def test_decimal_commas_and_unsorted_rows(tmp_path):
    rows = [f"{x:.2f};{2 * x:.2f}".replace(".", ",") for x in np.arange(20.0, 10.0, -0.5)]
    (tmp_path / "a.csv").write_text("\n".join(rows))
    pattern = measured.read_pattern(tmp_path / "a.csv")
    assert np.all(np.diff(pattern.two_theta) > 0)
    np.testing.assert_allclose(pattern.intensity, 2 * pattern.two_theta)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2\n3 4\n", "holds 2 points"),
        ("\n".join(f"{x} nan" for x in range(20)), "not finite"),
        ("\n".join(f"{x * 20} {x}" for x in range(20)), "0 to 180"),
        ("\n".join(f"{x} 7" for x in range(20)), "the same everywhere"),
        ("\n".join([*(f"{x} {x}" for x in range(20)), "21 broken"]), "line 21"),
    ],
)
def test_unusable_files(tmp_path, text, message):
    (tmp_path / "a.xy").write_text(text)
    with pytest.raises(InputError, match=message):
        measured.read_pattern(tmp_path / "a.xy")
    with pytest.raises(InputError, match="cannot be read"):
        measured.read_pattern(tmp_path / "missing.xy")


def test_background_leaves_peaks():
    curve = 400 * np.exp(-ANGLES / 20) + 50 + 20 * np.sin(ANGLES / 15)
    peaks = peak(20.0, 800) + peak(44.0, 300) + peak(61.0, 120)
    pattern = MeasuredPattern(ANGLES, curve + peaks)
    found = measured.background(pattern)
    assert np.abs(found - curve).max() < 0.04 * curve.max()
    clean = measured.subtract_background(pattern)
    for centre, height in ((20.0, 800), (44.0, 300), (61.0, 120)):
        assert clean.intensity[np.abs(ANGLES - centre).argmin()] == pytest.approx(height, abs=15)
    assert clean.intensity.min() >= 0.0


@pytest.mark.parametrize("scale", [1.0, 100.0, 1e5])
def test_background_follows_the_scale_and_stays_above_the_lowest_point(scale):
    """A pattern with its strongest peak at 1 once got a background of down to -1, which raised all weak peaks."""
    peaks = peak(20.0) + peak(24.0, 0.5) + peak(44.0, 0.3) + peak(79.5, 0.4)
    flat = MeasuredPattern(ANGLES, scale * peaks)
    assert measured.background(flat).min() >= 0.0
    kept = measured.subtract_background(flat).intensity.sum() / flat.intensity.sum()
    assert kept == pytest.approx(1.0, abs=0.01)
    sloped = measured.background(MeasuredPattern(ANGLES, peaks + 0.2 * np.exp(-ANGLES / 20)))
    scaled = measured.background(MeasuredPattern(ANGLES, scale * (peaks + 0.2 * np.exp(-ANGLES / 20))))
    np.testing.assert_allclose(scaled / scale, sloped, atol=1e-9)


def test_gathered_peaks_keep_their_areas():
    """Lorentzian feet overlap: each peak gets what lies between the minima to its sides."""
    lorentz = [h / (1 + 4 * ((ANGLES - c) / 0.1) ** 2) for c, h in ((20.0, 1.0), (44.0, 0.5), (61.0, 0.25))]
    sticks = measured.gather_peaks(MeasuredPattern(ANGLES, sum(lorentz)))
    occupied = np.flatnonzero(sticks.intensity)
    np.testing.assert_allclose(sticks.two_theta[occupied], [20.0, 44.0, 61.0], atol=0.021)
    np.testing.assert_allclose(sticks.intensity[occupied], [x.sum() for x in lorentz], rtol=0.03)
    assert sticks.intensity.sum() == pytest.approx(sum(lorentz).sum(), rel=1e-9)
    noisy = MeasuredPattern(ANGLES, peak(30.0) + 0.004 * (np.abs(ANGLES - 50.0) < 0.1))
    assert np.flatnonzero(measured.gather_peaks(noisy).intensity).size == 1
    assert np.flatnonzero(measured.gather_peaks(noisy, lowest=0.001).intensity).size == 2


def test_k_alpha2_is_removed():
    from fastin.xrd.pattern import WAVELENGTHS

    first, second = WAVELENGTHS["CuKa1"], WAVELENGTHS["CuKa2"]
    centre = 68.0
    twin = 2 * np.degrees(np.arcsin(np.sin(np.radians(centre / 2)) * second / first))
    single = peak(centre, 1.0, 0.08)
    pattern = MeasuredPattern(ANGLES, single + peak(twin, 0.5, 0.08))
    stripped = measured.strip_k_alpha2(pattern)
    assert np.abs(stripped.intensity - single).max() < 0.03
    assert pattern.intensity[np.abs(ANGLES - twin).argmin()] > 0.4


def test_what_stripping_leaves_counts_as_k_alpha1():
    """A doublet's mean sits between its two lines; without the second one, peaks are those of the first."""
    from fastin.xrd.pattern import WAVELENGTHS

    spacing = 1.6

    def angle(line):
        return 2 * np.degrees(np.arcsin(WAVELENGTHS[line] / (2 * spacing)))

    doublet = peak(angle("CuKa1"), 1.0, 0.06) + peak(angle("CuKa2"), 0.5, 0.06)
    grid = 0.02 * np.arange(4501)
    for element in ("CuKa", "cuka", WAVELENGTHS["CuKa1"]):
        found = measured.prepare_measured(MeasuredPattern(ANGLES, doublet), wavelength=element, k_alpha2="Cu")
        assert grid[found.argmax()] == pytest.approx(angle("CuKa"), abs=0.021)
    assert abs(angle("CuKa") - angle("CuKa1")) > 0.04


def test_wavelength_conversion_moves_peaks():
    pattern = MeasuredPattern(ANGLES, peak(20.0, width=0.2))
    moved = measured.convert_wavelength(pattern, "MoKa")
    expected = 2 * np.degrees(np.arcsin(np.sin(np.radians(10.0)) * 1.54184 / 0.71073))
    assert moved.two_theta[moved.intensity.argmax()] == pytest.approx(expected, abs=0.03)
    assert measured.convert_wavelength(pattern, 1.54184) is pattern


@pytest.mark.parametrize("step", [0.005, 0.05])
def test_resampling_keeps_areas_and_range(step):
    angles = np.arange(12.0, 70.0, step)
    pattern = MeasuredPattern(angles, peak(30.0, 1.0, 0.3, angles) + peak(50.0, 0.5, 0.3, angles))
    grid, values = measured.resample(pattern)
    assert values.shape == (4501,)
    assert values.max() == 1.0
    assert not values[grid < 11.9].any()
    assert not values[grid > 70.1].any()
    areas = [values[np.abs(grid - centre) < 2].sum() for centre in (30.0, 50.0)]
    assert areas[1] / areas[0] == pytest.approx(0.5, rel=1e-3)


def test_prepared_pattern_resembles_the_sticks(tmp_path):
    from pymatgen.core import Lattice, Structure

    import fastin
    from fastin.xrd.profiles import smooth

    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.13), ["Li", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    angles, sticks = fastin.xrd_pattern(salt)
    _, broad = fastin.xrd_pattern(salt, fwhm=0.12)
    rng = np.random.default_rng(0)
    counts = rng.poisson(5000 * broad + 300 * np.exp(-angles / 30) + 50)
    np.savetxt(tmp_path / "a.xy", np.column_stack([angles, counts])[500:4000])
    found = measured.prepare_measured(measured.read_pattern(tmp_path / "a.xy"))
    wanted = smooth(np.where((angles > 10) & (angles < 80), sticks, 0), fwhm=0.4, step=0.02)
    got = smooth(found, fwhm=0.4, step=0.02)
    assert np.dot(wanted, got) / np.linalg.norm(wanted) / np.linalg.norm(got) > 0.97


CU = 1.54184


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("# Wavelength: 8.0e-11 m\n#       2th_deg             I", 0.8),  # pyFAI
        ('\'Id: "x" Operator: me Lambda: 0.8 Scantype: a', 0.8),
        ('\'Id: "x" Anode: "Mo" Scantype: Coupled', 0.71073),  # Bruker's .xy
        ("Anode material,Co\nAngle,Intensity", 1.79026),
        ("K-Alpha1 wavelength,1.5405980\nK-Alpha2 wavelength,1.5444260\nRatio K-Alpha2/K-Alpha1,0.50000", 1.541874),
        ("K-Alpha2 / K-Alpha1 = 0.50", None),
        ("0.80000", 0.8),  # DASH
        ("_diffrn_radiation_wavelength 0.8\nloop_\n_pd_meas_2theta_scan\n_pd_meas_counts_total", 0.8),
        ("Wavelength: 0,8", 0.8),
        ("Wavelength 1 = 1.54056", 1.54056),
        ("# lambda (nm): 0.08", 0.8),
        ("# Energy: 15.5 keV", 12.398419843 / 15.5),
        ("# Threshold energy: 4.02 keV", None),
        ("LAMBDA 750K detector", None),
        ("3500", None),
        ("298.5", None),
        ("# counted for 1.5 h", None),
    ],
)
def test_the_wavelength_that_a_file_states(tmp_path, header, expected):
    rows = [f"{x:.3f} {100 * y + 5:.3f}" for x, y in zip(ANGLES, peak(30.0), strict=True)]
    (tmp_path / "a.xy").write_text("\n".join([header.replace("Angle,", "Angle "), *rows]) + "\n")
    pattern = measured.read_pattern(tmp_path / "a.xy")
    assert pattern.two_theta[pattern.intensity.argmax()] == pytest.approx(30.0)
    assert pattern.wavelength == (None if expected is None else pytest.approx(expected, rel=1e-6))
    # and it is used: the model gets the peak where Cu K-alpha has it
    sine = np.sin(np.radians(15.0)) * CU / (expected or CU)
    found = measured.prepare_measured(pattern)
    assert 0.02 * found.argmax() == pytest.approx(2.0 * np.degrees(np.arcsin(sine)), abs=0.021)


def test_several_wavelengths_are_asked():
    with pytest.raises(InputError, match="several wavelengths"):
        stated_wavelength("Lambda: 0.8\nwavelength 1.54056\n", "a.xy")


@pytest.mark.parametrize(
    ("header", "factor"),
    [
        ("LiX\nQ (Inverse Nanometres)\nIntensity\n       3750", 10.0),  # FIT2D's .chi
        ("# Wavelength: 8e-11 m\n# --> q_nm^-1 I sigma", 10.0),  # pyFAI
        ("#       q_nm^-1             I", 10.0),
        ("# q [nm^-1]\tI", 10.0),
        ("#       q_A^-1             I", 1.0),
        ("# scattering vector (1/A), then counts of the detector", 1.0),
        ("# two-theta in the first column, in radians", None),
        ("2-Theta Angle (Degrees)\nIntensity, radial average\n3750", 0.0),
    ],
)
def test_the_axis_that_a_file_states(tmp_path, header, factor):
    q = 4.0 * np.pi / CU * np.sin(np.radians(ANGLES / 2.0))
    axis = np.radians(ANGLES) if factor is None else ANGLES if factor == 0.0 else factor * q
    rows = [f"{x:.7f} {100 * y + 5:.3f}" for x, y in zip(axis, peak(30.0), strict=True)]
    (tmp_path / "a.chi").write_text("\n".join([header, *rows]) + "\n")
    pattern = measured.read_pattern(tmp_path / "a.chi")
    assert pattern.two_theta[pattern.intensity.argmax()] == pytest.approx(30.0, abs=1e-3)
