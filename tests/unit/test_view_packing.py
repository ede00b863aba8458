"""Numbers of a page as 16-bit codes: exact where they are multiples of the step, near enough elsewhere."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

import fastin
from fastin.view import build_scene
from fastin.view.drawing import grid_values
from fastin.view.packing import _once, codes, packed


def decoded(made: dict[str, Any]) -> np.ndarray:
    """As the page's script does it."""
    whole = np.frombuffer(base64.b64decode(made["data"]), dtype="<u2")
    return np.where(whole == 65535, np.nan, (made["low"] + whole.astype(float) * made["times"]) / made["per"])


def test_multiples_of_the_step_are_exact() -> None:
    rng = np.random.default_rng(0)
    for values in ([0.0], [-1.234, 5.0, 0.001], rng.integers(-20_000, 40_000, 200) / 1000):
        assert decoded(codes(values, 1e-3)).tolist() == list(values)
    assert decoded(codes(np.arange(65_534), 1.0)).tolist() == list(range(65_534))
    assert len(decoded(codes([], 1e-3))) == 0


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.0, 4.0), (1e4, 1e4 + 1e3)])
def test_ranges_wider_than_the_codes(low: float, high: float) -> None:
    step = 1e-3 if high > 100 else 5e-5
    values = np.random.default_rng(1).uniform(low, high, 500)
    values[7] = np.nan
    made = codes(values, step)
    bound = 0.5 * made["times"] * step + 1e-9
    assert made["times"] <= max(1, np.ceil((high - low) / step / 65_533))
    found = decoded(made)
    assert np.isnan(found[7])
    assert np.nanmax(np.abs(found - values)) <= bound


def test_energies_of_the_isosurface() -> None:
    data = build_scene(fastin.examples()["LiFePO4"], resolution=0.3, parts=["energies"]).data
    values = grid_values(data).ravel()
    bytes_ = np.frombuffer(base64.b64decode(packed(data)["grid"]["data"]), dtype=np.uint8)
    found = (bytes_ / 255) ** 2 * data["grid"]["cap"]
    low = values < 1.0
    assert np.abs(found - values)[low].max() < 0.012
    assert np.abs(found - values).max() < 0.035
    assert packed({**data, "grid": None})["grid"] is None


def test_what_repeats_is_there_once() -> None:
    rows = {"symbol": ["La"] * 5 + ["O"] * 4, "shares": [[["La", 1.0]]] * 9, "mobile": [True, False] * 4 + [True]}
    rows |= {"number": list(range(9)), "mixed": [1, True, 1.0, "1"] * 2 + [None]}
    packed_rows = _once(rows)
    assert packed_rows["number"] == rows["number"]  # nothing repeats
    assert packed_rows["symbol"] == {"values": ["La", "O"], "index": [0] * 5 + [1] * 4}
    for name, column in rows.items():
        made = packed_rows[name]
        again = [made["values"][k] for k in made["index"]] if isinstance(made, dict) else made
        assert [(type(value), value) for value in again] == [(type(value), value) for value in column]
    assert _once({"symbol": []}) == {"symbol": []}
