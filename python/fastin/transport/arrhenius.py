"""Arrhenius fits of measured or simulated conductivities and diffusivities."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fastin.errors import InputError
from fastin.transport.kinetics import BOLTZMANN_EV

FloatArray = npt.NDArray[np.float64]
Quantity = Literal["conductivity", "diffusivity"]

_ZERO_CELSIUS = 273.15


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

    Example:
        >>> import numpy as np
        >>> from fastin import fit_arrhenius
        >>> t = np.array([300.0, 350.0, 400.0])
        >>> fit = fit_arrhenius(t, 1e5 / t * np.exp(-0.35 / (8.617333262e-5 * t)))
        >>> round(fit.activation_energy, 6), round(fit.log10_prefactor, 6)
        (0.35, 5.0)
    """
    t = np.asarray(temperature, dtype=np.float64)
    v = np.asarray(value, dtype=np.float64)
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
        error = np.broadcast_to(np.asarray(relative_error, dtype=np.float64), t.shape)
        if not (np.isfinite(error) & (error > 0)).all():
            raise InputError("relative_error must be positive")
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


# --- tables --------------------------------------------------------------------------------------------------------

# Normalised column name -> what it holds. Names are compared in lower case, without blanks, units in any bracket.
_TEMPERATURE = {
    "t": "K",
    "tk": "K",
    "temp": "K",
    "tempk": "K",
    "temperature": "K",
    "temperaturek": "K",
    "tc": "C",
    "t°c": "C",
    "tempc": "C",
    "temperaturec": "C",
    "temperature°c": "C",
    "1000/t": "1000/T",
    "1000/tk-1": "1000/T",
    "1000/tk": "1000/T",
    "1000/t1/k": "1000/T",
}
_BASES: dict[str, Quantity] = {
    "sigma": "conductivity",
    "σ": "conductivity",
    "conductivity": "conductivity",
    "d": "diffusivity",
    "diffusivity": "diffusivity",
    "diffusioncoefficient": "diffusivity",
}
# Unit -> factor to S/cm or cm^2/s.
_UNITS: dict[Quantity, dict[str, float]] = {
    "conductivity": {
        "": 1.0, "s/cm": 1.0, "scm-1": 1.0, "spercm": 1.0, "scm": 1.0,
        "ms/cm": 1e-3, "mscm-1": 1e-3, "mspercm": 1e-3, "mscm": 1e-3,
        "s/m": 1e-2, "sm-1": 1e-2, "sperm": 1e-2,
    },
    "diffusivity": {
        "": 1.0, "cm2/s": 1.0, "cm^2/s": 1.0, "cm2s-1": 1.0, "cm2pers": 1.0,
        "m2/s": 1e4, "m^2/s": 1e4, "m2s-1": 1e4, "m2pers": 1e4,
    },
}  # fmt: skip
_LOGARITHM = re.compile(r"log(10)?")


def _value_column(name: str) -> tuple[Quantity, float, bool] | None:
    """Quantity, factor to its unit and whether the column holds log10, for a normalised column name."""
    log = _LOGARITHM.match(name)
    rest = name[log.end() :] if log else name
    for base in sorted(_BASES, key=len, reverse=True):
        factor = _UNITS[_BASES[base]].get(rest[len(base) :]) if rest.startswith(base) else None
        if factor is not None:
            return _BASES[base], factor, log is not None
    return None


def _normal_name(name: str) -> str:
    text = name.strip().lower()
    for character in " _()[]{}":
        text = text.replace(character, "")
    return text


@dataclass(frozen=True, eq=False)
class ArrheniusTable:
    """Columns of a data file: temperatures in K and values in S/cm or cm^2/s."""

    quantity: Quantity
    temperature: FloatArray
    value: FloatArray


