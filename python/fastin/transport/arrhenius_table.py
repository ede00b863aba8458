"""Tables of temperatures and conductivities or diffusivities, with the units that their headings give."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from fastin.errors import InputError
from fastin.runtime.tables import TextTable, ask, plain_name
from fastin.runtime.tables import read_table as read_text_table

FloatArray = npt.NDArray[np.float64]
Quantity = Literal["conductivity", "diffusivity"]
TemperatureUnit = Literal["K", "C"]

_ZERO_CELSIUS = 273.15
_COLDEST, _HOTTEST = 20.0, 3000.0  # K: outside nothing is measured as an ionic conductivity
_SIGNS = str.maketrans(
    {**dict(zip("⁻−–¹²³⁰⁴µμ℃·⋅∙×º˚", ("-", "-", "-", *"12304uu", "°c", *"****", "°", "°"), strict=True))}
    | dict.fromkeys(("\u2126", "\u03a9", "\u03c9"), "ohm")
)


@dataclass(frozen=True, eq=False)
class ArrheniusTable:
    """Columns of a data file: temperatures in K and values in S/cm or cm^2/s.

    Attributes:
        quantity: what the values are.
        temperature: (N,) K.
        value: (N,) S/cm or cm^2/s.
        relative_error: (N,) standard uncertainty over the value, where the file has a column of it; else ``None``.
        remarks: what was assumed in reading.
        source: the file.
    """

    quantity: Quantity
    temperature: FloatArray
    value: FloatArray
    relative_error: FloatArray | None = None
    remarks: tuple[str, ...] = ()
    source: str = "table"


# --- units -----------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(r"(k?ohm|[munp]?s|cm|mm|um|nm|å|min|h|k|m)(?:\*\*)?\^?(-?\d)?")
_LENGTH = {"cm": 1.0, "m": 100.0, "mm": 0.1, "um": 1e-4, "nm": 1e-7, "å": 1e-8}  # in cm
_SIEMENS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "ps": 1e-12}
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "ps": 1e-12, "min": 60.0, "h": 3600.0}


def unit_factor(unit: str, quantity: Quantity) -> tuple[float, bool] | None:
    """Factor to S/cm or cm^2/s, and whether the unit has a kelvin in it (of sigma T); ``None`` where it is another.

    Understands "mS/cm", "S cm-1", "µS·cm⁻¹", "Ohm-1 cm-1", "1/(ohm cm)", "S K cm^-1", "S per cm", "m2/s", "cm^2 s^-1".
    """
    text = unit.translate(_SIGNS).lower().replace("per", "/").replace("siemens", "s")
    text = re.sub(r"[\s*_,.]+", " ", text.replace("[", "(").replace("]", ")")).strip()
    text = re.sub(r"^\((.+)\)\^?-1$", r"1/(\1)", text)
    found: dict[str, float] = {}
    factor, sign, closing = 1.0, 1, False
    while text:
        if text[0] in " )":
            closing = closing and text[0] != ")"
            text = text[1:]
            continue
        if text[0] == "(":
            closing, text = True, text[1:]
            continue
        if text.startswith("1/"):
            text = text[1:]
        if text[0] == "/":
            sign, text = -1, text[1:]
            continue
        match = _TOKEN.match(text)
        if match is None:
            return None
        token, power = match[1], sign * int(match[2] or 1)
        kind, scale = _dimension(token, quantity)
        if token.endswith("ohm"):
            kind, power, scale = "siemens", -power, 1.0 / scale
        if kind == "temperature":
            power = abs(power)  # "S/cm K" is written for S K/cm
        found[kind] = found.get(kind, 0) + power
        factor *= scale**power
        text = text[match.end() :]
        if not closing and sign == -1 and quantity == "diffusivity":
            sign = 1
    kelvin = found.pop("temperature", 0)
    wanted = {"siemens": 1, "length": -1} if quantity == "conductivity" else {"length": 2, "time": -1}
    if found != wanted or kelvin not in (0, 1) or (kelvin and quantity == "diffusivity"):
        return None
    return factor, bool(kelvin)


def _dimension(token: str, quantity: Quantity) -> tuple[str, float]:
    if token in _LENGTH:
        return "length", _LENGTH[token]
    if token == "k":
        return "temperature", 1.0
    if token.endswith("ohm"):
        return "resistance", 1e3 if token == "kohm" else 1.0
    if quantity == "conductivity":
        return ("siemens", _SIEMENS[token]) if token in _SIEMENS else ("other", 1.0)
    return "time", _SECONDS[token]


# --- headings --------------------------------------------------------------------------------------------------------

_BASES: tuple[tuple[str, Quantity], ...] = (
    ("ionicconductivity", "conductivity"), ("conductivity", "conductivity"), ("sigma", "conductivity"),
    ("σ", "conductivity"), ("cond", "conductivity"), ("diffusioncoefficient", "diffusivity"),
    ("diffusivity", "diffusivity"), ("diffusion", "diffusivity"), ("d", "diffusivity"),
)  # fmt: skip
_LOGARITHM = re.compile(r"(log\s*_?\s*10|log|lg|ln)_?\s*(?=[^a-z]|sigma|σ|cond|ionic|diff|d\b|d_|\()", re.IGNORECASE)
_ERROR = re.compile(r"err|std|esd|uncert|±|\+/-|^sd$|^u$|delta|^d(?:sigma|cond)", re.IGNORECASE)
_TEMPERATURE = re.compile(
    r"(?:(?P<inverse>(?:1|10+|10\^\d|10\*\*\d|10³)\s*/\s*)|inverse\s*)?\b(?:t|temp|temperature|temperatur)"
    r"(?:abs|meas(?:ured)?|sample)?(?=$|[^a-z])[\s_/,]*(?P<unit>.*)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class _Value:
    quantity: Quantity
    factor: float
    times_t: bool
    base: float  # of the logarithm; 0: none
    stated: bool  # whether a unit is there


def _temperature(heading: str, unit: str | None) -> str | None:
    """Unit of a temperature: "K", "C", "" (none), or "N/T" with its number N; ``None`` where it is something else."""
    text = heading.translate(_SIGNS).strip()
    match = _TEMPERATURE.match(text)
    if match is None or _ERROR.search(text):
        return None
    rest = (
        plain_name(match["unit"] if unit is None or match["unit"] else unit).replace("degrees", "°").replace("deg", "°")
    )
    if text.lower().startswith("inverse"):
        return "1/T"
    if match["inverse"] is not None:
        number = match["inverse"].split("/")[0].strip().replace("³", "^3").replace("**", "^")
        head, _, power = number.partition("^")
        return f"{float(head) ** int(power) if power else float(head):g}/T"
    if rest in ("", "abs"):
        return ""
    if rest in ("k", "kelvin"):
        return "K"
    if rest in ("c", "°c", "celsius", "°celsius", "°"):
        return "C"
    return None


def _value(heading: str, unit: str | None) -> _Value | str | None:
    """What a heading says of the values; a text where the unit is not understood; ``None`` where it is none."""
    text = heading.translate(_SIGNS).strip()
    log = _LOGARITHM.match(text)
    base = 0.0
    if log is not None:
        base = math.e if log[1].lower() == "ln" else 10.0
        text = text[log.end() :].strip()
        if text.startswith("(") and text.endswith(")"):
            text = text[1:-1]
        elif text.startswith("("):
            text = text[1:].replace(")", " ", 1)
    lowered = text.lower().lstrip("( _")
    squeezed = re.sub(r"^ionic[\s_]+", "ionic", re.sub(r"^diffusion[\s_]+coefficient", "diffusioncoefficient", lowered))
    for name, quantity in _BASES:
        if not squeezed.startswith(name):
            continue
        rest = squeezed[len(name) :]
        if name == "d" and rest[:1].isalpha():
            continue
        times = re.match(r"^(?:dc|ion|total|bulk|_?b|_?t(?=ot))?[\s_]*[*x]?\s*t(?=$|[^a-z])", rest)
        rest = rest[times.end() :] if times else re.sub(r"^[\s_]*(?:dc|ion|total|bulk|tot)\b", "", rest)
        rest = re.sub(r"^[\s_]*[/,:]?\s*(?:in\b)?\s*", "", rest.strip(") "), count=1).strip()
        if rest.startswith("(") and not rest.endswith(")"):
            rest = rest[1:]
        rest = rest or (unit or "").translate(_SIGNS).strip().lower()
        if rest in ("", "-"):
            return _Value(quantity, 1.0, times is not None, base, False)
        found = unit_factor(rest, quantity)
        if found is None:
            return rest
        return _Value(quantity, found[0], times is not None or found[1], base, True)
    return None


# --- reading ---------------------------------------------------------------------------------------------------------


def read_table(
    path: str | Path,
    *,
    temperature: TemperatureUnit | None = None,
    quantity: Quantity | None = None,
    unit: str | None = None,
    decimal: str | None = None,
) -> ArrheniusTable:
    """Reads temperatures and conductivities or diffusivities from a table in text.

    Columns are recognised by their headings, with any separators and decimal marks: ``T/K``, ``T (°C)``,
    ``temperature_K``, ``1000/T``; ``sigma (S/cm)``, ``σ / mS cm⁻¹``, ``conductivity [Ohm-1 cm-1]``, ``sigma T``,
    ``ln(sigma T)``, ``log10_sigma``, ``D (cm2/s)``; a column of errors; units in a row of their own. What headings
    leave open is read off the numbers where they leave one answer (298.15 is kelvin), and asked otherwise.

    Args:
        path: the file.
        temperature: "K" or "C", where the file does not say.
        quantity: "conductivity" or "diffusivity", where the file does not say.
        unit: of the values, where the file does not say.
        decimal: "." or ",", where both would do.

    Raises:
        InputError: an unreadable file, no such columns, units that are unclear, a cell that is not a number; the
            message names the line, or asks.
    """
    table = read_text_table(path, decimal=decimal)
    remarks: list[str] = []
    if table.names is None:
        at, value_at, kind, value, error_at = *_unnamed(table, quantity, remarks), None
    else:
        at, value_at, kind, value, error_at = _named(table)
    t = _kelvin(table, table.column(at, "temperature"), kind, temperature, remarks)
    if quantity is not None and quantity != value.quantity:
        raise InputError(f"{table.source}: the heading says {value.quantity}, not {quantity}")
    if unit is not None:
        found = unit_factor(unit, value.quantity)
        if found is None:
            raise InputError(f"the unit {unit!r} is none of {value.quantity}; give S/cm, mS/cm, cm2/s...")
        value = _Value(value.quantity, found[0], value.times_t or found[1], value.base, True)
    if not value.stated:
        name = "S/cm" if value.quantity == "conductivity" else "cm2/s"
        remarks.append(f"{table.heading(value_at)} has no unit: taken as {name} (--unit to change)")
    v = table.column(value_at, value.quantity)
    error = None
    if error_at is not None:
        error = _relative(table, error_at, v, value.base)
    with np.errstate(over="ignore"):
        v = value.factor * (value.base**v if value.base else v)
    if value.times_t:
        v = v / t
    return ArrheniusTable(value.quantity, t, v, error, tuple(remarks), table.source)


def _relative(table: TextTable, at: int, v: FloatArray, base: float) -> FloatArray | None:
    error = np.abs(table.column(at, "error"))
    if not (error > 0.0).all():
        return None
    heading = (table.names or ("",))[at + 0] + ((table.units or ("",) * (at + 1))[at])
    if "%" in heading:
        return np.asarray(error / 100.0)
    if base:
        return np.asarray(error * math.log(base))
    return np.asarray(error / np.abs(v))


def _named(table: TextTable) -> tuple[int, int, str, _Value, int | None]:
    assert table.names is not None
    units: Sequence[str | None] = table.units or (None,) * len(table.names)
    temperatures: dict[int, str] = {}
    values: dict[int, _Value] = {}
    errors: list[int] = []
    strange: dict[int, str] = {}
    for k, (heading, unit) in enumerate(zip(table.names, units, strict=True)):
        if np.isnan(table.values[:, k]).all() and any(row[k].strip() for row in table.cells):
            continue  # a column of words
        if _ERROR.search(heading):
            if not re.match(r"\s*(?:t|temp)", heading, re.IGNORECASE) and "(t" not in heading.lower():
                errors.append(k)
        elif (kind := _temperature(heading, unit)) is not None:
            temperatures[k] = kind
        elif (value := _value(heading, unit)) is not None:
            if isinstance(value, str):
                strange[k] = value
            else:
                values[k] = value
    shown = ", ".join(table.names)
    if strange and not values:
        k, rest = next(iter(strange.items()))
        raise ask(
            table.source, f"the unit {rest!r} of {table.names[k]!r} is not understood", "write S/cm, mS/cm, cm2/s..."
        )
    for missing, found in (("temperature", temperatures), ("conductivity or diffusivity", values)):
        if not found:
            raise InputError(
                f"{table.source}: no column for the {missing} among {shown}; name them, for example, "
                "temperature_K and sigma_S/cm"
            )
    at = next(
        (k for unit in ("K", "C", "1000/T") for k in temperatures if temperatures[k] == unit), next(iter(temperatures))
    )
    value_at = _one_value(table, values)
    near = [k for k in errors if k > value_at] or errors
    return at, value_at, temperatures[at], values[value_at], near[0] if near else None


def _one_value(table: TextTable, values: dict[int, _Value]) -> int:
    """The only column of values; of several that say the same (sigma and its logarithm), the plain one."""
    assert table.names is not None
    plain = [k for k, v in values.items() if not v.base and not v.times_t] or list(values)
    if len(values) > 1 and (len(plain) > 1 or len({v.quantity for v in values.values()}) > 1):
        shown = ", ".join(repr(table.names[k]) for k in values)
        raise ask(table.source, f"{len(values)} columns of values ({shown})", "leave one of them in the file")
    return plain[0]


def _unnamed(table: TextTable, quantity: Quantity | None, remarks: list[str]) -> tuple[int, int, str, _Value]:
    """Two columns without headings: temperature and value, as far as the numbers leave no doubt."""
    remedy = "put a line above them, for example: temperature_K,sigma_S/cm"
    if table.values.shape[1] != 2:
        width = table.values.shape[1]
        raise ask(table.source, f"{width} columns of numbers without headings", remedy)
    t, v = table.values.T
    if 0.0 < np.nanmin(t) < 15.0 or np.nanmin(v) <= 0.0:
        raise ask(table.source, "columns of numbers without headings that may be 1000/T or logarithms", remedy)
    if quantity is None:
        if np.nanmax(v) < 1e-3:
            raise ask(table.source, f"values up to {np.nanmax(v):.3g} without a heading",
                      "say which they are (--quantity conductivity or diffusivity), or " + remedy)  # fmt: skip
        quantity = "conductivity"
        remarks.append("no headings: taken as temperatures and conductivities")
    return 0, 1, "", _Value(quantity, 1.0, False, 0.0, False)


def _kelvin(table: TextTable, t: FloatArray, kind: str, said: TemperatureUnit | None, remarks: list[str]) -> FloatArray:
    source = table.source
    if said not in (None, "K", "C"):
        raise InputError(f"the temperatures are in 'K' or 'C', not {said!r}")
    if kind.endswith("/T"):
        if not (t > 0.0).all():
            raise InputError(f"{source}: {kind} holds values that are not positive")
        t = float(kind[:-2]) / t
        if (t < _COLDEST).any() or (t > _HOTTEST).any():
            raise ask(source, f"{kind} gives temperatures from {t.min():.4g} to {t.max():.4g} K", "mend the heading")
        return t
    span = f"{t.min():g} to {t.max():g}"
    if kind and said and kind != said:
        remarks.append(f"the heading says {'kelvin' if kind == 'K' else 'degrees Celsius'}; taken as {said} as told")
    unit = said or kind or _guess_unit(t)
    if unit == "":
        raise ask(
            source,
            f"temperatures from {span} without a unit",
            "say which (--celsius or --kelvin), or name it: T (°C), T (K)",
        )
    if not (said or kind):
        remarks.append(f"temperatures ({span}) without a unit are {'kelvin' if unit == 'K' else 'degrees Celsius'}")
    elif kind == "K" and not said and t.max() < 200.0:
        raise ask(
            source, f"temperatures from {span} K, colder than ions move", "say --celsius, or --kelvin if it is so"
        )
    elif kind == "C" and not said and _guess_unit(t) == "K" and np.allclose((t - 0.15) % 1.0, 0.0, atol=1e-6):
        raise ask(source, f"temperatures from {span} called °C look like kelvin", "say --celsius or --kelvin")
    if unit == "C":
        t = t + _ZERO_CELSIUS
    if (t < _COLDEST).any() or (t > _HOTTEST).any():
        raise InputError(f"{source}: temperatures from {t.min():.4g} to {t.max():.4g} K; check the unit")
    return t


def _guess_unit(t: FloatArray) -> str:
    """Kelvin or Celsius where the numbers leave one answer, else "": 298.15 and 298 are round in Celsius."""
    if (t < 0.0).any():
        return "C"
    if t.min() < 200.0:
        return ""
    for zero in (_ZERO_CELSIUS, 273.0):
        celsius = t - zero
        if np.allclose(celsius % 5.0, 0.0, atol=1e-6) | np.allclose(celsius % 5.0, 5.0, atol=1e-6):
            return "K"
    off = np.abs((t - _ZERO_CELSIUS) - np.round(t - _ZERO_CELSIUS))
    return "K" if (off < 1e-6).all() else ""
