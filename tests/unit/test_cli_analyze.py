"""``fastin analyze``: table, JSON, files, exit status."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import fastin
from fastin.cli import main
from fastin.cli._common import number


def run(*args: str):
    return CliRunner().invoke(main, ["analyze", *map(str, args)])


def test_demo_lists_every_example():
    result = run("--demo")
    assert result.exit_code == 0, result.output
    for name in fastin.examples():
        assert name in result.stdout


def test_json_of_one_structure_matches_the_api():
    path = fastin.examples()["LiFePO4"]
    result = run(path, "--json")
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)
    network = fastin.compute_network(path)
    assert row["formula"] == "LiFePO4"
    assert row["ion"] == "Li+"
    assert row["n_voids"] == len(network.site_radius)
    assert row["n_bottlenecks"] == len(network.edge_length)
    assert row["free_sphere_radii_A"] == pytest.approx(network.free_sphere_radii.tolist())
    barriers = fastin.compute_barriers(path)
    assert row["barriers"]["e1d_eV"] == pytest.approx(barriers.e1d, abs=1e-6)


def test_infinite_barriers_are_null_in_json():
    result = run("--demo", "--json")
    assert result.exit_code == 0
    assert "Infinity" not in result.stdout
    assert "NaN" not in result.stdout
    assert len(json.loads(result.stdout)) == len(fastin.examples())


def test_out_writes_files_that_read_back(tmp_path):
    path = fastin.examples()["Li3OCl"]
    result = run(path, "--out", tmp_path / "new" / "folder")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "new" / "folder"
    for suffix in (".network.net", ".network.json", ".network.vasp", ".network.cif", ".bvse.cube", ".analysis.json"):
        assert (folder / f"Li3OCl{suffix}").stat().st_size > 0
    again = fastin.InterstitialNetwork.read(folder / "Li3OCl.network.json")
    assert len(again.site_radius) == len(fastin.compute_network(path).site_radius)


def test_same_stem_does_not_overwrite(tmp_path):
    for k, name in enumerate(("LiCl", "Li3N")):
        folder = tmp_path / str(k)
        folder.mkdir()
        (folder / "x.cif").write_bytes(fastin.examples()[name].read_bytes())
    result = run(tmp_path / "0" / "x.cif", tmp_path / "1" / "x.cif", "--out", tmp_path / "out", "--no-barriers")
    assert result.exit_code == 0, result.output
    formulas = {
        json.loads((tmp_path / "out" / f"{stem}.analysis.json").read_text())["formula"] for stem in ("x", "x-2")
    }
    assert formulas == {"LiCl", "Li3N"}


def test_failures_are_said_and_the_rest_is_written(tmp_path):
    bad = tmp_path / "bad.cif"
    bad.write_text("this is not a cif")
    result = run(tmp_path / "absent.cif", bad, fastin.examples()["LiCl"], "--json")
    assert result.exit_code == 1
    rows = json.loads(result.stdout)
    assert [("error" in r) for r in rows] == [True, True, False]
    assert "absent.cif" in rows[0]["error"]["message"]
    assert rows[0]["error"]["type"] == "InputError"
    assert "bad.cif" in result.stderr


def test_usage_errors_exit_with_2(tmp_path):
    assert run().exit_code == 2
    assert run("--no-such-option").exit_code == 2
    assert run(tmp_path).exit_code == 2  # a folder without structures


def test_folder_is_expanded(tmp_path):
    for name in ("LiCl", "CaF2"):
        (tmp_path / f"{name}.cif").write_bytes(fastin.examples()[name].read_bytes())
    result = run(tmp_path, "--no-barriers", "--json")
    assert result.exit_code == 0, result.output
    assert {r["formula"] for r in json.loads(result.stdout)} == {"LiCl", "CaF2"}


def test_wrong_ion_is_an_error_that_names_it():
    result = run(fastin.examples()["LiCl"], "--ion", "Xx")
    assert result.exit_code == 1
    assert "Xx" in result.stderr


def test_guest_ion_takes_the_whole_crystal_as_framework():
    result = run(fastin.examples()["CaF2"], "--ion", "Li", "--json", "--no-barriers")
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)
    assert row["guest"] is True
    assert row["ion"] == "Li+"


def test_markup_in_file_names_is_escaped(tmp_path):
    odd = tmp_path / "[bold]x[red].cif"
    odd.write_bytes(fastin.examples()["LiCl"].read_bytes())
    result = run(odd, "--no-barriers")
    assert result.exit_code == 0, result.output
    assert "[bold]x[red].cif" in result.stdout


def test_missing_extra_is_one_line(monkeypatch):
    """Without pyarrow `fastin screen` names the extra to install instead of a traceback."""
    import sys

    for name in [m for m in sys.modules if m.startswith(("fastin.screening", "pyarrow"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = CliRunner().invoke(main, ["screen", str(fastin.examples()["LiCl"]), "-o", "x.parquet"])
    assert result.exit_code == 2
    assert "fastin[screen]" in result.stderr
    assert "Traceback" not in result.output


def test_missing_barriers_name_their_structure(tmp_path):
    text = fastin.examples()["LiCl"].read_text()
    path = tmp_path / "wide.cif"
    path.write_text(re.sub(r"(_cell_length_[abc])\s+\S+", r"\1 300.0", text))
    result = run(path)
    assert f"{path}: a grid of" in result.stderr
    assert "?" in result.stdout
    assert result.exit_code == 1


def test_nothing_computed_says_nothing_about_it(tmp_path):
    (tmp_path / "none.cif").write_text("nothing")
    result = run(tmp_path / "none.cif", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "R_a, R_b" not in result.stdout
    assert "written" not in result.stdout


def test_numbers_in_cells():
    assert number(-0.0004, 3) == "0.000"
    assert number(-1e-9) == "0.00"
    assert number(-0.26, 1) == "-0.3"
    assert number(float("inf")) == number(None) == "-"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("more", [["--json"], ["no.cif", "--csv"]])  # the second ends with status 1
def test_output_that_cannot_be_written_is_one_line(more):
    command = [sys.executable, "-m", "fastin", "barriers", str(fastin.examples()["LiCl"]), *more]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    for environment in (buffered, buffered | {"PYTHONUNBUFFERED": "1"}):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment)
        assert done.returncode == 2
        lines = [line for line in done.stderr.splitlines() if "no.cif" not in line]
        assert lines == ["Error: [Errno 28] No space left on device"]


def test_nan_is_no_number():
    for arguments in (["network", "--probe", "nan"], ["view", "--resolution", "nan"], ["view", "--resolution", "0"]):
        result = CliRunner().invoke(main, [arguments[0], str(fastin.examples()["LiCl"]), *arguments[1:]])
        assert result.exit_code == 2, arguments


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("subcommand", ["analyze", "paths", "barriers"])
def test_a_narrow_terminal_cuts_no_number(subcommand):
    import fcntl
    import pty
    import struct
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    command = [sys.executable, "-m", "fastin", subcommand, str(fastin.examples()["LiCl"])]
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    with subprocess.Popen(command, stdout=slave, stderr=subprocess.DEVNULL, env=environment) as process:
        os.close(slave)
        shown = b""
        try:
            while block := os.read(master, 65536):
                shown += block
        except OSError:  # how Linux says that the other end is closed
            pass
    os.close(master)
    assert process.returncode == 0
    assert "…" not in shown.decode()
    assert "0.57" in shown.decode()
