"""`predict`: barriers of a structure from the models that come with fastin."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastin.crystal.warnings import CrystalWarning, merge_warnings, refuse_severe
from fastin.errors import ConvergenceError, FastinError, InputError
from fastin.ml._require import require
from fastin.ml.outside import domain_warnings, uncharged, widening
from fastin.runtime.arguments import checked_arguments
from fastin.runtime.files import refuse_special
from fastin.runtime.html import number_text, table
from fastin.runtime.isolate import TIME_LIMIT, Failure, isolate

if TYPE_CHECKING:
    from fastin.crystal.ions import IonName
    from fastin.ml.checkpoint import Trained
    from fastin.ml.conductivity import Experiment
    from fastin.ml.inference import Light
    from fastin.ml.store import Entry


@dataclass(frozen=True)
class Prediction:
    """What the models say about one structure.

    Attributes:
        source: path or description of the structure.
        formula: reduced formula.
        ion: mobile ion, e.g. ``"Li+"``.
        activation_energy: eV; the 1D BVSE barrier (``spse`` convention, zero at the lowest point of the cell), the
            seed paper's target.
        activation_energy_std: half width of its 68 % interval, eV; 0 where the model has no intervals.
        barriers: (3,) eV; BVSE barriers in 1, 2, 3 dimensions with the zero at the sites that conduct; ``inf`` above
            5 eV: the model does not tell such barriers apart. NaN where it does not know the mobile ion, and in metals.
        barriers_std: (3,) eV; NaN beside ``inf`` and NaN.
        activation_energy_68, activation_energy_90: (low, high) eV; so many barriers of chemical systems that were left
            out of the training lay within. The upper end is ``inf`` above 5 eV.
        barriers_68, barriers_90: (3,) such intervals.
        experimental_activation_energy, log10_conductivity: eV, and log10 of S/cm at 300 K; None where the model has
            no such output. With ``*_std`` likewise.
        values: outputs of a model that was fitted to labels of the user's own (`fastin.ml.Predictor`), on their scale;
            empty for other models. With ``values_std`` likewise.
        model: which model, and its version.
        experiment_model: which models gave the measured quantities, and what they saw; empty without.
        experiment: those quantities with their 68 and 90 % intervals, where each comes from, and the nearest measured
            compounds with their DOIs (`fastin.ml.conductivity.Experiment`); None for other ions than lithium.
        warnings: reasons to doubt the crystal, and why it may lie outside what the model was trained on
            (`fastin.crystal.warnings`).
    """

    source: str
    formula: str
    ion: str
    activation_energy: float
    activation_energy_std: float
    barriers: tuple[float, float, float]
    barriers_std: tuple[float, float, float]
    model: str
    experimental_activation_energy: float | None = None
    experimental_activation_energy_std: float | None = None
    log10_conductivity: float | None = None
    log10_conductivity_std: float | None = None
    experiment_model: str = ""
    experiment: Experiment | None = None
    warnings: tuple[CrystalWarning, ...] = ()
    values: tuple[float, ...] = ()
    values_std: tuple[float, ...] = ()
    activation_energy_68: tuple[float, float] = (math.nan, math.nan)
    activation_energy_90: tuple[float, float] = (math.nan, math.nan)
    barriers_68: tuple[tuple[float, float], ...] = ()
    barriers_90: tuple[tuple[float, float], ...] = ()

    def __repr__(self) -> str:
        std = self.activation_energy_std
        said = "no predicted barrier"
        if self.activation_energy > 0:  # neither NaN
            known = math.isfinite(self.activation_energy)
            said = f"predicted activation energy {f'{self.activation_energy:.2f}' if known else 'above 5'}"
            said += f" +- {std:.2f} eV" if std and math.isfinite(std) else " eV"
        if self.values:
            pairs = zip(self.values, self.values_std, strict=True)
            said = "predicted " + ", ".join(f"{value:.4g}" + (f" +- {std:.2g}" if std else "") for value, std in pairs)
        return f"Prediction({self.source}: {self.formula}, {self.ion}, {said}, {self.model})"

    def _repr_html_(self) -> str:
        own = zip(self.values, self.values_std, strict=True)
        rows = [("fitted label", number_text(value), number_text(std)) for value, std in own]
        if not rows:
            named = [("activation energy", self.activation_energy, self.activation_energy_std)]
            three = enumerate(zip(self.barriers, self.barriers_std, strict=True), start=1)
            for name, value, std in [*named, *((f"{d}D barrier", *pair) for d, pair in three)]:
                rows.append((f"{name}, eV", "> 5" if value == math.inf else number_text(value), number_text(std)))
        if self.log10_conductivity is not None:
            sigma = number_text(self.log10_conductivity, 2), number_text(self.log10_conductivity_std, 2)
            rows.append(("log10 conductivity, S/cm, 300 K", *sigma))
        rows += [(f"warning: {warning.code}", str(warning), "") for warning in self.warnings]
        return table(f"Prediction for {self.ion} in {self.formula} ({self.model})", rows, ("", "value", "±"))

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary for JSON."""
        said = None if self.experiment is None else self.experiment.to_dict()
        return asdict(self) | {"warnings": [warning.to_dict() for warning in self.warnings], "experiment": said}


