"""Which formulas a model was trained on, as hashes in its card: a score on them is no score on unseen structures."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BYTES = 4


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:_BYTES], "little")


def digest(formulas: Iterable[Any]) -> dict[str, Any]:
    """What a model card keeps of the formulas that it was trained and validated on.

    Args:
        formulas: reduced formulas, with repeats.

    Returns:
        ``{"by": "formula", "count": n, "hashes": text}``: four bytes of the SHA-256 of each, sorted, in base 64.
    """
    return _packed(np.array(sorted({_hash(str(formula)) for formula in formulas}), "<u4"))


def _packed(known: NDArray[np.uint32]) -> dict[str, Any]:
    return {"by": "formula", "count": len(known), "hashes": base64.b64encode(known.tobytes()).decode()}


def joined(card: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any] | None:
    """`more` with what the model of `card` was trained on, for a model that went on from it.

    Args:
        card: of the model at the beginning.
        more: a `digest`.

    Returns:
        A digest, or None where the card does not say.
    """
    before, own = _hashes(card.get("seen")), _hashes(more)
    return None if before is None or own is None else _packed(np.union1d(before, own).astype("<u4"))


def _hashes(kept: Any) -> NDArray[np.uint32] | None:
    if not isinstance(kept, Mapping) or kept.get("by") != "formula":
        return None
    try:
        return np.frombuffer(base64.b64decode(kept["hashes"], validate=True), "<u4")
    except (KeyError, TypeError, ValueError, binascii.Error):
        return None


def seen_rows(card: Mapping[str, Any], formulas: Iterable[Any]) -> NDArray[np.bool_] | None:
    """(n,) rows whose formula a model was trained on; None where its card does not say.

    One of 4e9 / count unseen formulas is taken for a seen one.
    """
    known = _hashes(card.get("seen"))
    if known is None:
        return None
    return np.isin(np.array([_hash(str(formula)) for formula in formulas], "<u4"), known)
