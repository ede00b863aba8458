"""Labelled and unlabelled sets of patterns."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import math
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.errors import InputError
from fastin.runtime.files import refuse_special
from fastin.runtime.isolate import Failure, isolate
from fastin.xrd.pattern import ScatteringAtoms, scattering_atoms, xrd_patterns

#: Conductivity (S/cm, room temperature) from which a material counts as superionic: the rule that the published
#: labels effectively follow.
SUPERIONIC = 5e-5


@dataclass(frozen=True, eq=False)
class PatternSet:
    """Patterns with what is known about their materials.

    Attributes:
        ids: identifiers.
        formulas: as recorded.
        patterns: (N, 4501) float32 sticks.
        space_groups: international number or ``None``.
        failed: (id, reason) of the records without a pattern.
    """

    ids: tuple[str, ...]
    formulas: tuple[str, ...]
    patterns: NDArray[np.float32]
    space_groups: tuple[int | None, ...]
    atoms: tuple[ScatteringAtoms, ...]
    failed: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class LabelledSet(PatternSet):
    """A `PatternSet` with conductivities.

    Attributes:
        sigma: (N,) S/cm.
        families: structural family by the curators, "" where unknown.
    """

    sigma: NDArray[np.float64] = None  # type: ignore[assignment]
    families: tuple[str, ...] = ()

    def labels(self, threshold: float = SUPERIONIC) -> NDArray[np.int64]:
        """(N,) 1 superionic, 0 poor."""
        return (self.sigma >= threshold).astype(np.int64)

    def groups(self, level: str = "system") -> NDArray[np.str_]:
        """Labels of the groups that a split must keep together.

        Args:
            level: ``"formula"``; ``"system"``: the same set of elements (a composition family); ``"family"``: the
                curators' structural family (argyrodites, garnets, ...), rows without one being alone.
        """
        if level == "formula":
            return np.array(self.formulas)
        if level == "system":
            return np.array([chemical_system(formula) for formula in self.formulas])
        if level == "family":
            return np.array([name or f"alone-{i}" for i, name in enumerate(self.families)])
        raise InputError(f"unknown grouping {level!r}; use 'formula', 'system' or 'family'")


def chemical_system(formula: str) -> str:
    """The elements of a formula, sorted: ``"Li-P-S"``."""
    return "-".join(sorted(set(re.findall(r"[A-Z][a-z]?", formula))))


def composition(formula: str) -> dict[str, float]:
    """Amounts by element of a formula; parentheses as in ``Li1.3Al0.3Ti1.7(PO4)3``."""
    stack: list[dict[str, float]] = [{}]
    for token in re.finditer(r"([A-Z][a-z]?)(\d*\.?\d*)|(\()|\)(\d*\.?\d*)", formula):
        if token[3]:
            stack.append({})
        elif token[1]:
            stack[-1][token[1]] = stack[-1].get(token[1], 0.0) + float(token[2] or 1.0)
        elif len(stack) > 1:
            inner, factor = stack.pop(), float(token[4] or 1.0)
            for element, amount in inner.items():
                stack[-1][element] = stack[-1].get(element, 0.0) + amount * factor
    return stack[0]


def read_records(path: str | Path) -> list[dict[str, Any]]:
    """Records of a JSON-lines file (``.jsonl``, ``.jsonl.gz``) or of a folder of CIF files (id = file name)."""
    path = Path(path)
    if path.is_dir():
        files = sorted(path.glob("*.cif"))
        if not files:
            raise InputError(f"{path}: holds no .cif files")
        return [{"id": file.stem, "cif": file.read_text(encoding="utf-8", errors="replace")} for file in files]
    refuse_special(path)
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8") as lines:
            records = [json.loads(line) for line in lines if line.strip()]
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON lines ({error})") from None
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict) or not isinstance(record.get("cif") or "", str):
            raise InputError(f"{path}: record {number} is no JSON object with an id and a cif")
    return records


def _group_number(value: Any) -> int | None:
    """225 of 225, "225" or "Fm-3m (225)"."""
    match = re.search(r"(\d+)\)?\s*$", str(value))
    if match is None or not 1 <= int(match[1]) <= 230 or (isinstance(value, str) and not re.search(r"^\d+$|\(", value)):
        return None
    return int(match[1])


def _with_atoms(
    records: Iterable[dict[str, Any]],
) -> tuple[list[dict[str, Any]], list[ScatteringAtoms], list[tuple[str, str]]]:
    """Records that can be used and their atoms; names and reasons of the others. Each is read in a worker process."""
    every = list(records)
    found: list[Any] = [None] * len(every)
    items = [(str(record["id"]), record["cif"] or "") for record in every]  # null: it has none
    for number, answer in isolate("fastin.xrd.dataset:worker", items, num_threads=1):
        found[number] = answer
    kept = [record for record, answer in zip(every, found, strict=True) if not isinstance(answer, Failure)]
    atoms = [answer for answer in found if not isinstance(answer, Failure)]
    failed = [
        (name, str(answer.error(name)))
        for (name, _), answer in zip(items, found, strict=True)
        if isinstance(answer, Failure)
    ]
    return kept, atoms, failed


def worker(num_threads: int) -> Callable[[tuple[str, str]], ScatteringAtoms]:
    """In a worker process: the function that reads one record (id, CIF)."""
    from fastin.crystal.cif import parse_cif

    return lambda record: scattering_atoms(parse_cif(record[1], record[0]))


def _formula(record: dict[str, Any], atoms: ScatteringAtoms) -> str:
    if record.get("formula"):
        return str(record["formula"])
    from fastin.crystal.elements import symbol

    numbers = np.unique(atoms.number)
    return "".join(f"{symbol(int(z))}{atoms.occupancy[atoms.number == z].sum():g}" for z in numbers)


def load_unlabelled(path: str | Path, *, num_threads: int | None = None, limit: int | None = None) -> PatternSet:
    """Patterns of every structure of a JSON-lines file (keys ``id``, ``cif``) or folder of CIFs."""
    every = read_records(path)[:limit]
    for number, record in enumerate(every, 1):
        if not {"id", "cif"} <= record.keys():
            raise InputError(f"{path}: record {number} has no 'id' or no 'cif'")
    records, atoms, failed = _with_atoms(every)
    return PatternSet(
        ids=tuple(str(r["id"]) for r in records),
        formulas=tuple(_formula(r, a) for r, a in zip(records, atoms, strict=True)),
        patterns=xrd_patterns(atoms, num_threads=num_threads)[1],
        space_groups=tuple(_group_number(r.get("sg")) for r in records),
        atoms=tuple(atoms),
        failed=tuple(failed),
    )


def load_labelled(path: str | Path, *, num_threads: int | None = None) -> LabelledSet:
    """The records of a JSON-lines file that have a CIF and a conductivity (keys ``cif``, ``sigma`` in S/cm)."""
    usable = [r for r in read_records(path) if r.get("cif") and r.get("sigma") is not None]
    if not usable:
        raise InputError(f"{path}: no record has both a 'cif' and a 'sigma'")
    for number, record in enumerate(usable, 1):
        if "id" not in record or not isinstance(record["sigma"], (int, float)) or not math.isfinite(record["sigma"]):
            raise InputError(f"{path}: record {number} with a 'sigma' has no 'id', or that is no number")
    records, atoms, failed = _with_atoms(usable)
    return LabelledSet(
        ids=tuple(str(r["id"]) for r in records),
        formulas=tuple(_formula(r, a) for r, a in zip(records, atoms, strict=True)),
        patterns=xrd_patterns(atoms, num_threads=num_threads)[1],
        space_groups=tuple(_group_number(r.get("sg")) for r in records),
        atoms=tuple(atoms),
        failed=tuple(failed),
        sigma=np.array([float(r["sigma"]) for r in records]),
        families=tuple(str(r["family"]) if r.get("family") not in (None, "None") else "" for r in records),
    )


def fingerprint(patterns: NDArray[np.float32], labels: Sequence[int] | NDArray[np.int64] = ()) -> str:
    """Hash of a training set, kept in checkpoints."""
    digest = hashlib.sha256(np.ascontiguousarray(patterns).tobytes())
    digest.update(np.asarray(labels, dtype=np.int64).tobytes())
    return digest.hexdigest()[:16]


def write_pseudo_labels(path: str | Path, unlabelled: PatternSet, pseudo: Mapping[str, NDArray[Any]]) -> None:
    """`XRDMatch.pseudo_labels` as CSV, the most confident superionic rows first."""
    share = np.where(pseudo["label"] == 1, pseudo["confidence"], 1.0 - pseudo["confidence"])
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "formula", "label", "confidence", "accepted", "agreement"])
        for row in np.argsort(-share, kind="stable").tolist():
            label = "superionic" if pseudo["label"][row] == 1 else "poor"
            numbers = [
                f"{pseudo['confidence'][row]:.4f}",
                int(pseudo["accepted"][row]),
                f"{pseudo['agreement'][row]:.2f}",
            ]
            writer.writerow([unlabelled.ids[row], unlabelled.formulas[row], label, *numbers])
