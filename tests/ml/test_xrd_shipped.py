"""The shipped pattern classifier: small, loads without code, and knows textbook conductors from insulators."""

from __future__ import annotations

import json
from importlib import resources

import click
import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("torch")

import fastin
from fastin.cli import main
from fastin.crystal.examples import examples
from fastin.xrd import XRDMatch, prepare_measured, read_pattern

command = main.get_command(click.Context(main), "xrd")  # as the command line loads it


def test_file_is_small_and_documented():
    folder = resources.files("fastin").joinpath("data/models")
    assert len(folder.joinpath("xrdmatch.pt").read_bytes()) < 6_000_000
    card = folder.joinpath("xrdmatch.md").read_text(encoding="utf-8")
    assert "OBELiX" in card
    assert "CC BY 4.0" in card


def test_textbook_crystals():
    model = XRDMatch.pretrained()
    names = ["Li10GeP2S12", "LiCl", "Li3PO4_gamma"]
    patterns = np.stack([fastin.xrd_pattern(examples()[name])[1] for name in names])
    probability = model.predict_proba(patterns)[:, 1]
    assert probability[0] > 0.5 > max(probability[1:])


def diffractogram(cif, width, scale=5000.0):
    """(M, 2) what an instrument with both K-alpha lines would record from 8 to 90 degrees, on a smooth background."""
    angles, first = fastin.xrd_pattern(cif, wavelength="CuKa1", fwhm=width)
    second = fastin.xrd_pattern(cif, wavelength="CuKa2", fwhm=width)[1]
    smooth = 0.08 * np.exp(-angles / 25) + 0.02 + 0.01 * np.sin(angles / 12)
    return np.column_stack([angles, scale * (first + 0.5 * second + smooth)])[400:]


@pytest.mark.parametrize("name", ["Li10GeP2S12", "LiFePO4", "LiCoO2", "Li7La3Zr2O12_cubic", "LiCl"])
@pytest.mark.parametrize("width", [0.05, 0.1, 0.2])
def test_a_simulated_measurement_is_classified_as_its_structure(tmp_path, name, width):
    model = XRDMatch.pretrained()
    cif = examples()[name]
    wanted = model.predict_proba(fastin.xrd_pattern(cif)[1])[0, 1]
    path = tmp_path / "a.xy"
    np.savetxt(path, np.column_stack(fastin.xrd_pattern(cif, fwhm=width)))  # as `fastin xrd FILE --fwhm --out` writes
    plain = model.predict_proba(prepare_measured(read_pattern(path)))[0, 1]
    recorded = diffractogram(cif, width)
    found = [plain]
    for scale, anode in ((1.0, None), (2e-4, None), (1.0, "Cu")):
        np.savetxt(path, recorded * [1.0, scale], fmt="%.7g")
        found.append(model.predict_proba(prepare_measured(read_pattern(path), k_alpha2=anode))[0, 1])
    assert found == pytest.approx([wanted] * 4, abs=0.05)


def test_command_line_on_structure_and_measurement(tmp_path):
    cif = examples()["Li10GeP2S12"]
    angles, broad = fastin.xrd_pattern(cif, fwhm=0.12)
    counts = np.random.default_rng(0).poisson(8000 * broad + 200 * np.exp(-angles / 30) + 60)
    measured = tmp_path / "measured.xy"
    np.savetxt(measured, np.column_stack([angles, counts])[500:4000])
    result = CliRunner().invoke(command, ["classify", str(cif), str(measured), "--json"])
    assert result.exit_code == 0, result.output
    first, second = json.loads(result.output)
    assert first["class"] == second["class"] == "superionic"
    assert first["probability_superionic"] == pytest.approx(second["probability_superionic"], abs=0.25)
    result = CliRunner().invoke(command, ["classify", str(cif), str(tmp_path / "missing.xy"), "--json"])
    assert result.exit_code == 1
    assert "cannot be read" in json.loads(result.output)[1]["error"]


def test_a_short_measurement_is_said_to_be_short(tmp_path):
    recorded = diffractogram(examples()["LiCoO2"], 0.1)
    for stop, short in ((82.0, False), (60.0, True)):
        path = tmp_path / f"{stop:.0f}.xy"
        np.savetxt(path, recorded[recorded[:, 0] < stop])
        result = CliRunner().invoke(command, ["classify", str(path), "--json"])
        (row,) = json.loads(result.output)
        assert any("degrees of Cu K-alpha" in reason for reason in row["warnings"]) == short
    molybdenum = recorded.copy()
    molybdenum[:, 0] = 2 * np.degrees(np.arcsin(np.sin(np.radians(recorded[:, 0] / 2)) * 0.71073 / 1.54184))
    np.savetxt(tmp_path / "mo.xy", molybdenum)
    result = CliRunner().invoke(command, ["classify", str(tmp_path / "mo.xy"), "--wavelength", "MoKa", "--json"])
    assert not any("degrees of" in reason for reason in json.loads(result.output)[0]["warnings"])


