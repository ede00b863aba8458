"""Arrhenius fits of measured or simulated conductivities and diffusivities."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import f as f_distribution

import fastin
from fastin.errors import InputError, missing_extra
from fastin.runtime.arguments import real_array
from fastin.runtime.figures import axes_for
from fastin.runtime.html import number_text, table, with_picture
from fastin.transport.arrhenius_table import FloatArray, Quantity
from fastin.transport.arrhenius_table import read_table as read_table
from fastin.transport.kinetics import BOLTZMANN_EV

_KINK_SIGNIFICANCE = 0.01  # probability that scatter alone bends the line so
_KINK_ENERGY = 0.03  # eV: smaller differences of slope are not remarked upon
_KINK_RESIDUAL = 0.01  # of ln: what lies closer to one line than this is a line


@dataclass(frozen=True, eq=False)
class ArrheniusFit:
    """Straight line through ln(sigma T) (or ln D) against 1 / kT.

    Attributes:
        quantity: ``"conductivity"``, fitted as ``sigma T = A exp(-Ea / kT)``, or ``"diffusivity"``, fitted as
            ``D = A exp(-Ea / kT)``.
        activation_energy: eV.
        activation_energy_std: its standard uncertainty, eV; NaN for two points without given uncertainties.
        log10_prefactor: log10 of A in K S/cm, or cm^2/s.
        log10_prefactor_std: its standard uncertainty.
        covariance: (2, 2) of (ln A, Ea).
        r_squared: coefficient of determination of the line.
        residual_std: scatter of the logarithm (natural) about the line.
        temperature: (N,) K, as fitted.
        value: (N,) S/cm or cm^2/s, as fitted.
    """

    quantity: Quantity
    activation_energy: float
    activation_energy_std: float
    log10_prefactor: float
    log10_prefactor_std: float
    covariance: FloatArray
    r_squared: float
    residual_std: float
    temperature: FloatArray
    value: FloatArray

    def __repr__(self) -> str:
        return (
            f"ArrheniusFit({self.quantity}, Ea = {self.activation_energy:.4f} +- {self.activation_energy_std:.4f} eV, "
            f"{len(self.value)} points, R2 = {self.r_squared:.4f})"
        )

    def predict(self, temperature: float) -> tuple[float, float]:
        """Value of the line at a temperature.

        Args:
            temperature: K, inside or outside the measured range.

        Returns:
            conductivity in S/cm (diffusivity in cm^2/s) and the standard uncertainty of its log10.

        Raises:
            InputError: a temperature that is not positive.
        """
        if not (math.isfinite(temperature) and temperature > 0):
            raise InputError(f"the temperature must be positive, not {temperature} K")
        x = -1.0 / (BOLTZMANN_EV * temperature)
        log = self.log10_prefactor * math.log(10.0) + x * self.activation_energy
        if self.quantity == "conductivity":
            log -= math.log(temperature)
        row = np.array([1.0, x])
        return math.exp(log), math.sqrt(max(float(row @ self.covariance @ row), 0.0)) / math.log(10.0)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What speaks against one activation energy: a kink, or a line that does not rise with temperature."""
        found = []
        if self.activation_energy <= 0.0:
            found.append(
                f"the {self.quantity} does not rise with temperature (Ea = {self.activation_energy:.3f} eV): "
                "no hopping of ions, or mistaken columns or units"
            )
        if (bend := _bend(self)) is not None:
            at, below, above = bend
            found.append(
                f"the points bend near {at:.0f} K ({below:.3f} eV below, {above:.3f} eV above): "
                "one line does not describe them; fit the ranges apart"
            )
        return tuple(found)

    def plot(self, ax: Any = None, *, label: str = "data") -> Any:
        """Points and line of log10(sigma T) (or log10 D) against 1000 / T.

        Args:
            ax: matplotlib axes to draw into; None makes a figure.
            label: name in the legend.

        Returns:
            The axes.

        Raises:
            MissingDependencyError: matplotlib is not installed (extra ``view``).
        """
        axes = axes_for(ax)
        draw_arrhenius(axes, {label: self})
        return axes

    def _repr_html_(self) -> str:
        energy = f"{number_text(self.activation_energy)} ± {number_text(self.activation_energy_std)}"
        rows = [
            ("points", str(len(self.value))),
            ("activation energy, eV", energy),
            ("R²", number_text(self.r_squared, 4)),
            *(("remark", remark) for remark in self.remarks),
        ]
        return with_picture(self, table(f"Arrhenius fit of {self.quantity}", rows))

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, with the value extrapolated to 300 K."""
        at_300, at_300_std = self.predict(300.0)
        unit = "S_per_cm" if self.quantity == "conductivity" else "cm2_per_s"
        prefactor_unit = "K_S_per_cm" if self.quantity == "conductivity" else "cm2_per_s"
        return {
            "quantity": self.quantity,
            "points": len(self.value),
            "temperature_min_K": float(self.temperature.min()),
            "temperature_max_K": float(self.temperature.max()),
            "activation_energy_eV": self.activation_energy,
            "activation_energy_std_eV": self.activation_energy_std,
            f"log10_prefactor_{prefactor_unit}": self.log10_prefactor,
            "log10_prefactor_std": self.log10_prefactor_std,
            "r_squared": self.r_squared,
            f"{self.quantity}_300K_{unit}": at_300,
            "log10_300K_std": at_300_std,
            "remarks": list(self.remarks),
        }


def fit_arrhenius(
    temperature: npt.ArrayLike,
    value: npt.ArrayLike,
    *,
    quantity: Quantity = "conductivity",
    relative_error: npt.ArrayLike | None = None,
) -> ArrheniusFit:
    """Activation energy and prefactor from values at several temperatures, by (weighted) least squares.

    Args:
        temperature: (N,) K, at least two different ones.
        value: (N,) conductivity in S/cm or diffusivity in cm^2/s, positive.
        quantity: ``"conductivity"`` fits ln(sigma T), ``"diffusivity"`` ln D.
        relative_error: standard uncertainty of each value divided by the value: a number or (N,). The uncertainties of
            the result are then those of the given errors; without it they come from the scatter about the line.

    Returns:
        The fit with uncertainties; `ArrheniusFit.predict` extrapolates.

    Raises:
        InputError: fewer than two temperatures, values that are not positive, sizes that differ.

    Examples:
        >>> import numpy as np
        >>> from fastin import fit_arrhenius
        >>> t = np.array([300.0, 350.0, 400.0])
        >>> fit = fit_arrhenius(t, 1e5 / t * np.exp(-0.35 / (8.617333262e-5 * t)))
        >>> round(fit.activation_energy, 6), round(fit.log10_prefactor, 6)
        (0.35, 5.0)
    """
    t = real_array(temperature, "temperature")
    v = real_array(value, "value")
    if quantity not in ("conductivity", "diffusivity"):
        raise InputError(f"quantity must be 'conductivity' or 'diffusivity', not {quantity!r}")
    if t.ndim != 1 or t.shape != v.shape:
        raise InputError(f"temperature and value must be two lists of one length, not {t.shape} and {v.shape}")
    for name, array in (("temperature", t), ("value", v)):
        bad = np.flatnonzero(~(np.isfinite(array) & (array > 0)))
        if len(bad):
            raise InputError(f"{name} {bad[0]} is {array[bad[0]]}: all must be positive")
    if len(np.unique(t)) < 2:
        raise InputError("an Arrhenius fit needs at least two different temperatures")
    y = np.log(v * t) if quantity == "conductivity" else np.log(v)
    design = np.c_[np.ones(len(t)), -1.0 / (BOLTZMANN_EV * t)]
    weight = np.ones(len(t))
    if relative_error is not None:
        given = real_array(relative_error, "relative_error")
        if given.shape not in ((), (1,), t.shape):
            raise InputError(f"relative_error must be one number or {len(t)}, not of shape {given.shape}")
        error = np.broadcast_to(given, t.shape)
        if not ((error > 0) & (error < 1e6)).all():
            raise InputError("relative_error must be positive and below 1e6")
        weight = 1.0 / error**2
    return _fit(quantity, t, v, y, design, weight, relative_error is not None)


def _fit(
    quantity: Quantity, t: FloatArray, v: FloatArray, y: FloatArray, design: FloatArray, weight: FloatArray, known: bool
) -> ArrheniusFit:
    centre = np.average(design[:, 1], weights=weight)
    shifted = design - [0.0, centre]  # decorrelates intercept and slope: the normal matrix is diagonal
    normal = shifted.T @ (weight[:, None] * shifted)
    level, slope = np.linalg.solve(normal, shifted.T @ (weight * y))
    residual = y - shifted @ [level, slope]
    free = len(t) - 2
    scatter = float(weight @ residual**2)
    back = np.array([[1.0, -centre], [0.0, 1.0]])
    unit = back @ np.linalg.inv(normal) @ back.T
    scale = 1.0 if known else (scatter / free if free else math.nan)
    covariance = scale * unit
    total = float(weight @ (y - np.average(y, weights=weight)) ** 2)
    return ArrheniusFit(
        quantity=quantity,
        activation_energy=float(slope),
        activation_energy_std=math.sqrt(covariance[1, 1]),
        log10_prefactor=float(level - slope * centre) / math.log(10.0),
        log10_prefactor_std=math.sqrt(covariance[0, 0]) / math.log(10.0),
        covariance=covariance,
        r_squared=1.0 - scatter / total if total > 0 else math.nan,
        residual_std=math.sqrt(float(residual @ residual) / free) if free else math.nan,
        temperature=t,
        value=v,
    )


def _bend(fit: ArrheniusFit) -> tuple[float, float, float] | None:
    """Two straight lines that meet: (K of the meeting point, eV below, eV above), where one line will not do.

    The F test of the two added parameters against one line, over all places between points for the bend.
    """
    x = -1.0 / (BOLTZMANN_EV * fit.temperature)
    y = np.log(fit.value * fit.temperature if fit.quantity == "conductivity" else fit.value)
    places = np.unique(x)
    free = len(x) - 4
    if len(places) < 5 or free < 1:
        return None
    line = np.c_[np.ones(len(x)), x]
    single = float(np.sum((y - line @ np.linalg.lstsq(line, y, rcond=None)[0]) ** 2))
    if math.sqrt(single / len(x)) < _KINK_RESIDUAL:
        return None
    best, at, slopes = math.inf, 0.0, np.zeros(3)
    for place in np.linspace(places[1], places[-2], 60):
        design = np.c_[line, np.maximum(x - place, 0.0)]
        found = np.linalg.lstsq(design, y, rcond=None)[0]
        rest = float(np.sum((y - design @ found) ** 2))
        if rest < best:
            best, at, slopes = rest, float(place), found
    below, above = float(slopes[1]), float(slopes[1] + slopes[2])
    statistic = (single - best) / 2.0 / max(best / free, 1e-12)
    if abs(above - below) < _KINK_ENERGY or float(f_distribution.sf(statistic, 2, free)) > _KINK_SIGNIFICANCE:
        return None
    return -1.0 / (BOLTZMANN_EV * at), below, above


#: Colour and marker of each series, told apart also by colour-blind readers (Okabe and Ito) and in grey.
_SERIES = (("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"), ("#cc79a7", "D"), ("#56b4e9", "v"), ("#e69f00", "P"))


def plot_arrhenius(
    fits: ArrheniusFit | Mapping[str, ArrheniusFit],
    path: str | Path,
    *,
    prediction: tuple[FloatArray, FloatArray] | None = None,
) -> Path:
    """Plot of log10(sigma T) (or log10 D) against 1000 / T: points, lines with their uncertainty, a prediction.

    Args:
        fits: what to draw: one fit, or several by the name that the legend gives them.
        path: image file; the suffix picks the format (png, pdf, svg).
        prediction: temperatures (K) and values (S/cm or cm^2/s) of a model, drawn dashed.

    Returns:
        The path written.

    Raises:
        InputError: fits of different quantities, or a file that cannot be written.
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra("matplotlib", "view") from error
    figure = Figure(figsize=(5.0, 4.0), layout="constrained")
    draw_arrhenius(figure.subplots(), fits, prediction=prediction)
    try:
        figure.savefig(str(path), dpi=160)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot write the plot ({error})") from None
    return Path(path)


