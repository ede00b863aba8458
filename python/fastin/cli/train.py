"""``fastin train``: trains a model from a TOML file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fastin.errors import FastinError
from fastin.runtime.files import refuse_special


def _train_graph_model(path: Path, resume: bool) -> None:
    """Models on graphs (`fastin.ml.models.MODELS`)."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from fastin.cli._common import stderr_console, stdout_console
    from fastin.ml._require import require

    require("torch")
    from fastin.ml.config import TrainConfig
    from fastin.ml.train import train

    config = TrainConfig.from_toml(path)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[scores]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr_console()) as bar:
        line = bar.add_task(config.model, total=config.epochs, scores="")

        def report(row: dict[str, float]) -> None:
            text = f"epoch {row['epoch']:.0f}: validation R2 {row['validation_r2']:.3f}, loss {row['train_loss']:.4f}"
            bar.update(line, completed=row["epoch"], scores=text)

        result = train(config, resume=resume, report=report)
    for target, scores in result.metrics["test"].items():
        text = ", ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in scores.items())
        stdout_console().print(f"test {target}: {text}", markup=False)
    if config.initial:
        before = result.metrics["test_seen_before"]
        known = "its card does not say how many" if before is None else str(before)
        text = f"test: {known} of {len(result.split.test)} structures have a formula"
        stdout_console().print(f"{text} that {config.initial} was trained on", markup=False)
    stdout_console().print(f"run folder: {config.run}", markup=False)


def _train_pattern_model(path: Path, resume: bool) -> None:
    """XRDMatch, on powder patterns."""
    from fastin.cli._common import stdout_console
    from fastin.ml._require import require

    require("torch")
    from fastin.xrd.match import train_from_toml

    model, run = train_from_toml(path, resume=resume)
    counts = f"{model.notes['labelled']} labelled and {model.notes['unlabelled']} unlabelled patterns"
    stdout_console().print(f"{model.members} networks on {counts}; run folder: {run}", markup=False)


#: Models that have a training of their own: name in the TOML file -> function of (path, resume).
_OTHERS: dict[str, Callable[[Path, bool], Any]] = {"xrdmatch": _train_pattern_model}


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--fresh", is_flag=True, help="Ignore the checkpoint of the run folder and start again.")
def command(config: Path, fresh: bool) -> None:
    """Train the model that the TOML file CONFIG describes; an interrupted run continues where it stopped."""
    import tomllib

    try:
        refuse_special(config)
        name = tomllib.loads(config.read_text(encoding="utf-8")).get("model", "")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise click.ClickException(f"{config}: {error}") from None
    except FastinError as error:
        raise click.ClickException(str(error)) from None
    try:
        _OTHERS.get(str(name), _train_graph_model)(config, not fresh)
    except FastinError as error:
        raise click.ClickException(str(error)) from None