def model_path(model: str | Path) -> Path:
    """File of a model: ``"default"`` and other shipped names, or a path to a file written by ``fastin train``.

    Raises:
        InputError: neither of these.
    """
    path = Path(model)
    if path.suffix == ".pt":
        refuse_special(path)
        if not path.is_file():
            raise InputError(f"{path}: no such model file")
        return path
    return _shipped(str(model))


@cache
def _shipped(model: str) -> Path:
    shipped = Path(__file__).with_name("data") / "models" / f"barrier-{model}.pt"
    if not shipped.is_file():
        names = sorted(p.stem.removeprefix("barrier-") for p in shipped.parent.glob("barrier-*.pt"))
        raise InputError(f"unknown model {model!r}: choose from {', '.join(names) or '(none)'} or give a .pt file")
    return shipped


@cache
def _load(path: Path, stamp: int, device: str) -> Trained:
    from fastin.ml.checkpoint import load_model

    return load_model(path, device)


def load_shipped(model: str | Path = "default", device: str | None = None) -> Trained:
    """The model by name or path in torch, loaded once a process."""
    require("torch")
    from fastin.ml.train import pick_device

    path = model_path(model)
    return _load(path, path.stat().st_mtime_ns, str(pick_device(device or "auto")))


@cache
def _load_light(path: Path, stamp: int) -> Light | None:
    from fastin.ml.inference import load_light

    return load_light(path)


def load_predictor(model: str | Path = "default", device: str | None = None) -> Trained | Light:
    """The model by name or path as a prediction wants it: in numpy, without torch, where it has such a form.

    Args:
        model: as `predict`.
        device: ``"cuda"`` takes torch.

    Raises:
        MissingDependencyError: the model, or the device, needs torch, and that is not installed.
    """
    if device in (None, "auto", "cpu"):
        path = model_path(model)
        light = _load_light(path, path.stat().st_mtime_ns)
        if light is not None:
            return light
    return load_shipped(model, device)


def predict_entries(entries: Sequence[Entry], trained: Trained | Light, device: str | None = None) -> list[Prediction]:
    """Predictions for prepared graphs (see `fastin.ml.dataset.graphs_of`), in one batch.

    Raises:
        ConvergenceError: the model gives no finite number for one of them.
    """
    said = _predict_each(entries, trained, device)
    for prediction in said:
        if isinstance(prediction, FastinError):
            raise prediction
    return [prediction for prediction in said if isinstance(prediction, Prediction)]


