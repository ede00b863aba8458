"""Inputs of a screening: every container gives the same records; damaged ones give rows, not exceptions."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastin.crystal.crystal import Crystal
from fastin.errors import InputError
from fastin.screening import inputs
from fastin.screening.job import load_crystal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from screening_support import rocksalt

NAMES = ("a", "b", "sub/c", "Grüße-α")


def _records(*sources: object) -> list[inputs.Record]:
    return list(inputs.records(inputs.expand(list(sources))))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    for number, name in enumerate(NAMES):
        path = root / f"{name}.cif"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rocksalt(a=5 + number / 10), encoding="utf-8")
    (root / "README.txt").write_text("no structure")
    (root / ".hidden.cif").write_text("no structure")
    return root


def _zip(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return path


def _tar(folder: Path, suffix: str) -> Path:
    path = folder.with_suffix(suffix)
    with tarfile.open(path, "w:gz" if suffix.endswith("gz") else "w") as archive:
        archive.add(folder, arcname=".")
    return path


def test_containers_agree(folder: Path) -> None:
    expected = {r.uid: r.payload for r in _records(folder)}
    assert set(expected) == set(NAMES)
    for container in (_zip(folder), _tar(folder, ".tar.gz"), _tar(folder, ".tar")):
        found = {r.uid.removeprefix("./"): r.payload for r in _records(container)}
        assert found == expected, container.name


def test_json_lines_and_plain_lines(tmp_path: Path) -> None:
    rows = [{"id": name, "cif": rocksalt()} for name in NAMES]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    plain, packed = tmp_path / "s.jsonl", tmp_path / "s.jsonl.gz"
    plain.write_text(text, encoding="utf-8")
    packed.write_bytes(gzip.compress(text.encode()))
    assert [r.uid for r in _records(plain)] == list(NAMES)
    assert [r.key for r in _records(plain)] == [r.key for r in _records(packed)]
    assert inputs.count(inputs.expand([plain, packed])) == 2 * len(NAMES)


def test_globs_and_missing(folder: Path) -> None:
    assert [r.uid for r in _records(str(folder / "*.cif"))] == sorted(n for n in NAMES if "/" not in n)
    assert [r.uid for r in _records(str(folder / "**" / "c.cif"))] == ["c"]
    with pytest.raises(InputError, match="matches nothing"):
        inputs.expand([str(folder / "*.vasp")])
    with pytest.raises(InputError, match="does not exist"):
        inputs.expand([str(folder / "nowhere.cif")])
    with pytest.raises(InputError, match="nothing to screen"):
        inputs.expand([])
    empty = folder.parent / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="no structure file"):
        inputs.expand([empty])


def test_duplicates_are_renamed(folder: Path) -> None:
    records = _records(folder / "a.cif", folder / "a.cif", folder / "b.cif", folder / "a.cif")
    assert [r.uid for r in records] == ["a", "a#2", "b", "a#3"]
    assert [r.renamed for r in records] == [False, True, False, True]
    assert len({r.key for r in records}) == 4


def test_key_follows_name_and_content(tmp_path: Path) -> None:
    path = tmp_path / "a.cif"
    path.write_text(rocksalt(a=5.0))
    before = _records(path)[0].key
    assert _records(path)[0].key == before
    path.write_text(rocksalt(a=5.1))
    assert _records(path)[0].key != before


def test_archive_members_cannot_leave(tmp_path: Path) -> None:
    """Members with .. or absolute names are read as text; links are not followed; nothing is written."""
    path = tmp_path / "evil.tar"
    (tmp_path / "secret.cif").write_text("secret")
    with tarfile.open(path, "w") as archive:
        for name in ("../../evil.cif", "/tmp/absolute.cif"):
            data = rocksalt().encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("link.cif")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret.cif")
        archive.addfile(link)
    before = sorted(tmp_path.iterdir())
    records = _records(path)
    assert len(records) == 2
    assert all(r.payload == rocksalt().encode() for r in records)
    assert sorted(tmp_path.iterdir()) == before


def test_damage_becomes_rows(tmp_path: Path) -> None:
    lines = tmp_path / "s.jsonl.gz"
    good = json.dumps({"id": "good", "cif": rocksalt()})
    lines.write_bytes(gzip.compress(f"{good}\nnot json\n[1]\n{json.dumps({'id': 'x'})}\n\n{good}\n".encode()))
    kinds = [r.kind for r in _records(lines)]
    assert kinds == ["cif", "broken", "broken", "broken", "cif"]

    truncated = tmp_path / "t.jsonl.gz"
    truncated.write_bytes(gzip.compress((good + "\n").encode() * 500)[:-40])
    last = _records(truncated)[-1]
    assert last.kind == "broken"
    assert b"damaged archive" in last.payload

    no_zip = tmp_path / "n.zip"
    no_zip.write_bytes(b"PK\3\4 this is no archive")
    assert [r.kind for r in _records(no_zip)] == ["broken"]


def test_zip_member_damage_costs_one_row(folder: Path) -> None:
    path = folder.parent / "damaged.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one.cif", rocksalt())
        archive.writestr("two.cif", rocksalt(a=5.5))
    data = bytearray(path.read_bytes())
    where = data.index(b"data_LiCl")
    data[where] ^= 0xFF
    path.write_bytes(bytes(data))
    assert [r.kind for r in _records(path)] == ["broken", "cif"]


def test_oversized_record_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MAX_RECORD_BYTES", 1000)
    path = tmp_path / "s.jsonl"
    small = json.dumps({"id": "small", "cif": "data_x"})
    big = json.dumps({"id": "big", "cif": "x" * 5000})
    path.write_text(f"{small}\n{big}\n{small}\n")
    assert [r.kind for r in _records(path)] == ["cif", "broken", "cif"]
    file = tmp_path / "big.cif"
    file.write_text("x" * 5000)
    archive = tmp_path / "big.zip"
    with zipfile.ZipFile(archive, "w", compression=zipfile.ZIP_DEFLATED) as stream:
        stream.write(file, "big.cif")
    assert [r.kind for r in _records(file, archive)] == ["broken", "broken"]


def test_structures_and_named_structures() -> None:
    from pymatgen.core import Lattice, Structure

    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.13), ["Li", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    records = list(inputs.records(inputs.expand(iter([salt, ("salt", salt), 17]))))
    assert [r.uid for r in records] == ["structure-000001", "salt", "structure-000003"]
    assert [r.kind for r in records] == ["object", "object", "broken"]
    again = list(inputs.records(inputs.expand([salt.copy(), ("salt", salt.copy())])))
    assert [r.key for r in again] == [r.key for r in records[:2]]


def test_what_is_no_file_is_a_row_and_never_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe.cif")
    (folder / "endless.cif").symlink_to("/dev/zero")
    records = {r.uid: r for r in _records(folder)}
    assert inputs.count(inputs.expand([folder])) == len(records) == len(NAMES) + 2
    for name in ("pipe", "endless"):
        assert records[name].kind == "broken"
        assert b"not a regular file" in records[name].payload


def test_damaged_lzma_member_is_a_row(folder: Path) -> None:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.cif", rocksalt() * 20)
        archive.writestr("b.cif", rocksalt())
    data = bytearray(path.read_bytes())
    data[60:80] = bytes(20)
    path.write_bytes(data)
    assert {r.uid: r.kind for r in _records(path)} == {"a": "broken", "b": "cif"}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow only unicode names")
@pytest.mark.parametrize("make", [_zip, lambda folder: _tar(folder, ".tar"), None])
def test_names_that_are_no_unicode(folder: Path, make: Callable[[Path], Path] | None) -> None:
    if make is None:
        packed = folder.with_suffix(".jsonl")
        packed.write_text(json.dumps({"cif": rocksalt()}) + "\nno json\n")
    else:
        packed = make(folder)
    path = packed.with_name(os.fsdecode(b"\xff-" + os.fsencode(packed.name)))
    packed.rename(path)
    records = _records(path)
    assert records
    for record in records:
        (record.uid + record.source).encode("utf-8")


def test_a_record_is_read_as_the_file_is(tmp_path: Path) -> None:
    """The same bytes through a screening and from a file: one encoding, one format, one error."""
    plain = rocksalt()
    poscar4 = "a salt\n1\n5 0 0\n0 5 0\n0 0 5\n1 1 2\nDirect\n0 0 0\n.5 .5 0\n.5 .5 .5\n0 0 .5\n"
    poscar5 = poscar4.replace("1 1 2", "Na Li Cl\n1 1 2")
    cases = {
        "utf16.cif": plain.encode("utf-16"),
        "bom.cif": b"\xef\xbb\xbf" + plain.encode(),
        "binary.cif": b"data_\0\1",
        "five.vasp": poscar5.encode(),
        "four.vasp": poscar4.encode(),  # names no elements: must not become H, He, Li
        "cif.mcif": plain.encode(),
    }
    for name, data in cases.items():
        path = tmp_path / name
        path.write_bytes(data)
        (record,) = _records(path)
        answers = []
        for read in (
            lambda path=path: Crystal.from_file(path),
            lambda record=record: load_crystal((record.uid, record.source, record.kind, record.payload)),
        ):
            try:
                answers.append(read().formula)
            except InputError as error:
                answers.append(str(error))
        assert answers[0] == answers[1], name
        assert ("unknown element" in answers[0]) == (name == "four.vasp")


def test_folders_out_of_sight_are_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that cannot be listed, and a link to a folder of structures, are no silent gaps."""
    inside, elsewhere = tmp_path / "in", tmp_path / "elsewhere"
    for folder in (inside / "a", inside / "shut", elsewhere / "deep", tmp_path / "pictures"):
        folder.mkdir(parents=True)
        (folder / "x.png").write_bytes(b"")
    (inside / "a" / "one.cif").write_text(rocksalt())
    (elsewhere / "deep" / "two.cif").write_text(rocksalt())
    (inside / "linked").symlink_to(elsewhere)
    (inside / "round").symlink_to(inside)
    (inside / "harmless").symlink_to(tmp_path / "pictures")
    (inside / "broken").symlink_to(tmp_path / "nothing")
    real = os.scandir

    def scandir(path: Any = ".") -> Any:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = {record.uid: record for record in _records(inside)}
    assert set(found) == {"a/one", "shut", "linked", "round"}
    assert found["a/one"].kind == "cif"
    assert b"cannot be listed: Permission denied" in found["shut"].payload
    assert b"give that folder as an input of its own" in found["linked"].payload
    monkeypatch.setattr(os, "scandir", lambda path=".": scandir("shut"))
    (only,) = _records(inside)
    assert b"cannot be listed" in only.payload


@pytest.mark.parametrize("kind", ["zip", "tar", "jsonl"])
def test_an_archive_without_structures_is_an_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"empty.{kind}"
    (tmp_path / "notes.txt").write_text("nothing here")
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(tmp_path / "notes.txt", "notes.txt")
    elif kind == "tar":
        with tarfile.open(path, "w") as archive:
            archive.add(tmp_path / "notes.txt", "notes.txt")
    else:
        path.write_text("\n\n")
    (only,) = _records(path)
    assert only.kind == "broken"
    assert b"holds no structure" in only.payload
