"""Numbers, truth values and texts of public functions are what they are said to be, or a typed error names them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastin
from fastin.errors import FastinError, InputError
from fastin.runtime.arguments import _kinds, checked_arguments, real, real_array

LICL = fastin.examples()["LiCl"]
NO_NUMBERS = (
    "a",
    "0.3",
    math.nan,
    True,
    np.array([0.3]),
    np.array([1.0, 2.0]),
    [],
    {},
    1 + 2j,
    10**400,
    np.bool_(True),
)


def public() -> Iterator[tuple[str, Any]]:
    """Functions, and methods of classes, that the package offers."""
    for name in fastin.__all__:
        held = getattr(fastin, name)
        if inspect.isclass(held) and not issubclass(held, Exception):
            for method, part in vars(held).items():
                function = part.__func__ if isinstance(part, classmethod) else part
                inner = f"{name}.{method}" == "RelaxedHops.assemble"  # not for users
                if not method.startswith("_") and inspect.isfunction(function) and not inner:
                    yield f"{name}.{method}", function
        elif inspect.isfunction(held):
            yield name, held


def arguments(scalars: set[str]) -> list[Any]:
    """(function, argument) of all that take one of these scalars, or nothing besides."""
    found = []
    for name, function in public():
        for argument, kind in _kinds(function.__annotations__).items():
            plain = not kind.others and not kind.sequences and not kind.values
            if plain and scalars & set(kind.scalars) and set(kind.scalars) <= scalars | {"None"}:
                found.append(pytest.param(function, argument, kind, id=f"{name}-{argument}"))
    return found


def call(function: Any, argument: str, value: Any) -> None:
    first = [object()] if next(iter(inspect.signature(function).parameters)) in ("self", "cls") else []
    function(*first, **{argument: value})


@pytest.mark.parametrize(("function", "argument", "kind"), arguments({"float", "int"}))
def test_numbers_are_numbers(function: Any, argument: str, kind: Any) -> None:
    """Every argument annotated as a number, of every public function: nothing else goes further."""
    if function in (fastin.num_threads, fastin.set_num_threads):
        return  # they have their own checks, below
    for value in NO_NUMBERS:
        if isinstance(value, int) and value is not True and "int" in kind.scalars:
            continue
        with pytest.raises(InputError, match=argument):
            call(function, argument, value)
    if "None" not in kind.scalars:
        with pytest.raises(InputError, match=argument):
            call(function, argument, None)
    if "float" not in kind.scalars:
        with pytest.raises(InputError, match="whole number"):
            call(function, argument, 2.5)


@pytest.mark.parametrize(("function", "argument", "kind"), arguments({"bool"}))
def test_yes_and_no_are_not_text(function: Any, argument: str, kind: Any) -> None:
    """``strict="false"`` is true for Python."""
    for value in ("false", "no", 2, 0.5, [], np.array([True])):
        with pytest.raises(InputError, match="True or False"):
            call(function, argument, value)


def test_there_are_many() -> None:
    assert len(arguments({"float", "int"})) > 40
    assert len(arguments({"bool"})) > 15


@pytest.mark.parametrize("value", [0.3, np.float32(0.3), np.float64(0.3), np.array(0.3)])
def test_numpy_scalars_are_numbers(value: Any) -> None:
    assert fastin.compute_bvse(LICL, resolution=value).shape == fastin.compute_bvse(LICL, resolution=0.3).shape
    assert fastin.order(LICL, n=np.int64(1), seed=2.0).structures


def test_positional_arguments_are_checked_too() -> None:
    barriers = fastin.compute_barriers(LICL)
    assert barriers.dimensionality(math.inf) == 3
    for value in ("1", None, True, math.nan):
        with pytest.raises(InputError, match="dimensionality: limit"):
            barriers.dimensionality(value)


def test_the_wrapper_keeps_the_function() -> None:
    @checked_arguments
    def f(
        first: Any, second: float = 1.0, *rest: Any, pair: tuple[float, float] = (0.0, 1.0), other: str | float = ""
    ) -> Any:
        """Words."""
        return first, second, rest, pair, other

    assert f.__name__ == "f"
    assert f.__doc__ == "Words."
    assert f("x", 2, 3, pair=[1, 2], other="y") == ("x", 2.0, (3,), (1.0, 2.0), "y")
    assert f("x", other=np.float64(3.0)) == ("x", 1.0, (), (0.0, 1.0), 3.0)
    with pytest.raises(InputError, match="f: pair must be 2 numbers, not"):
        f("x", pair=(1, 2, 3))
    with pytest.raises(InputError, match="f: other must be text or a number"):
        f("x", other=None)


@pytest.mark.parametrize("value", [*(v for v in NO_NUMBERS if v is not True), None, "x" * 500])
def test_values_in_mappings_and_arrays(value: Any) -> None:
    with pytest.raises(FastinError, match="radi"):
        fastin.compute_network(LICL, radii={"Cl": value})
    with pytest.raises(FastinError, match="oxidation state"):
        fastin.compute_network(LICL, oxidation_states={"Li": value, "Cl": -1})
    with pytest.raises(FastinError, match="measured"):
        fastin.predict(LICL, measured={"conductivity": value})
    if not (isinstance(value, float) and math.isnan(value)):
        with pytest.raises(InputError):
            real(value, "value")
    if not isinstance(value, np.bool_):  # numpy has made a number of it
        with pytest.raises(FastinError):
            fastin.fit_arrhenius([300.0, 400.0, value], [1e-3, 1e-2, 1e-1])


@pytest.mark.parametrize("measured", [{"conductivity": 1e300}, {"conductivity": 1e4}, {"activation_energy": 28.9}])
def test_measured_quantities_in_other_units(measured: dict[str, float]) -> None:
    """28.9 is 0.30 eV in kJ/mol."""
    with pytest.raises(InputError, match="none that crystals have; it is in"):
        fastin.predict(LICL, measured=measured)


@pytest.mark.parametrize("values", ["a", ["a"], [1, [2]], [True], 1 + 2j, {}, [None], [10**400]])
def test_arrays_of_numbers(values: Any) -> None:
    with pytest.raises(InputError, match="things must be numbers"):
        real_array(values, "things")


@pytest.mark.parametrize("source", [None, 3, 2.5, [1], {}, b"x", object()])
def test_sources_that_are_none(source: Any) -> None:
    for read in (fastin.Crystal.from_file, fastin.Crystal.from_cif_string, fastin.Crystal.from_atoms):
        with pytest.raises(InputError):
            read(source)
    with pytest.raises(InputError):
        fastin.Crystal.from_structure(source)
    with pytest.raises(InputError):
        fastin.compute_network(source)


@pytest.mark.parametrize("value", ["a", 0, -1, 1.5, True])
def test_threads(value: Any) -> None:
    with pytest.raises(InputError), fastin.num_threads(value):
        pass


@pytest.mark.parametrize("choices", [0, -3, 10**12])
def test_choices_within_reason(choices: int) -> None:
    paths = fastin.compute_paths(LICL)
    with pytest.raises(InputError, match="choices"):
        paths.blocked_barriers(choices)
    with pytest.raises(InputError, match="images"):
        paths.neb_images(0, 10**12)


def test_points_and_shapes_of_a_grid() -> None:
    grid = fastin.compute_bvse(LICL, resolution=0.5)
    for point in ([math.nan, 0, 0], [math.inf, 0, 0], [1e300, 0, 0]):
        with pytest.raises(InputError, match="frac"):
            grid.interpolate([point])
    with pytest.raises(FastinError, match="memory"):
        grid.resample((4000, 4000, 4000))
