"""The ``fastin`` command, and the exit status of every subcommand (see `EXIT_STATUSES`)."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import click

from fastin import __version__
from fastin.errors import FastinError
from fastin.runtime.plain import PlainStream

#: One table for all subcommands; docs/guide/exit-statuses.md explains it.
EXIT_STATUSES = {
    0: "everything was computed",
    1: "some inputs failed, each with its error; the others are there",
    2: "nothing was computed: wrong usage, an output that cannot be written, an option or file that cannot work",
    70: "an error that fastin did not expect; please report it",
    130: "interrupted (Ctrl-C)",
    141: "the reader of the output went away",
    143: "terminated (SIGTERM)",
}
CANNOT_RUN, UNEXPECTED, INTERRUPTED, NO_READER = 2, 70, 130, 141

# subcommand -> (module with a click command named `command`, one-line help); loaded only when used.
_COMMANDS: dict[str, tuple[str, str]] = {
    "analyze": ("fastin.cli.analyze", "The main job: network, barriers and descriptors of each structure."),
    "network": ("fastin.cli.network", "Voids and bottlenecks of one structure; writes network files."),
    "bvse": ("fastin.cli.bvse", "Bond valence energy landscape as a grid file."),
    "barriers": ("fastin.cli.barriers", "BVSE grid and 1D/2D/3D percolation barriers."),
    "paths": ("fastin.cli.paths", "Inequivalent hops with energies; NEB images."),
    "order": ("fastin.cli.order", "Neutral ordered cells of partly occupied crystals."),
    "relax": ("fastin.cli.relax", "Barriers with everything relaxed by a machine-learned or any ASE potential."),
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
    "examples": ("fastin.cli.examples", "The bundled example crystals; copies of them."),
    "completion": ("fastin.cli.completion", "Completion of commands and options in bash, zsh or fish."),
    "info": ("fastin.cli.info", "Versions, threads, SIMD level, OpenMP runtime, CUDA."),
}


def _leave(status: int, message: str = "") -> NoReturn:
    with contextlib.suppress(OSError):
        if message:
            click.echo(message, err=True)
    try:
        sys.stdout.flush()
    except (OSError, ValueError):  # what is still buffered goes nowhere: at its end Python would try again, status 120
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(status)


@contextlib.contextmanager
def _statuses() -> Iterator[None]:
    """Whatever ends a subcommand early gives its status of `EXIT_STATUSES`, and a line that says why."""
    try:
        yield
    except click.exceptions.Exit:
        raise
    except (KeyboardInterrupt, click.Abort):
        _leave(INTERRUPTED, "interrupted")
    except click.ClickException as error:
        from fastin.cli._suggest import suggested

        suggested(error).show()
        raise SystemExit(CANNOT_RUN) from error
    except FastinError as error:
        _leave(CANNOT_RUN, f"Error: {error}")
    except OSError as error:
        if error.errno != errno.EPIPE:
            _leave(CANNOT_RUN, f"Error: {error}")
        _leave(NO_READER)
    except MemoryError:
        _leave(UNEXPECTED, "Error: out of memory")
    except Exception:
        traceback.print_exc()
        _leave(UNEXPECTED, f"Error: fastin {__version__} did not expect this; please report it with the lines above")


def _plain(stream: Any) -> Any:
    return stream if stream is None else PlainStream(stream)


class _LazyGroup(click.Group):
    """Loads a subcommand's module when it is called, so that ``fastin --help`` stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = importlib.import_module(_COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        from fastin.cli._polish import polish

        return polish(command, cmd_name)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """As click's, but with the statuses of `EXIT_STATUSES`."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, **extra)
        with (
            _statuses(),
            contextlib.redirect_stdout(_plain(sys.stdout)),
            contextlib.redirect_stderr(_plain(sys.stderr)),
        ):
            try:
                status = super().main(args, prog_name, complete_var, False, **extra)
            finally:  # however it ends: at its own end Python would only say 120
                sys.stdout.flush()
            raise SystemExit(status if isinstance(status, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the subcommand; here, because click itself gives an interrupt and a lost reader the status 1."""
        with _statuses():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])
        with formatter.section("Exit status"):
            formatter.write_dl([(str(status), text) for status, text in EXIT_STATUSES.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fastin")
def main() -> None:
    """Interstitial networks, BVSE barriers and learning for solid electrolytes."""
