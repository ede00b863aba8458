"""Powder patterns in text that is no table (start-step-stop, GSAS, UXD, RAS), and vendors' own formats."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastin.errors import InputError
from fastin.runtime.files import refuse_special
from fastin.runtime.tables import parse_number

FloatArray = NDArray[np.float64]

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?")


@dataclass(frozen=True, eq=False)
class Scan:
    """What a layout gives: angles in degrees of 2 theta, intensities, their uncertainties, the wavelength if stated.

    `absolute`: the angles were computed from Q or d for that wavelength, so that no other one applies.
    """

    two_theta: FloatArray
    intensity: FloatArray
    sigma: FloatArray | None = None
    wavelength: float | None = None
    absolute: bool = False


def read_layout(text: str, source: str) -> Scan | None:
    """The pattern, where the text has one of the layouts; ``None`` where it is an ordinary table.

    Raises:
        InputError: the layout is one of them, but its numbers do not fit its header.
    """
    lines = text.splitlines()
    for k, line in enumerate(lines[:200]):
        if re.match(r"\s*BANK\s+\d", line):
            return _gsas(lines, k, source)
        if line.strip().upper().startswith("_FILEVERSION") or "_STEPSIZE" in line.upper():
            return _uxd(lines, source)
        if line.startswith("*RAS_INT_START"):
            return _ras(lines, source)
    if any(line.startswith("*RAS_INT_START") for line in lines):
        return _ras(lines, source)
    return _start_step_stop(lines, source)


def _numbers(lines: Sequence[str], first: int, source: str) -> list[float]:
    """All numbers of the lines, blanks or commas between them."""
    values: list[float] = []
    for index, line in enumerate(lines, first + 1):
        body = re.split(r"[#!]", line, maxsplit=1)[0].replace(",", " ")
        for cell in body.split():
            value = parse_number(cell)
            if value is None:
                raise InputError(f"{source}, line {index}: not a row of numbers: {line.strip()[:60]!r}")
            values.append(value)
    return values


def _start_step_stop(lines: Sequence[str], source: str) -> Scan | None:
    """FullProf's free format: a line "start step stop", then intensities, as many on a line as one likes."""
    for index, line in enumerate(lines[:12]):
        match = re.match(rf"\s*({_NUMBER.pattern})[\s,]+({_NUMBER.pattern})[\s,]+({_NUMBER.pattern})(?![\d.])", line)
        if match is None:
            continue
        start, step, stop = (float(match[k].replace("D", "e").replace("d", "e")) for k in (1, 2, 3))
        if not (0.0 < step < stop - start and -5.0 <= start < stop <= 180.0):
            return None
        points = round((stop - start) / step) + 1
        try:
            values = _numbers(lines[index + 1 :], index + 1, source)
        except InputError:
            return None
        if points < 10 or abs(len(values) - points) > 1:
            return None
        return Scan(start + step * np.arange(len(values), dtype=np.float64), np.array(values))
    return None


def _gsas(lines: Sequence[str], at: int, source: str) -> Scan:
    """A GSAS raw data file (Larson and Von Dreele, LAUR 86-748): centidegrees; STD, ESD, FXY and FXYE records."""
    words = lines[at].split()
    banks = sum(bool(re.match(r"\s*BANK\s+\d", line)) for line in lines)
    if banks > 1:
        raise InputError(f"{source}: holds {banks} banks; export one")
    try:
        points, scale, kind = int(words[2]), words[4].upper(), (words[9] if len(words) > 9 else "STD").upper()
        start, step = float(words[5]) / 100.0, float(words[6]) / 100.0
    except (IndexError, ValueError):
        raise InputError(f"{source}, line {at + 1}: not a GSAS BANK line: {lines[at].strip()[:60]!r}") from None
    if not scale.startswith("CONS"):
        raise InputError(
            f"{source}, line {at + 1}: {scale} is a time-of-flight bank; only constant wavelength (CONS) is read"
        )
    records = [line.rstrip("\n") for line in lines[at + 1 :] if line.strip() and not line.startswith("#")]
    sigma: FloatArray | None = None
    if kind in ("FXYE", "FXY"):
        width = 3 if kind == "FXYE" else 2
        values = _numbers(records, at + 1, source)[: width * points]
        if len(values) != width * points:
            raise InputError(f"{source}: the bank announces {points} points, {len(values) // width} are there")
        table = np.array(values).reshape(points, width)
        return Scan(table[:, 0] / 100.0, table[:, 1], table[:, 2] if width == 3 else None)
    if kind == "STD":
        fields = _fixed(records, 8, at, source)
        intensity = np.array([float(field[2:]) for field in fields[:points]])
        counters = np.array([int(field[:2].strip() or 1) for field in fields[:points]])
        sigma = np.sqrt(np.maximum(intensity, 1.0) / np.maximum(counters, 1))
    elif kind == "ESD":
        numbers = [float(field) for field in _fixed(records, 8, at, source)]
        intensity, sigma = np.array(numbers[0 : 2 * points : 2]), np.array(numbers[1 : 2 * points : 2])
    else:
        raise InputError(f"{source}, line {at + 1}: GSAS records of type {kind} are not read; export STD, ESD or FXYE")
    if len(intensity) != points or (sigma is not None and len(sigma) != points):
        raise InputError(f"{source}: the bank announces {points} points, {len(intensity)} are there")
    return Scan(start + step * np.arange(points, dtype=np.float64), intensity, sigma)


