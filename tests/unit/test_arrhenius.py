"""Arrhenius fits: exact lines, uncertainties against simulation, tables, plots, command line."""

from __future__ import annotations

import json

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
    path.write_text("T,D (m2/s)\n300,1e-12\n400,1e-10\n")
    table = read_table(path)
    assert table.quantity == "diffusivity"
    np.testing.assert_allclose(table.value, [1e-8, 1e-6])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "header"),
        ("a,b\n1,2\n", "temperature"),
        ("T,b\n1,2\n", "conductivity or diffusivity"),
        ("T,sigma\n300,x\n", "line 2"),
        ("T,sigma\n300,1\n400\n", "line 3"),
    ],
)
def test_broken_tables_are_named(tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_table(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path / "absent.csv")


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
    bad = CliRunner().invoke(main, ["arrhenius", str(tmp_path / "absent.csv")])
    assert bad.exit_code == 1
    assert "absent.csv" in bad.stderr.replace("\n", "")