def test_a_wavelength_that_nothing_states_is_told(tmp_path):
    """Taken by Co K-alpha and read as Cu K-alpha, Li10GeP2S12 was called poor without a word."""
    recorded = np.column_stack(fastin.xrd_pattern(examples()["Li10GeP2S12"], wavelength="CoKa", fwhm=0.12))
    np.savetxt(tmp_path / "bare.xy", recorded)
    np.savetxt(tmp_path / "stated.xy", recorded, header="wavelength = 1.79026 A")
    for name, options, told in (("bare", [], True), ("bare", ["--wavelength", "CoKa"], False), ("stated", [], False)):
        result = CliRunner().invoke(command, ["classify", str(tmp_path / f"{name}.xy"), "--json", *options])
        (row,) = json.loads(result.stdout)
        assert any("states no wavelength" in reason for reason in row["warnings"]) == told
        assert (row["class"] == "superionic") != told


def test_a_crystal_without_lithium_is_flagged(tmp_path):
    result = CliRunner().invoke(command, ["classify", str(examples()["CaF2"]), str(examples()["LiCl"]), "--json"])
    fluoride, chloride = json.loads(result.output)
    assert fluoride["class"] == "out of domain"
    assert fluoride["warnings"][0].startswith("holds no Li")
    assert chloride["class"] == "out of domain"  # simple cells are unlike every labelled pattern
    assert "of two elements only" in chloride["warnings"][0]  # the formula says nothing either
    assert "unlike every labelled pattern" in chloride["warnings"][1]
    assert len(chloride["neighbours"]) == 3
    assert chloride["probability_formula"] is None
    assert not any("holds" in reason for reason in chloride["warnings"])
    assert chloride["composition_checked"]
    measured = tmp_path / "caf2.xy"
    np.savetxt(measured, np.column_stack(fastin.xrd_pattern(examples()["CaF2"], fwhm=0.1)))
    arguments = ["classify", str(measured), "--background", "0"]
    result = CliRunner().invoke(command, arguments)
    assert "composition unknown" in result.output
    result = CliRunner().invoke(command, [*arguments, "--formula", "CaF2", "--json"])
    assert json.loads(result.output)[0]["class"] == "out of domain"


def test_formula_and_measurements_beside_the_pattern(tmp_path):
    names = ["Li7La3Zr2O12_cubic", "Li7La3Zr2O12_tetragonal", "Li10GeP2S12", "Li3OCl"]
    result = CliRunner().invoke(command, ["classify", *(str(examples()[n]) for n in names), "--json"])
    cubic, tetragonal, lgps, unmeasured = json.loads(result.output)
    # the labelled pattern of this very phase decides: the formula's repeats scatter over the threshold
    assert (tetragonal["class"], tetragonal["class_by"]) == ("poor", "measurement")
    assert cubic["class"] == "superionic"
    assert cubic["class_by"] == "pattern and formula"
    assert (lgps["class"], lgps["class_by"]) == ("superionic", "measurement")
    assert lgps["formula"]["origin"] == "measured"
    assert unmeasured["class_by"] == "pattern and formula"
    assert 0.0 < unmeasured["probability_both"] < 1.0
    assert unmeasured["screening"]["precision"] == 0.8
    assert unmeasured["screening"]["shortlisted"] == (
        unmeasured["probability_both"] >= unmeasured["screening"]["threshold"]
    )
    measured = tmp_path / "a.xy"
    np.savetxt(measured, np.column_stack(fastin.xrd_pattern(examples()["Li3OCl"], fwhm=0.1)))
    arguments = ["classify", str(measured), "--background", "0", "--json"]
    (alone,) = json.loads(CliRunner().invoke(command, arguments).stdout)
    assert (alone["formula"], alone["probability_both"], alone["class_by"]) == (None, None, "pattern")
    (known,) = json.loads(CliRunner().invoke(command, [*arguments, "--formula", "Li3OCl"]).stdout)
    assert known["probability_formula"] == pytest.approx(unmeasured["probability_formula"])
    assert known["probability_both"] == pytest.approx(unmeasured["probability_both"], abs=0.05)
    wide = CliRunner().invoke(command, ["classify", str(examples()["Li3OCl"]), "--csv"])
    assert "shortlisted" in wide.output.splitlines()[0]
    refused = CliRunner().invoke(command, [*arguments, "--formula", "LiPON"])
    assert refused.exit_code == 1
    assert "abbreviation" in json.loads(refused.stdout)[0]["error"]