def _fixed(records: Sequence[str], width: int, at: int, source: str) -> list[str]:
    fields = []
    for index, line in enumerate(records, at + 2):
        for k in range(0, len(line.rstrip()), width):
            field = line[k : k + width]
            if parse_number(field[2:] if len(field) > 2 else field) is None and parse_number(field) is None:
                raise InputError(f"{source}, line {index}: not a GSAS record: {line.strip()[:60]!r}")
            fields.append(field)
    return fields


def _uxd(lines: Sequence[str], source: str) -> Scan:
    """Bruker's UXD: keys with an underscore, then counts, or pairs of angle and counts."""
    keys: dict[str, str] = {}
    data: list[float] = []
    paired = False
    starts = 0
    for index, line in enumerate(lines):
        text = line.strip()
        if not text or text.startswith(";"):
            continue
        if text.startswith("_"):
            name, _, value = text.partition("=")
            name = name.strip().upper()
            if name in ("_COUNTS", "_2THETACOUNTS", "_2THETACPS", "_CPS"):
                paired = name.startswith("_2THETA")
                starts += 1
            keys[name] = value.strip().strip("'\"")
            continue
        data += _numbers([line], index, source)
    if starts != 1:
        raise InputError(f"{source}: holds {starts} ranges of counts; export one range of 2 theta")
    length = _keyed(keys.get("_WL1"))
    if paired:
        if len(data) % 2:
            raise InputError(f"{source}: an odd number of values where pairs of 2 theta and counts are announced")
        pairs = np.array(data).reshape(-1, 2)
        return Scan(pairs[:, 0], pairs[:, 1], wavelength=length)
    start, step = _keyed(keys.get("_START") or keys.get("_2THETA")), _keyed(keys.get("_STEPSIZE"))
    if start is None or step is None:
        raise InputError(f"{source}: counts without _START and _STEPSIZE; export pairs of 2 theta and counts")
    return Scan(start + step * np.arange(len(data), dtype=np.float64), np.array(data), wavelength=length)


def _keyed(value: str | None) -> float | None:
    number = None if value is None else parse_number(value)
    return number if number is not None and math.isfinite(number) else None


def _ras(lines: Sequence[str], source: str) -> Scan:
    """Rigaku's RAS in text: a header of lines with an asterisk, then angle, intensity, attenuator."""
    starts = [k for k, line in enumerate(lines) if line.startswith("*RAS_INT_START")]
    ends = [k for k, line in enumerate(lines) if line.startswith("*RAS_INT_END")]
    if len(starts) != 1 or len(ends) != 1:
        raise InputError(f"{source}: holds {len(starts)} scans; export one scan of 2 theta")
    header = {
        words[0]: words[1].strip().strip('"')
        for line in lines[: starts[0]]
        if line.startswith("*") and len(words := line.split(None, 1)) == 2
    }
    axis = header.get("*MEAS_SCAN_AXIS_X_INTERNAL", header.get("*MEAS_SCAN_AXIS_X", "TwoTheta"))
    if "theta" not in axis.lower() or ("two" not in axis.lower() and "2" not in axis):
        raise InputError(f"{source}: a scan of {axis}, not of 2 theta")
    rows = _numbers(lines[starts[0] + 1 : ends[0]], starts[0] + 1, source)
    count = ends[0] - starts[0] - 1
    if count == 0 or len(rows) % count or len(rows) // count not in (2, 3):
        raise InputError(f"{source}: rows of angle, intensity and attenuator are expected between the RAS_INT marks")
    table = np.array(rows).reshape(count, -1)
    factor = table[:, 2] if table.shape[1] == 3 else 1.0
    length = _keyed(header.get("*HW_XG_WAVE_LENGTH_ALPHA1", header.get("*MEAS_COND_XG_WAVE_LENGTH_ALPHA1")))
    return Scan(table[:, 0], table[:, 1] * factor, wavelength=length)


