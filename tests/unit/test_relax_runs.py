"""Runs of relaxed barriers from the outside: estimate, worker processes, Dask, files, pictures, the command line."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from relax_support import MorseCrystal

import fastin
from fastin.cli import main
from fastin.errors import InputError
from fastin.relax.hops import prepare
from fastin.relax.potentials import Potential
from fastin.relax.request import Request
from fastin.transport.paths import compute_paths

pytest.importorskip("ase")

FILES = fastin.examples()
SPEC = "relax_support:make"
QUICK = {"images": 3, "supercell": 5.0, "fmax": 0.1}


@pytest.fixture(scope="module")
def licl():
    return compute_paths(FILES["LiCl"])


@pytest.fixture(scope="module")
def wide(licl):
    """With more legs than one: the exchange of two ions."""
    return fastin.relax_hops(licl, SPEC, **QUICK, legs="all")


def run(*words):
    return CliRunner().invoke(main, [str(w) for w in words], catch_exceptions=False)


def test_worker_processes_give_the_same_numbers(licl, wide, tmp_path):
    seen = []
    found = fastin.relax_hops(
        *(licl, SPEC),
        **QUICK | {"legs": [0], "out": tmp_path, "progress": seen.append, "workers": 2},
    )
    assert found.legs[0].barrier == pytest.approx(wide.legs[0].barrier, abs=1e-9)
    run_of = prepare(licl, SPEC, Request(**QUICK, legs="all", mechanism="exchange"))
    many = run_of.finish(workers=2)
    alone = prepare(licl, SPEC, Request(**QUICK, legs="all", mechanism="exchange")).finish()
    assert many.to_dict() == alone.to_dict()
    with pytest.raises(InputError, match="object of this process"):
        fastin.relax_hops(licl, MorseCrystal(), **QUICK, workers=2)
    with pytest.raises(InputError, match="workers"):
        fastin.relax_hops(licl, SPEC, **QUICK, workers=0)
    with pytest.raises(InputError, match="budget"):
        fastin.relax_hops(licl, SPEC, **QUICK, budget=np.nan)


@pytest.fixture
def cluster():
    distributed = pytest.importorskip("distributed", reason="the screen extra is absent")
    with distributed.LocalCluster(1, threads_per_worker=1, processes=False, dashboard_address=None) as made:
        yield made


def test_dask_gives_the_same_numbers(licl, wide, cluster, tmp_path, monkeypatch):
    """By the address, with no client anywhere: what `--scheduler` does."""
    monkeypatch.chdir(tmp_path)  # workers elsewhere stand in other folders: checkpoints go to one place all the same
    found = fastin.relax_hops(licl, SPEC, **QUICK, legs="all", scheduler=cluster.scheduler_address, out="kept")
    assert found.to_dict() == wide.to_dict()
    (file,) = (tmp_path / "kept").glob("leg_*/band.json")
    file.unlink()
    again = fastin.relax_hops(licl, SPEC, **QUICK, legs="all", scheduler=cluster.scheduler_address, out="kept")
    assert again.to_dict() == wide.to_dict()
    import distributed

    with distributed.Client(cluster) as client:
        assert fastin.relax_hops(licl, SPEC, **QUICK, legs="all", scheduler=client).to_dict() == wide.to_dict()
        assert client.status == "running"


def test_what_fails_on_dask_is_said_for_the_leg(licl, cluster):
    address = cluster.scheduler_address
    spent = fastin.relax_hops(licl, SPEC, **QUICK, scheduler=address, budget=0.0)
    assert "budget" in spent.left[0]
    broken = fastin.relax_hops(
        licl, Potential("broken", MorseCrystal, "test_relax_runs:broken"), **QUICK, scheduler=address
    )
    assert not broken.legs
    assert "no weights on this worker" in broken.left[0]
    with pytest.raises(InputError, match="no scheduler's address"):
        fastin.relax_hops(licl, SPEC, **QUICK, scheduler="nowhere")


def broken():
    raise RuntimeError("no weights on this worker")


def test_the_estimate_counts_what_is_left(licl, tmp_path):
    run_of = prepare(licl, SPEC, Request(**QUICK), out=tmp_path)
    cost = run_of.estimate()
    assert cost.structures > 0
    assert cost.atoms == 7
    assert cost.total == pytest.approx(cost.structures * cost.seconds)
    assert "7 atoms" in cost.describe()
    run_of.finish()
    assert prepare(licl, SPEC, Request(**QUICK), out=tmp_path).estimate().structures == 0


def test_files_hold_the_numbers(licl, wide, tmp_path):
    from ase.io import read

    files = wide.write(tmp_path / "out")
    posts = [f"neb/leg_00/{k:02d}/POSCAR" for k in range(5)]
    names = ["relaxed.json", "profiles.csv", "leg_00.extxyz", *posts]
    assert [f.relative_to(tmp_path / "out").as_posix() for f in files] == names
    held = json.loads(files[0].read_text())
    assert held["barriers_eV"] == pytest.approx(wide.barriers.tolist())
    rows = list(csv.DictReader(files[1].read_text().splitlines()))
    assert len(rows) == 5
    (leg,) = wide.legs.values()
    assert float(rows[2]["energy_relax_support:make_eV"]) == pytest.approx(leg.profile[2], abs=1e-5)
    images = read(files[2], ":")
    assert len(images) == 5
    for image, x, energy in zip(images, leg.positions, leg.energies, strict=True):
        np.testing.assert_allclose(image.positions, x, atol=1e-8)
        image.calc = MorseCrystal()
        assert image.get_potential_energy() == pytest.approx(energy, abs=1e-6)
    for file, x in zip(files[3:], leg.positions, strict=True):
        image = read(file)
        gap = image.get_scaled_positions(wrap=False) - x @ np.linalg.inv(leg.cell)
        np.testing.assert_allclose(gap - np.round(gap), 0.0, atol=1e-9)
        assert image.get_atomic_numbers().tolist() == leg.numbers.tolist()
    with pytest.raises(InputError, match="is a file"):
        wide.write(files[0])
    wide.write(tmp_path / "out")
    (files[-1].parent / "OUTCAR").write_text("of a run")
    with pytest.raises(InputError, match="holds OUTCAR"):
        wide.write(tmp_path / "out")


def test_a_picture_of_a_leg(wide):
    pytest.importorskip("matplotlib", reason="the view extra is absent")
    axes = wide.plot()
    assert len(axes.lines) == 2
    np.testing.assert_allclose(axes.lines[1].get_ydata(), wide.legs[0].profile)
    with pytest.raises(InputError, match="leg 9"):
        wide.plot(leg=9)


def test_command_line(tmp_path):
    words = ("relax", FILES["LiCl"], "--calculator", SPEC, "--supercell", 5, "--images", 3, "--fmax", 0.1)
    result = run(*words, "-o", tmp_path, "--carriers", 0.01)
    assert result.exit_code == 0, result.output
    assert f"E3D ({SPEC})" in result.stdout
    assert "S/cm" in result.stdout
    assert "structures of 7 atoms" in result.stderr
    again = run(*words, "-o", tmp_path, "--json")
    assert "0 structures" in again.stderr
    held = json.loads(again.stdout)
    assert held["legs"][0]["barrier_eV"] == pytest.approx(
        json.loads((tmp_path / "relaxed.json").read_text())["legs"][0]["barrier_eV"], abs=0
    )
    only = run(*words, "--estimate")
    assert only.exit_code == 0
    assert only.stdout == ""
    spent = run(*words, "--budget", "0s")
    assert spent.exit_code == 1
    assert "budget was spent" in spent.stdout


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ((), 2, "name one structure file"),
        ((FILES["LiCl"], "--demo"), 2, "name one structure file"),
        ((FILES["LiCl"], "--budget", "soon"), 2, "no time"),
        ((FILES["LiCl"], "--legs", "first"), 2, "neither needed"),
        ((FILES["LiCl"], "--calculator", "nonsense"), 1, "unknown calculator"),
        ((FILES["LiCl"], "--calculator", SPEC, "--legs", "7"), 1, "there is no leg 7"),
        ((FILES["LiFePO4"], "--calculator", SPEC), 1, "does not know"),
        ((FILES["Li10GeP2S12"], "--calculator", SPEC), 1, "fastin order"),
        ((FILES["LiCl"], "--calculator", SPEC, "--scheduler", "nowhere"), 1, "scheduler"),
    ],
)
def test_bad_input_has_one_line(words, status, message):
    result = run("relax", *words)
    assert result.exit_code == status
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_screening_relaxes_the_hits(tmp_path, wide):
    pytest.importorskip("pyarrow", reason="the screen extra is absent")
    files = [FILES["LiCl"], FILES["LiFePO4"], FILES["Li10GeP2S12"]]
    options = {"calculator": SPEC, "where": "barrier_1d_network_eV > 0.5 and e3d < 9", **QUICK}
    found = fastin.screen(files, tmp_path / "a.parquet", tasks=("barriers", "relax"), options=options, workers=1)
    table = {row["source"].split("/")[-1]: row for row in found.table.to_pylist()}
    hit = table["LiCl.cif"]
    assert hit["relaxed_barrier_3d_eV"] == pytest.approx(float(wide.barriers[2]), abs=1e-6)
    assert hit["relaxed_potential"] == SPEC
    assert hit["relaxed_legs"] == 1
    for name in ("LiFePO4.cif", "Li10GeP2S12.cif"):  # below 0.5 eV: not asked for, and no error
        assert table[name]["relaxed_barrier_3d_eV"] is None
        assert table[name]["error_type"] is None
    kept = options | {"keep": str(tmp_path / "kept")}
    for name in ("k1", "k2"):  # what was computed is there for another table, and for a structure that was stopped
        found = fastin.screen(files[:1], tmp_path / f"{name}.parquet", tasks=("relax",), options=kept, workers=1)
        (row,) = found.table.to_pylist()
        assert row["relaxed_barrier_3d_eV"] == hit["relaxed_barrier_3d_eV"]
        (stages,) = (tmp_path / "kept").iterdir()  # nothing was relaxed to try the options
        assert (stages / "leg_00" / "band.json").is_file()
    options["where"] = "barrier_1d_network_eV < 0.5"
    found = fastin.screen(files[1:], tmp_path / "b.parquet", tasks=("relax",), options=options, workers=1)
    errors = {row["source"].split("/")[-1]: row["error_message"] for row in found.table.to_pylist()}
    assert "does not know" in errors["LiFePO4.cif"]
    assert "fastin order" in errors["Li10GeP2S12.cif"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"calculator": "nonsense"}, "unknown calculator"),
        ({"calculator": SPEC, "where": "density < 3"}, "no condition on a rigid barrier"),
        ({"calculator": SPEC, "where": "e3d < 0.6; drop"}, "no condition"),
        ({"calculator": SPEC, "images": 0}, "images must be a whole number"),
        ({"calculator": SPEC, "legs": "first"}, "legs must be"),
        ({"calculator": "test_relax_runs:broken"}, "no weights on this worker"),
    ],
)
def test_screening_refuses_what_cannot_work(options, message, tmp_path):
    pytest.importorskip("pyarrow", reason="the screen extra is absent")
    with pytest.raises(fastin.FastinError, match=message):
        fastin.screen([FILES["LiCl"]], tmp_path / "a.parquet", tasks=("relax",), options=options)
    words = ("screen", FILES["LiCl"], "-o", tmp_path / "b.parquet", "--where", "e3d < 1")
    assert "add -t relax" in run(*words).stderr


def test_a_hop_between_two_points(licl, tmp_path):
    """The same saddle as that of the leg: the vacancy's hop in the crystal, named by its ends."""
    from fastin.relax.single import relax_hop

    structure = licl.crystal.to_structure()
    leg = fastin.relax_hops(licl, SPEC, images=3, supercell=5.0, fmax=0.02).legs[0]
    hop = relax_hop(structure, SPEC, (0, 0, 0), (0.5, 0.5, 0), "Li", images=3, fmax=0.02, out=tmp_path)
    assert len(hop.numbers) == len(leg.numbers) == 7
    assert hop.barrier == pytest.approx(leg.barrier, abs=5e-3)
    again = MorseCrystal()
    twin = relax_hop(structure, load(again), (0, 0, 0), (0.5, 0.5, 0), "Li", images=3, fmax=0.02, out=tmp_path)
    assert twin.barrier == pytest.approx(hop.barrier, abs=1e-9)
    with pytest.raises(InputError, match="lie apart"):
        relax_hop(structure, SPEC, (0, 0, 0), (0, 0, 0), "Li")


