"""What experiments say: conductivity and activation energy of lithium conductors from the shipped forests.

BVSE barriers alone do not track measurements, so these models are fitted to the measurements themselves (OBELiX
training split). Two branches exist, composition features alone or with `fastin.describe`; fastin ships the one that
wins the grouped cross-validation of ``bench/ml_experiments.py`` for each quantity, and the composition branch always,
for compounds without a structure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from fastin.errors import InputError
from fastin.ml.composition import composition_features, parse_formula
from fastin.ml.forest import Forest

TARGETS = ("log10_conductivity", "experimental_activation_energy")


@dataclass(frozen=True)
class Experiment:
    """Predicted measurements of a lithium conductor.

    Attributes:
        log10_conductivity: log10 of S/cm near 300 K, with its standard deviation.
        activation_energy: eV, with its standard deviation.
        branch: inputs of the two models: ``"composition"``, ``"structure"``, or both names joined by ``/``.
        warnings: why the compound may lie outside the training set.
    """

    log10_conductivity: float
    log10_conductivity_std: float
    activation_energy: float
    activation_energy_std: float
    branch: str
    warnings: tuple[str, ...] = ()


def model_folder() -> Path:
    """Where the shipped models are."""
    return Path(str(resources.files("fastin") / "data" / "models"))


@cache
def load_forest(target: str, branch: str) -> Forest:
    """A shipped forest.

    Raises:
        InputError: this installation has none for the target and branch.
    """
    path = model_folder() / f"{target}-{branch}.npz"
    if not path.is_file():
        raise InputError(f"no shipped model of {target} from {branch}")
    return Forest.load(path)


def has_forest(target: str, branch: str) -> bool:
    """Whether this installation carries that model."""
    return (model_folder() / f"{target}-{branch}.npz").is_file()


def has_forests() -> bool:
    """Whether this installation predicts measured quantities of crystals."""
    return all(has_forest(t, "structure") or has_forest(t, "composition") for t in TARGETS)


def crystal_features(crystal: Any, described: Mapping[str, float]) -> dict[str, float]:
    """Inputs of the structure branch: composition, space group, cell lengths, and `fastin.describe`."""
    from fastin.element_features import element_table

    amounts: dict[str, float] = {}
    for z, occupancy in zip(crystal.number.tolist(), crystal.occupancy.tolist(), strict=True):
        symbol = element_table().symbol[z]
        amounts[symbol] = amounts.get(symbol, 0.0) + occupancy
    lengths = np.linalg.norm(crystal.cell, axis=1)
    return {
        **composition_features(amounts),
        "space_group_given": float(crystal.space_group_number),
        **{f"cell_{axis}": float(length) for axis, length in zip("abc", lengths, strict=True)},
        **described,
    }


def _predict(features: dict[str, float], branches: tuple[str, ...], elements: set[str]) -> Experiment:
    values: list[float] = []
    unseen: set[str] = set()
    for target, branch in zip(TARGETS, branches, strict=True):
        forest = load_forest(target, branch)
        mean, std = forest.predict(forest.row(features))
        values += [float(mean[0]), float(std[0])]
        unseen |= elements - set(forest.card.get("elements", elements))
    warnings = (f"the measured compounds hold no {', '.join(sorted(unseen))}",) if unseen else ()
    names = "/".join(dict.fromkeys(branches))
    return Experiment(values[0], values[1], values[2], values[3], names, warnings)


def predict_composition(formula: str) -> Experiment:
    """Conductivity and activation energy of a lithium conductor of which only the composition is known.

    Raises:
        InputError: not a formula, or no lithium in it.
    """
    amounts = parse_formula(formula)
    if amounts.get("Li", 0.0) <= 0:
        raise InputError(f"{formula}: the model of measured conductivities knows lithium conductors only")
    return _predict(composition_features(amounts), ("composition", "composition"), set(amounts))


def predict_crystal(source: Any, *, described: Mapping[str, float] | None = None) -> Experiment:
    """Conductivity and activation energy of a lithium conductor, by the shipped branch of each quantity.

    Args:
        source: path, pymatgen Structure, ASE Atoms or `Crystal`.
        described: the result of `fastin.describe`, if it is there already.

    Raises:
        InputError: no lithium in the structure.
    """
    from fastin.crystal import as_crystal
    from fastin.descriptors import describe
    from fastin.element_features import element_table

    crystal = as_crystal(source)
    symbols = {element_table().symbol[int(z)] for z in crystal.number}
    if "Li" not in symbols:
        raise InputError(f"{crystal.source}: the model of measured conductivities knows lithium conductors only")
    branches = tuple("structure" if has_forest(t, "structure") else "composition" for t in TARGETS)
    if described is None:
        needed = "structure" in branches
        described = describe(crystal, "Li", on_error="nan", resolution=0.25) if needed else {}
    finite = {k: v for k, v in described.items() if math.isfinite(v)}
    return _predict(crystal_features(crystal, finite), branches, symbols)