def test_the_shipped_model_says_where_it_ends():
    model = XRDMatch.pretrained()
    assert model.domain.floor == 0.7
    assert model.notes["known_conductors_left_out"] > 0
    pattern = fastin.xrd_pattern(examples()["Li10GeP2S12"])[1]
    near = model.domain.neighbours(pattern)
    assert len({name for name, *_ in near}) == 3
    assert near[0] == pytest.approx(model.domain.nearest(pattern)[0])
    assert [share for _, share, _ in near] == sorted((share for _, share, _ in near), reverse=True)
    assert model.domain.holds(pattern, {"Li", "Ge", "P", "S"})
    assert not model.domain.holds(pattern, {"Na", "Ge", "P", "S"})
    low, high = model.proba_with_formula(np.stack([pattern, pattern]), [-3.0, 2.0])
    assert low < 0.3 < 0.9 < high


def test_pattern_command(tmp_path):
    cif = str(examples()["LiCl"])
    out = tmp_path / "a.xy"
    result = CliRunner().invoke(command, [cif, "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "1 1 1" in result.output
    assert np.loadtxt(out).shape == (4501, 2)
    result = CliRunner().invoke(command, [cif, "--json", "--range", "20:60"])
    peaks = json.loads(result.output)["peaks"]
    assert all(20 <= peak["two_theta_deg"] <= 60 for peak in peaks)
    assert CliRunner().invoke(command, [str(tmp_path / "none.cif")]).exit_code == 2
    assert CliRunner().invoke(command, [cif, "--range", "x"]).exit_code == 2
    result = CliRunner().invoke(command, [cif, "--out", str(tmp_path / "no" / "folder.xy")])
    assert result.exit_code == 2  # before any work
    assert str(tmp_path / "no") in result.output


def test_mistyped_command_and_file(tmp_path):
    cif = str(examples()["LiCl"])
    result = CliRunner().invoke(command, ["clasify", cif])
    assert result.exit_code == 2
    assert "Did you mean 'classify'?" in result.output
    result = CliRunner().invoke(command, ["classify", str(tmp_path / "none.cif")])
    assert result.exit_code == 2
    assert "none.cif: No such file" in result.output
    assert "nearest labelled" not in result.output
    (tmp_path / "text.pt").write_text("no model")
    result = CliRunner().invoke(command, ["classify", cif, "--model", str(tmp_path / "text.pt")])
    assert result.exit_code == 2
    assert result.output.startswith(f"{tmp_path / 'text.pt'}: not a model file of fastin")


def _write_pool(path):
    names = ("Li10GeP2S12", "LiCl", "Li3PO4_gamma", "LiCoO2", "CaF2", "Li7La3Zr2O12_cubic")
    rows = [{"id": name, "formula": "", "cif": examples()[name].read_text()} for name in names]
    for row in rows:
        row["formula"] = fastin.Crystal.from_cif_string(row["cif"]).formula
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return names


def test_ranks_rest_on_formula_and_pattern(tmp_path):
    """The formula takes part, each says what it rests on, and what is foreign to the model comes last."""
    import csv

    names = _write_pool(tmp_path / "pool.jsonl")
    found = {}
    for way in ("both", "pattern", "formula"):
        out = tmp_path / f"{way}.csv"
        result = CliRunner().invoke(command, ["rank", str(tmp_path / "pool.jsonl"), "--by", way, "--out", str(out)])
        assert result.exit_code == 0, result.output
        with out.open() as file:
            found[way] = {row["id"]: row for row in csv.DictReader(file)}
        assert "recall" in result.output
    assert {row["by"] for row in found["pattern"].values()} == {"pattern"}
    assert found["both"]["Li3PO4_gamma"]["by"] == "pattern and formula"
    assert found["formula"]["Li3PO4_gamma"]["by"] == "formula"
    order = sorted(found["both"], key=lambda name: int(found["both"][name]["rank"]))
    outside = [name for name in order if "out-of-domain" in found["both"][name]["flags"]]
    assert {"CaF2", "LiCoO2"} <= set(outside)
    assert order[-len(outside) :] == outside
    foreign = found["both"]["CaF2"]
    assert (foreign["by"], foreign["probability_formula"], foreign["shortlisted"]) == ("pattern", "", "")
    for way, column in (("pattern", "probability_pattern"), ("formula", "probability_formula")):
        row = found[way]["Li10GeP2S12"]
        assert row["probability"] == row[column] == found["both"]["Li10GeP2S12"][column]
    assert float(found["both"]["Li10GeP2S12"]["measured_log10_conductivity_S_per_cm"]) > -3
    assert found["both"]["Li10GeP2S12"]["rank"] == "1"
    assert len(found["both"]) == len(names)


def test_ranking_by_a_formula_needs_a_model_of_formulas(tmp_path):
    from fastin.xrd.dataset import load_unlabelled
    from fastin.xrd.report import rank_candidates

    _write_pool(tmp_path / "pool.jsonl")
    pool = load_unlabelled(tmp_path / "pool.jsonl")
    with pytest.raises(fastin.InputError, match="decades"):
        rank_candidates(XRDMatch.pretrained(), pool, by="formula")
    with pytest.raises(fastin.InputError, match="unknown way"):
        rank_candidates(XRDMatch.pretrained(), pool, by="smell")