def load(calculator):
    return Potential(SPEC, lambda: calculator)


def test_predict_gives_the_relaxed_barrier_beside(licl):
    from fastin.ml.migration import predict_hop

    hop = predict_hop(FILES["LiCl"], (0, 0, 0), (0.5, 0.5, 0), calculator=SPEC, supercell=5.0)
    plain = predict_hop(FILES["LiCl"], (0, 0, 0), (0.5, 0.5, 0))
    assert hop.potential == SPEC
    assert hop.relaxed_barrier > 0.5
    assert "charged" in hop.relaxed_flags
    assert hop.barrier == plain.barrier
    assert np.isnan(plain.relaxed_barrier)
    words = ("predict", FILES["LiCl"], "--hop", 0, 0, 0, 0.5, 0.5, 0, "--calculator", "nonsense")
    assert "unknown calculator" in run(*words).stderr
    assert "name one with --hop" in run("predict", FILES["LiCl"], "--calculator", SPEC).stderr


STUBS = {
    "orb_models/forcefield/pretrained.py": "def orb_v3_conservative_inf_omat(device, precision): return [device]",
    "orb_models/forcefield/calculator.py": "from relax_support import MorseCrystal\n"
    "def ORBCalculator(model, device): assert model[0] == device == 'cpu'; return MorseCrystal()",
    "sevenn/calculator.py": "from relax_support import MorseCrystal\n"
    "def SevenNetCalculator(name, modal): assert (name, modal) == ('7net-mf-ompa', 'mpa'); return MorseCrystal()",
    "mace/calculators.py": "from relax_support import MorseCrystal\n"
    "def MACECalculator(model_paths, device): assert model_paths.endswith('.model'); return MorseCrystal()",
}


