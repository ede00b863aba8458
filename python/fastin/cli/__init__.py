"""The ``fastin`` command. Exit status: 0 ok, 1 some inputs failed (the rest written), 2 usage."""

from __future__ import annotations

import errno
import importlib

import click

from fastin import __version__
from fastin.errors import FastinError

# subcommand -> (module with a click command named `command`, one-line help); loaded only when used.
_COMMANDS: dict[str, tuple[str, str]] = {
    "analyze": ("fastin.cli.analyze", "The main job: network, barriers and descriptors of each structure."),
    "network": ("fastin.cli.network", "Voids and bottlenecks of one structure; writes network files."),
    "barriers": ("fastin.cli.barriers", "BVSE grid and 1D/2D/3D percolation barriers."),
    "paths": ("fastin.cli.paths", "Inequivalent hops with energies; NEB images."),
    "predict": ("fastin.cli.predict", "Activation energy and conductivity from the shipped model."),
    "xrd": ("fastin.cli.xrd", "Powder pattern; superionic classification of patterns."),
    "screen": ("fastin.cli.screen", "Thousands of structures into one resumable table."),
    "top": ("fastin.cli.top", "Best rows of a results table."),
    "report": ("fastin.cli.report", "Self-contained page of a results table."),
    "serve": ("fastin.cli.serve", "Local web application."),
    "view": ("fastin.cli.view", "Self-contained page of one structure."),
    "arrhenius": ("fastin.cli.arrhenius", "Fit measured conductivities."),
    "dataset": ("fastin.cli.dataset", "Build graph data sets with BVSE labels."),
    "train": ("fastin.cli.train", "Train a model from a TOML file."),
    "evaluate": ("fastin.cli.evaluate", "Evaluate a trained model."),
    "info": ("fastin.cli.info", "Versions, threads, SIMD level, OpenMP runtime, CUDA."),
}


class _OutputFailure(click.ClickException):
    exit_code = 2


class _LazyGroup(click.Group):
    """Loads a subcommand's module when it is called, so that ``fastin --help`` stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = importlib.import_module(_COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> object:
        """What a subcommand does not handle (a missing extra, a full disk) is one line, not a traceback."""
        try:
            return super().invoke(ctx)
        except FastinError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader of our output has seen enough: click's to handle
                raise
            raise _OutputFailure(str(error)) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fastin")
def main() -> None:
    """Interstitial networks, BVSE barriers and learning for solid electrolytes."""
