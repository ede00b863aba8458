"""Formulas that a model was trained on, as hashes in its card."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fastin.ml.seen import digest, seen_rows


def test_formulas_are_found_again() -> None:
    known = [f"Li{k}PS{k + 1}" for k in range(2000)]
    others = [f"Na{k}PS{k + 1}" for k in range(2000)]
    card = json.loads(json.dumps({"seen": digest([*known, *known[:50]])}))  # as a card file keeps it
    assert card["seen"]["count"] == 2000
    found = seen_rows(card, np.array([*known, *others]))
    assert found is not None
    assert found[:2000].all()
    assert not found[2000:].any()


@pytest.mark.parametrize(
    "card", [{}, {"seen": None}, {"seen": {"by": "id"}}, {"seen": {"by": "formula", "hashes": "?"}}]
)
def test_a_card_that_does_not_say(card: dict) -> None:
    assert seen_rows(card, ["LiCl"]) is None
