"""The command line as a whole: helps, missing files, widths, inputs, completion, grids, examples."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import shlex

import click
import pytest
from click.testing import CliRunner

import fastin
from fastin.cli import _COMMANDS, main
from fastin.cli._polish import EXAMPLES
from fastin.cli._table import shorten


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def every_command():
    found = []

    def walk(command, name):
        found.append((name, command))
        if isinstance(command, click.Group):
            for sub in command.commands.values():
                walk(sub, f"{name} {sub.name}")

    for name in _COMMANDS:
        walk(main.get_command(click.Context(main), name), name)
    return found


@pytest.mark.parametrize("name", [name for name, _ in every_command()])
def test_every_help_ends_with_two_examples_that_parse(name):
    result = run(*name.split(), "--help")
    assert result.exit_code == 0
    lines = [line.strip() for line in result.output.rstrip().splitlines()]
    assert lines[-3] == "Examples:"
    assert all(line.startswith("fastin ") for line in lines[-2:])
    options = {o for _, command in every_command() for p in command.params for o in p.opts}
    for line in EXAMPLES[name]:
        words = shlex.split(re.split(r"[|>&]", line)[0])
        assert words[1] in _COMMANDS
        assert {w for w in words if w.startswith("-") and len(w) > 1} <= options


MISSING = [
    *(f"{name} no.cif" for name in ("analyze", "network", "barriers", "bvse", "paths", "predict", "xrd", "view")),
    *("xrd classify no.xy", "xrd rank no", "screen no.cif -o x.parquet", "top no.parquet --by x", "report no.parquet"),
    *("arrhenius no.csv", "dataset build no.cif -o ds", "train no.toml", "evaluate default --dataset no"),
]


@pytest.mark.parametrize("line", MISSING)
def test_a_missing_file_has_one_answer(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*line.split())
    name = next(word for word in line.split() if re.match(r"no(\.|$)", word))
    assert result.stderr == f"Error: {name}: No such file or directory\n"
    assert result.stdout == ""
    assert result.exit_code == 2
    assert not list(tmp_path.iterdir())


def test_some_missing_files_do_not_hold_up_the_others(tmp_path):
    result = run("analyze", fastin.examples()["LiCl"], tmp_path / "no.cif")
    assert result.exit_code == 1
    assert "LiCl.cif" in result.stdout
    assert f"{tmp_path / 'no.cif'}: No such file or directory" in result.stderr


@pytest.mark.parametrize("command", ["analyze", "barriers"])
def test_an_error_alone_prints_no_table(command, tmp_path):
    path = tmp_path / "text.cif"
    path.write_text("no structure")
    result = run(command, path)
    assert result.exit_code != 0
    assert result.stdout == ""


@pytest.mark.parametrize("command", ["analyze", "barriers"])
def test_tables_fit_80_columns_and_paths_are_cut_from_the_left(command, tmp_path):
    folder = tmp_path / "a-folder-with-a-long-name"
    folder.mkdir()
    for name in ("LiFePO4", "Li10GeP2S12"):
        long = folder / f"a-very-long-name-of-a-structure-file-that-ends-in-{name}.cif"
        long.write_bytes(fastin.examples()[name].read_bytes())
    narrow = run(command, folder)
    assert max(map(len, narrow.stdout.splitlines())) <= 80
    assert "…" in narrow.stdout
    assert "LiFePO4.cif" in narrow.stdout
    wide = run(command, folder, "--wide")
    assert "…" not in wide.stdout
    text = run(command, folder, "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 2
    assert float(rows[0]["barrier_3d_network_eV"]) == pytest.approx(
        fastin.compute_barriers(fastin.examples()["Li10GeP2S12"]).e3d, abs=1e-6
    )


def test_unreachable_barriers_are_inf_in_csv(tmp_path):
    with gzip.open(tmp_path / "set.jsonl.gz", "wt") as stream:
        for name in ("LiCl", "LiFePO4"):
            stream.write(json.dumps({"id": name, "cif": fastin.examples()[name].read_text()}) + "\n")
    result = run("analyze", tmp_path / "set.jsonl.gz", "--csv")
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["id"] for row in rows] == ["LiCl", "LiFePO4"]
    assert all(row["barrier_1d_network_eV"] for row in rows)


def test_analyze_takes_globs_and_archives(tmp_path):
    import zipfile

    run("examples", "copy", tmp_path / "ex", "LiCl", "Li3N", "CaF2")
    glob = run("analyze", tmp_path / "ex" / "Li*.cif", "--json")
    assert [row["formula"] for row in json.loads(glob.stdout)] == ["Li3N", "LiCl"]
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in sorted((tmp_path / "ex").iterdir()):
            archive.write(path, path.name)
    rows = json.loads(run("analyze", tmp_path / "set.zip", "--json", "--no-barriers").stdout)
    assert [row["formula"] for row in rows] == ["CaF2", "Li3N", "LiCl"]
    assert rows[0]["source"].endswith("set.zip::CaF2.cif")


def test_examples(tmp_path):
    listed = run("examples").stdout
    assert all(name in listed for name in fastin.examples())
    assert "147 (1993)" in listed
    first = run("examples", "copy", tmp_path)
    assert len(list(tmp_path.iterdir())) == len(fastin.examples())
    assert first.exit_code == 0
    (tmp_path / "LiCl.cif").write_text("mine")
    run("examples", "copy", tmp_path)
    assert (tmp_path / "LiCl.cif").read_text() == "mine"
    assert "there are" in run("examples", "copy", tmp_path, "Kryptonite").stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell):
    result = run("completion", shell)
    assert result.exit_code == 0
    assert "_FASTIN_COMPLETE" in result.stdout


@pytest.mark.parametrize("name", ["x.cube", "x.grd", "x.npz", "x.vasp", "LOCPOT", "CHGCAR"])
def test_grids_in_every_format(name, tmp_path):
    result = run("bvse", fastin.examples()["LiCl"], "-o", tmp_path / name, "--resolution", "0.5")
    assert result.exit_code == 0, result.output
    found = fastin.EnergyGrid.read(tmp_path / name)
    expected = fastin.compute_bvse(fastin.examples()["LiCl"], resolution=0.5)
    assert found.values.min() == pytest.approx(expected.values.min(), abs=1e-3)
    assert run("bvse", fastin.examples()["LiCl"], "-o", tmp_path / "x.png").exit_code == 2


def test_barriers_write_the_grids_that_are_asked_for(tmp_path):
    run("barriers", fastin.examples()["LiCl"], "-o", tmp_path, "--grid", "npz", "--grid", "grd", "--resolution", "0.5")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["LiCl.barriers.json", "LiCl.bvse.grd", "LiCl.bvse.npz"]


def test_shorten():
    assert shorten("folder/name.cif", 9, "left") == "…name.cif"
    assert shorten("Li10GeP2S12", 6, "right") == "Li10G…"
    assert shorten("short", 6, "left") == "short"
