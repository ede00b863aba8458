"""The numbers of a scene as a page carries them: columns of 16-bit codes instead of texts, what repeats once.

What a page shows of a number (three decimals of a radius, say) is a whole number of its code's step, so that nothing
shown is changed; places are within 1e-4 of a cell. ``unpack`` in ``assets/view.js`` is the inverse.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

_CODES = 65535
_GRID_CODES = 255
_PLACE = 5e-5  # of a cell
_FIXED = 5  # decimals of the points of a path


def packed(data: Mapping[str, Any]) -> dict[str, Any]:
    """A scene's `data` for a page: atoms, polyhedra, voids, bottlenecks, paths and grid in columns."""
    return {
        **data,
        "atoms": _once(_columns(data["atoms"])) | {"frac": codes([atom["frac"] for atom in data["atoms"]], _PLACE)},
        "polyhedra": _polyhedra(data["polyhedra"]),
        "voids": _voids(data["voids"]),
        "edges": _edges(data["edges"]),
        "paths": [path | {"frac": _steps(path["frac"])} for path in data["paths"]],
        "grid": None if data["grid"] is None else data["grid"] | {"data": _grid(data["grid"])},
    }


def codes(values: ArrayLike, step: float) -> dict[str, Any]:
    """Numbers as base64 of 16-bit multiples of `step` (of a larger one where the range needs it) above their lowest.

    NaN is the largest code.
    """
    array = np.asarray(values, dtype=np.float64).ravel()
    known = array[np.isfinite(array)]
    low = float(np.floor(known.min() / step)) if known.size else 0.0  # in steps
    highest = float(known.max() / step) - low if known.size else 0.0
    factor = max(1, int(np.ceil(highest / (_CODES - 1))))
    whole = np.where(np.isfinite(array), np.round((array / step - low) / factor), _CODES).astype("<u2")
    # step = times / per: multiples are exact quotients in JavaScript, as the shortest decimals are
    return {"low": int(low), "times": factor, "per": round(1.0 / step), "data": _text(whole)}


def _text(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def _once(columns: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Columns of values that repeat, each value once: ``values``, and the ``index`` of each row's among them."""
    out: dict[str, Any] = {}
    for name, column in columns.items():
        known: dict[str, int] = {}
        index = [known.setdefault(json.dumps(value), len(known)) for value in column]
        few = 2 * len(known) < len(column)
        out[name] = {"values": [json.loads(text) for text in known], "index": index} if few else column
    return out


def _numbers(numbers: list[int]) -> Any:
    """Codes, or the numbers themselves where codes could not tell them apart."""
    return codes(numbers, 1.0) if max(numbers, default=0) < _CODES - 1 else numbers


def _voids(voids: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    energies = [np.nan if void["energy"] is None else void["energy"] for void in voids]
    return {
        "number": _numbers([void["number"] for void in voids]),
        "frac": codes([void["frac"] for void in voids], _PLACE),
        "radius": codes([void["radius"] for void in voids], 1e-3),
        "energy": codes(energies, 1e-3),
    }


def _edges(edges: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "number": _numbers([edge["number"] for edge in edges]),
        **{name: codes([edge[name] for edge in edges], _PLACE) for name in ("from", "to", "at")},
        "radius": codes([edge["radius"] for edge in edges], 1e-3),
        "length": codes([edge["length"] for edge in edges], 1e-2),
    }


def _polyhedra(polyhedra: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Corners of all of them in one column; each has as many as it has symbols."""
    columns = _columns(polyhedra) or {name: [] for name in ("symbol", "centre", "points", "symbols", "faces")}
    return _once(columns) | {
        "centre": codes(columns["centre"], _PLACE),
        "points": codes([point for points in columns["points"] for point in points], _PLACE),
    }


def _steps(points: Sequence[Sequence[float]]) -> list[int]:
    """Points of a path (fractions) as differences in units of the fifth decimal, one after another."""
    whole = np.round(np.asarray(points, dtype=np.float64).reshape(-1, 3) * 10**_FIXED).astype(np.int64)
    steps: list[int] = np.diff(whole, axis=0, prepend=0).ravel().tolist()
    return steps


def _grid(grid: Mapping[str, Any]) -> str:
    """Bytes of the energies' square roots: 14 meV at 0.4 eV, which the eye does not see of an isosurface."""
    fine = np.frombuffer(base64.b64decode(grid["data"]), dtype="<u2") / _CODES
    return _text(np.round(_GRID_CODES * np.sqrt(fine)).astype(np.uint8))
