"""Axes for plots: matplotlib (extra ``view``) is imported at the first one."""

from __future__ import annotations

from typing import Any

from fastin.errors import missing_extra


def axes_for(ax: Any = None, size: tuple[float, float] = (5.0, 3.6)) -> Any:
    """`ax`, or the axes of a new pyplot figure.

    Args:
        ax: `matplotlib.axes.Axes` to draw into; None makes a figure, which a notebook shows.
        size: of a new figure, inches.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise missing_extra("matplotlib", "view") from error
    return pyplot.subplots(figsize=size, layout="constrained")[1]
