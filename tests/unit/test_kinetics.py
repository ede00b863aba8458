"""Hop kinetics: closed forms, a kinetic Monte Carlo run, invariances."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fastin.errors import InputError
from fastin.transport.kinetics import BOLTZMANN_EV, ELEMENTARY_CHARGE, HopModel


def model(cell, frac, energy, hops, prefactor=1e13):
    """Hops as (i, j, image, saddle energy)."""
    return HopModel(
        cell=np.array(cell, float),
        site_frac=np.atleast_2d(np.array(frac, float)),
        site_energy=np.array(energy, float),
        hop_index=np.array([[h[0] for h in hops], [h[1] for h in hops]], dtype=np.int64).reshape(2, len(hops)),
        hop_image=np.array([h[2] for h in hops], dtype=np.int32).reshape(len(hops), 3),
        hop_energy=np.array([h[3] for h in hops], float),
        prefactor=prefactor,
    )


def rate(barrier, temperature, prefactor=1e13):
    return prefactor * np.exp(-barrier / (BOLTZMANN_EV * temperature))


AXES = [(1, 0, 0), (0, 1, 0), (0, 0, 1)]


def test_simple_cubic():
    """D = a^2 k: six neighbours at a, k the rate to each (M. J. Gillan's and every textbook's 1/6 z a^2 k)."""
    a, t = 4.0, 350.0
    m = model(a * np.eye(3), [0, 0, 0], [0.1], [(0, 0, axis, 0.4) for axis in AXES])
    np.testing.assert_allclose(m.diffusivity(t), np.eye(3) * 1e-16 * a * a * rate(0.3, t), rtol=1e-13, atol=1e-30)
    along, mean = m.activation_energy(300, 500)
    np.testing.assert_allclose([*along, mean], 0.3, rtol=1e-12)


def test_bcc_in_its_conventional_and_primitive_cell():
    """Eight neighbours at sqrt(3) a / 2: D = a^2 k."""
    a, t = 3.5, 300.0
    expected = np.eye(3) * 1e-16 * a * a * rate(0.25, t)
    hops = [(0, 1, (x, y, z), 0.25) for x, y, z in itertools.product((0, -1), repeat=3)]
    conventional = model(a * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]], [0, 0], hops)
    np.testing.assert_allclose(conventional.diffusivity(t), expected, rtol=1e-12, atol=1e-30)
    cell = 0.5 * a * np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
    primitive = model(cell, [0, 0, 0], [0], [(0, 0, v, 0.25) for v in [*AXES, (1, 1, 1)]])
    np.testing.assert_allclose(primitive.diffusivity(t), expected, rtol=1e-12, atol=1e-30)


def test_anisotropic_chain_is_resistors_in_series():
    """Two sites a cell with unequal energies, spacings and barriers: 1 / D = sum over hops of 1 / (p k) / a^2."""
    a, t, split = 5.0, 400.0, 0.3
    m = model(
        np.diag([a, 9, 9]), [[0, 0, 0], [split, 0, 0]], [0.0, 0.12], [(0, 1, (0, 0, 0), 0.5), (1, 0, (1, 0, 0), 0.31)]
    )
    p = m.occupations(t)
    first, second = p[0] * rate(0.5, t), p[0] * rate(0.31, t)
    expected = 1e-16 * a * a / (1 / first + 1 / second)
    np.testing.assert_allclose(m.diffusivity(t), np.diag([expected, 0, 0]), rtol=1e-12, atol=1e-30)
    along, mean = m.activation_energy(300, 310)
    assert along[0] == pytest.approx(0.5, abs=1e-2)
    assert np.isinf(along[1:]).all()
    assert mean == along[0]


def test_square_lattice_with_two_rates():
    m = model(np.diag([2.0, 3.0, 7.0]), [0, 0, 0], [0], [(0, 0, (1, 0, 0), 0.2), (0, 0, (0, 1, 0), 0.4)])
    np.testing.assert_allclose(
        m.diffusivity(500.0), 1e-16 * np.diag([4 * rate(0.2, 500), 9 * rate(0.4, 500), 0]), rtol=1e-13, atol=1e-40
    )


def test_dead_ends_and_separate_parts_share_the_ions():
    """A trap off the path slows by its occupancy; an unconnected copy of the network changes nothing but the share."""
    t = 300.0
    chain = [(0, 0, (1, 0, 0), 0.3)]
    free = model(np.eye(3), [0, 0, 0], [0.0], chain)
    trapped = model(np.eye(3), [[0, 0, 0], [0, 0.5, 0]], [0.0, -0.05], [*chain, (0, 1, (0, 0, 0), 0.1)])
    share = trapped.occupations(t)[0]
    np.testing.assert_allclose(trapped.diffusivity(t), share * free.diffusivity(t), rtol=1e-12, atol=1e-40)
    twice = model(np.eye(3), [[0, 0, 0], [0, 0.5, 0]], [0.0, 0.0], [*chain, (1, 1, (1, 0, 0), 0.3)])
    np.testing.assert_allclose(twice.diffusivity(t), free.diffusivity(t), rtol=1e-12, atol=1e-40)


def random_model(seed, sites=7, extra=10):
    rng = np.random.default_rng(seed)
    cell = np.diag([5.0, 6.0, 7.0]) + rng.uniform(-0.5, 0.5, (3, 3))
    frac, energy = rng.random((sites, 3)), rng.uniform(0, 0.1, sites)
    hops = [(i, (i + 1) % sites, rng.integers(-1, 2, 3), 0) for i in range(sites)]
    hops += [(*rng.integers(0, sites, 2), rng.integers(-1, 2, 3), 0) for _ in range(extra)]
    hops = [(i, j, v, rng.uniform(0.12, 0.25)) for i, j, v, _ in hops]
    return model(cell, frac, energy, hops)


def linear_solve(m, t):
    """The same tensor from the corrector problem, by a pseudo-inverse: well conditioned cases only."""
    flux = m.prefactor * np.exp(-m.hop_energy / (BOLTZMANN_EV * t)) / np.exp(-m.site_energy / (BOLTZMANN_EV * t)).sum()
    step, n = m.displacements(), len(m.site_energy)
    laplacian, force = np.zeros((n, n)), np.zeros((n, 3))
    for (i, j), c, d in zip(m.hop_index.T, flux, step, strict=True):
        laplacian[i, i] += c
        laplacian[j, j] += c
        laplacian[i, j] -= c
        laplacian[j, i] -= c
        force[i] += c * d
        force[j] -= c * d
    corrector = np.linalg.pinv(laplacian) @ force
    total = step + corrector[m.hop_index[1]] - corrector[m.hop_index[0]]
    return 1e-16 * np.einsum("h,hi,hj->ij", flux, total, total)


@pytest.mark.parametrize("seed", range(6))
def test_elimination_equals_the_linear_solve(seed):
    m = random_model(seed)
    np.testing.assert_allclose(m.diffusivity(400.0), linear_solve(m, 400.0), rtol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_supercell_and_origin(seed):
    m = random_model(seed)
    s = len(m.site_energy)
    i, j = m.hop_index
    frac = np.vstack([m.site_frac, m.site_frac + np.array([1, 0, 0])]) / [2, 1, 1]
    hops = []
    for copy in (0, 1):
        to = copy + m.hop_image[:, 0]
        image = np.c_[to // 2, m.hop_image[:, 1:]]
        hops += [
            (a + copy * s, b + (t % 2) * s, v, e) for a, b, t, v, e in zip(i, j, to, image, m.hop_energy, strict=True)
        ]
    big = model(np.diag([2, 1, 1]) @ m.cell, (frac + 0.3) % 1.0, np.tile(m.site_energy, 2), hops)
    # Wrapping the shifted sites changes the image of each hop.
    shift = np.floor(frac + 0.3).astype(int)
    image = big.hop_image + shift[big.hop_index[1]] - shift[big.hop_index[0]]
    big = HopModel(big.cell, big.site_frac, big.site_energy, big.hop_index, image.astype(np.int32), big.hop_energy)
    np.testing.assert_allclose(big.diffusivity(350.0), m.diffusivity(350.0), rtol=1e-10)


def test_rates_over_sixty_orders_of_magnitude():
    """A fast loop behind a slow bridge: cancellation would destroy a plain linear solve."""
    t = 300.0
    m = model(
        np.diag([4.0, 4.0, 4.0]),
        [[0, 0, 0], [0.5, 0, 0]],
        [0.0, 0.0],
        [(0, 1, (0, 0, 0), 0.05), (1, 0, (1, 0, 0), 3.5)],
    )
    p = 0.5
    expected = 1e-16 * 16.0 / (1 / (p * rate(0.05, t)) + 1 / (p * rate(3.5, t)))
    np.testing.assert_allclose(m.diffusivity(t)[0, 0], expected, rtol=1e-12)


def test_kinetic_monte_carlo():
    """Independent walkers for a long time: the mean square displacement agrees within its own statistical error."""
    m, t = random_model(11, sites=4, extra=6), 500.0
    i, j = m.hop_index
    step = m.displacements()
    source, target = np.r_[i, j], np.r_[j, i]
    move = np.vstack([step, -step])
    k = 1e13 * np.exp(-(np.tile(m.hop_energy, 2) - m.site_energy[source]) / (BOLTZMANN_EV * t))
    leaving = [np.flatnonzero(source == s) for s in range(4)]
    total = np.array([k[out].sum() for out in leaving])
    cumulative = [np.cumsum(k[out]) / k[out].sum() for out in leaving]
    rng = np.random.default_rng(3)
    walkers, duration = 3000, 300.0 / total.mean()
    at = rng.choice(4, walkers, p=m.occupations(t))
    clock, where = np.zeros(walkers), np.zeros((walkers, 3))
    running = np.arange(walkers)
    while len(running):
        clock[running] += rng.exponential(1.0 / total[at[running]])
        running = running[clock[running] < duration]
        standing = at[running]
        for s in range(4):
            here = running[standing == s]
            hop = leaving[s][np.searchsorted(cumulative[s], rng.random(len(here)))]
            where[here] += move[hop]
            at[here] = target[hop]
    squares = where**2 / (2 * duration) * 1e-16
    error = squares.std(axis=0) / np.sqrt(walkers)
    exact = np.diag(m.diffusivity(t))
    assert (np.abs(squares.mean(axis=0) - exact) < 4 * error + 0.02 * exact).all()
    assert (error < 0.05 * exact).all()


def test_nernst_einstein():
    a, t = 4.0, 300.0
    m = model(a * np.eye(3), [0, 0, 0], [0.0], [(0, 0, axis, 0.3) for axis in AXES])
    d = m.diffusivity(t)[0, 0]
    expected = 1.0 / (a**3 * 1e-24) * (2 * ELEMENTARY_CHARGE) ** 2 * d / (1.380649e-23 * t)
    np.testing.assert_allclose(np.diag(m.conductivity(t, 1.0, 2.0)), expected, rtol=1e-8)


def test_along_the_cell_vectors():
    m = model([[4, 0, 0], [-2, 2 * np.sqrt(3), 0], [0, 0, 6]], [0, 0, 0], [0], [(0, 0, (0, 0, 1), 0.3)])
    np.testing.assert_allclose(m.along(np.diag([1.0, 2.0, 3.0])), [1.0, 0.25 + 1.5, 3.0])


def test_no_hops_no_diffusion():
    m = model(np.eye(3), [0, 0, 0], [0.0], [])
    assert (m.diffusivity(300.0) == 0).all()
    closed = model(np.eye(3), [0, 0, 0], [0.0], [(0, 0, (1, 0, 0), np.inf)])
    assert (closed.diffusivity(300.0) == 0).all()


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan])
def test_temperature_must_be_positive(temperature):
    with pytest.raises(InputError, match="temperature"):
        model(np.eye(3), [0, 0, 0], [0.0], [(0, 0, (1, 0, 0), 0.1)]).diffusivity(temperature)


@pytest.mark.parametrize(
    "change",
    [
        {"hop_image": np.zeros((2, 3), np.int32)},
        {"hop_index": np.array([[0], [1]])},
        {"site_energy": np.array([np.nan])},
        {"prefactor": -1.0},
        {"site_energy": np.zeros(0), "site_frac": np.zeros((0, 3))},
    ],
)
def test_bad_models_are_refused(change):
    fields = {
        "cell": np.eye(3),
        "site_frac": np.zeros((1, 3)),
        "site_energy": np.zeros(1),
        "hop_index": np.zeros((2, 1), np.int64),
        "hop_image": np.array([[1, 0, 0]], np.int32),
        "hop_energy": np.ones(1),
    }
    with pytest.raises(InputError):
        HopModel(**(fields | change))