def _predict_each(
    entries: Sequence[Entry], trained: Trained | Light, device: str | None
) -> list[Prediction | ConvergenceError]:
    """As `predict_entries`, with the error in the place of a prediction that is no finite number."""
    from fastin.ml.intervals import NOTHING, read_barriers, rising
    from fastin.ml.store import FREE, GraphStore

    if not entries:
        return []
    store = GraphStore.from_entries(list(entries))
    every = trained.predict(store, device)
    factors = np.array([widening(entry, trained.card) for entry in entries])
    said = read_barriers(every, trained.targets, trained.card, store.ions, factors)
    free = [k for k, name in enumerate(trained.targets) if name == FREE]
    own = every[:, :, free].mean(axis=0)
    own_std = every[:, :, free].std(axis=0, ddof=1) if len(every) > 1 else np.zeros_like(own)
    out: list[Prediction | ConvergenceError] = []
    for i, entry in enumerate(entries):
        if not np.isfinite(every[:, i]).all():
            source = entry.interstitial.source
            out.append(ConvergenceError(f"{source}: the model {trained.name} gives no finite number for it"))
            continue
        codes = {warning.code for warning in entry.interstitial.warnings}
        # Shared positions: errors of an eV, 20 % within the 68 % interval (bench/experiments/ml_disordered.py).
        # Vacuum: the way around a slab or a molecule is no bulk barrier, and no training structure has one.
        if codes & {"ion-shared-site", "vacuum"} or uncharged(entry.interstitial):
            said[i] = {}
        energy = said[i].get("e1d_global", NOTHING)
        three = rising([said[i].get(f"e{d}d_network", NOTHING) for d in (1, 2, 3)])
        out.append(
            Prediction(
                source=entry.interstitial.source,
                formula=entry.formula,
                ion=entry.interstitial.ion,
                activation_energy=energy.value,
                activation_energy_std=energy.std,
                barriers=(three[0].value, three[1].value, three[2].value),
                barriers_std=(three[0].std, three[1].std, three[2].std),
                model=f"{trained.card.get('name', trained.name)} ({trained.members} members)",
                warnings=merge_warnings(entry.interstitial.warnings, domain_warnings(entry, trained.card)),
                values=tuple(own[i].tolist()),
                values_std=tuple(own_std[i].tolist()),
                activation_energy_68=energy.within_68,
                activation_energy_90=energy.within_90,
                barriers_68=tuple(one.within_68 for one in three),
                barriers_90=tuple(one.within_90 for one in three),
            )
        )
    return out


def _measured(crystal: Any, ion: str, measured: Mapping[str, float] | None) -> Experiment | None:
    """Measured quantities where a model knows them: lithium conductors, when the forests are installed."""
    from fastin.ml.conductivity import has_forests, predict_crystal

    if not ion.startswith("Li") or not has_forests() or 3 not in crystal.number:
        if measured:
            raise InputError(f"{crystal.source}: measured quantities help for lithium conductors only")
        return None
    return predict_crystal(crystal, measured=measured)


def _with_experiment(prediction: Prediction, said: Experiment | None) -> Prediction:
    if said is None:
        return prediction
    return replace(
        prediction,
        experimental_activation_energy=said.activation_energy,
        experimental_activation_energy_std=said.activation_energy_std,
        log10_conductivity=said.log10_conductivity,
        log10_conductivity_std=said.log10_conductivity_std,
        experiment_model=said.model,
        experiment=said,
        warnings=merge_warnings(prediction.warnings, said.warnings),
    )


def worker(
    ion: IonName | None, crystals: bool, experiment: bool, strict: bool, num_threads: int
) -> Callable[[Any], tuple[Entry, Experiment | None]]:
    """In a worker process: the function that reads one structure and prepares what the models need of it."""
    import fastin.ml.dataset  # noqa: F401 - no structure's time limit shall pay for imports

    return partial(_prepare, ion=ion, crystals=crystals, experiment=experiment, strict=strict, num_threads=num_threads)


def whole_worker(
    ion: IonName | None, model: str, experiment: bool, strict: bool, num_threads: int
) -> Callable[[Any], dict[str, Any]]:
    """In a worker process: the function that predicts one structure from beginning to end, as a plain dictionary.

    For a few files whose caller shall load neither numpy nor the models. A model that cannot be used is an answer,
    ``{"refused": (kind, message)}``: it is no fault of the structure.
    """
    try:
        trained = load_predictor(model)
    except FastinError as error:
        refused = {"refused": (type(error).__name__, str(error))}
        return lambda source: refused
    prepare = worker(ion, trained.kind == "crystal", experiment, strict, num_threads)

    def answer(source: Any) -> dict[str, Any]:
        entry, said = prepare(source)
        return _with_experiment(predict_entries([entry], trained)[0], said).to_dict()

    return answer


def _prepare(
    source: Any,
    *,
    ion: IonName | None,
    crystals: bool,
    experiment: bool,
    strict: bool,
    num_threads: int | None = None,
    measured: Mapping[str, float] | None = None,
) -> tuple[Entry, Experiment | None]:
    from fastin.crystal.crystal import as_crystal
    from fastin.ml.dataset import graphs_of

    crystal = as_crystal(source, strict=strict)
    entry = graphs_of(crystal, ion, crystals=crystals, num_threads=num_threads)
    refuse_severe(crystal.source, entry.interstitial.warnings, strict)
    return entry, _measured(crystal, entry.interstitial.ion, measured) if experiment else None


