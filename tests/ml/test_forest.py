"""Composition features, and forests that predict what scikit-learn predicts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fastin.errors import InputError
from fastin.ml.composition import composition_features, composition_names
from fastin.ml.conductivity import load_forest
from fastin.ml.forest import Forest, compress, expand, fit_uncertainty
from fastin.ml.formula import parse_formula


def test_formulas() -> None:
    assert parse_formula("Li6.25Al0.25La3Zr2O12") == {"Li": 6.25, "Al": 0.25, "La": 3, "Zr": 2, "O": 12}
    assert parse_formula("Li(Ti1.5(PO4)2)2") == {"Li": 1, "Ti": 3, "P": 4, "O": 16}
    assert parse_formula("Li7.0 Bi1.0 O6.0") == {"Li": 7, "Bi": 1, "O": 6}
    assert parse_formula("LiOD") == {"Li": 1, "O": 1, "H": 1}
    for bad in ("", "li", "Xx2", "Li(O", "Li)O", "Li2O!"):
        with pytest.raises(InputError, match="formula"):
            parse_formula(bad)


def test_features_do_not_depend_on_the_formula_unit() -> None:
    one, two = composition_features("Li3PO4"), composition_features("Li6P2O8")
    assert list(one) == composition_names()
    assert one == pytest.approx(two)
    assert one["fraction_Li"] == pytest.approx(3 / 8)
    assert one["mobile_to_anion"] == pytest.approx(3 / 4)
    assert one["electronegativity_max"] == pytest.approx(3.44)
    assert np.isfinite(list(one.values())).all()


def plain_members(forest: Forest, x: np.ndarray) -> np.ndarray:
    """`Forest.members`, tree by tree and row by row."""
    filled = np.where(np.isfinite(x), x, forest.fill).astype(np.float32)
    sums = np.repeat(forest.base[:, None], len(x), axis=1)
    for root, member in zip(forest.roots, forest.member, strict=True):
        for r, row in enumerate(filled):
            node = int(root)
            while forest.feature[node] >= 0:
                left = row[forest.feature[node]] <= forest.threshold[node]
                node = int(forest.left[node] if left else forest.right[node])
            sums[member, r] += forest.value[node]
    return sums


@pytest.mark.parametrize("target", ["log10_conductivity", "experimental_activation_energy"])
def test_shipped_trees_in_the_core_equal_the_walk_written_out(target: str) -> None:
    forest = load_forest(target, "composition")
    forest = replace(forest, card={**forest.card, "offset": {}})  # the trees alone
    formulas = ("Li3PO4", "LiFePO4", "Li7La3Zr2O12", "Li10GeP2S12", "Li6PS5Cl")
    x = np.concatenate([forest.row(composition_features(f)) for f in formulas])
    x[3, ::5] = np.nan
    np.testing.assert_allclose(forest.members(x), plain_members(forest, x), rtol=1e-12, atol=1e-12)
    assert forest.members(x[:0]).shape == (len(forest.base), 0)


def test_trees_that_lead_nowhere_are_refused() -> None:
    forest = load_forest("log10_conductivity", "composition")
    x = forest.row({})
    inner = int(forest.roots[0])
    for name, wrong in (("left", 0), ("right", len(forest.feature)), ("feature", 30_000)):
        damaged = getattr(forest, name).copy()
        damaged[inner] = wrong
        both = {"left": damaged, "right": damaged} if name != "feature" else {name: damaged}
        with pytest.raises(InputError, match="trees"):
            replace(forest, **both).members(x)


def test_forest_equals_scikit_learn(tmp_path: Path) -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6)).astype(np.float32).astype(float)
    y = x[:, 0] * x[:, 1] + 0.1 * rng.normal(size=200)
    names = [f"f{i}" for i in range(6)]
    forest = Forest.fit(names, x, y, {"target": "y"}, trees=20)
    reference = ensemble.ExtraTreesRegressor(20, min_samples_leaf=2, max_features=0.4, random_state=0).fit(x, y)
    mean, std = forest.predict(x)
    np.testing.assert_allclose(mean, reference.predict(x), rtol=1e-4, atol=1e-4)
    assert (std > 0).all()
    forest.save(tmp_path / "f.npz")
    back = Forest.load(tmp_path / "f.npz")
    np.testing.assert_array_equal(back.predict(x)[0], mean)
    assert back.card == {"target": "y", "scale": "identity"}
    holes = x.copy()
    holes[:, 3] = np.nan
    holes[0, 2] = np.inf
    assert np.isfinite(back.predict(holes)[0]).all()
    assert back.row({"f2": 1.0})[0, 2] == 1.0
    assert np.isnan(back.row({})).all()
    with pytest.raises(InputError, match="columns"):
        forest.predict(x[:, :3])
    (tmp_path / "bad.npz").write_bytes(b"x")
    with pytest.raises(InputError, match="not a forest"):
        Forest.load(tmp_path / "bad.npz")


def test_uncertainty_constants_recover_a_known_law() -> None:
    rng = np.random.default_rng(1)
    spread = rng.uniform(0.1, 1.0, 20000)
    error = rng.normal(size=20000) * np.hypot(1.5 * spread, 0.4)
    fit = fit_uncertainty(error, spread)
    assert fit["scale"] == pytest.approx(1.5, rel=0.05)
    assert fit["floor"] == pytest.approx(0.4, rel=0.15)
    # Members that agree exactly everywhere say nothing: one width for all.
    assert fit_uncertainty(np.ones(5), np.zeros(5)) == {"scale": 0.0, "floor": 1.0}
    # Two errors of a hundred times the width move neither constant much.
    error[:2] = 100.0
    again = fit_uncertainty(error, spread)
    assert again["floor"] == pytest.approx(fit["floor"], rel=0.15)
    std = np.hypot(again["scale"] * spread, again["floor"])
    assert np.mean(np.abs(error) <= std) == pytest.approx(0.6827, abs=0.01)


def test_boosted_members_equal_scikit_learn(tmp_path: Path) -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    rng = np.random.default_rng(3)
    x = rng.normal(size=(120, 5)).astype(np.float32).astype(float)
    y = np.exp(x[:, 0]) + 0.1 * rng.random(120)
    forest = Forest.fit([*"abcde"], x, y, {}, trees=10, boosted=2, share=0.6, scale="energy", leaf=1)
    assert len(forest.base) == 12
    assert forest.weight.sum() == pytest.approx(1.0)
    assert forest.weight[:2].sum() == pytest.approx(0.6)
    settings = {"learning_rate": 0.04, "max_depth": 20, "max_leaf_nodes": 8, "max_features": 0.15, "subsample": 0.6}
    for k in range(2):
        reference = ensemble.GradientBoostingRegressor(
            n_estimators=400, min_samples_leaf=8, random_state=k, **settings
        ).fit(x, np.log(y + 0.2))
        np.testing.assert_allclose(forest.members(x)[k], reference.predict(x), atol=1e-4)
    mean, _ = forest.predict(x)
    np.testing.assert_allclose(mean, np.exp(forest.weight @ forest.members(x)) - 0.2)
    forest.save(tmp_path / "f.npz")
    np.testing.assert_array_equal(Forest.load(tmp_path / "f.npz").predict(x), forest.predict(x))


def test_scales_are_inverse_and_bounded() -> None:
    conductivity = np.array([-11.5, -6.0, -1.0, 0.5])
    np.testing.assert_allclose(expand(compress(conductivity, "log10_conductivity"), "log10_conductivity"), conductivity)
    assert expand(compress(np.array([-17.0]), "log10_conductivity"), "log10_conductivity")[0] == pytest.approx(-12.0)
    energy = np.array([0.0, 0.3, 2.0])
    np.testing.assert_allclose(expand(compress(energy, "energy"), "energy"), energy, atol=1e-12)
    with pytest.raises(InputError, match="unknown scale"):
        compress(energy, "rank")


def test_an_offset_leaves_the_trees_the_difference(tmp_path: Path) -> None:
    """Trees alone cannot go beyond the values that they saw; a target that follows a feature is carried on by it."""
    pytest.importorskip("sklearn.ensemble")
    rng = np.random.default_rng(1)
    x = rng.uniform(0.1, 1.0, (120, 3))
    y = expand(0.5 * compress(x[:, 1], "energy") - 0.3, "energy")
    shares = {"b": 0.5}
    forest = Forest.fit([*"abc"], x, y, {}, trees=10, scale="energy", leaf=1, offset=shares)
    far = np.array([[0.5, 9.0, 0.5], [0.5, np.nan, 0.5]])
    expected = expand(0.5 * compress(np.array([9.0, np.median(x[:, 1])]), "energy") - 0.3, "energy")
    np.testing.assert_allclose(forest.mean_and_spread(far)[0], expected, atol=1e-6)
    np.testing.assert_allclose(forest.mean_and_spread(far)[1], 0.0, atol=1e-6)
    assert forest.mean_and_spread(far[:1])[0] > 1.5 * y.max()
    forest.save(tmp_path / "f.npz")
    back = Forest.load(tmp_path / "f.npz")
    assert back.card["offset"] == shares
    np.testing.assert_array_equal(back.predict(far)[0], forest.predict(far)[0])
    plain = Forest.fit([*"abc"], x, y, {}, trees=10, scale="energy", leaf=1)
    assert plain.mean_and_spread(far[:1])[0] <= y.max() + 1e-9
    for bad in ({"d": 0.5}, {"b": float("nan")}):
        replace(forest, card={**forest.card, "offset": bad}).save(tmp_path / "bad.npz")
        with pytest.raises(InputError, match="not a whole forest"):
            Forest.load(tmp_path / "bad.npz")