def test_potentials_that_a_user_brings_as_the_guide_says(tmp_path):
    """The guide's own mine.py beside stubs of the packages, by the command and not from the folder of the tests."""
    guide = Path(__file__).resolve().parents[2] / "docs" / "guide" / "relaxed-barriers.md"
    (code,) = re.findall(r"```python\n(# mine\.py\n.*?)```", guide.read_text(), re.DOTALL)
    (tmp_path / "mine.py").write_text(code)
    for name, text in STUBS.items():
        file = tmp_path / "site" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        for folder in file.relative_to(tmp_path / "site").parents[:-1]:
            (tmp_path / "site" / folder / "__init__.py").touch()
        file.write_text(text)
    (tmp_path / "some.model").write_text("")
    here = [str(tmp_path / "site"), str(Path(__file__).parents[1]), str(Path(fastin.__file__).parents[1])]
    start = (
        "import sys; sys.path.remove(''); from fastin.cli import main; main()"  # as the installed command: no folder
    )
    for calculator in ("mine:orb", "mine:ompa", "mace:some.model"):
        words = (
            "relax",
            FILES["LiCl"],
            "--calculator",
            calculator,
            "--supercell",
            "5",
            "--images",
            "1",
            "--fmax",
            "0.3",
        )
        done = subprocess.run(
            [sys.executable, "-c", start, *map(str, words), "-j", "2", "--legs", "all"],
            cwd=tmp_path, env=os.environ | {"PYTHONPATH": os.pathsep.join(here)}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert f"E3D ({calculator})" in done.stdout
    words = ("relax", FILES["LiCl"], "--calculator", "mien:orb")
    done = subprocess.run(
        [sys.executable, "-m", "fastin", *map(str, words)], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(here)},
    )  # fmt: skip
    assert "No module named 'mien'; mien.py belongs into" in done.stderr
