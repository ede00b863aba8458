"""``fastin evaluate``: scores of a trained model on a data set."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fastin.errors import FastinError


def _of_run(run: Path, dataset: Path | None, split: Path | None) -> tuple[str, Path, Path | None]:
    """Model file of a run folder, and its data set and split where none are given.

    With another data set the split is not assumed: its ids may mean other structures.
    """
    config = run / "config.json"
    if not (run / "model.pt").is_file() or not config.is_file():
        raise click.ClickException(f"{run}: no finished run of fastin train (model.pt and config.json)")
    if dataset is None:
        dataset, split = Path(json.loads(config.read_text())["dataset"]), split or run / "split.json"
    return str(run / "model.pt"), dataset, split


@click.command()
@click.argument("model", default="default")
@click.option("--dataset", type=click.Path(path_type=Path), help="Data set folder or .npz file (default: the run's).")
@click.option(
    "--split",
    type=click.Path(path_type=Path),
    help="split.json of a run: score its test part only (default: the run's; without one, every structure).",
)
@click.option("--device", default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def command(model: str, dataset: Path | None, split: Path | None, device: str, as_json: bool) -> None:
    """Score MODEL: a run folder of ``fastin train``, a .pt file from one, or ``default``."""
    import numpy as np

    from fastin.cli._common import dump_json, stdout_console

    try:
        from fastin.ml._require import require

        require("torch")
        from fastin.ml.dataset import load_dataset
        from fastin.ml.labels import label_columns, to_targets
        from fastin.ml.metrics import barrier_scores, by_barrier
        from fastin.ml.splits import Split
        from fastin.ml.store import LABELS
        from fastin.ml.train import pick_device, predict_targets
        from fastin.prediction import load_shipped

        if Path(model).is_dir():
            model, dataset, split = _of_run(Path(model), dataset, split)
        if dataset is None:
            raise click.UsageError("--dataset says which structures to score")
        store = load_dataset(dataset)
        trained = load_shipped(model, device)
        index = np.arange(len(store))
        if split is not None:
            index = Split.load(split, [str(i) for i in store.ids]).test
        tensors = trained.tensors(store, pick_device(device))
        predicted = predict_targets(trained.models, tensors, index).mean(axis=0)
        names = [t for t in trained.targets if t in LABELS]
        if not names:
            raise click.ClickException("this model has no barrier among its outputs; nothing to score")
        truth = to_targets(store.labels[:, label_columns(names)])[index]
    except FastinError as error:
        raise click.ClickException(str(error)) from None
    columns = [trained.targets.index(t) for t in names]
    scores = {t: barrier_scores(truth[:, k], predicted[:, columns[k]]) for k, t in enumerate(names)}
    subsets = by_barrier(truth[:, 0], predicted[:, columns[0]])
    if as_json:
        click.echo(dump_json({"scores": scores, "by_barrier": subsets}))
        return
    from rich.table import Table

    table = Table("target", "n", "R2 (log10)", "MAE (log10)", "R2 (eV)", "MAE (eV)")
    for name, row in scores.items():
        values = [f"{row[k]:.3f}" for k in ("r2", "mae", "r2_ev", "mae_ev")]
        table.add_row(name, str(row["n"]), *values)
    stdout_console().print(table)
    part = Table(f"{names[0]} (eV)", "n", "MAE (log10)", "MAE (eV)")
    for row in subsets:
        if row["n"]:
            part.add_row(
                f"{row['from_ev']:g} to {row['to_ev']:g}", str(row["n"]), f"{row['mae']:.3f}", f"{row['mae_ev']:.3f}"
            )
    stdout_console().print(part)
