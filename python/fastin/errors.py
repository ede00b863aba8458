"""Errors that fastin raises: each names the source, the site and the remedy."""

from __future__ import annotations


class FastinError(Exception):
    """Base of every error that fastin raises on purpose."""


class InputError(FastinError, ValueError):
    """Input that cannot be used: unreadable file, no such ion, overlapping atoms, empty framework."""


class OxidationStateError(InputError):
    """No set of oxidation states makes the crystal neutral, or the given ones are unusable."""


class DisorderError(InputError):
    """Partial occupancy that no rule can turn into one framework."""


class GeometryError(FastinError, ValueError):
    """A cell or arrangement of atoms that is geometrically impossible (zero volume, coincident atoms)."""


class MissingParameterError(FastinError, LookupError):
    """A tabulated parameter (bond valence pair, radius, scattering factor) that does not exist."""


class ConvergenceError(FastinError, RuntimeError):
    """An iteration or an internal certificate failed; please report the structure."""


class ResourceError(FastinError, MemoryError):
    """The work would take more memory or time than is allowed; the message names the number that makes it large."""


class MissingDependencyError(FastinError, ImportError):
    """An optional library is not installed; the message names the extra to install."""


def missing_extra(package: str, extra: str) -> MissingDependencyError:
    """The error to raise when an optional package is absent."""
    return MissingDependencyError(f"{package} is not installed; install it with: pip install 'fastin[{extra}]'")
