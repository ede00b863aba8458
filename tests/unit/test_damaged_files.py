"""Damaged tables, manifests, networks and grids: one typed line, or what was written."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from damage import absurd, flipped, read_all

import fastin
from fastin.errors import FastinError, InputError
from fastin.runtime.files import SUMS, read_checked, read_npz
from fastin.screening.store import Store, StoreError, make_schema, read_results

SCHEMA = make_schema([("value", "float"), ("name", "string"), ("ok", "bool"), ("count", "int")])
FACTS = {"fastin": "1", "tasks": ["t"]}


def _row(key: int) -> dict[str, object]:
    numbers = {"value": 1.5 * key if key % 5 else float("inf"), "count": key if key % 3 else None, "ok": key % 2 == 0}
    return {"id": f"r{key}", "source": "s", "name": "Grüße", **numbers, "seconds": 0.1, "record_key": key}


def _store(out: Path, finish: bool) -> Path:
    store = Store(out, SCHEMA, FACTS, True)
    for start in range(0, 60, 20):
        for key in range(start, start + 20):
            store.add(_row(key))
        store.flush()
    path = store.finish(range(60)) if finish else store.folder
    store.close()
    return path


def test_a_damaged_table_gives_no_other_value(tmp_path: Path) -> None:
    path = _store(tmp_path / "o.parquet", finish=True)
    whole = read_results(path)
    refused, rest = read_all(tmp_path / "x.parquet", flipped(path.read_bytes(), 200), read_results)
    assert refused > 100
    assert all(table.equals(whole) for table in rest)


def test_pages_have_checksums_that_others_can_verify(tmp_path: Path) -> None:
    data = bytearray(_store(tmp_path / "o.parquet", finish=True).read_bytes())
    data[60] ^= 4  # in the first page
    (tmp_path / "x.parquet").write_bytes(bytes(data))
    with pytest.raises(OSError, match="CRC"):
        pq.read_table(tmp_path / "x.parquet", page_checksum_verification=True)


def test_a_damaged_run_is_continued_or_refused(tmp_path: Path) -> None:
    folder = _store(tmp_path / "folder", finish=False)
    whole = read_results(folder).drop_columns(["seconds"])
    copy, said = tmp_path / "copy", []
    for name in ("manifest.json", "part-000000002.parquet"):
        for data in flipped((folder / name).read_bytes(), 40):
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(folder, copy)
            (copy / name).write_bytes(data)
            try:
                store = Store(copy, SCHEMA, FACTS, True)
                try:
                    store.done()
                    store.finish(range(60))
                finally:
                    store.close()
            except FastinError as error:
                said.append(str(error))
            else:
                assert read_results(copy).drop_columns(["seconds"]).equals(whole)
    assert said
    assert not any("\n" in text for text in said)


@pytest.mark.parametrize("text", ["[]", "3", '"x"', "{", "[" * 100_000, '{"tasks": 3, "per_task": 4, "sha256": null}'])
def test_manifests_of_other_things(tmp_path: Path, text: str) -> None:
    folder = _store(tmp_path / "folder", finish=False)
    (folder / "manifest.json").write_text(text)
    with pytest.raises((StoreError, InputError), match=r"manifest\.json|another screening"):
        Store(folder, SCHEMA, FACTS, True)


def test_rows_that_vanish_are_said(tmp_path: Path) -> None:
    folder = _store(tmp_path / "folder", finish=False)
    store = Store(folder, SCHEMA, FACTS, True)
    (folder / "part-000000002.parquet").unlink()
    with pytest.raises(StoreError, match="run the same command again"):
        store.finish(range(60))
    store.close()


def _use_network(network: fastin.InterstitialNetwork) -> None:
    """In the working directory."""
    assert repr(network)
    network.channels(1.0)
    for suffix in (".json", ".net", ".cif"):
        network.write(f"again{suffix}")


@pytest.mark.parametrize("suffix", [".json", ".net", ".graphml"])
def test_damaged_networks(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"n{suffix}"
    fastin.compute_network(fastin.examples()["Li3OCl"]).write(path)
    data, copy = path.read_bytes(), tmp_path / f"x{suffix}"
    read_all(copy, flipped(data, 60), fastin.InterstitialNetwork.read)
    refused, _ = read_all(copy, absurd(data, 80), fastin.InterstitialNetwork.read, _use_network)
    assert refused > 20
    copy.write_bytes(data)
    assert len(fastin.InterstitialNetwork.read(copy).site_radius) > 0


def test_absurd_networks_name_the_column(tmp_path: Path) -> None:
    network = fastin.compute_network(fastin.examples()["LiCl"])
    plain = network.to_dict()
    for name, value in (
        ("edge_image", np.full_like(network.edge_image, 10**9).tolist()),
        ("edge_index", (network.edge_index + 1000).tolist()),
        ("site_radius", [float("nan")] * len(network.site_radius)),
        ("site_orbit", [-1] * len(network.site_radius)),
        ("edge_length", network.edge_length.tolist()[:-1]),
        ("site_kind", [0.5] * len(network.site_radius)),
    ):
        with pytest.raises(InputError, match=r"edge_|site_|whole"):
            fastin.InterstitialNetwork.from_dict(plain | {name: value})
    with pytest.raises(InputError, match="lattice vectors"):
        fastin.InterstitialNetwork.from_dict(plain | {"cell": [[1, 0, 0], [2, 0, 0], [0, 0, 1]]})


@pytest.mark.parametrize("suffix", [".cube", ".grd", ".vasp", ".npz"])
def test_damaged_grids(tmp_path: Path, suffix: str) -> None:
    path, copy = tmp_path / f"g{suffix}", tmp_path / f"x{suffix}"
    grid = fastin.compute_bvse(fastin.examples()["LiCl"], resolution=1.0)
    grid.write(path)
    data = path.read_bytes()
    _, rest = read_all(copy, flipped(data, 80), fastin.EnergyGrid.read, repr)
    if suffix == ".npz":  # with a checksum of each array
        assert all(np.array_equal(found.values, grid.values) for found in rest)
        return
    head = min(len(data), 1200)
    damaged = (part + data[head:] for part in absurd(data[:head], 80))
    refused, rest = read_all(copy, damaged, fastin.EnergyGrid.read, repr)
    assert refused > 15
    assert all(np.isfinite(found.cell).all() and not np.isnan(found.values).any() for found in rest)


def test_arrays_whose_header_lies(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, a=np.arange(4.0))
    data = path.read_bytes()
    path.write_bytes(data.replace(b"(4,)", b"(9,)"))
    with pytest.raises(InputError, match=r"x\.npz"):
        read_npz(path, ["a"])
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"b\.npy"):
        read_npz(path, ["b"])
    np.savez(path, a=np.array([{}], dtype=object))
    with pytest.raises(InputError, match=r"x\.npz"):
        read_npz(path, ["a"])
    with pytest.raises(InputError, match="cannot be read"):
        read_npz(tmp_path, ["a"])


def test_files_beside_their_digests(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"weights")
    assert read_checked(path) == b"weights"
    (tmp_path / SUMS).write_text(f"{hashlib.sha256(b'weights').hexdigest()}  model.bin\n")
    assert read_checked(path) == b"weights"
    path.write_bytes(b"weightz")
    with pytest.raises(InputError, match="damaged"):
        read_checked(path)
