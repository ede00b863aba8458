"""``fastin completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the script that completes fastin's commands, options and files in SHELL."""
    found = get_completion_class(shell)
    assert found is not None
    completer = found(context.find_root().command, {}, "fastin", "_FASTIN_COMPLETE")
    click.echo(completer.source_template % completer.source_vars())