@checked_arguments
def predict(
    source: Any,
    ion: IonName | None = None,
    *,
    model: str | Path = "default",
    device: str | None = None,
    experiment: bool = True,
    measured: Mapping[str, float] | None = None,
    strict: bool = False,
) -> Prediction:
    """Activation energy of a structure from a trained model, which sees bond valence energies at a few hundred points.

    Args:
        source: path, pymatgen Structure, ASE Atoms or `Crystal`.
        ion: mobile ion; default: the most usual one present.
        model: ``"default"`` (shipped), or a ``.pt`` file written by ``fastin train``.
        device: ``"cpu"`` or ``"cuda"``; default: the processor, in numpy, for models of the shipped architecture
            (`percolation`); torch for the others, on CUDA where there is one.
        experiment: also predict the measured conductivity and activation energy of lithium conductors (see
            `fastin.ml.conductivity`).
        measured: what was measured of this very sample: ``{"conductivity": S/cm}`` or ``{"activation_energy": eV}``;
            the other quantity follows from it.
        strict: refuse a crystal with severe warnings.

    Raises:
        MissingDependencyError: the model or the device needs the ``ml`` extra, and that is not installed.
        InputError: an unknown model, a structure that cannot be used, or severe warnings where `strict`.

    Examples:
        >>> import fastin
        >>> prediction = fastin.predict(fastin.examples()["LiFePO4"])
        >>> round(prediction.activation_energy, 1)
        0.4
    """
    trained = load_predictor(model, device)
    entry, said = _prepare(
        source, ion=ion, crystals=trained.kind == "crystal", experiment=experiment, strict=strict, measured=measured
    )
    return _with_experiment(predict_entries([entry], trained, device)[0], said)


def predict_many(
    sources: Sequence[Any],
    ion: IonName | None = None,
    *,
    model: str | Path = "default",
    device: str | None = None,
    experiment: bool = True,
    strict: bool = False,
    on_error: str = "raise",
    time_limit: float = TIME_LIMIT,
    memory: int | None = None,
    workers: int | None = None,
) -> list[Prediction]:
    """`predict` for many structures: each is read in a process that it may crash or hang, the models run in one batch.

    Args:
        sources: structures, each whatever `predict` takes.
        ion: mobile ion; default: the most usual one present, structure by structure.
        model: ``"default"`` (shipped), or a ``.pt`` file.
        device: as `predict`.
        experiment: as `predict`.
        strict: as `predict`.
        on_error: ``"raise"``, or ``"skip"`` to leave out structures that cannot be used.
        time_limit: seconds for reading one structure.
        memory: bytes for all structures at work together; None takes three quarters of what is free.
        workers: processes; None: one for every four structures, at most one a processor.

    Raises:
        FastinError: of the first structure that cannot be used; `LostError` where its process hung or died.
    """
    if on_error not in ("raise", "skip"):
        raise InputError(f"on_error must be raise or skip, not {on_error!r}")
    out = []
    for said in predict_each(
        sources, ion, model=model, device=device, experiment=experiment, strict=strict, time_limit=time_limit,
        memory=memory, workers=workers,
    ):  # fmt: skip
        if isinstance(said, Prediction):
            out.append(said)
        elif on_error == "raise":
            raise said
    return out


def predict_each(
    sources: Sequence[Any],
    ion: IonName | None = None,
    *,
    model: str | Path = "default",
    device: str | None = None,
    experiment: bool = True,
    strict: bool = False,
    time_limit: float = TIME_LIMIT,
    memory: int | None = None,
    workers: int | None = None,
) -> list[Prediction | FastinError]:
    """As `predict_many`: a prediction or an error for each structure, in their order."""
    trained = load_predictor(model, device)
    arguments = {"ion": ion, "crystals": trained.kind == "crystal", "experiment": experiment, "strict": strict}
    prepared: list[Any] = [None] * len(sources)
    for number, answer in isolate(
        "fastin.prediction:worker", sources, arguments, time_limit=time_limit, memory=memory, workers=workers
    ):
        prepared[number] = answer
    usable = [k for k, answer in enumerate(prepared) if not isinstance(answer, Failure)]
    said = dict(zip(usable, _predict_each([prepared[k][0] for k in usable], trained, device), strict=True))
    out: list[Prediction | FastinError] = []
    for k, source in enumerate(sources):
        found = said.get(k)
        if isinstance(found, Prediction):
            out.append(_with_experiment(found, prepared[k][1]))
        elif found is not None:
            out.append(found)
        else:
            name = str(source) if isinstance(source, str | Path) else f"structure {k + 1}"
            out.append(prepared[k].error(name))
    return out
