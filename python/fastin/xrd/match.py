"""XRDMatch: superionic or poor from a powder pattern; an ensemble of semi-supervised networks."""

from __future__ import annotations

import json
import tomllib
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastin import __version__
from fastin.errors import InputError, missing_extra
from fastin.runtime.files import refuse_special
from fastin.runtime.settings import read_settings
from fastin.runtime.weights import DAMAGED, load_arrays, refuse_damaged, save_weights
from fastin.xrd.dataset import SUPERIONIC, fingerprint, load_labelled, load_unlabelled, write_pseudo_labels
from fastin.xrd.domain import Domain, DomainWarning
from fastin.xrd.numpy_networks import NumpySmallNets
from fastin.xrd.settings import PRESETS, TrainConfig

if TYPE_CHECKING:
    from torch import nn

_FORMAT = 1


class XRDMatch:
    """Ensemble classifier of powder patterns with the interface of scikit-learn.

    Patterns are (N, 4501) sticks or measured intensities on 0 to 90 degrees of Cu K-alpha, as `fastin.xrd_pattern`
    and `fastin.xrd.measured.prepare_measured` give them; labels are 0 (poor) and 1 (superionic).

    Args:
        config: how one network is trained; member m uses seed ``config.seed + m``.
        members: networks of the ensemble.

    Attributes:
        networks: the trained members.
        calibration: (slope, intercept) on the mean logit, (1, 0) until `calibrate`.
        domain: the training materials, ``None`` for a model fitted on bare arrays.
        notes: facts about the training, kept in the file.
    """

    def __init__(self, config: TrainConfig | None = None, members: int = 5) -> None:
        if members < 1:
            raise InputError(f"members must be at least 1, not {members}")
        self.config = config or TrainConfig()
        self.members = members
        self._networks: list[nn.Module] = []
        self._stored: list[dict[str, NDArray[Any]]] = []  # weights of members that torch has not built yet
        self._light: NumpySmallNets | None = None  # the same in numpy, as long as nobody has the networks
        self.calibration = (1.0, 0.0)
        self.domain: Domain | None = None
        self.notes: dict[str, Any] = {}

    @property
    def networks(self) -> list[nn.Module]:
        """The trained members in torch; from here on it also predicts."""
        if self._stored:
            self._networks = [_network(self.config, weights) for weights in self._stored]
            self._stored = []
        self._light = None
        return self._networks

    @networks.setter
    def networks(self, networks: list[nn.Module]) -> None:
        self._networks, self._stored, self._light = networks, [], None

    @property
    def trained(self) -> bool:
        """There are members."""
        return bool(self._networks or self._stored)

    def fit(
        self,
        patterns: ArrayLike,
        labels: ArrayLike,
        unlabelled: ArrayLike | None = None,
        *,
        run_dir: Path | None = None,
        progress: Callable[[int, dict[str, float]], None] | None = None,
    ) -> XRDMatch:
        """Trains every member; with `run_dir`, continues where an earlier call stopped.

        Args:
            patterns: (N, 4501).
            labels: (N,) of 0 and 1.
            unlabelled: (M, 4501), needed by FixMatch and FlexMatch.
            run_dir: folder of the checkpoints.
            progress: called with (member, record) now and then.
        """
        import torch

        from fastin.xrd.training import Trainer

        rows = torch.from_numpy(_patterns(patterns))
        targets = torch.from_numpy(np.array(labels, dtype=np.int64))
        if len(targets) != len(rows):
            raise InputError(f"{len(rows)} patterns but {len(targets)} labels")
        pool = None if unlabelled is None else torch.from_numpy(_patterns(unlabelled))
        self.networks = []
        for member in range(self.members):
            config = replace(self.config, seed=self.config.seed + member)
            trainer = Trainer(config, rows, targets, pool)
            report = None if progress is None else _reporter(progress, member)
            path = None if run_dir is None else run_dir / f"member-{member}.pt"
            self.networks.append(trainer.run(path, report))
        self.notes["training_set"] = fingerprint(rows.numpy(), targets.numpy())
        self.notes["labelled"] = len(rows)
        self.notes["unlabelled"] = 0 if pool is None else len(pool)
        states = [network.state_dict().items() for network in self.networks]
        self._light = _in_numpy(self.config, [{name: value.numpy() for name, value in state} for state in states])
        return self

    def member_logits(self, patterns: ArrayLike) -> NDArray[np.float64]:
        """(members, N) log odds of superionic, one row a member."""
        if not self.trained:
            raise InputError("the model is not trained; call fit or XRDMatch.load first")
        rows = _patterns(patterns)
        if self._light is not None:
            return self._light.logits(rows)
        import torch

        from fastin.xrd import augment
        from fastin.xrd.training import prepare

        out = np.zeros((len(self.networks), len(rows)))
        with torch.no_grad():
            for member, network in enumerate(self.networks):
                network.eval()
                for start in range(0, len(rows), 512):
                    batch = prepare(network, torch.from_numpy(rows[start : start + 512]))
                    logits = network(augment.normalise(batch, PRESETS[self.config.preset].intensity_cut))
                    out[member, start : start + 512] = (logits[:, 1] - logits[:, 0]).numpy()
        return out

    def member_proba(self, patterns: ArrayLike) -> NDArray[np.float64]:
        """(members, N) uncalibrated probabilities of superionic."""
        return 1.0 / (1.0 + np.exp(-self.member_logits(patterns)))

    def predict_proba(
        self, patterns: ArrayLike, *, elements: Sequence[Collection[str] | None] | None = None
    ) -> NDArray[np.float64]:
        """(N, 2) calibrated probabilities of (poor, superionic): the logistic of the scaled mean logit.

        Args:
            patterns: (N, 4501).
            elements: symbols of each row's elements, where known; a row that lies outside the training materials (see
                `Domain.objections`) then raises a `DomainWarning`.
        """
        if elements is not None:
            self._warn(patterns, elements)
        slope, intercept = self.calibration
        probability = 1.0 / (1.0 + np.exp(-(slope * self.member_logits(patterns).mean(axis=0) + intercept)))
        return np.stack([1.0 - probability, probability], axis=1)

    def _warn(self, patterns: ArrayLike, elements: Sequence[Collection[str] | None]) -> None:
        if self.domain is None:
            raise InputError("this model was fitted on bare patterns; it does not know its training's elements")
        rows = np.atleast_2d(np.asarray(patterns, dtype=np.float32))
        if len(rows) != len(elements):
            raise InputError(f"{len(rows)} patterns but {len(elements)} sets of elements")
        for number, (row, held) in enumerate(zip(rows, elements, strict=True)):
            reasons = "; ".join(self.domain.objections(row, held))
            if reasons:
                warnings.warn(f"pattern {number} {reasons}", DomainWarning, stacklevel=3)

    @property
    def decision_threshold(self) -> float:
        """Calibrated probability above which a row counts as superionic.

        The one that the model was scored with (one half for the shipped one, in its notes); else where the mean logit
        changes sign, as the networks are trained on balanced classes.
        """
        noted = self.notes.get("decision_threshold")
        return float(1.0 / (1.0 + np.exp(-self.calibration[1]))) if noted is None else float(noted)

    def predict(self, patterns: ArrayLike) -> NDArray[np.int64]:
        """(N,) 1 where the calibrated probability of superionic exceeds `decision_threshold`."""
        return (self.predict_proba(patterns)[:, 1] > self.decision_threshold).astype(np.int64)

    def proba_with_formula(self, patterns: ArrayLike, decades: ArrayLike) -> NDArray[np.float64]:
        """(N,) probability of superionic from pattern and formula together, by logistic regression.

        Args:
            patterns: (N, 4501).
            decades: (N,) how many decades the conductivity that the formula predicts lies above the threshold
                (`fastin.ml.conductivity.decades_above`).

        Raises:
            InputError: this model has no constants for it (the shipped one has).
        """
        constants = self.notes.get("with_formula")
        if constants is None:
            raise InputError("this model was not joined with a model of formulas; only the shipped one is")
        mean = self.member_logits(patterns).mean(axis=0)
        logit = constants["intercept"] + constants["decades"] * np.asarray(decades, float) + constants["logit"] * mean
        return np.asarray(1.0 / (1.0 + np.exp(-logit)))

    def vote(self, patterns: ArrayLike) -> NDArray[np.float64]:
        """(N,) share of the members that say superionic."""
        return np.asarray((self.member_logits(patterns) > 0).mean(axis=0), dtype=np.float64)

    def calibrate(self, logits: ArrayLike, labels: ArrayLike) -> tuple[float, float]:
        """Fits (slope, intercept) of the log odds by maximum likelihood (J. Platt, 1999).

        Args:
            logits: (N,) mean member logits of rows that were not trained on (out-of-fold).
            labels: (N,) of 0 and 1.
        """
        self.calibration = fit_platt(np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.int64))
        return self.calibration

    def pseudo_labels(self, unlabelled: ArrayLike) -> dict[str, NDArray[Any]]:
        """What the members would teach themselves: label, confidence, whether it passes the threshold, agreement."""
        probability = self.member_proba(unlabelled)
        mean = probability.mean(axis=0)
        label = (mean > 0.5).astype(np.int64)
        confidence = np.maximum(mean, 1.0 - mean)
        return {
            "label": label,
            "confidence": confidence,
            "accepted": confidence >= self.config.threshold,
            "agreement": ((probability > 0.5) == (label == 1)).mean(axis=0),
        }

    def save(self, path: str | Path) -> None:
        """Writes weights, settings and notes to one file."""
        if not self.trained:
            raise InputError("the model is not trained; nothing to save")
        import torch

        state = {
            "format": _FORMAT,
            "fastin": __version__,
            "config": json.dumps(self.config.to_dict()),
            "calibration": list(self.calibration),
            "notes": json.dumps(self.notes),
            "members": [network.state_dict() for network in self._networks]
            or [{name: torch.from_numpy(np.array(x)) for name, x in weights.items()} for weights in self._stored],
            "domain": None if self.domain is None else self.domain.state(),
        }
        save_weights(path, state)

    @classmethod
    def load(cls, path: str | Path) -> XRDMatch:
        """Reads a file written by `save` (tensors and plain values only, no code); see `fastin.runtime.weights`.

        Raises:
            InputError: not such a file, a damaged one, or weights that are not finite.
            MissingDependencyError: a network that needs torch, which is not installed.
        """
        state = load_arrays(path)
        if state.get("format") != _FORMAT:
            raise InputError(f"{path}: not an XRDMatch file of this version")
        try:
            return cls._of(state)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        except DAMAGED as error:
            raise refuse_damaged(path, error) from None

    @classmethod
    def _of(cls, state: dict[str, Any]) -> XRDMatch:
        model = cls(config_from_dict(json.loads(state["config"])), members=len(state["members"]))
        model.calibration = (float(state["calibration"][0]), float(state["calibration"][1]))
        model.notes = json.loads(state["notes"])
        model.domain = None if state.get("domain") is None else Domain.from_state(state["domain"])
        model._stored = [dict(weights) for weights in state["members"]]
        model._light = _in_numpy(model.config, model._stored)
        if model._light is None:
            assert model.networks  # torch builds them, or says what is wrong
        return model

    @classmethod
    def pretrained(cls) -> XRDMatch:
        """The model that ships with fastin."""
        return _shipped()


