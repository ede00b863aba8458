"""Arrhenius fits: exact lines, uncertainties against simulation, tables, plots, command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fastin import fit_arrhenius
from fastin.cli import main
from fastin.errors import InputError
from fastin.transport.arrhenius import plot_arrhenius, read_table
from fastin.transport.kinetics import BOLTZMANN_EV

T = np.array([298.0, 313.0, 333.0, 353.0, 373.0])


def sigma(t, energy=0.31, prefactor=2.5e5):
    return prefactor / t * np.exp(-energy / (BOLTZMANN_EV * t))


def test_exact_line_of_conductivity():
    fit = fit_arrhenius(T, sigma(T))
    assert fit.activation_energy == pytest.approx(0.31, abs=1e-12)
    assert fit.log10_prefactor == pytest.approx(np.log10(2.5e5), abs=1e-12)
    assert fit.activation_energy_std < 1e-10
    assert fit.r_squared == pytest.approx(1.0)
    value, std = fit.predict(300.0)
    assert value == pytest.approx(sigma(300.0), rel=1e-10)
    assert std < 1e-10


def test_exact_line_of_diffusivity():
    fit = fit_arrhenius(T, 3e-3 * np.exp(-0.2 / (BOLTZMANN_EV * T)), quantity="diffusivity")
    assert fit.activation_energy == pytest.approx(0.2, abs=1e-12)
    assert fit.log10_prefactor == pytest.approx(np.log10(3e-3), abs=1e-12)


def test_uncertainties_are_those_of_repeated_experiments():
    rng = np.random.default_rng(1)
    noise = 0.1
    fits = [
        fit_arrhenius(T, sigma(T) * np.exp(noise * rng.normal(size=len(T))), relative_error=noise) for _ in range(2000)
    ]
    energies = np.array([f.activation_energy for f in fits])
    assert energies.std() == pytest.approx(fits[0].activation_energy_std, rel=0.06)
    logs = np.array([np.log10(f.predict(250.0)[0]) for f in fits])
    assert logs.std() == pytest.approx(fits[0].predict(250.0)[1], rel=0.06)
    prefactors = np.array([f.log10_prefactor for f in fits])
    assert prefactors.std() == pytest.approx(fits[0].log10_prefactor_std, rel=0.06)


def test_scatter_gives_the_uncertainty_when_none_is_given():
    rng = np.random.default_rng(2)
    fits = [fit_arrhenius(T, sigma(T) * np.exp(0.1 * rng.normal(size=len(T)))) for _ in range(2000)]
    spread = np.std([f.activation_energy for f in fits])
    assert np.sqrt(np.mean([f.activation_energy_std**2 for f in fits])) == pytest.approx(spread, rel=0.06)


def test_weights_favour_precise_values():
    values = sigma(T).copy()
    values[0] *= 3.0
    error = np.full(len(T), 0.01)
    error[0] = 10.0
    assert fit_arrhenius(T, values, relative_error=error).activation_energy == pytest.approx(0.31, abs=1e-3)


def test_two_points_have_no_scatter():
    fit = fit_arrhenius(T[:2], sigma(T[:2]))
    assert fit.activation_energy == pytest.approx(0.31, abs=1e-10)
    assert np.isnan(fit.activation_energy_std)


@pytest.mark.parametrize(
    ("t", "v", "message"),
    [
        ([300.0], [1e-3], "two different"),
        ([300.0, 300.0], [1e-3, 1e-3], "two different"),
        ([300.0, -5.0], [1e-3, 1e-3], "temperature 1"),
        ([300.0, 400.0], [1e-3, 0.0], "value 1"),
        ([300.0, 400.0], [1e-3], "one length"),
    ],
)
def test_bad_values(t, v, message):
    with pytest.raises(InputError, match=message):
        fit_arrhenius(t, v)


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("temperature_K,sigma_S/cm", [(t, sigma(t)) for t in T]),
        ("T (°C); sigma (mS/cm)", [(t - 273.15, 1e3 * sigma(t)) for t in T]),
        ("1000/T\tlog10_sigma", [(1000 / t, np.log10(sigma(t))) for t in T]),
        ("T sigma", [(t, sigma(t)) for t in T]),
        ("sample,T_K,conductivity (S/m)", [("x", t, 100 * sigma(t)) for t in T]),
    ],
)
def test_tables(tmp_path, header, rows):
    path = tmp_path / "data.csv"
    delimiter = next((d for d in ",;\t" if d in header), " ")
    lines = ["# measured by nobody", header, *(delimiter.join(map(str, r)) for r in rows), ""]
    path.write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    table = read_table(path)
    assert table.quantity == "conductivity"
    np.testing.assert_allclose(table.temperature, T, rtol=1e-12)
    np.testing.assert_allclose(table.value, sigma(T), rtol=1e-10)


def test_diffusivity_table_in_square_metres(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("T (K),D (m2/s)\n300,1e-12\n400,1e-10\n")
    table = read_table(path)
    assert table.quantity == "diffusivity"
    np.testing.assert_allclose(table.value, [1e-8, 1e-6])


SIGMA_UNITS = [
    ("sigma (S/cm)", 1.0), ("sigma / S cm-1", 1.0),
    ("σ (S·cm⁻¹)", 1.0), ("conductivity [S cm^-1]", 1.0), ("sigma_S/cm", 1.0),
    ("sigma_S_per_cm", 1.0), ("Ionic conductivity (mS/cm)", 1e3), ("sigma (mS cm-1)", 1e3), ("σ/µS cm⁻¹", 1e6),
    ("Conductivity (S/m)", 1e2), ("sigma (mS/m)", 1e5), ("sigma (Ohm-1 cm-1)", 1.0), ("sigma (Ω⁻¹ m⁻¹)", 1e2),
    ("sigma 1/(ohm cm)", 1.0), ("sigma, nS/cm", 1e9), ("cond. (S/cm)", 1.0), ("sigma_total (S/cm)", 1.0),
    ("sigma (kOhm-1 cm-1)", 1e3),
]  # fmt: skip


@pytest.mark.parametrize(("heading", "factor"), SIGMA_UNITS)
def test_units_of_conductivity(tmp_path, heading, factor):
    path = tmp_path / "data.csv"
    path.write_text(f"T (K);{heading}\n" + "".join(f"{t};{factor * sigma(t):.12e}\n" for t in T), encoding="utf-8")
    table = read_table(path)
    assert table.quantity == "conductivity"
    np.testing.assert_allclose(table.value, sigma(T), rtol=1e-9)
    assert table.remarks == ()


@pytest.mark.parametrize(
    ("heading", "value"),
    [
        ("sigma T (S K/cm)", lambda t: sigma(t) * t),
        ("σT / K S cm⁻¹", lambda t: sigma(t) * t),
        ("sigma*T (mS K cm-1)", lambda t: 1e3 * sigma(t) * t),
        ("ln(sigma T)", lambda t: np.log(sigma(t) * t)),
        ("ln sigma (S/cm)", lambda t: np.log(sigma(t))),
        ("log(sigma T / S K cm-1)", lambda t: np.log10(sigma(t) * t)),
        ("log10(σT)", lambda t: np.log10(sigma(t) * t)),
        ("log sigma T", lambda t: np.log10(sigma(t) * t)),
        ("lg σ / S cm-1", lambda t: np.log10(sigma(t))),
        ("log10_sigma", lambda t: np.log10(sigma(t))),
        ("log10(sigma (mS/cm))", lambda t: np.log10(1e3 * sigma(t))),
    ],
)
def test_products_and_logarithms(tmp_path, heading, value):
    path = tmp_path / "data.csv"
    path.write_text(f"T/K;{heading}\n" + "".join(f"{t};{value(t):.12f}\n" for t in T), encoding="utf-8")
    np.testing.assert_allclose(read_table(path).value, sigma(T), rtol=1e-7)


@pytest.mark.parametrize(
    ("heading", "value"),
    [
        ("T/K", lambda t: t), ("T (K)", lambda t: t), ("temperature_K", lambda t: t), ("Temp [K]", lambda t: t),
        ("T/°C", lambda t: t - 273.15), ("T (°C)", lambda t: t - 273.15), ("T_C", lambda t: t - 273.15),
        ("Temperature (deg C)", lambda t: t - 273.15), ("temperature / ℃", lambda t: t - 273.15),
        ("1000/T", lambda t: 1000 / t), ("1000/T (K-1)", lambda t: 1000 / t), ("1000/T / K^-1", lambda t: 1000 / t),
        ("10^3/T (1/K)", lambda t: 1000 / t), ("1/T (1/K)", lambda t: 1 / t), ("10000/T", lambda t: 1e4 / t),
        ("T", lambda t: t + 0.15), ("T", lambda t: t),
    ],
)  # fmt: skip
def test_temperatures(tmp_path, heading, value):
    path = tmp_path / "data.csv"
    path.write_text(f"{heading},sigma (S/cm)\n" + "".join(f"{value(t):.12g},{sigma(t):.9e}\n" for t in T))
    np.testing.assert_allclose(read_table(path).temperature, T, atol=0.151)


@pytest.mark.parametrize(
    ("heading", "factor"),
    [("D (cm2/s)", 1.0), ("D / cm² s⁻¹", 1.0), ("D (m^2 s^-1)", 1e-4), ("diffusion coefficient (m2/s)", 1e-4),
     ("D_cm2_per_s", 1.0), ("D (nm2/ns)", 1e5)],
)  # fmt: skip
def test_units_of_diffusivity(tmp_path, heading, factor):
    path = tmp_path / "data.csv"
    path.write_text(f"T (K);{heading}\n300;{factor * 1e-8}\n400;{factor * 1e-6}\n", encoding="utf-8")
    table = read_table(path)
    assert table.quantity == "diffusivity"
    np.testing.assert_allclose(table.value, [1e-8, 1e-6])


def test_errors_of_the_file_weight_the_fit(tmp_path):
    path = tmp_path / "data.csv"
    rows = [f"{t};{sigma(t) * (3 if t == T[0] else 1):.9e};{sigma(t) * (9 if t == T[0] else 0.01):.9e}" for t in T]
    path.write_text("T (K);sigma (S/cm);sigma error (S/cm)\n" + "\n".join(rows))
    table = read_table(path)
    fit = fit_arrhenius(table.temperature, table.value, relative_error=table.relative_error)
    assert fit.activation_energy == pytest.approx(0.31, abs=1e-3)
    logs = [f"{t};{np.log10(sigma(t)):.9f};0.02" for t in T]
    path.write_text("T (K);log10_sigma;std\n" + "\n".join(logs))
    np.testing.assert_allclose(read_table(path).relative_error, 0.02 * np.log(10))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "header"),
        ("a,b\n1,2\n", "temperature"),
        ("T,b\n1,2\n", "conductivity or diffusivity"),
        ("T,sigma\n300,x\n", "line 2"),
        ("T (K),sigma\n300,1\n400\n", "line 3"),
        ("T,sigma\n25,1e-3\n100,2e-3\n", "--celsius"),
        ("T,sigma\n300,1e-3\n400,2e-3\n600,1\n", "--celsius"),
        ("T (K),sigma\n25,1e-3\n100,2e-3\n", "colder than ions"),
        ("T (°C),sigma\n298.15,1e-3\n373.15,2e-3\n", "look like kelvin"),
        ("T (K),sigma (furlong)\n300,1e-3\n400,2e-3\n", "furlong"),
        ("T (K),resistivity (ohm cm)\n300,1e-3\n400,2e-3\n", "conductivity or diffusivity"),
        ("T (K),sigma (ohm cm)\n300,1e-3\n400,2e-3\n", "not understood"),
        ("T (K),sigma_A (S/cm),sigma_B (S/cm)\n300,1e-3,1\n400,2e-3,1\n", "not understood|2 columns"),
        ("T (K),sigma (S/cm),D (cm2/s)\n300,1e-3,1\n400,2e-3,1\n", "2 columns of values"),
        ("1000/T,sigma\n0.003,1e-3\n0.002,2e-3\n", "mend the heading"),
        ("298.15,1e-7\n373.15,2e-7\n", "--quantity"),
        ("3.354,-3\n2.6,-2\n", "logarithms"),
        ("298.15,1,2\n373.15,2,3\n", "3 columns"),
    ],
)
def test_broken_or_unclear_tables_are_named(tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_table(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path / "absent.csv")


def test_answers(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("Temperature,Conductivity\n" + "".join(f"{t - 273.15},{1e3 * sigma(t):.12e}\n" for t in T + 0.15))
    table = read_table(path, temperature="C", unit="mS/cm")
    np.testing.assert_allclose(table.value, sigma(table.temperature), rtol=1e-9)
    with pytest.raises(InputError, match="unit"):
        read_table(path, temperature="C", unit="km")


SHARED = Path(__file__).parents[3] / "shared" / "cases" / "tables"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared cases are not beside the repository")
@pytest.mark.parametrize("name", [f.name for f in sorted(SHARED.glob("a_*"))])
def test_shared_cases(name):
    if name == "a_temp_nounit.csv":
        with pytest.raises(InputError, match="--celsius"):
            read_table(SHARED / name)
    table = read_table(SHARED / name, temperature="C" if name == "a_temp_nounit.csv" else None)
    fit = fit_arrhenius(table.temperature, table.value)
    assert fit.activation_energy == pytest.approx(0.300, abs=5e-5)
    assert fit.log10_prefactor == pytest.approx(5.2, abs=5e-4)


def test_kinks_and_falling_lines_are_remarked_upon():
    t = np.linspace(300.0, 600.0, 13)
    assert fit_arrhenius(t, sigma(t)).remarks == ()
    rng = np.random.default_rng(3)
    noisy = [fit_arrhenius(t, sigma(t) * np.exp(0.1 * rng.normal(size=13))).remarks for _ in range(200)]
    assert sum(map(bool, noisy)) < 20
    x = 1.0 / (BOLTZMANN_EV * t)
    bend = 1.0 / (BOLTZMANN_EV * 450.0)
    kinked = np.exp(-0.2 * x - 0.3 * np.maximum(x - bend, 0.0)) / t
    (remark,) = fit_arrhenius(t, kinked).remarks
    below, above = (float(part.split(" eV")[0]) for part in remark.split("(")[1].split(", "))
    assert (below, above) == pytest.approx((0.5, 0.2), abs=0.006)
    assert abs(float(remark.split("near ")[1].split(" K")[0]) - 450) < 5
    (falling,) = fit_arrhenius(t, sigma(t)[::-1]).remarks[:1]
    assert "does not rise" in falling


def test_plot(tmp_path):
    pytest.importorskip("matplotlib")
    path = plot_arrhenius(fit_arrhenius(T, sigma(T)), tmp_path / "plot.svg", prediction=(T, sigma(T, 0.4)))
    assert "<svg" in path.read_text()


def test_command(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("T_K,sigma\n" + "".join(f"{t},{s}\n" for t, s in zip(T, sigma(T), strict=True)))
    result = CliRunner().invoke(main, ["arrhenius", str(path), "--json"])
    assert result.exit_code == 0, result.output
    row = json.loads(result.stdout)
    assert row["activation_energy_eV"] == pytest.approx(0.31, abs=1e-10)
    assert row["conductivity_300K_S_per_cm"] == pytest.approx(sigma(300.0), rel=1e-9)
    text = CliRunner().invoke(main, ["arrhenius", str(path), "--error", "0.1"])
    assert "0.3100 ±" in text.output
    other = tmp_path / "other.csv"
    other.write_text("T_K,sigma (S/cm)\n" + "".join(f"{t},{s}\n" for t, s in zip(T, sigma(T, 0.5), strict=True)))
    plot = tmp_path / "both.svg"
    both = CliRunner().invoke(main, ["arrhenius", str(path), str(other), "-o", str(plot), "--json"])
    assert [row["activation_energy_eV"] for row in json.loads(both.stdout)] == pytest.approx([0.31, 0.5])
    assert plot.is_file()
    one = CliRunner().invoke(main, ["arrhenius", str(path), str(tmp_path / "absent.csv"), "--json"])
    assert one.exit_code == 1
    assert len(json.loads(one.stdout)) == 1
    bad = CliRunner().invoke(main, ["arrhenius", str(tmp_path / "absent.csv")])
    assert bad.exit_code == 2
    assert "absent.csv" in bad.stderr.replace("\n", "")
