"""Every public name exists, is documented and stays."""

from __future__ import annotations

import inspect

import pytest

import fastin
from fastin import cli

PROMISED = {
    *("Crystal", "InterstitialNetwork", "EnergyGrid", "Barriers", "compute_network", "compute_bvse"),
    *("compute_barriers", "show_config", "FastinError", "InputError", "OxidationStateError", "describe"),
    *("MissingParameterError", "DisorderError", "GeometryError"),
}


def test_promised_names_are_public():
    assert set(fastin.__all__) >= PROMISED


@pytest.mark.parametrize("name", [n for n in fastin.__all__ if n != "__version__"])
def test_name_loads_and_is_documented(name):
    value = getattr(fastin, name)
    assert inspect.getdoc(value), f"{name} has no docstring"


def test_unknown_name():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = fastin.no_such_name


@pytest.mark.parametrize("name", list(cli._COMMANDS))
def test_command_has_help(name):
    command = cli.main.get_command(None, name)
    assert command is not None
    assert command.help


def test_errors_are_value_errors_too():
    assert issubclass(fastin.InputError, ValueError)
    assert issubclass(fastin.GeometryError, ValueError)
    assert issubclass(fastin.MissingParameterError, LookupError)
    for name in ("InputError", "OxidationStateError", "MissingParameterError", "DisorderError", "GeometryError"):
        assert issubclass(getattr(fastin, name), fastin.FastinError)