def draw_arrhenius(
    axes: Any,
    fits: ArrheniusFit | Mapping[str, ArrheniusFit],
    *,
    prediction: tuple[FloatArray, FloatArray] | None = None,
) -> None:
    """The same into the given matplotlib axes."""
    series = {"data": fits} if isinstance(fits, ArrheniusFit) else dict(fits)
    if not series or len({fit.quantity for fit in series.values()}) != 1:
        raise InputError("one plot holds fits of one quantity: all conductivities, or all diffusivities")
    conductivity = next(iter(series.values())).quantity == "conductivity"
    for k, (name, fit) in enumerate(series.items()):
        _draw(axes, fit, name, *_SERIES[k % len(_SERIES)])
    if prediction is not None:
        axes.plot(1000.0 / prediction[0], _height(conductivity, *prediction), "k--", lw=1.4, label="network (BVSE)")
    axes.set_xlabel("1000 / T  (1/K)")
    axes.set_ylabel("log10(sigma T / S K cm$^{-1}$)" if conductivity else "log10(D / cm$^2$ s$^{-1}$)")
    axes.legend(frameon=False, fontsize="small")
    fitted = "ln(sigma T)" if conductivity else "ln(D)"
    method = f"least squares of {fitted} against 1 / kT, bands: one standard uncertainty; fastin {fastin.__version__}"
    axes.set_title(method, fontsize="x-small", loc="left", color="#4f5d6b")


def _height(conductivity: bool, t: FloatArray, v: FloatArray) -> FloatArray:
    return np.asarray(np.log10(v * t if conductivity else v))


def _draw(axes: Any, fit: ArrheniusFit, name: str, color: str, marker: str) -> None:
    conductivity = fit.quantity == "conductivity"
    std = fit.activation_energy_std
    energy = f"{fit.activation_energy:.3f} ± {std:.3f} eV" if math.isfinite(std) else f"{fit.activation_energy:.3f} eV"
    points = _height(conductivity, fit.temperature, fit.value)
    axes.plot(1000.0 / fit.temperature, points, marker, color=color, ms=5, label=f"{name}: {energy}")
    warmest, coldest = max(fit.temperature.max(), 300.0), min(fit.temperature.min(), 300.0)
    t = 1000.0 / np.linspace(1000.0 / warmest, 1000.0 / coldest, 80)
    line = np.array([fit.predict(float(x)) for x in t])
    centre = _height(conductivity, t, line[:, 0])
    axes.plot(1000.0 / t, centre, "-", color=color, lw=1.2)
    if np.isfinite(line[:, 1]).all():
        axes.fill_between(1000.0 / t, centre - line[:, 1], centre + line[:, 1], color=color, alpha=0.15, lw=0)
