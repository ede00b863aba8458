"""What a mistyped option or command was probably meant to be, for all commands in one place."""

from __future__ import annotations

import difflib
import re

import click

_LEAST = 0.6  # likeness of two names, as `difflib` measures it


def suggested(error: click.ClickException) -> click.ClickException:
    """The error, with the options or commands that the mistyped one was probably meant to be."""
    context = getattr(error, "ctx", None)
    if context is None:
        return error
    if isinstance(error, click.NoSuchOption):
        names = [name for p in context.command.params for name in (*p.opts, *p.secondary_opts) if name[:2] == "--"]
        typed, kind = error.option_name, "option"
    else:
        found = re.match(r"No such command '(.*?)'", error.message)
        if found is None or not isinstance(context.command, click.Group):
            return error
        typed, kind, names = found[1], "command", context.command.list_commands(context)
    close = closest(typed, names)
    meant = f" Did you mean {' or '.join(close)}?" if close else ""
    return click.UsageError(f"No such {kind} {typed!r}.{meant}", context)


def closest(typed: str, names: list[str]) -> list[str]:
    """At most three: those that begin with what was typed, else the most alike."""
    bare = {name.lstrip("-"): name for name in names}  # the dashes that all begin with make none of them alike
    word = typed.lstrip("-")
    begun = [name for name in bare if len(word) > 1 and name.startswith(word)]
    return [bare[name] for name in begun[:3] or difflib.get_close_matches(word, bare, n=3, cutoff=_LEAST)]
