"""Long tables in bounded memory: the streaming passes beside the plain ones, whatever the parts and their order."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fastin.screening import integrity
from fastin.screening.keys import KeyMap, KeySet, Names
from fastin.screening.rows import conform, folded, tasks_of
from fastin.screening.sorting import plan
from fastin.screening.store import KEY, SECONDS, Store, StoreError, make_schema, read_results

COLUMNS = {"a": [("x", "float"), ("kind", "string")], "b": [("y", "int"), ("fine", "bool")]}
SCHEMA = make_schema(column for columns in COLUMNS.values() for column in columns)
FACTS = {"fastin": "1", "tasks": ["a", "b"], "per_task": {name: {"columns": c} for name, c in COLUMNS.items()}}
PER_TASK = {name: [c[0] for c in columns] for name, columns in COLUMNS.items()}
ROWS = 7


def _row(rng: random.Random, key: int) -> dict[str, Any]:
    tasks = rng.choice(["a", "b", "a,b", None])
    row: dict[str, Any] = {"id": f"r{key % 50}", "source": "s", "tasks": tasks, KEY: key, "seconds": rng.random()}
    held = tasks_of(tasks, FACTS["tasks"])
    row |= {"x": rng.random(), "kind": rng.choice(["é", "", None])} if "a" in held else {}
    row |= {"y": rng.randrange(9), "fine": rng.random() < 0.5} if "b" in held else {}
    if rng.random() < 0.2:
        row |= {"error_type": "ValueError", "error_message": f"no {key}", "failed_tasks": rng.choice(["a", "b"])}
    return row | {"warnings": rng.choice([None, [], ["w1"], ["w1", "w2"]])}


def _plain(parts: list[list[dict[str, Any]]], schema: pa.Schema, order: list[int], prune: bool) -> pa.Table:
    """The finished table, all rows in memory."""
    written = pa.concat_tables([conform(pa.Table.from_pylist(rows, schema=SCHEMA), schema) for rows in parts])
    table, keys = folded(written, KEY, PER_TASK, FACTS["tasks"])
    rows = [keys.index(key) for key in order]
    names = list(zip(table["id"].to_pylist(), table["source"].to_pylist(), strict=True))
    current = {names[row] for row in rows}
    rest = [row for row in range(len(table)) if row not in rows and names[row] not in current]
    return table.take(pa.array(rows + ([] if prune else rest), pa.int64()))


@pytest.mark.parametrize("name", ["o.parquet", "folder"])
@pytest.mark.parametrize("seed", range(12))
def test_streaming_gives_the_plain_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, seed: int) -> None:
    monkeypatch.setattr(integrity, "ROWS", ROWS)
    if seed % 2:
        monkeypatch.setattr(integrity, "GROUPS", 3)  # sixty rows then have groups of four times as many
    rng = random.Random(seed)
    keys = rng.sample(range(-40, 200), rng.choice([0, 1, 6, 7, 8, 60]))
    written = keys + rng.choices(keys, k=len(keys) // 3) if keys else []
    rng.shuffle(written)
    parts = [[_row(rng, key) for key in written[k : k + 9]] for k in range(0, len(written), 9)]
    order = rng.sample(keys, rng.randrange(len(keys) + 1))
    prune = rng.random() < 0.5
    store = Store(tmp_path / name, SCHEMA, FACTS, True)
    for rows in parts:
        for row in rows:
            store.add(row)
        store.flush()
    assert store.done() == set(keys)
    path = store.finish(order, prune=prune)
    store.close()
    schema = SCHEMA if name == "folder" else SCHEMA.remove(SCHEMA.get_field_index(SECONDS))
    expected = _plain(parts, schema, order, prune) if parts else schema.empty_table()
    found = read_results(path)
    assert found.replace_schema_metadata(None).equals(expected)
    assert store.failed == len(order) - expected["error_type"].slice(0, len(order)).null_count
    assert store.others == len(expected) - len(order)
    assert not list(tmp_path.rglob(".tmp-*"))
    files = [path] if name == "o.parquet" else list(path.glob("part-*"))
    groups = sum(pq.ParquetFile(file).num_row_groups for file in files)
    assert groups == max(1, -(-len(expected) // integrity.group_rows(len(expected))))


def test_long_tables_have_few_row_groups() -> None:
    assert [integrity.group_rows(n) for n in (0, 1, 2048, 128 * 2048)] == [2048] * 4
    assert [integrity.group_rows(n) for n in (128 * 2048 + 1, 10**6, 10**7)] == [4096, 8192, 131072]


def test_bytes_do_not_depend_on_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "ROWS", ROWS)
    keys = list(range(30))
    rows = {key: _row(random.Random(key), key) for key in keys}
    found = set()
    for seed in range(4):
        rng, out = random.Random(seed), tmp_path / f"{seed}.parquet"
        shuffled = rng.sample(keys, len(keys))
        cut = rng.randrange(1, 29)
        for part in (shuffled[:cut], shuffled[cut:]):  # killed in between
            store = Store(out, SCHEMA, FACTS, True)
            for key in part:
                store.add(rows[key])
                if rng.random() < 0.3:
                    store.flush()
            store.flush()
            store.close()
        store = Store(out, SCHEMA, FACTS, True)
        store.finish(keys)
        store.close()
        found.add(out.read_bytes())
    assert len(found) == 1


def test_short_tables_have_the_bytes_of_one_write(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([_row(random.Random(key), key) for key in range(20)], schema=SCHEMA)
    with (tmp_path / "t.parquet").open("wb") as stream:
        integrity.write_groups(stream, lambda: iter([table]), SCHEMA.with_metadata({b"k": b"v"}))
    assert (tmp_path / "t.parquet").read_bytes() == integrity.parquet_bytes(table.replace_schema_metadata({b"k": b"v"}))


def test_damage_in_any_row_group_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "ROWS", ROWS)
    rows = [_row(random.Random(key), key) for key in range(40)]
    tables = [pa.Table.from_pylist(rows[k : k + ROWS], schema=SCHEMA) for k in range(0, 40, ROWS)]
    path, rng = tmp_path / "t.parquet", random.Random(1)
    with path.open("wb") as stream:
        integrity.write_groups(stream, lambda: iter(tables), SCHEMA)
    data, whole = path.read_bytes(), pa.concat_tables(tables)
    assert integrity.read_table(path).equals(whole)
    refused = 0
    for _ in range(150):
        damaged, bit = bytearray(data), rng.randrange(8 * len(data))
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(bytes(damaged))
        for read in (integrity.read_table, lambda p: pa.concat_tables(list(integrity.read_groups(p)))):
            try:
                assert read(path).replace_schema_metadata(None).equals(whole)
            except (ValueError, OSError):
                refused += 1
    assert refused > 150
    moved = [tables[1], tables[0], *tables[2:]]  # whole groups, each right by itself, in another order
    assert integrity._joined([integrity._content_digest(t) for t in moved]) != integrity._digest_of_groups(whole, ROWS)


def test_a_full_disk_leaves_no_stretches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "ROWS", ROWS)
    store = Store(tmp_path / "o.parquet", SCHEMA, FACTS, True)
    for key in range(30):
        store.add(_row(random.Random(key), key))

    def full(_stream: object) -> None:
        raise OSError(28, "No space left on device")

    store.flush()
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(StoreError, match=r"No space left.*run the same command again"):
            store.finish(range(30))
    assert not list(tmp_path.rglob(".tmp-*"))
    assert len(read_results(store.finish(range(30)))) == 30
    store.close()


def test_key_sets_and_maps() -> None:
    import numpy as np

    keys = np.array([-5, 0, 7, 2**62], np.int64)
    found = KeySet(keys)
    assert found == {-5, 0, 7, 2**62}
    assert 7 in found
    assert all(key not in found for key in (-6, 1, 2**63 - 1))
    assert KeySet(keys[:0]) == set()
    mapped = KeyMap(keys, np.array([0, 1, 1, 0], np.int16), ["p", "q"])
    assert dict(mapped) == {-5: "p", 0: "q", 7: "q", 2**62: "p"}
    assert mapped.get(8) is None


def test_names_are_unique_as_a_dictionary_makes_them() -> None:
    def plain(names: list[str]) -> list[str]:
        seen: dict[str, int] = {}
        given = []
        for name in names:
            count = seen.get(name, 0) + 1
            found = name
            while count > 1 and (found := f"{name}#{count}") in seen:
                count += 1
            seen[name] = count
            seen.setdefault(found, 1)
            given.append(found)
        return given

    rng = random.Random(3)
    pool = [f"n{k}{tail}" for k in range(40) for tail in ("", "#2", "#3", "#2#2")]
    names = [rng.choice(pool) for _ in range(400)] + [f"m{k}" for k in range(3000)]
    taken = Names()
    assert [taken.unique(name) for name in names] == plain(names)


def test_changed_contents_are_replaced_whatever_the_digests_of_their_names() -> None:
    names = [f"crystal-{k}" for k in range(64)]  # digests on both sides of 2^63
    old, new = np.arange(64), np.arange(64) + 1000

    def table(keys: Any, some: list[str]) -> pa.Table:
        return pa.table({KEY: pa.array(keys, pa.int64()), "id": some, "source": ["folder"] * len(some)})

    def groups() -> Iterator[pa.Table]:
        yield from (table([key], [name]) for key, name in zip(old, names, strict=True))
        yield table(new, names)

    found = plan(groups, KEY, new, False)
    assert (found.replaced, found.others, found.dropped) == (64, 0, 0)
    np.testing.assert_array_equal(found.keys, new)