@cache
def _shipped() -> XRDMatch:
    resource = resources.files("fastin").joinpath("data/models/xrdmatch.pt")
    with resources.as_file(resource) as path:
        return XRDMatch.load(path)


def _reporter(progress: Callable[[int, dict[str, float]], None], member: int) -> Callable[[dict[str, float]], None]:
    return lambda record: progress(member, record)


def _in_numpy(config: TrainConfig, members: Sequence[Mapping[str, NDArray[Any]]]) -> NumpySmallNets | None:
    """The members in numpy, where they have such a form."""
    try:
        return NumpySmallNets(members, config)
    except (KeyError, ValueError, TypeError):
        return None


def _network(config: TrainConfig, weights: Mapping[str, NDArray[Any]]) -> nn.Module:
    """A member in torch, in evaluation mode."""
    try:
        import torch
    except ModuleNotFoundError:
        raise missing_extra("torch", "ml") from None

    from fastin.xrd.model import build_network

    network = build_network(config.network, **config.network_settings)
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    return network.eval()


def _patterns(patterns: ArrayLike) -> NDArray[np.float32]:
    rows = np.asarray(patterns, dtype=np.float32)
    rows = rows[None] if rows.ndim == 1 else rows
    if not np.isfinite(rows).all():
        raise InputError("the patterns hold values that are not finite")
    return np.array(rows)


