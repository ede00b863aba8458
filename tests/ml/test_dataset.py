"""Data sets from CIFs: labels, resumption, failures, versions, the command line; Materials Project records."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

import fastin
from fastin.cli import main
from fastin.crystal.examples import examples
from fastin.errors import InputError, MissingDependencyError
from fastin.graph.graph import build_crystal_graph, build_interstitial_graph
from fastin.ml.dataset import (
    _LAYOUT,
    BuildOptions,
    SourceCif,
    build_dataset,
    chemical_system,
    find_ids,
    graphs_of,
    load_dataset,
    make_entry,
    read_sources,
)
from fastin.ml.materials_project import fetch_sources

FILES = {path.stem: path for path in examples().values() if path.suffix == ".cif"}
SMALL = sorted(FILES)[:3]


def texts() -> list[SourceCif]:
    return [SourceCif(name, FILES[name].read_text()) for name in SMALL]


def test_labels_are_those_of_compute_barriers() -> None:
    source = texts()[0]
    entry = make_entry(source, BuildOptions())
    barriers = fastin.compute_barriers(FILES[SMALL[0]])
    assert entry.labels is not None
    for zero in ("global", "network"):
        expected = [entry.labels[f"e{d}d_{zero}"] for d in (1, 2, 3)]
        np.testing.assert_allclose(expected, barriers.values(zero), atol=1e-6)


def _layered() -> str:
    """LiNi1/3Mn1/3Co1/3O2 with whole layers of each metal: LiCoO2's cell (2.816, 14.05 A, oxygen at z = 0.24)."""
    shifts = ((0.0, 0.0, 0.0), (2 / 3, 1 / 3, 1 / 3), (1 / 3, 2 / 3, 2 / 3))
    rows = []
    for metal, (x, y, z) in zip(("Ni", "Mn", "Co"), shifts, strict=True):
        rows += [f"Li {x:.6f} {y:.6f} {(z + 0.5) % 1:.6f}", f"{metal} {x:.6f} {y:.6f} {z:.6f}"]
        rows += [f"O {x:.6f} {y:.6f} {(z + s * 0.24) % 1:.6f}" for s in (1, -1)]
    names = ("type_symbol", "fract_x", "fract_y", "fract_z")
    head = "data_nmc\n_cell_length_a 2.816\n_cell_length_b 2.816\n_cell_length_c 14.05\n"
    angles = "_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma 120\n_space_group_name_H-M_alt 'P 1'\n"
    return head + angles + "loop_\n" + "\n".join([*(f"_atom_site_{n}" for n in names), *rows]) + "\n"


def test_numbers_of_this_layout() -> None:
    """Where one of these changes, raise `_LAYOUT`: shards of before would stand beside new ones under one version."""
    assert _LAYOUT == 5
    kept = {
        "LiFePO4": (0.3733, 4.1229, {2: 4, 5: 4, -2: 16}),
        "LiCoO2": (1.3148, 13.8125, {3: 3, -2: 6}),
        "nmc": (2.7075, 13.5998, {2: 1, 3: 1, 4: 1, -2: 6}),
    }
    for name, (low, high, states) in kept.items():
        text = examples()[name].read_text() if name != "nmc" else _layered()
        entry = make_entry(SourceCif(name, text), BuildOptions(ion="Li"))
        assert entry.labels is not None
        assert entry.labels["e1d_global"] == pytest.approx(low, abs=2e-4)
        assert entry.labels["e3d_network"] == pytest.approx(high, rel=1e-3)
        charges, counts = np.unique(np.round(entry.interstitial.atom_charge, 3), return_counts=True)
        assert dict(zip(charges.tolist(), counts.tolist(), strict=True)) == states, name


def test_energies_of_a_data_set_are_those_of_a_prediction() -> None:
    for source in texts():
        built = make_entry(source, BuildOptions()).energies
        asked = graphs_of(FILES[source.id]).energies
        assert built is not None
        assert asked is not None
        assert np.array_equal(built.site, asked.site)
        assert np.array_equal(built.edge, asked.edge)
    assert make_entry(texts()[0], BuildOptions(energies=False)).energies is None


