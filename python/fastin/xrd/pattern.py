"""Powder patterns of crystals, computed in the C++ core."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastin.errors import InputError, MissingParameterError
from fastin.runtime.arguments import checked_arguments, real
from fastin.runtime.late import later
from fastin.runtime.openmp import _core
from fastin.runtime.threads import resolve_threads
from fastin.xrd.profiles import PeakProfile

#: Characteristic wavelengths in angstrom; "Ka" is the weighted mean of the K-alpha doublet.
WAVELENGTHS: dict[str, float] = {
    "CuKa": 1.54184,
    "CuKa1": 1.54056,
    "CuKa2": 1.54439,
    "CuKb1": 1.39222,
    "MoKa": 0.71073,
    "MoKa1": 0.70930,
    "MoKa2": 0.71359,
    "MoKb1": 0.63229,
    "CrKa": 2.29100,
    "CrKa1": 2.28970,
    "CrKa2": 2.29361,
    "CrKb1": 2.08487,
    "FeKa": 1.93735,
    "FeKa1": 1.93604,
    "FeKa2": 1.93998,
    "FeKb1": 1.75661,
    "CoKa": 1.79026,
    "CoKa1": 1.78896,
    "CoKa2": 1.79285,
    "CoKb1": 1.63079,
    "AgKa": 0.560885,
    "AgKa1": 0.559421,
    "AgKa2": 0.563813,
    "AgKb1": 0.497082,
}
_SHORTEST = 0.1  # angstrom (124 keV); shorter ones are mistaken units, and their patterns sums of millions of peaks


@dataclass(frozen=True, eq=False)
class PowderPeaks:
    """Peaks in order of rising angle; equivalent reflections are one peak.

    Attributes:
        two_theta: (P,) degrees.
        intensity: (P,) strongest = 1.
        spacing: (P,) lattice-plane spacing d, angstrom.
        hkl: (P, 3) Miller indices of one of the reflections.
        multiplicity: (P,) how many reflections fall together.
        wavelength: angstrom.
    """

    two_theta: NDArray[np.float64]
    intensity: NDArray[np.float64]
    spacing: NDArray[np.float64]
    hkl: NDArray[np.int32]
    multiplicity: NDArray[np.int32]
    wavelength: float

    def __len__(self) -> int:
        return len(self.two_theta)

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """Sticks, the strongest with their indices.

        Args:
            ax: matplotlib axes to draw into; None makes a figure.
            **options: of `fastin.view.plots.plot_peaks`: source.

        Returns:
            The axes.

        Raises:
            MissingDependencyError: matplotlib is not installed (extra ``view``).
        """
        return later("plot peaks")(self, ax, **options)


@dataclass(frozen=True, eq=False)
class ScatteringAtoms:
    """What a pattern needs of a crystal: one row a (position, species)."""

    source: str
    cell: NDArray[np.float64]
    frac: NDArray[np.float64]
    number: NDArray[np.int32]
    occupancy: NDArray[np.float64]


def resolve_wavelength(wavelength: str | float) -> float:
    """Wavelength in angstrom of a name of `WAVELENGTHS` or a number."""
    if isinstance(wavelength, str):
        for name, value in WAVELENGTHS.items():
            if name.lower() == wavelength.lower():
                return value
        raise InputError(f"unknown radiation {wavelength!r}; known: {', '.join(WAVELENGTHS)}; or give angstrom")
    if not (math.isfinite(wavelength) and wavelength > 0.0):
        raise InputError(f"the wavelength must be a positive number of angstrom, not {wavelength}")
    if wavelength < _SHORTEST:
        raise InputError(
            f"a wavelength of {wavelength:g} angstrom is below {_SHORTEST} and no powder pattern's: give angstrom, not "
            f"nanometres (CuKa is {WAVELENGTHS['CuKa']})"
        )
    return float(wavelength)


@cache
def _coefficients() -> dict[int, tuple[str, list[float]]]:
    """Atomic number -> (element, (Z, a1..a4, b1..b4))."""
    text = resources.files("fastin").joinpath("data/xray_scattering_factors.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    keys = [f"{letter}{i}" for letter in "ab" for i in range(1, 5)]
    return {
        int(row["number"]): (row["element"], [float(row["number"]), *(float(row[key]) for key in keys)]) for row in rows
    }


def scattering_atoms(source: Any) -> ScatteringAtoms:
    """The atoms of a path, pymatgen ``Structure``, ASE ``Atoms`` or `Crystal`; needs no oxidation states."""
    if isinstance(source, ScatteringAtoms):
        return source
    if hasattr(source, "lattice") and hasattr(source, "sites"):  # pymatgen Structure
        return _from_structure(source)
    if isinstance(source, str | Path):
        from fastin.crystal.files import read_sites

        sites, name = read_sites(Path(source))
        return _from_rows(sites, name)
    if hasattr(source, "get_scaled_positions"):  # ASE Atoms
        from fastin.crystal.files import sites_from_atoms

        name = f"Atoms {source.get_chemical_formula(empirical=True)}"
        return _from_rows(sites_from_atoms(source, name), name)
    if all(hasattr(source, name) for name in ("cell", "frac", "number", "occupancy")):  # Crystal, or rows as read
        return _from_rows(source, getattr(source, "source", "crystal"))
    raise InputError(
        f"cannot read a crystal from {type(source).__name__}; give a path, a pymatgen Structure, ASE Atoms or a Crystal"
    )


def _from_rows(rows: Any, source: str) -> ScatteringAtoms:
    return ScatteringAtoms(
        source=source,
        cell=np.ascontiguousarray(rows.cell, dtype=np.float64),
        frac=np.ascontiguousarray(rows.frac, dtype=np.float64),
        number=np.ascontiguousarray(rows.number, dtype=np.int32),
        occupancy=np.ascontiguousarray(rows.occupancy, dtype=np.float64),
    )


def _from_structure(structure: Any) -> ScatteringAtoms:
    frac: list[Any] = []
    number: list[int] = []
    occupancy: list[float] = []
    for site in structure:
        for species, amount in site.species.items():
            frac.append(site.frac_coords)
            number.append(species.Z)
            occupancy.append(amount)
    return ScatteringAtoms(
        source=f"pymatgen Structure of {len(structure)} sites",
        cell=np.array(structure.lattice.matrix, dtype=np.float64),
        frac=np.array(frac, dtype=np.float64).reshape(-1, 3),
        number=np.array(number, dtype=np.int32),
        occupancy=np.array(occupancy, dtype=np.float64),
    )


def _scatterers(
    atoms: Sequence[ScatteringAtoms], debye_waller: float | Mapping[str, float] | None
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Table (T, 10) of the elements present, and the map atomic number -> row."""
    known = _coefficients()
    row_of = np.full(max(128, max((int(a.number.max(initial=0)) for a in atoms), default=0) + 1), -1, dtype=np.int32)
    rows: list[list[float]] = []
    for crystal in atoms:
        for number in set(crystal.number.tolist()):
            if row_of[number] >= 0:
                continue
            if number not in known:
                raise MissingParameterError(
                    f"{crystal.source}: no X-ray scattering factor for atomic number {number} (tabulated: 1 to 98)"
                )
            element, coefficients = known[number]
            if isinstance(debye_waller, Mapping):
                factor = float(debye_waller.get(element, 0.0))
            else:
                factor = float(debye_waller or 0.0)
            if not (factor >= 0.0 and math.isfinite(factor)):
                raise InputError(f"the Debye-Waller factor of {element} must be finite and not negative, not {factor}")
            row_of[number] = len(rows)
            rows.append([*coefficients, factor])
    return np.array(rows, dtype=np.float64).reshape(-1, 10), row_of