#: Vendors' formats that the optional reader takes, and the others with the export to make.
READ_BY_LIBRARY = (".xrdml", ".rasx", ".brml", ".raw")
EXPORTS = {
    ".raw": "in DIFFRAC.EVA, RawFileExchange or SmartLab Studio: export as .xy (2 theta, counts)",
    ".brml": "in DIFFRAC.EVA: File, Export, .xy (2 theta, counts)",
    ".rasx": "in SmartLab Studio II: export as text (.txt or .xy)",
    ".xrdml": "in HighScore or Data Viewer: save as .xy or .csv",
    ".rd": "in HighScore or PowDLL: save as .xy",
    ".sd": "in HighScore or PowDLL: save as .xy",
    ".udf": "in HighScore or PowDLL: save as .xy",
    ".cpi": "in PowDLL: convert to .xy",
    ".mdi": "in JADE: save as .txt with 2 theta and counts",
    ".nxs": "reduce it to 2 theta and intensity, in text",
    ".h5": "reduce it to 2 theta and intensity, in text",
    ".opj": "in Origin: export the sheet as ASCII",
}


def read_vendor(path: Path) -> Scan:
    """A pattern in a vendor's own format, through fairmat-readers-xrd.

    Raises:
        InputError: the format is not read; the message names the export to make.
    """
    suffix = path.suffix.lower()
    advice = EXPORTS[suffix]
    refuse_special(path)
    if not path.is_file():
        raise InputError(f"{path}: {'is a folder' if path.is_dir() else 'does not exist'}")
    if suffix not in READ_BY_LIBRARY:
        raise InputError(f"{path}: {suffix} is not read; {advice}")
    try:
        from fairmat_readers_xrd import read_file
    except ImportError:
        raise InputError(
            f"{path}: reading {suffix} needs pip install 'fastin[xrd]'; or {advice[0].lower() + advice[1:]}"
        ) from None
    try:
        found = read_file(str(path.with_suffix(suffix)) if path.suffix == suffix else str(path))
        return _from_library(found)
    except Exception as error:  # whatever the file does to the reader
        reason = str(error) or type(error).__name__
        raise InputError(f"{path}: cannot be read as {suffix} ({reason[:120]}); {advice}") from error


def _from_library(found: object) -> Scan:
    if not isinstance(found, dict):
        raise InputError("of a kind that the reader does not know")
    angle, intensity = (_plain(found.get(name)) for name in ("2Theta", "intensity"))
    if angle is None or intensity is None or angle.shape != intensity.shape or angle.ndim != 1:
        raise InputError("no single scan of 2 theta")
    tube = (found.get("metadata") or {}).get("source") or {}
    length = _plain(tube.get("kAlpha1"))
    second, share = _plain(tube.get("kAlpha2")), _plain(tube.get("ratioKAlpha2KAlpha1"))
    mean = None
    if length is not None and float(length) > 0.1:
        mean = float(length)
        if second is not None and float(second) > 0.1:  # the doublet's mean, as in our own CuKa
            weight = float(share) if share is not None else 0.5
            mean = (mean + weight * float(second)) / (1.0 + weight)
    return Scan(angle, intensity, wavelength=mean)


def _plain(value: object) -> FloatArray | None:
    if value is None:
        return None
    magnitude = getattr(value, "magnitude", value)
    array = np.asarray(magnitude, dtype=np.float64)
    return np.squeeze(array)
