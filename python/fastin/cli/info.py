"""``fastin info``."""

from __future__ import annotations

import click

from fastin.runtime.config import show_config


@click.command("info")
def command() -> None:
    """Versions, threads, SIMD level, OpenMP runtime, CUDA."""
    show_config()
