"""``fastin serve``."""

from __future__ import annotations

import ipaddress
import sys

import click

from fastin.cli._batch import memory_option
from fastin.cli._common import Finite
from fastin.errors import FastinError, missing_extra
from fastin.runtime.memory import share_of_memory


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8765, show_default=True)
@click.option("--results", help="Results table to browse.")
@click.option("--data", "sources", multiple=True, help="What was screened: rows open from there. May be repeated.")
@click.option("--max-upload", type=Finite(0.001, 1000.0), default=10.0, show_default=True, help="Largest upload (MB).")
@click.option("--time-limit", type=Finite(0.1, 86400.0), default=60.0, show_default=True, help="Seconds a structure.")
@click.option("--allow-host", "hosts", multiple=True, help="Further name under which the server may be addressed.")
@memory_option
def command(
    host: str,
    port: int,
    results: str | None,
    sources: tuple[str, ...],
    max_upload: float,
    time_limit: float,
    hosts: tuple[str, ...],
    memory: int | None,
) -> None:
    """Local web application: upload a structure, see its page, take the files; browse and query a results table."""
    try:
        import uvicorn
    except ImportError:
        click.echo(f"Error: {missing_extra('uvicorn', 'screen')}", err=True)
        sys.exit(2)
    from fastin.serve.app import Settings, create_app
    from fastin.serve.server import configuration

    if not _is_loopback(host):
        click.echo(f"Warning: {host} is reachable from other machines, and there is no login.", err=True)
    names = tuple(dict.fromkeys((*Settings.hosts, host, *hosts)))
    try:
        app = create_app(
            Settings(
                results=results,
                sources=sources,
                max_upload=round(max_upload * 1e6),
                time_limit=time_limit,
                memory_bytes=None if memory is None else share_of_memory(2, memory),
                hosts=names,
            )
        )
    except FastinError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    click.echo(f"http://{f'[{host}]' if ':' in host else host}:{port}  (Ctrl-C stops)")
    server = uvicorn.Server(configuration(app, host=host, port=port))
    server.run()
    if not server.started:  # the address is taken; uvicorn has said so
        sys.exit(2)
