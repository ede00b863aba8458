"""Which columns of a table are the angle and the intensity of a powder pattern; what is unclear is asked."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastin.errors import InputError
from fastin.runtime.tables import TextTable, ask, plain_name
from fastin.xrd.headers import stated_axis
from fastin.xrd.layouts import Scan
from fastin.xrd.pattern import WAVELENGTHS

FloatArray = NDArray[np.float64]

#: What the first axis may be, as `read_pattern(x=...)` takes it.
AXES = ("2theta", "theta", "2theta-rad", "theta-rad", "Q", "Q-nm", "d", "d-nm")
_CU = WAVELENGTHS["CuKa"]
_MOST_Q = 4.0 * np.pi / _CU  # 1/angstrom: what Cu K-alpha reaches
_SHORT = 15.0  # degrees: an unnamed axis that ends below may as well be Q, d or theta
_SAY = "say what it is (x='2theta', 'theta', 'Q', 'd'..., --x)"

_TWO_THETA = re.compile(
    r"2\*?(?:th|θ|ϑ|t$)|two?th|tth|^(?:angle|angles|pos|position|x|deg|degrees?|°|anglex|scatteringangle|diffractionangle)$"
)
_THETA = re.compile(r"^(?:theta|θ|th|ϑ|braggangle)$")
_Q = re.compile(r"^(?:q|qspace|scatteringvector|momentumtransfer|qvalue)$")
_D = re.compile(r"^(?:d|dspacing|dspacings|dvalue|dhkl|spacing)$")
_FOREIGN = re.compile(r"tof|timeofflight|energy|kev|channel|^omega|^chi$|^phi$")
_INTENSITY = re.compile(
    r"^(?:i|y|int|ints|intens|intensity|intensities|counts?|cts|cps|signal|lin|yobs|obs|observed|iobs|yo|io|"
    r"intensityobs|observedintensity|netintensity|rawintensity|relativeintensity|countspersecond|countrate|"
    r"i(?:ntensity)?(?:counts|cts|cps|au|arbunits|arbitraryunits|obs)|ycounts|det1disc1|psd)$"
)
_ERROR = re.compile(
    r"^(?:esd|esds|sigma|error|errors|err|std|stddev|sd|sig|uncertainty|dy|di|u|±|\+/-|e|σ|.*esd|.*error)$"
)
_TIME = re.compile(r"^(?:timeperstep|time|tps|countingtime|steptime|counttime|exposure|times)$")
_OTHER = re.compile(
    r"calc|^yc$|^ic$|fit$|diff$|difference|residual|bkg|background|bckgr|weight|delta|^no$|^nr$|index|^#$|^n$"
)
_SCALED = re.compile(r"sqrt|root|^log|^ln")

_UNIT_SIGNS = str.maketrans("⁻¹å−", "-1a-", "^· ")


def _parts(heading: str, unit: str | None) -> tuple[str, str]:
    """Name and unit of a heading: "Q (1/A)" or "Q / A^-1" or "Q_nm-1"."""
    text = heading.strip().lower()
    if unit is None:
        match = re.match(r"(.+?)\s*[\[(](.*?)[\])]?\s*$", text) or re.match(r"(.+?)\s*[/,_]\s*(\S.*)$", text)
        text, unit = (match[1], match[2]) if match else (text, "")
    unit = unit.lower().translate(_UNIT_SIGNS)
    return plain_name(text), unit.strip("[]()").replace("angstroms", "a").replace("angstrom", "a").replace("ang", "a")


def _axis(name: str, unit: str) -> str | None:
    """Member of `AXES` for a name, with "?" appended where the unit is missing."""
    inverse_nm, inverse_a = unit in ("1/nm", "nm-1"), unit in ("1/a", "a-1")
    if _TWO_THETA.search(name):
        return "2theta-rad" if unit.startswith("rad") or name.endswith("rad") else "2theta"
    if _THETA.match(name):
        return "theta-rad" if unit.startswith("rad") else "theta"
    if _Q.match(name):
        return "Q" if inverse_a else "Q-nm" if inverse_nm else "Q?"
    if _D.match(name):
        return "d" if unit == "a" else "d-nm" if unit == "nm" else "d?"
    return None


class _Names:
    """The columns by what their headings say."""

    def __init__(self, table: TextTable) -> None:
        names = table.names or ()
        units = table.units or (None,) * len(names)
        self.axes: dict[int, str] = {}
        self.values: list[int] = []
        self.errors: list[int] = []
        self.times: list[int] = []
        self.unknown: list[int] = []
        self.scaled: list[int] = []
        self.foreign: list[int] = []
        for k, (heading, given) in enumerate(zip(names, units, strict=True)):
            name, unit = _parts(heading, given)
            joined = plain_name(heading)
            axis = _axis(name, unit) or _axis(joined, unit)
            if np.isnan(table.values[:, k]).all():
                continue
            if _SCALED.match(joined):
                self.scaled.append(k)
            elif _FOREIGN.search(name):
                self.foreign.append(k)
            elif _INTENSITY.match(name) or _INTENSITY.match(joined):
                self.values.append(k)
            elif axis is not None:
                self.axes[k] = axis
            elif _TIME.match(name):
                self.times.append(k)
            elif _OTHER.search(joined):
                continue
            elif _ERROR.match(name) or _ERROR.match(joined):
                self.errors.append(k)
            else:
                self.unknown.append(k)


def pattern_columns(
    table: TextTable, *, x: str | None = None, columns: Sequence[int] | None = None, with_sigma: bool = False
) -> tuple[Scan, list[str]]:
    """The pattern in a table, and remarks on what was assumed.

    Args:
        table: the file's rows.
        x: what the first axis is, one of `AXES`; ``None``: as the heading says.
        columns: numbers (from 1) of the axis' and the intensity's column, and of the uncertainty's where there is one.
        with_sigma: a third column without heading is the uncertainty (.xye).

    Raises:
        InputError: unclear columns or units; the message asks.
    """
    if x is not None and x not in AXES:
        raise InputError(f"x is one of {', '.join(AXES)}, not {x!r}")
    remarks: list[str] = []
    width = table.values.shape[1]
    if columns is not None:
        if len(columns) not in (2, 3) or not all(1 <= c <= width for c in columns):
            raise InputError(f"{table.source}: columns are two or three numbers from 1 to {width}, not {columns}")
        places: list[int | None] = [c - 1 for c in columns] + [None] * (3 - len(columns))
        names = _Names(table)
        at, value, error = places
        assert at is not None
        assert value is not None
        axis = x or names.axes.get(at) or _spoken(table, at) or "?"
    elif table.names is None:
        at, value, error = _unnamed(table, with_sigma)
        axis = x or _spoken(table, at) or "?"
    else:
        at, value, error, axis = _named(table, x, remarks)
    if len(table.lines) < 10:
        raise InputError(
            f"{table.source}: holds {len(table.lines)} points (2 theta, intensity); at least 10 are needed"
        )
    if width == 1:
        raise ask(table.source, "one column of numbers and no start and step", "export 2 theta and intensity")
    angle, length = _to_two_theta(table, table.column(at, "angle"), axis, remarks)
    intensity = table.column(value, "intensity")
    even = np.ptp(np.diff(intensity)) < 1e-9 * max(1.0, float(abs(intensity).max())) and np.ptp(intensity) > 0.0
    if even and width > 2 and columns is None:
        raise ask(table.source, f"{table.heading(value)} rises evenly, which no intensity does",
                  "name the columns (columns=(1, 3), --columns 1,3)")  # fmt: skip
    sigma = None if error is None else table.column(error, "uncertainty")
    return Scan(angle, intensity, sigma, length, length is not None), remarks


def _unnamed(table: TextTable, with_sigma: bool) -> tuple[int, int, int | None]:
    """Columns of a table without headings: angle, intensity, and an uncertainty only where it looks like one."""
    width = table.values.shape[1]
    if width <= 2:
        return 0, min(1, width - 1), None
    if with_sigma and width == 3:
        return 0, 1, 2
    y, third = table.values[:, 1], table.values[:, 2]
    finite = np.isfinite(y) & np.isfinite(third)
    y, third = y[finite], third[finite]
    if len(y) > 10 and np.ptp(y) > 0.0 and width <= 4:
        steady = np.ptp(third) == 0.0 or abs(np.corrcoef(third**2, y)[0, 1]) > 0.8
        if steady and (third >= 0.0).all() and np.median(third) <= np.median(np.abs(y)):
            return 0, 1, 2
        if np.ptp(third) > 0.0 and np.corrcoef(third, y)[0, 1] > 0.9:  # observed, calculated
            return 0, 1, None
    shown = "  ".join(table.cells[0][:6])
    raise ask(
        table.source,
        f"{width} columns of numbers without headings (line {table.lines[0]}: {shown})",
        "say which are the angle and the intensity (columns=(1, 3), --columns 1,3)",
    )


def _named(table: TextTable, x: str | None, remarks: list[str]) -> tuple[int, int, int | None, str]:
    assert table.names is not None
    names = _Names(table)
    width = len(table.names)
    shown = ", ".join(repr(name) for name in table.names)
    which = "name the columns by number (columns=(1, 3), --columns 1,3)"
    if names.foreign and not names.axes:
        what = table.names[names.foreign[0]]
        raise ask(table.source, f"the axis is {what!r}, which is no angle", "export 2 theta (or Q or d) and intensity")
    if not names.values and names.scaled:
        what = table.names[names.scaled[0]]
        raise ask(table.source, f"{what!r} is not a linear scale of intensity", "export counts")
    if not names.values and len(names.unknown) == 1 and names.axes:
        names.values = names.unknown
    if not names.axes and len(names.unknown) == 1 and names.values:
        names.axes = {names.unknown[0]: _spoken(table, names.unknown[0]) or "?"}
    if not names.axes and not names.values and width == 2 and len(names.unknown) == 2:
        return 0, 1, None, x or _spoken(table, 0) or "?"
    if not names.axes:
        raise ask(table.source, f"no column for the angle among {shown}", which)
    if not names.values:
        raise ask(table.source, f"no column for the intensity among {shown}", which)
    at = _preferred(names.axes)
    if len(names.values) > 1:
        raise ask(table.source, f"{len(names.values)} columns of intensities among {shown}", which)
    value = names.values[0]
    error = names.errors[0] if len(names.errors) == 1 else None
    _check_time(table, names, value, remarks)
    axis = names.axes[at]
    if axis == "2theta" and _spoken(table, at) == "2theta-rad":
        axis = "2theta-rad"
    return at, value, error, x or axis


def _spoken(table: TextTable, at: int) -> str | None:
    """What the prose above calls the axis; radians only where the numbers may be such ("Rad." is radiation, too)."""
    axis = stated_axis(table.preamble)
    return None if axis == "2theta-rad" and not np.nanmax(table.values[:, at]) <= np.pi else axis


def _preferred(axes: dict[int, str]) -> int:
    """2 theta before theta, d or Q where a file gives several."""
    return min(axes, key=lambda k: (("2theta", "2theta-rad").count(axes[k]) == 0, axes[k].endswith("?"), k))


def _check_time(table: TextTable, names: _Names, value: int, remarks: list[str]) -> None:
    if not names.times or table.names is None:
        return
    time = table.column(names.times[0], "time per step")
    if np.ptp(time) <= 1e-6 * abs(time).max():
        return
    heading = table.names[value]
    if re.match(r"count|cts", plain_name(heading)) and "cps" not in plain_name(heading):
        raise ask(
            table.source,
            f"the time per step runs from {time.min():g} to {time.max():g}, and {heading!r} may be of unequal times",
            f"export counts per second, or name the columns if they are scaled (--columns 1,{value + 1})",
        )
    remarks.append(f"time per step varies from {time.min():g} to {time.max():g}; {heading!r} is taken as scaled for it")


def _to_two_theta(table: TextTable, x: FloatArray, axis: str, remarks: list[str]) -> tuple[FloatArray, float | None]:
    """Degrees of 2 theta, and the wavelength that they belong to where the axis (Q, d) needed one."""
    lowest, highest = float(x.min()), float(x.max())
    span = f"{lowest:.4g} to {highest:.4g}"
    source = table.source
    if axis == "?":
        if highest < _SHORT and lowest >= 0.0:
            raise ask(source, f"the first axis runs from {span} and may be 2 theta, theta, Q or d", _SAY)
        axis = "2theta"
    if axis == "Q?":
        if highest > _MOST_Q:
            raise ask(source, f"Q runs from {span} without a unit", "say which (x='Q' in 1/A, x='Q-nm' in 1/nm, --x)")
        axis = "Q"
        remarks.append(f"Q ({span}) is taken in 1/angstrom")
    if axis == "d?":
        if highest < 1.5 or lowest < 0.3:
            raise ask(source, f"d runs from {span} without a unit", "say which (x='d' in angstrom, x='d-nm', --x)")
        axis = "d"
        remarks.append(f"d ({span}) is taken in angstrom")
    if axis in ("Q", "Q-nm", "d", "d-nm"):
        if lowest <= 0.0:
            raise InputError(f"{source}: {axis} runs from {span}; positive values are needed")
        q = {"Q": x, "Q-nm": x / 10.0, "d": 2.0 * np.pi / x, "d-nm": 0.2 * np.pi / x}[axis]
        sine = q * _CU / (4.0 * np.pi)
        return np.where(sine <= 1.0, 2.0 * np.degrees(np.arcsin(np.minimum(sine, 1.0))), np.nan), _CU
    if axis.endswith("-rad"):
        x = np.degrees(x)
    if axis.startswith("theta"):
        if x.max() > 90.0:
            raise ask(
                source, f"theta runs to {x.max():.4g} degrees", "if the column holds 2 theta, say x='2theta' (--x)"
            )
        remarks.append("the angles are theta by their heading: doubled")
        x = 2.0 * x
    return x, None