def fit_platt(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[float, float]:
    """Slope and intercept that maximise the likelihood, with Platt's smoothed targets."""
    from scipy.optimize import minimize

    positive, negative = int((labels == 1).sum()), int((labels == 0).sum())
    if positive == 0 or negative == 0:
        raise InputError("calibration needs rows of both classes")
    target = np.where(labels == 1, (positive + 1) / (positive + 2), 1 / (negative + 2))

    def loss(parameters: NDArray[np.float64]) -> float:
        z = parameters[0] * logits + parameters[1]
        return float(np.mean(np.logaddexp(0.0, z) - target * z))

    best = minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-10})
    return float(best.x[0]), float(best.x[1])


def config_from_dict(values: dict[str, Any]) -> TrainConfig:
    """A `TrainConfig` from plain values; unknown keys and values of another type are errors."""
    return read_settings(TrainConfig, values, "training settings")


_KEYS = ("model", "run", "members", "calibrate", "data", "train")
_DATA_KEYS = ("labelled", "unlabelled", "threshold")


def _check_keys(config: dict[str, Any]) -> None:
    """Raises for keys that nothing reads and numbers that are none."""
    data = config.get("data", {})
    if not isinstance(data, dict) or not isinstance(config.get("train", {}), dict):
        raise InputError("data and train are tables: write [data] and [train]")
    for found, known, where in ((config, _KEYS, ""), (data, _DATA_KEYS, "[data] ")):
        unknown = sorted(set(found) - set(known))
        if unknown:
            raise InputError(f"unknown keys: {where}{', '.join(unknown)}; known: {', '.join(known)}")
    if "labelled" not in data:
        raise InputError("the configuration needs [data] labelled = <JSON lines with cif and sigma>")
    for name, value, least in (("members", config.get("members", 5), 1), ("calibrate", config.get("calibrate", 0), 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise InputError(f"{name} must be a whole number of at least {least}, not {value!r}")
    threshold = data.get("threshold", SUPERIONIC)
    if not isinstance(threshold, int | float) or not threshold > 0:
        raise InputError(f"threshold must be a conductivity above 0 in S/cm, not {threshold!r}")


def train_from_config(config: dict[str, Any], run_dir: str | Path) -> XRDMatch:
    """Trains from a configuration file's content and writes ``model.pt`` and ``pseudo_labels.csv`` to `run_dir`.

    Keys: ``model = "xrdmatch"``; ``[data]`` with ``labelled`` (JSON lines with cif and sigma), optional
    ``unlabelled`` (JSON lines or folder of CIFs) and ``threshold`` (S/cm); ``members``; ``calibrate`` (grouped
    folds, 0 for none); ``[train]`` with the fields of `TrainConfig`. An
    interrupted run continues when called again. Unlabelled structures of known conductors are left out
    (`fastin.xrd.known`).
    """
    from fastin.xrd.evaluate import out_of_fold
    from fastin.xrd.known import conductors_of, not_known

    run_dir = Path(run_dir)
    _check_keys(config)
    data = config["data"]
    settings = config_from_dict(dict(config.get("train", {})))
    labelled = load_labelled(data["labelled"])
    labels = labelled.labels(float(data.get("threshold", SUPERIONIC)))
    pool = load_unlabelled(data["unlabelled"]) if data.get("unlabelled") else None
    model = XRDMatch(settings, members=int(config.get("members", 5)))
    threshold = float(data.get("threshold", SUPERIONIC))
    rows = None if pool is None else not_known(pool, conductors_of(labelled, threshold))  # they are not poor
    unlabelled = None if pool is None or rows is None else pool.patterns[rows]
    model.fit(labelled.patterns, labels, unlabelled, run_dir=run_dir)
    folds = int(config.get("calibrate", 0))
    if folds:
        logits = out_of_fold(lambda: XRDMatch(settings, members=1), labelled, labels, unlabelled, folds=folds)
        model.calibrate(logits, labels)
    model.notes["threshold_S_per_cm"] = float(data.get("threshold", SUPERIONIC))
    model.notes["failed"] = len(labelled.failed)
    model.notes["known_conductors_left_out"] = 0 if pool is None or rows is None else len(pool) - len(rows)
    model.domain = Domain.of(labelled, pool)
    model.save(run_dir / "model.pt")
    if pool is not None:
        write_pseudo_labels(run_dir / "pseudo_labels.csv", pool, model.pseudo_labels(pool.patterns))
    return model


def train_from_toml(path: str | Path, *, resume: bool = True) -> tuple[XRDMatch, Path]:
    """`train_from_config` with a TOML file; paths in its [data] table are relative to the working directory or to it.

    The run folder is the file's ``run`` key, else the file's name without suffix.

    Args:
        path: the TOML file.
        resume: continue from the run folder's checkpoints; otherwise they are removed first.
    """
    path = Path(path)
    refuse_special(path)
    try:
        config = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: not a usable TOML file ({error})") from None
    data = config.get("data")
    if isinstance(data, dict):
        for key, value in data.items():
            if isinstance(value, str) and not Path(value).exists() and (path.parent / value).exists():
                data[key] = str(path.parent / value)
    run = Path(config["run"]) if config.get("run") else path.with_suffix("")
    if not resume:
        for checkpoint in run.glob("member-*.pt"):
            checkpoint.unlink()
    return train_from_config(config, run), run
