"""Which potential computes energies and forces: a name, a factory or an ASE calculator.

Names: ``chgnet`` and ``sevennet`` (weights inside their wheels, extra ``mlip``), ``mace:PATH`` (a MACE model file),
``module:factory`` (a function without arguments that returns an ASE calculator). A name can be sent to other processes
and stands in results and checkpoints; a calculator object works in this process only.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastin.errors import FastinError, InputError, missing_extra

NAMED = ("sevennet", "chgnet", "mace:PATH", "module:factory")
_ELEMENTS_OF_MPTRJ = frozenset(range(1, 95)) - frozenset(range(84, 89))  # no Po, At, Rn, Fr, Ra


@dataclass(frozen=True, eq=False)
class Potential:
    """An ASE calculator and what is known of it.

    Attributes:
        name: of the potential, in tables and checkpoints.
        make: returns a new calculator.
        spec: the name that makes it in another process; None for an object of this process.
        known: atomic numbers that it can compute; None where nothing says.
        trained: atomic numbers in its training data; None where nothing says.
    """

    name: str
    make: Callable[[], Any]
    spec: str | None = None
    known: frozenset[int] | None = None
    trained: frozenset[int] | None = None
    _made: list[Any] = field(default_factory=list, repr=False)

    def calculator(self) -> Any:
        """The calculator, made once.

        Raises:
            InputError: it cannot be made.
        """
        if not self._made:
            try:
                made = self.make()
            except FastinError:
                raise
            except Exception as error:
                raise InputError(f"calculator {self.name}: {type(error).__name__}: {error}") from error
            if not hasattr(made, "get_property"):
                raise InputError(f"calculator {self.name}: {type(made).__name__} is no ASE calculator")
            self._made.append(made)
        return self._made[0]

    def refuse_unknown(self, numbers: Iterable[int], source: str) -> None:
        """Raises where the potential cannot compute an element.

        Raises:
            InputError: names the elements.
        """
        from fastin.crystal.elements import symbol

        known = self.known if self.known is not None else _known_to(self.calculator())
        unknown = sorted(set(map(int, numbers)) - known) if known is not None else []
        if unknown:
            raise InputError(
                f"{source}: the potential {self.name} does not know {', '.join(symbol(z) for z in unknown)}; "
                "choose another calculator"
            )

    def unseen(self, numbers: Iterable[int]) -> tuple[str, ...]:
        """Symbols of elements that the potential computes without having been trained on them."""
        from fastin.crystal.elements import symbol

        if self.trained is None:
            return ()
        return tuple(symbol(z) for z in sorted(set(map(int, numbers)) - self.trained))


def load_potential(calculator: Any) -> Potential:
    """The potential that a user means.

    Args:
        calculator: a name (see the module), an ASE calculator, a function without arguments that returns one, or a
            `Potential`.

    Raises:
        InputError: no such name, a model file that is not there, or an object that is no calculator.
        MissingDependencyError: the library of a named potential is not installed.
    """
    if isinstance(calculator, Potential):
        return calculator
    _need_ase()
    if calculator is None:
        raise InputError(f"no calculator: give one of {', '.join(NAMED)}, or an ASE calculator")
    if isinstance(calculator, str):
        return _named(calculator)
    if hasattr(calculator, "get_property") and not inspect.isclass(calculator):
        name = getattr(calculator, "name", None)
        name = name if isinstance(name, str) and name != "unknown" else type(calculator).__name__
        return Potential(name, lambda: calculator)
    if callable(calculator) and not inspect.isclass(calculator):
        return Potential(getattr(calculator, "__name__", "calculator"), calculator)
    raise InputError(
        f"{calculator!r} is no calculator: give one of {', '.join(NAMED)}, an ASE calculator or a function that makes "
        "one"
    )


def _known_to(calculator: Any) -> frozenset[int] | None:
    """Atomic numbers that a calculator says it knows, as MACE, SevenNet and others spell it; None where none says."""
    for known in (
        getattr(calculator, "known_elements", None),
        getattr(getattr(calculator, "z_table", None), "zs", None),
        getattr(calculator, "type_map", None),
    ):
        if known is not None:
            return frozenset(int(z) for z in known)
    return None


def _need_ase() -> None:
    if find_spec("ase") is None:
        raise missing_extra("ase", "mlip")


def _named(spec: str) -> Potential:
    name, _, rest = spec.partition(":")
    if spec.lower() in ("chgnet", "sevennet"):
        library = {"chgnet": "chgnet", "sevennet": "sevenn"}[spec.lower()]
        if find_spec(library) is None:
            raise missing_extra(library, "mlip")
        return _chgnet() if spec.lower() == "chgnet" else _sevennet()
    if name == "mace" and rest:
        if find_spec("mace") is None:
            raise InputError("mace is not installed; install it with: pip install mace-torch")
        if not Path(rest).is_file():
            raise InputError(f"calculator {spec}: there is no file {rest}")
        return Potential(f"mace:{Path(rest).name}", lambda: _mace(rest), spec=f"mace:{Path(rest).resolve()}")
    if rest and name not in ("chgnet", "sevennet", "mace"):
        return Potential(spec, _factory(spec, name, rest), spec=spec)
    raise InputError(f"unknown calculator {spec!r}: give one of {', '.join(NAMED)}")


def _factory(spec: str, module: str, function: str) -> Callable[[], Any]:
    here = str(Path.cwd())  # as with python -m; the fastin command alone does not look there
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    try:
        made: Callable[[], Any] = getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        where = (
            f"; {module}.py belongs into {here} or onto PYTHONPATH" if error.name == module.partition(".")[0] else ""
        )
        raise InputError(f"calculator {spec!r}: {error}{where}") from error
    except Exception as error:
        raise InputError(f"calculator {spec!r}: {type(error).__name__}: {error}") from error
    if not callable(made):
        raise InputError(f"calculator {spec!r}: {function} is no function that makes an ASE calculator")
    return made


def _chgnet() -> Potential:
    def make() -> Any:
        from fastin.relax.chgnet import CHGNetForces

        return CHGNetForces()

    return Potential("chgnet", make, "chgnet", frozenset(range(1, 95)), _ELEMENTS_OF_MPTRJ)


def _sevennet() -> Potential:
    def make() -> Any:
        from fastin.relax.sevennet import sevennet_forces

        return sevennet_forces()

    return Potential("sevennet", make, "sevennet", _ELEMENTS_OF_MPTRJ, _ELEMENTS_OF_MPTRJ)


def _mace(path: str) -> Any:
    from mace.calculators import MACECalculator

    return MACECalculator(model_paths=path, device="cpu")
