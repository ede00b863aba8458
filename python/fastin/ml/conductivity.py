"""What experiments say: conductivity and activation energy of lithium conductors from the shipped forests.

BVSE barriers alone do not track measurements, so these models are fitted to the measurements themselves (OBELiX
training split). Each quantity has two models, chosen by grouped cross-validation
(``bench/experiments/ml_experiments.py``): one that needs the formula only, and one for crystals, which also sees the
lattice (space group, volume per atom) and, where that helped, three numbers of the ion's network (`STRUCTURE`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastin.crystal.warnings import CrystalWarning
from fastin.errors import InputError
from fastin.ml.composition import composition_features, parse_formula
from fastin.ml.forest import Forest

if TYPE_CHECKING:
    from fastin.crystal.crystal import Crystal

TARGETS = ("log10_conductivity", "experimental_activation_energy")

#: Results of `fastin.describe` that may enter the models of crystals.
STRUCTURE = ("barrier_3d_network_eV", "recovery_share", "mobile_site_occupancy_mean")
#: Inputs of the models of crystals, the richest first.
CRYSTAL_BRANCHES = ("structure", "lattice")
_HIGHEST_BARRIER = 6.0  # eV: higher ones, and none at all, count as this
_SYSTEMS = (2.5, 15.5, 74.5, 142.5, 167.5, 194.5)  # between the space groups of the crystal systems


@dataclass(frozen=True)
class Experiment:
    """Predicted measurements of a lithium conductor.

    Attributes:
        log10_conductivity: log10 of S/cm near 300 K, with its standard deviation.
        activation_energy: eV, with its standard deviation.
        branch: inputs of the two models: ``"composition"``, ``"lattice"``, ``"structure"``, or both names joined by
            ``/``.
        model: what the models are, from their cards.
        warnings: why the compound may lie outside the training set.
    """

    log10_conductivity: float
    log10_conductivity_std: float
    activation_energy: float
    activation_energy_std: float
    branch: str
    model: str = ""
    warnings: tuple[CrystalWarning, ...] = ()


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


def crystal_branch(target: str) -> str:
    """Inputs of this installation's model for crystals: the richest there is, ``"composition"`` at last."""
    for branch in CRYSTAL_BRANCHES:
        if (model_folder() / f"{target}-{branch}.npz").is_file():
            return branch
    return "composition"


def has_forests() -> bool:
    """Whether this installation predicts measured quantities of crystals."""
    return all((model_folder() / f"{t}-{crystal_branch(t)}.npz").is_file() for t in TARGETS)


def lattice_features(
    space_group: float, volume: float, amounts: Mapping[str, float], ion: str = "Li"
) -> dict[str, float]:
    """Features of a lattice that do not depend on the choice of its cell.

    Args:
        space_group: number of the space group.
        volume: of the cell, A^3.
        amounts: atoms of each element in that cell.
        ion: the mobile element.
    """
    return {
        "space_group_number": float(space_group),
        "crystal_system": float(np.searchsorted(_SYSTEMS, space_group)),
        "volume_per_atom_A3": volume / sum(amounts.values()),
        "mobile_density_per_nm3": 1000.0 * amounts.get(ion, 0.0) / volume,
    }


def structure_features(described: Mapping[str, float]) -> dict[str, float]:
    """The columns `STRUCTURE` of `fastin.describe`, barriers bounded; what is unknown is left out."""
    found = {}
    for name in STRUCTURE:
        value = described.get(name, math.nan)
        if not math.isnan(value):
            found[name] = min(value, _HIGHEST_BARRIER) if name.startswith("barrier") else value
    return found


def amounts_of(crystal: Crystal) -> dict[str, float]:
    """Atoms of each element in the cell, occupancies counted."""
    from fastin.crystal.element_features import element_table

    amounts: dict[str, float] = {}
    for z, occupancy in zip(crystal.number.tolist(), crystal.occupancy.tolist(), strict=True):
        symbol = element_table().symbol[z]
        amounts[symbol] = amounts.get(symbol, 0.0) + occupancy
    return amounts


def _predict(features: dict[str, float], branches: tuple[str, ...], elements: set[str]) -> Experiment:
    values: list[float] = []
    unseen: set[str] = set()
    models: list[str] = []
    for target, branch in zip(TARGETS, branches, strict=True):
        forest = load_forest(target, branch)
        mean, std = forest.predict(forest.row(features))
        values += [float(mean[0]), float(std[0])]
        unseen |= elements - set(forest.card.get("elements", elements))
        models.append(f"{forest.card.get('model', 'trees')} on {forest.card.get('features', branch)}")
    text = f"the measured compounds hold no {', '.join(sorted(unseen))}"
    warnings = (CrystalWarning("outside-training", text),) if unseen else ()
    names = "/".join(dict.fromkeys(branches))
    return Experiment(values[0], values[1], values[2], values[3], names, " / ".join(dict.fromkeys(models)), warnings)


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
    """Conductivity and activation energy of a lithium conductor, by the shipped model of each quantity for crystals.

    Args:
        source: path, pymatgen Structure, ASE Atoms or `Crystal`.
        described: the result of `fastin.describe`, if it is there already.

    Raises:
        InputError: no lithium in the structure.
    """
    from fastin.crystal.crystal import as_crystal
    from fastin.descriptors import describe

    crystal = as_crystal(source)
    amounts = amounts_of(crystal)
    if amounts.get("Li", 0.0) <= 0:
        raise InputError(f"{crystal.source}: the model of measured conductivities knows lithium conductors only")
    branches = tuple(crystal_branch(t) for t in TARGETS)
    if described is None:
        needed = "structure" in branches
        described = describe(crystal, "Li", on_error="nan", resolution=0.25) if needed else {}
    features = {
        **composition_features(amounts),
        **lattice_features(crystal.space_group_number, crystal.volume, amounts),
        **structure_features(described),
    }
    return _predict(features, branches, set(amounts))