def _grid(two_theta: tuple[float, float], step: float) -> tuple[float, float, int]:
    start, stop = float(two_theta[0]), float(two_theta[1])
    if not (0.0 <= start < stop <= 180.0):
        raise InputError(f"two_theta must be a range within 0 to 180 degrees, not {two_theta}")
    if not (step > 0.0 and math.isfinite(step)):
        raise InputError(f"step must be a positive number of degrees, not {step}")
    bins = math.floor((stop - start) / step + 1e-6) + 1
    if bins > 10_000_000:
        raise InputError(f"a step of {step} degrees makes {bins} bins; use a larger one")
    return start, stop, bins


def _profile(fwhm: float | PeakProfile | None, shape: str) -> list[float]:
    if fwhm is None:
        return []
    return (fwhm if isinstance(fwhm, PeakProfile) else PeakProfile.named(shape, real(fwhm, "fwhm"))).parameters


def xrd_peaks(
    source: Any,
    *,
    wavelength: str | float = "CuKa",
    two_theta: tuple[float, float] = (0.0, 90.0),
    debye_waller: float | Mapping[str, float] | None = None,
) -> PowderPeaks:
    """Reflections of a crystal as powder peaks.

    Structure factors with partial occupancies, Lorentz-polarisation factor (1 + cos^2 2theta) / (sin^2 theta cos
    theta), no anomalous dispersion, no absorption (M. De Graef and M. E. McHenry, Structure of Materials, ch. 12).
    Peaks weaker than 1e-5 of the strongest are left out.

    Args:
        source: path, pymatgen ``Structure``, ASE ``Atoms`` or `Crystal`.
        wavelength: a name of `WAVELENGTHS` or angstrom.
        two_theta: range in degrees.
        debye_waller: isotropic B in angstrom^2, one for all or by element.

    Raises:
        InputError: unusable range, wavelength or structure.
        MissingParameterError: an element without a scattering factor.
    """
    atoms = scattering_atoms(source)
    _grid(two_theta, 1.0)
    table, row_of = _scatterers([atoms], debye_waller)
    length = resolve_wavelength(wavelength)
    angle, intensity, spacing, hkl, multiplicity = _core.xrd_peaks(
        atoms.cell, atoms.frac, atoms.occupancy, row_of[atoms.number], table, length, *map(float, two_theta)
    )
    highest = intensity.max(initial=0.0)
    return PowderPeaks(
        two_theta=angle,
        intensity=intensity / highest if highest > 0 else intensity,
        spacing=spacing,
        hkl=hkl,
        multiplicity=multiplicity,
        wavelength=length,
    )


