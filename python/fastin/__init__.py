"""fastin: interstitial networks, BVSE migration barriers and learning for solid electrolytes.

Names are loaded at first use, so that ``import fastin`` imports neither torch nor pymatgen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastin.runtime.late import lazy_names

if TYPE_CHECKING:
    from fastin.errors import (
        ConvergenceError,
        DisorderError,
        FastinError,
        GeometryError,
        InputError,
        MissingDependencyError,
        MissingParameterError,
        OxidationStateError,
        ResourceError,
    )
    from fastin.runtime.config import show_config
    from fastin.runtime.threads import get_num_threads, num_threads, set_num_threads

__version__ = "0.1.0"

# public name -> module that defines it
_HOME = {
    "ConvergenceError": "fastin.errors",
    "DisorderError": "fastin.errors",
    "FastinError": "fastin.errors",
    "GeometryError": "fastin.errors",
    "InputError": "fastin.errors",
    "MissingDependencyError": "fastin.errors",
    "MissingParameterError": "fastin.errors",
    "OxidationStateError": "fastin.errors",
    "ResourceError": "fastin.errors",
    "Crystal": "fastin.crystal.crystal",
    "CrystalWarning": "fastin.crystal.warnings",
    "WARNING_CODES": "fastin.crystal.warnings",
    "compute_network": "fastin.network.network",
    "InterstitialNetwork": "fastin.network.network",
    "Channel": "fastin.network.network",
    "compute_bvse": "fastin.bvse.grid",
    "EnergyGrid": "fastin.bvse.grid",
    "bond_valence_map": "fastin.bvse.valence_map",
    "BondValenceMap": "fastin.bvse.valence_map",
    "compute_barriers": "fastin.bvse.barriers",
    "Barriers": "fastin.bvse.barriers",
    "choice_barriers": "fastin.bvse.choices",
    "compute_paths": "fastin.transport.paths",
    "TransportNetwork": "fastin.transport.paths",
    "order": "fastin.ordering.order",
    "OrderedCells": "fastin.ordering.order",
    "relax_hops": "fastin.relax.hops",
    "RelaxedHops": "fastin.relax.result",
    "describe": "fastin.descriptors",
    "predict": "fastin.prediction",
    "Prediction": "fastin.prediction",
    "view": "fastin.view",
    "xrd_pattern": "fastin.xrd.pattern",
    "screen": "fastin.screening",
    "ScreenResult": "fastin.screening",
    "InterstitialGraph": "fastin.graph.graph",
    "fit_arrhenius": "fastin.transport.arrhenius",
    "examples": "fastin.crystal.examples",
    "get_num_threads": "fastin.runtime.threads",
    "num_threads": "fastin.runtime.threads",
    "set_num_threads": "fastin.runtime.threads",
    "show_config": "fastin.runtime.config",
}

__all__ = ["__version__", *sorted(_HOME)]


__getattr__, __dir__ = lazy_names(__name__, _HOME, globals())
