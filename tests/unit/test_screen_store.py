"""The store of a screening: parts appear whole, resume is exact, foreign files are never touched."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fastin.errors import InputError
from fastin.screening import store as store_module
from fastin.screening.store import Store, StoreError, check_results, make_schema, read_results

SCHEMA = make_schema([("value", "float")])
FACTS = {"fastin": "1", "tasks": ["t"]}


def _row(key: int, value: float = 1.0, error: str | None = None) -> dict[str, Any]:
    return {
        "id": f"r{key}",
        "source": f"s{key}",
        "value": value,
        "error_type": error,
        "seconds": 0.1,
        "record_key": key,
    }


def _fill(store: Store, *keys: int, **kwargs: Any) -> None:
    for key in keys:
        store.add(_row(key, **kwargs))
    store.flush()


@pytest.mark.parametrize("name", ["out.parquet", "folder"])
def test_resume_and_finish(tmp_path: Path, name: str) -> None:
    first = Store(tmp_path / name, SCHEMA, FACTS, True)
    _fill(first, 3, 1)
    _fill(first, 2)
    first.close()
    again = Store(tmp_path / name, SCHEMA, FACTS, True)
    assert again.done() == {1, 2, 3}
    _fill(again, 4)
    path = again.finish([1, 2, 3, 4])
    again.close()
    assert read_results(path)["record_key"].to_pylist() == [1, 2, 3, 4]
    third = Store(tmp_path / name, SCHEMA, FACTS, True)
    assert third.done() == {1, 2, 3, 4}
    _fill(third, 5)
    third.finish([5, 1, 2, 4])
    third.close()
    assert read_results(path)["record_key"].to_pylist() == [5, 1, 2, 4, 3]
    fourth = Store(tmp_path / name, SCHEMA, FACTS, True)
    fourth.finish([5, 1, 2, 4], prune=True)
    fourth.close()
    assert (fourth.others, fourth.dropped) == (0, 1)
    assert read_results(path)["record_key"].to_pylist() == [5, 1, 2, 4]
    left = [p.name for p in tmp_path.iterdir()]
    assert left == [name]


def test_later_part_wins_and_errors_can_be_retried(tmp_path: Path) -> None:
    store = Store(tmp_path / "o.parquet", SCHEMA, FACTS, True)
    _fill(store, 1, 2, error="ValueError")
    assert store.done() == {1, 2}
    assert store.done(retry_errors=True) == set()
    _fill(store, 1, value=7.0)
    assert store.done(retry_errors=True) == {1}
    table = pq.read_table(store.finish([1, 2]))
    store.close()
    assert table["value"].to_pylist() == [7.0, 1.0]
    assert table["error_type"].to_pylist() == [None, "ValueError"]


def test_changed_facts_are_refused_or_recomputed(tmp_path: Path) -> None:
    out = tmp_path / "o.parquet"
    store = Store(out, SCHEMA, FACTS, True)
    _fill(store, 1)
    store.close()
    newer = {**FACTS, "fastin": "2"}
    with pytest.raises(InputError, match=r'fastin: "1" before, "2" now'):
        Store(out, SCHEMA, newer, True)
    store = Store(out, SCHEMA, FACTS, True)
    store.finish([1])
    store.close()
    with pytest.raises(InputError, match="another screening"):
        Store(out, SCHEMA, newer, True)
    assert out.exists()
    store = Store(out, SCHEMA, newer, "recompute")
    assert store.done() == set()
    assert out.exists()
    _fill(store, 1, value=2.0)
    store.close()
    store = Store(out, SCHEMA, newer, True)  # interrupted recomputation goes on, the old table does not count
    assert store.done() == {1}
    store.finish([1])
    store.close()
    assert pq.read_table(out)["value"].to_pylist() == [2.0]


def test_restart_forgets(tmp_path: Path) -> None:
    store = Store(tmp_path / "o.parquet", SCHEMA, FACTS, True)
    _fill(store, 1)
    store.close()
    store = Store(tmp_path / "o.parquet", SCHEMA, FACTS, False)
    assert store.done() == set()
    store.close()


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "mine.parquet")
    for resume in (True, False, "recompute"):
        with pytest.raises(InputError, match="not a table that fastin wrote"):
            Store(tmp_path / "mine.parquet", SCHEMA, FACTS, resume)
    assert pq.read_table(tmp_path / "mine.parquet")["x"].to_pylist() == [1]
    folder = tmp_path / "data"
    folder.mkdir()
    pq.write_table(pa.table({"x": [1]}), folder / "part-000000001.parquet")
    with pytest.raises(InputError, match="not a folder that fastin wrote"):
        Store(folder, SCHEMA, FACTS, False)
    assert (folder / "part-000000001.parquet").exists()


def test_second_run_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "o.parquet", SCHEMA, FACTS, True)
    with pytest.raises(StoreError, match="another screening is writing"):
        Store(tmp_path / "o.parquet", SCHEMA, FACTS, True)
    store.close()
    Store(tmp_path / "o.parquet", SCHEMA, FACTS, True).close()


def test_compaction_keeps_rows(tmp_path: Path) -> None:
    store = Store(tmp_path / "folder", SCHEMA, FACTS, True)
    for key in range(store_module._COMPACT_AT * 2 + 3):
        _fill(store, key)
    assert len(list((tmp_path / "folder").glob("part-*"))) <= store_module._COMPACT_AT + 1
    assert store.done() == set(range(store_module._COMPACT_AT * 2 + 3))
    store.close()


def test_kill_inside_compaction_gives_no_duplicates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "folder"
    store = Store(out, SCHEMA, FACTS, True)
    monkeypatch.setattr(Path, "unlink", lambda *_args, **_kwargs: None)  # "killed" before the old parts go
    for key in range(store_module._COMPACT_AT):
        _fill(store, key)
    store.close()
    monkeypatch.undo()
    assert read_results(out).num_rows == store_module._COMPACT_AT
    store = Store(out, SCHEMA, FACTS, True)
    store.finish(range(store_module._COMPACT_AT))
    store.close()
    assert read_results(out)["record_key"].to_pylist() == list(range(store_module._COMPACT_AT))


def test_leftover_of_a_killed_write_is_ignored(tmp_path: Path) -> None:
    store = Store(tmp_path / "folder", SCHEMA, FACTS, True)
    _fill(store, 1)
    store.close()
    (tmp_path / "folder" / ".tmp-part-000000002.parquet").write_bytes(b"half a par")
    store = Store(tmp_path / "folder", SCHEMA, FACTS, True)
    assert store.done() == {1}
    assert not list((tmp_path / "folder").glob(".tmp-*"))
    store.close()


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "o.parquet", SCHEMA, FACTS, True)
    _fill(store, 1)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match=r"No space left.*run the same command again"):
            _fill(store, 2)
    assert not list((tmp_path / "o.parquet.parts").glob(".tmp-*"))
    assert store.done() == {1}
    store.flush()  # space again: the row was kept in memory
    assert store.done() == {1, 2}
    store.close()


def test_output_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file, no folder")
    for out in (tmp_path / "file" / "o.parquet", Path("/proc/fastin/o.parquet")):
        with pytest.raises(StoreError, match="cannot write"):
            Store(out, SCHEMA, FACTS, True)


def test_damaged_part_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path / "folder", SCHEMA, FACTS, True)
    _fill(store, 1)
    store.close()
    part = next((tmp_path / "folder").glob("part-*"))
    part.write_bytes(part.read_bytes()[:100])
    store = Store(tmp_path / "folder", SCHEMA, FACTS, True)
    with pytest.raises(StoreError, match=part.name):
        store.done()
    store.close()


def test_unfinished_table_is_read_under_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "o.parquet"
    with pytest.raises(InputError, match="does not exist"):
        read_results(path)
    store = Store(path, SCHEMA, FACTS, True)
    with pytest.raises(InputError, match="no results"):
        check_results(path)
    _fill(store, 1, 2)
    check_results(path)
    assert read_results(path)["record_key"].to_pylist() == [1, 2]
    store.finish([2], prune=True)
    store.close()
    assert read_results(path)["record_key"].to_pylist() == [2]
    (tmp_path / "text.parquet").write_text("no table")
    with pytest.raises(InputError, match="not a Parquet file"):
        check_results(tmp_path / "text.parquet")


def test_names_of_other_formats_are_refused(tmp_path: Path) -> None:
    for name in ("o.csv", "o.JSON", "o\udcff.parquet"):
        with pytest.raises(InputError, match="output"):
            Store(tmp_path / name, SCHEMA, FACTS, True)
    assert list(tmp_path.iterdir()) == []


def test_other_tasks_are_named_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "o.parquet", SCHEMA, FACTS | {"tasks": ["a"], "columns": ["x"]}, True)
    _fill(store, 1)
    store.close()
    with pytest.raises(InputError, match="tasks") as caught:
        Store(tmp_path / "o.parquet", SCHEMA, FACTS | {"tasks": ["b"], "columns": ["y"]}, True)
    assert "columns" not in str(caught.value)


def test_a_run_without_rows_binds_nobody(tmp_path: Path) -> None:
    for name in ("o.parquet", "folder"):
        Store(tmp_path / name, SCHEMA, FACTS | {"options": {"x": 1}}, True).close()
        store = Store(tmp_path / name, SCHEMA, FACTS, True)
        _fill(store, 1)
        store.close()
        with pytest.raises(InputError, match="options"):
            Store(tmp_path / name, SCHEMA, FACTS | {"options": {"x": 1}}, True)
