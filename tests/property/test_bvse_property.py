"""Invariances of the bond valence field on random crystals (hypothesis)."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fastin.runtime.openmp import _core

TERMS = {
    "coulomb": np.array([False, True, False]),
    "amplitude": np.array([0.49, 9.0, 0.3]),
    "length": np.array([1.94, 2.1, 2.4]),
    "alpha": np.array([1.94, 0.0, 1.53]),
}


@st.composite
def crystals(draw):
    """Cell, positions, term and weight of up to eight framework rows; cells from squat to skewed."""
    diagonal = draw(arrays(np.float64, 3, elements=st.floats(3.0, 8.0)))
    skew = draw(arrays(np.float64, 3, elements=st.floats(-3.0, 3.0)))
    cell = np.diag(diagonal)
    cell[1, 0], cell[2, 0], cell[2, 1] = skew
    n = draw(st.integers(1, 8))
    frac = draw(arrays(np.float64, (n, 3), elements=st.floats(-1.5, 1.5)))
    term = draw(arrays(np.int32, n, elements=st.integers(0, 2)))
    weight = draw(arrays(np.float64, n, elements=st.floats(0.0, 1.0)))
    return cell, frac, term, weight


def field(cell, frac, term, weight, cutoff=8.0):
    cell, frac = np.ascontiguousarray(cell), np.ascontiguousarray(frac)
    return _core.BvseField(cell, frac, term.astype(np.int32), weight, **TERMS, cutoff=cutoff)


def close(a, b):
    """Equal below the ceiling, to rounding."""
    low = (a < 900) & (b < 900)
    np.testing.assert_allclose(a[low], b[low], rtol=1e-9, atol=1e-9)


POINTS = np.random.default_rng(0).random((12, 3))


def smooth(crystal, energy):
    """Points where slopes mean something: below 20 eV and not within 0.1 A of an atom, where the energy is that at
    0.1 A while the derivatives go on (they lead out)."""
    gap = POINTS[:, None] - crystal[1]
    distance = np.linalg.norm((gap - np.round(gap)) @ crystal[0], axis=2).min(axis=1)
    return (energy < 20) & (distance > 0.11)


@given(crystals(), arrays(np.float64, 3, elements=st.floats(-2.0, 2.0)))
@settings(max_examples=40)
def test_translation(crystal, shift):
    cell, frac, term, weight = crystal
    close(field(*crystal).energy(POINTS), field(cell, frac + shift, term, weight).energy(POINTS + shift))


@given(crystals(), st.integers(0, 2**31))
@settings(max_examples=40)
def test_rotation_and_order(crystal, seed):
    cell, frac, term, weight = crystal
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    order = rng.permutation(len(frac))
    moved = field(cell @ rotation, frac[order], term[order], weight[order])
    close(field(*crystal).energy(POINTS), moved.energy(POINTS))


@given(crystals(), arrays(np.int64, 3, elements=st.integers(-3, 3)), st.integers(1, 3))
@settings(max_examples=40)
def test_basis_and_supercell(crystal, shear, repeat):
    cell, frac, term, weight = crystal
    basis = np.eye(3)
    basis[1, 0], basis[2, 0], basis[2, 1] = shear
    basis[0] *= repeat
    copies = np.repeat(np.arange(repeat), len(frac))
    cart = (np.tile(frac, (repeat, 1)) + np.outer(copies, [1, 0, 0])) @ cell
    bigger = basis @ cell
    inverse = np.linalg.inv(bigger)
    other = field(bigger, cart @ inverse, np.tile(term, repeat), np.tile(weight, repeat))
    close(field(*crystal).energy(POINTS), other.energy(POINTS @ cell @ inverse))


@given(crystals(), st.tuples(*[st.integers(1, 13)] * 3), st.integers(2, 5))
@settings(max_examples=40)
def test_grid_equals_points_on_any_number_of_threads(crystal, shape, threads):
    one = field(*crystal)
    none = np.zeros((0, 3, 3), dtype=np.int32), np.zeros((0, 3), dtype=np.int32)
    values = one.grid(shape, *none, 1)
    assert np.array_equal(values, one.grid(shape, *none, threads))
    assert np.isfinite(values).all()
    axes = [np.arange(n) / n for n in shape]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    exact = one.energy(points).reshape(shape)
    low = exact < 20
    assert np.abs(values - exact)[low].max(initial=0.0) < 1e-4


@given(crystals())
@settings(max_examples=30)
def test_gradient_is_the_slope(crystal):
    f = field(*crystal)
    low = smooth(crystal, f.energy(POINTS))
    energy, gradient, hessian = f.derivatives(np.ascontiguousarray(POINTS[low]))
    np.testing.assert_allclose(energy, f.energy(np.ascontiguousarray(POINTS[low])), atol=1e-12)
    np.testing.assert_allclose(hessian, hessian.transpose(0, 2, 1), atol=1e-9)
    step = 1e-5 * np.linalg.inv(crystal[0])
    for axis in range(3):
        above, below = (f.energy(np.ascontiguousarray(POINTS[low] + s * step[axis])) for s in (1, -1))
        np.testing.assert_allclose((above - below) / 2e-5, gradient[:, axis], rtol=1e-4, atol=1e-4)
