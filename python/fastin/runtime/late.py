"""Names that are found when they are used: cheap imports, and shortcuts from a result to what is built on it.

A room imports only rooms that stand before it. Where a result offers a shortcut into a later room for the user's
convenience (``network.to_graph()``), the shortcut goes by name through `LATER`, the one list of them: the result knows
that such a thing exists, not how it is made, and the order of the rooms holds for everything that is imported.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

#: shortcut -> "module:function" of a later room; each takes the result as its first argument.
LATER: Mapping[str, str] = {
    "network graph": "fastin.graph.graph:build_interstitial_graph",
    "interstitial graph to pyg": "fastin.ml.data:interstitial_to_pyg",
    "crystal graph to pyg": "fastin.ml.data:crystal_to_pyg",
    "plot crystal": "fastin.view.plots:plot_crystal",
    "plot network": "fastin.view.plots:plot_network",
    "plot grid": "fastin.view.plots:plot_grid",
    "plot barriers": "fastin.view.plots:plot_barriers",
    "plot transport": "fastin.view.plots:plot_transport",
    "plot leg": "fastin.view.plots:plot_leg",
    "plot relaxed": "fastin.view.plots:plot_relaxed",
    "grid from calculator": "fastin.relax.landscape:grid_from_calculator",
    "plot peaks": "fastin.view.plots:plot_peaks",
    "plot predictor": "fastin.view.plots:plot_predictor",
    "picture": "fastin.view.plots:picture",
}


def later(shortcut: str) -> Callable[..., Any]:
    """The function that `LATER` names."""
    module, name = LATER[shortcut].split(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def lazy_names(package: str, home: Mapping[str, str], namespace: dict[str, Any]) -> tuple[Any, Any]:
    """``__getattr__`` and ``__dir__`` of a package whose public names are loaded at first use.

    Args:
        package: its name, for messages.
        home: public name -> module that defines it.
        namespace: the package's ``globals()``; a name that was loaded is kept there.
    """

    def load(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(home[name]), name)
        namespace[name] = value
        return value

    def names() -> list[str]:
        return sorted(namespace.get("__all__", home))

    return load, names