def test_shared_positions_are_left_out_with_the_reason() -> None:
    """Labels leave out what sits on the ion's own positions, graphs would hold it."""
    crystal = fastin.Crystal.from_file(FILES["LiCl"])
    cif = _with_sodium(crystal)
    with pytest.raises(InputError, match=r"mixed: Na.* on positions of Li"):
        make_entry(SourceCif("mixed", cif), BuildOptions(ion="Li"))


def _with_sodium(crystal: fastin.Crystal) -> str:
    """Li0.9Na0.1Cl in the rock salt cell."""
    a = float(np.linalg.norm(crystal.cell[0]))
    rows = []
    for k, (x, y, z) in enumerate([(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]):
        rows += [f"Li{k} Li {x} {y} {z} 0.9", f"Na{k} Na {x} {y} {z} 0.1", f"Cl{k} Cl {(x + 0.5) % 1} {y} {z} 1.0"]
    head = [f"_cell_length_{n} {a}" for n in "abc"] + [f"_cell_angle_{n} 90" for n in ("alpha", "beta", "gamma")]
    names = ["label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy"]
    return "\n".join(["data_mixed", *head, "loop_", *(f"_atom_site_{n}" for n in names), *rows, ""])


def test_build_resumes_and_lists_failures(tmp_path: Path) -> None:
    sources = [*texts(), SourceCif("broken", "data_broken\n_cell_length_a 0\n")]
    done: list[tuple[int, int]] = []
    manifest = build_dataset(sources, tmp_path / "set", progress=lambda a, b: done.append((a, b)))
    assert manifest["structures"] == 3
    assert list(manifest["failures"]) == ["broken"]
    assert done == [(1, 1)]
    shard = tmp_path / "set" / "shards" / "00000.npz"
    written = shard.stat().st_mtime_ns
    again = build_dataset(sources, tmp_path / "set")
    assert again == manifest
    assert shard.stat().st_mtime_ns == written
    with pytest.raises(InputError, match=r"set: holds a data set made with resolution 0.2, not 0.3; choose another"):
        build_dataset(sources, tmp_path / "set", BuildOptions(resolution=0.3))
    assert shard.stat().st_mtime_ns == written
    store = load_dataset(tmp_path / "set")
    assert store.ids.tolist() == SMALL
    assert store.has_crystals
    assert find_ids(store, [SMALL[2], "nobody"]).tolist() == [2]


def test_a_set_that_is_being_rebuilt_is_not_taken_for_the_old_one(tmp_path: Path) -> None:
    manifest = build_dataset(texts()[:1], tmp_path / "set")

    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        build_dataset(texts()[:2], tmp_path / "set", progress=stop)
    with pytest.raises(InputError, match="not a data set"):
        load_dataset(tmp_path / "set")
    assert build_dataset(texts()[:2], tmp_path / "set")["version"] != manifest["version"]
    assert len(load_dataset(tmp_path / "set")) == 2


def test_worker_processes_give_the_same_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastin.ml.dataset._SHARD", 2)
    one = build_dataset(texts(), tmp_path / "one")
    two = build_dataset(texts(), tmp_path / "two", workers=2)
    assert one == two
    a, b = load_dataset(tmp_path / "one"), load_dataset(tmp_path / "two")
    for name, values in a.arrays.items():
        np.testing.assert_array_equal(values, b.arrays[name])
    np.testing.assert_array_equal(a.labels, b.labels)


def test_sources_of_every_kind(tmp_path: Path) -> None:
    records = [{"id": s.id, "cif": s.cif} for s in texts()] + [{"id": "composition only", "cif": None}]
    packed = tmp_path / "set.jsonl.gz"
    packed.write_bytes(gzip.compress("\n".join(map(json.dumps, records)).encode()))
    folder = tmp_path / "cifs"
    folder.mkdir()
    (folder / "x.cif").write_text(texts()[0].cif)
    assert [s.id for s in read_sources([packed])] == SMALL
    assert [s.id for s in read_sources([folder, FILES[SMALL[1]]])] == ["x", SMALL[1]]
    assert [s.id for s in read_sources([packed], limit=2)] == SMALL[:2]
    (tmp_path / "bad.jsonl").write_text('{"id": 1}\n')
    for path, message in ((tmp_path / "bad.jsonl", "line 1"), (tmp_path / "nothing", "no such file")):
        with pytest.raises(InputError, match=message):
            list(read_sources([path]))
    with pytest.raises(InputError, match="twice"):
        build_dataset(texts() * 2, tmp_path / "twice")
    with pytest.raises(InputError, match="no structures"):
        build_dataset([], tmp_path / "none")
    with pytest.raises(InputError, match="not a data set"):
        load_dataset(tmp_path)


def test_chemical_system_is_alphabetical() -> None:
    assert chemical_system([15, 8, 3, 8]) == "Li-O-P"


def test_command_line(tmp_path: Path) -> None:
    out = tmp_path / "set"
    paths = [str(FILES[name]) for name in SMALL]
    built = CliRunner().invoke(main, ["dataset", "build", *paths, "--out", str(out)])
    assert built.exit_code == 0, built.output
    assert "3 structures" in built.output
    told = CliRunner().invoke(main, ["dataset", "info", str(out)])
    assert told.exit_code == 0
    assert "e1d_global: 3 usable" in told.output
    missing = CliRunner().invoke(main, ["dataset", "info", str(tmp_path / "no")])
    assert missing.exit_code == 2
    assert "No such file or directory" in missing.output
    (tmp_path / "empty").mkdir()
    other = CliRunner().invoke(main, ["dataset", "info", str(tmp_path / "empty")])
    assert other.exit_code != 0
    assert "not a data set" in other.output


def test_materials_project_records() -> None:
    """The client's answer as recorded: documents with attributes, structures as pymatgen objects or dictionaries."""
    pymatgen = pytest.importorskip("pymatgen.core")
    rocksalt = pymatgen.Structure.from_spacegroup(
        "Fm-3m", pymatgen.Lattice.cubic(5.13), ["Li", "Cl"], [[0, 0, 0], [0.5] * 3]
    )
    mixed = rocksalt.copy()
    mixed[0] = {"Li": 0.5, "Na": 0.5}
    answer = [
        SimpleNamespace(material_id="mp-22905", formula_pretty="LiCl", structure=rocksalt, nsites=8),
        {"material_id": "mp-15", "formula_pretty": "LiCl", "structure": rocksalt.as_dict(), "nsites": 8},
        SimpleNamespace(material_id="mp-3", formula_pretty="LiNaCl", structure=mixed, nsites=8),
    ]
    asked = {}

    def search(**query: object) -> list[object]:
        asked.update(query)
        return answer

    client = SimpleNamespace(materials=SimpleNamespace(summary=SimpleNamespace(search=search)))
    sources = list(fetch_sources("Li", client=client, max_sites=50))
    assert [s.id for s in sources] == ["mp-15", "mp-22905"]
    assert asked["elements"] == ["Li"]
    assert asked["num_sites"] == (1, 50)
    entry = make_entry(sources[0], BuildOptions(ion="Li"))
    assert (entry.formula, entry.system) == ("LiCl", "Cl-Li")


def test_materials_project_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MP_API_KEY", raising=False)
    with pytest.raises(InputError, match="MP_API_KEY"):
        next(fetch_sources("Li"))
    pytest.importorskip("sys")
    try:
        import mp_api  # noqa: F401
    except ImportError:
        with pytest.raises(MissingDependencyError, match="mp-api"):
            next(fetch_sources("Li", api_key="x"))


def test_graph_of_a_real_crystal_ignores_the_order_of_atoms() -> None:
    crystal = fastin.Crystal.from_file(FILES[SMALL[0]])
    structure = crystal.to_structure()
    order = np.random.default_rng(0).permutation(len(structure))
    shuffled = type(structure).from_sites([structure[int(i)] for i in order])
    rows = []
    for source in (structure, shuffled):
        network = fastin.compute_network(source)
        graph = build_interstitial_graph(network)
        rows.append(np.array(sorted(map(tuple, np.round(graph.x, 4)))))
        assert len(build_crystal_graph(source).number) == len(structure)
    np.testing.assert_allclose(rows[0], rows[1], atol=2e-3)