def read_table(path: str | Path) -> ArrheniusTable:
    """Reads temperatures and conductivities or diffusivities from a CSV file with a header.

    Columns are recognised by name: temperature (``T``, ``temperature_K``, ``T (°C)``, ``1000/T``) and one of
    ``sigma``, ``sigma (S/cm)``, ``sigma (mS/cm)``, ``sigma (S/m)``, ``log10_sigma``, ``D (cm2/s)``, ``D (m2/s)``,
    ``log10_D``. Separators are comma, semicolon, tab or blanks; lines that begin with # are comments.

    Raises:
        InputError: an unreadable file, no such columns, a cell that is not a number; the message names the line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    rows = [(n, row) for n, row in enumerate(_rows(text), 1) if row and any(c.strip() for c in row)]
    if len(rows) < 2:
        raise InputError(f"{path}: a header line and at least one line of data are needed")
    header = rows[0][1]
    names = [_normal_name(c) for c in header]
    t_column = next((k for k, n in enumerate(names) if n in _TEMPERATURE), None)
    v_column = next((k for k, n in enumerate(names) if _value_column(n)), None)
    if t_column is None or v_column is None:
        missing = "temperature" if t_column is None else "conductivity or diffusivity"
        raise InputError(
            f"{path}: no column for the {missing} among {', '.join(header)}; name them, for example, "
            "temperature_K and sigma_S/cm"
        )
    t = np.array([_number(row, t_column, path, n) for n, row in rows[1:]])
    v = np.array([_number(row, v_column, path, n) for n, row in rows[1:]])
    kind = _TEMPERATURE[names[t_column]]
    found = _value_column(names[v_column])
    assert found is not None
    quantity, factor, logarithm = found
    if kind == "C":
        t = t + _ZERO_CELSIUS
    elif kind == "1000/T":
        t = np.divide(1000.0, t, out=np.full_like(t, np.nan), where=t != 0)
    v = factor * (10.0**v if logarithm else v)
    return ArrheniusTable(quantity, t, v)


def _rows(text: str) -> list[list[str]]:
    """Cells of each line, numbered as in the file; comments become empty rows."""
    lines = ["" if line.lstrip().startswith("#") else line for line in text.splitlines()]
    sample = next((line for line in lines if line.strip()), "")
    delimiter = next((d for d in (",", ";", "\t") if d in sample), None)
    if delimiter is None:
        return [line.split() for line in lines]
    return list(csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter))


def _number(row: Sequence[str], column: int, path: Path, line: int) -> float:
    try:
        return float(row[column].strip())
    except (IndexError, ValueError) as error:
        raise InputError(f"{path}, line {line}: no number in column {column + 1}") from error


def plot_arrhenius(
    fit: ArrheniusFit, path: str | Path, *, prediction: tuple[FloatArray, FloatArray] | None = None
) -> Path:
    """Plot of log10(sigma T) (or log10 D) against 1000 / T, with the line, its uncertainty and a prediction.

    Args:
        fit: what to draw.
        path: image file; the suffix picks the format (png, pdf, svg).
        prediction: temperatures (K) and values (S/cm or cm^2/s) of a model, drawn dashed.

    Returns:
        The path written.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    from fastin.errors import missing_extra

    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra("matplotlib", "view") from error
    conductivity = fit.quantity == "conductivity"

    def height(t: FloatArray, v: FloatArray) -> FloatArray:
        result: FloatArray = np.log10(v * t if conductivity else v)
        return result

    figure = Figure(figsize=(5.0, 4.0), layout="constrained")
    axes = figure.subplots()
    axes.plot(1000.0 / fit.temperature, height(fit.temperature, fit.value), "o", color="#1f4e79", label="data")
    t = 1000.0 / np.linspace(1000.0 / max(fit.temperature.max(), 300.0), 1000.0 / min(fit.temperature.min(), 300.0), 80)
    line = np.array([fit.predict(float(x)) for x in t])
    label = f"fit: {fit.activation_energy:.3f} eV"
    axes.plot(1000.0 / t, height(t, line[:, 0]), "-", color="#1f4e79", lw=1.2, label=label)
    if np.isfinite(line[:, 1]).all():
        centre = height(t, line[:, 0])
        axes.fill_between(1000.0 / t, centre - line[:, 1], centre + line[:, 1], color="#1f4e79", alpha=0.15, lw=0)
    if prediction is not None:
        axes.plot(1000.0 / prediction[0], height(*prediction), "--", color="#c55a11", lw=1.4, label="network")
    axes.set_xlabel("1000 / T  (1/K)")
    axes.set_ylabel("log10(sigma T / S K cm$^{-1}$)" if conductivity else "log10(D / cm$^2$ s$^{-1}$)")
    axes.legend(frameon=False)
    figure.savefig(str(path), dpi=160)
    return Path(path)