def xrd_patterns(
    sources: Iterable[Any],
    *,
    wavelength: str | float = "CuKa",
    two_theta: tuple[float, float] = (0.0, 90.0),
    step: float = 0.02,
    fwhm: float | PeakProfile | None = None,
    shape: str = "pseudo-voigt",
    debye_waller: float | Mapping[str, float] | None = None,
    num_threads: int | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Patterns of many crystals on one grid; see `xrd_pattern`.

    Returns:
        The angles (B,) in degrees and the intensities (N, B) float32, each row's strongest bin 1.
    """
    atoms = [scattering_atoms(source) for source in sources]
    start, stop, bins = _grid(two_theta, step)
    table, row_of = _scatterers(atoms, debye_waller)
    first = np.zeros(len(atoms) + 1, dtype=np.int64)
    np.cumsum([len(a.number) for a in atoms], out=first[1:])
    if atoms:
        cells = np.stack([a.cell for a in atoms])
        frac = np.concatenate([a.frac for a in atoms])
        occupancy = np.concatenate([a.occupancy for a in atoms])
        scatterer = row_of[np.concatenate([a.number for a in atoms])]
    else:
        cells, frac = np.zeros((0, 3, 3)), np.zeros((0, 3))
        occupancy, scatterer = np.zeros(0), np.zeros(0, dtype=np.int32)
    patterns: NDArray[np.float32] = _core.xrd_patterns(
        cells,
        first,
        frac,
        occupancy,
        scatterer,
        table,
        resolve_wavelength(wavelength),
        (start, stop),
        bins,
        float(step),
        _profile(fwhm, shape),
        resolve_threads(num_threads),
    )
    return start + step * np.arange(bins, dtype=np.float64), patterns


@checked_arguments
def xrd_pattern(
    source: Any,
    *,
    wavelength: str | float = "CuKa",
    two_theta: tuple[float, float] = (0.0, 90.0),
    step: float = 0.02,
    fwhm: float | PeakProfile | None = None,
    shape: str = "pseudo-voigt",
    debye_waller: float | Mapping[str, float] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Powder pattern of a crystal on a uniform grid of 2 theta.

    By default the stick pattern of XRDMatch's data (Q. Wan et al., Energy Environ. Sci. 17, 9487 (2024)): Cu K-alpha,
    0 to 90 degrees in steps of 0.02, 4501 bins; a reflection at angle t falls into bin ``ceil((t - start) / step)``,
    intensities in one bin add up and the strongest bin is 1.

    Args:
        source: path, pymatgen ``Structure``, ASE ``Atoms`` or `Crystal`.
        wavelength: a name of `WAVELENGTHS` ("CuKa", "MoKa1", ...) or angstrom.
        two_theta: first and last angle, degrees.
        step: degrees.
        fwhm: ``None`` for sticks; a width in degrees or a `PeakProfile` (Caglioti width) for peaks.
        shape: ``"gaussian"``, ``"lorentzian"`` or ``"pseudo-voigt"`` (half and half) where `fwhm` is a number.
        debye_waller: isotropic B in angstrom^2, one for all or by element.

    Returns:
        Angles (B,) float64 in degrees and intensities (B,) float32, highest 1 (all 0 if nothing diffracts).

    Raises:
        InputError: unusable range, step, width or structure.
        MissingParameterError: an element without a scattering factor.
    """
    angles, patterns = xrd_patterns(
        [source],
        wavelength=wavelength,
        two_theta=two_theta,
        step=step,
        fwhm=fwhm,
        shape=shape,
        debye_waller=debye_waller,
        num_threads=1,
    )
    return angles, patterns[0]
