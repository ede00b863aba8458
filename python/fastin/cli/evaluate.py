"""``fastin evaluate``: scores of a trained model on a data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
        try:
            dataset = Path(json.loads(config.read_text(encoding="utf-8"))["dataset"])
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            raise click.ClickException(f"{config}: damaged ({type(error).__name__}: {error})") from None
        split = split or run / "split.json"
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

    from fastin.cli._common import dump_json

    try:
        from fastin.ml._require import require

        require("torch")
        from fastin.ml.dataset import load_dataset
        from fastin.ml.labels import label_columns, to_targets
        from fastin.ml.metrics import barrier_scores, by_barrier
        from fastin.ml.seen import seen_rows
        from fastin.ml.splits import Split
        from fastin.ml.store import LABELS
        from fastin.ml.train import pick_device, predict_targets
        from fastin.prediction import load_shipped, model_path

        if Path(model).is_dir():
            model, dataset, split = _of_run(Path(model), dataset, split)
        if dataset is None:
            raise click.UsageError("--dataset says which structures to score")
        store = load_dataset(dataset)
        trained = load_shipped(model, device)
        index = np.arange(len(store))
        if split is not None:
            index = Split.load(split, [str(i) for i in store.ids]).test
        identities = [(str(store.ids[i]), str(store.ions[i])) for i in index]
        seen, how = _training_rows(model_path(model), identities), ""
        if seen is None:
            seen = seen_rows(trained.card, store.formulas[index])
            how = "" if seen is None else "have a formula that is "
        tensors = trained.tensors(store, pick_device(device))
        predicted = predict_targets(trained.models, tensors, index).mean(axis=0)
        names = [t for t in trained.targets if t in LABELS]
        if not names:
            raise click.ClickException("this model has no barrier among its outputs; nothing to score")
        truth = to_targets(store.labels[:, label_columns(names)])[index]
    except FastinError as error:
        raise click.ClickException(str(error)) from None
    columns = [trained.targets.index(t) for t in names]
    groups = _groups(seen, len(index))
    scores, subsets = {}, {}
    for group, rows in groups.items():
        scores[group] = {t: barrier_scores(truth[rows, k], predicted[rows, columns[k]]) for k, t in enumerate(names)}
        subsets[group] = by_barrier(truth[rows, 0], predicted[rows, columns[0]])
    known = None if seen is None else int(seen.sum())
    if as_json:
        first = next(iter(groups))
        answer = {
            "scores": scores[first],
            "by_barrier": subsets[first],
            "rows": len(index),
            "rows_in_training_set": known,
            "known_by": None if known is None else ("formula" if how else "id"),
        }
        click.echo(dump_json(answer | {"groups": {g: {"scores": scores[g], "by_barrier": subsets[g]} for g in groups}}))
        return
    if known is None:
        click.echo(f"{len(index)} rows. The model does not say what it was trained on: rows may be among that.")
    else:
        click.echo(f"{len(index)} rows, {known} of them {how}in the model's training or validation set.")
    for group in groups:
        _print(group, names, scores[group], subsets[group])


def _training_rows(model: Path, names: list[tuple[str, str]]) -> Any:
    """(n,) which rows the model was trained or validated on by the split beside it; ``None`` where there is none.

    Args:
        model: its file; the split is ``NAME.split.json`` (shipped models) or ``split.json`` (a run's folder).
        names: id and ion of each row; joined data sets name a row ``id/ion``.

    Raises:
        ClickException: the split cannot be read.
    """
    import numpy as np

    beside = [model.with_suffix(".split.json"), model.with_name("split.json")]
    split = next((path for path in beside if path.is_file()), None)
    if split is None:
        return None
    try:
        parts = json.loads(split.read_text(encoding="utf-8"))
        used = {str(name) for part in ("train", "validation") for name in parts.get(part, ())}
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise click.ClickException(f"{split}: damaged ({type(error).__name__}: {error})") from None
    return np.array([name in used or f"{name}/{ion}" in used for name, ion in names], dtype=bool)


def _groups(seen: Any, count: int) -> dict[str, Any]:
    """Rows to score together: those that the model has not seen first, apart from those that it has."""
    import numpy as np

    if seen is None or not seen.any():
        return {"all rows": np.arange(count)}
    apart = {"not in the training set": np.flatnonzero(~seen), "in the training set": np.flatnonzero(seen)}
    return {name: rows for name, rows in apart.items() if len(rows)}


def _print(group: str, names: list[str], scores: dict[str, Any], subsets: list[dict[str, Any]]) -> None:
    from fastin.cli._table import Column, print_table

    columns = [Column("target", "left"), Column("n"), *map(Column, ("R2\nlog10", "MAE\nlog10", "R2\neV", "MAE\neV"))]
    rows = [
        [name, str(row["n"]), *(f"{row[k]:.3f}" for k in ("r2", "mae", "r2_ev", "mae_ev"))]
        for name, row in scores.items()
    ]
    click.echo(f"\n{group}:")
    print_table(columns, rows)
    part = [
        [f"{row['from_ev']:g} to {row['to_ev']:g}", str(row["n"]), f"{row['mae']:.3f}", f"{row['mae_ev']:.3f}"]
        for row in subsets
        if row["n"]
    ]
    print_table([Column(f"{names[0]}, eV", "left"), Column("n"), Column("MAE\nlog10"), Column("MAE\neV")], part)
