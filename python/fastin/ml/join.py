"""Several data sets as one, such as one for each mobile ion."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import fastin
from fastin.errors import InputError
from fastin.ml.dataset import load_dataset, read_manifest
from fastin.ml.labels import label_summary
from fastin.ml.store import LABELS, GraphStore
from fastin.runtime.files import write_text

#: Options that must be the same in all parts: labels and graphs would be different quantities otherwise.
_SAME = ("resolution", "convention", "refine", "neighbours", "crystals", "energies", "severe")


def row_id(name: str, ion: str) -> str:
    """Id of a structure in a joined set: the same crystal with another mobile ion is another row."""
    return f"{name}/{ion}"


def join_datasets(folders: Sequence[Path | str], out: Path | str) -> dict[str, Any]:
    """Writes a data set that holds the structures of others; ids become ``id/ion``, e.g. ``mp-7149/Na+``.

    Args:
        folders: data sets written by `fastin.ml.dataset.build_dataset`, with the same options but for the ion.
        out: folder of the joined set; must not hold one.

    Returns:
        The manifest: version (of the parts' versions), options, counts, failures by id, labels, and ``parts``.

    Raises:
        InputError: fewer than two folders, other options, a row twice, or `out` holds a data set.
    """
    if len(folders) < 2:
        raise InputError("a joined data set needs at least two")
    folder = Path(out)
    if (folder / "dataset.json").exists():
        raise InputError(f"{folder}: holds a data set; choose another folder, or remove this one")
    manifests = [read_manifest(f) for f in folders]
    for path, manifest in zip(folders, manifests, strict=True):
        for name in _SAME:
            first, own = manifests[0]["options"].get(name), manifest["options"].get(name)
            if own != first:
                raise InputError(f"{path}: built with {name} {own!r}, {folders[0]} with {first!r}")
    stores = [_renamed(load_dataset(f)) for f in folders]
    names, counts = np.unique(np.concatenate([s.ids for s in stores]), return_counts=True)
    if (counts > 1).any():
        raise InputError(f"{names[counts > 1][0]}: is in two of the data sets")
    (folder / "shards").mkdir(parents=True, exist_ok=True)
    for k, store in enumerate(stores):
        store.save(folder / "shards" / f"{k:05d}.npz")
    labels = np.concatenate([s.labels for s in stores])
    manifest = {
        "version": hashlib.sha256("".join(m["version"] for m in manifests).encode()).hexdigest()[:16],
        "fastin": fastin.__version__,
        "options": manifests[0]["options"] | {"ion": ", ".join(str(m["options"]["ion"]) for m in manifests)},
        "shards": len(stores),
        "structures": sum(len(s) for s in stores),
        "failures": {
            row_id(name, str(m["options"]["ion"])): text for m in manifests for name, text in m["failures"].items()
        },
        "labels": {name: label_summary(labels[:, k]) for k, name in enumerate(LABELS)},
        "parts": [{k: m[k] for k in ("version", "options", "structures")} for m in manifests],
    }
    write_text(folder / "dataset.json", json.dumps(manifest, indent=1))
    return manifest


def _renamed(store: GraphStore) -> GraphStore:
    names = [row_id(str(name), str(ion)) for name, ion in zip(store.ids, store.ions, strict=True)]
    return replace(store, ids=np.array(names, dtype=np.str_))
