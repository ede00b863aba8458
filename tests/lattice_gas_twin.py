"""Plain twins of the lattice gas: the exact master equation of a small cell, and a kinetic Monte Carlo run in numpy."""

from __future__ import annotations

import itertools
import math

import numpy as np

from fastin.transport.kinetics import BOLTZMANN_EV, covariance_rate


def tiled(gas, multiples):
    """Sites, directed moves (from, to, step, saddle, prefactor), pairs (i, j, energy) of a supercell: plain loops."""
    model, s = gas.model, len(gas.model.site_energy)
    cells = list(itertools.product(*(range(m) for m in multiples)))
    number = {c: k for k, c in enumerate(cells)}

    def site(cell, k):
        return number[tuple(int(a) % m for a, m in zip(cell, multiples, strict=True))] * s + k

    steps = model.displacements()
    prefactor = np.broadcast_to(model.prefactor, len(model.hop_energy))
    moves, pairs = [], []
    for c in cells:
        for h, ((i, j), image) in enumerate(zip(model.hop_index.T, model.hop_image, strict=True)):
            a, b = site(c, i), site(np.add(c, image), j)
            saddle = max(model.hop_energy[h], model.site_energy[i], model.site_energy[j])
            moves += [(a, b, steps[h], saddle, prefactor[h]), (b, a, -steps[h], saddle, prefactor[h])]
        for (i, j), image, energy in zip(gas.pairs.index.T, gas.pairs.image, gas.pairs.energy, strict=True):
            pairs.append((site(c, i), site(np.add(c, image), j), energy))
    return np.tile(model.site_energy, len(cells)), moves, pairs


def pair_matrix(n, pairs):
    v = np.zeros((n, n))
    for i, j, energy in pairs:
        v[i, j] += energy
        v[j, i] += energy
    return v


def rates(filled, energy, moves, v, kt):
    """(move, rate) of all possible moves of a configuration (boolean array)."""
    out = []
    company = np.array([v[k][filled].sum() for k in range(len(filled))])
    for m, (a, b, _, saddle, nu) in enumerate(moves):
        if not filled[a] or filled[b]:
            continue
        others = filled.copy()
        others[a] = False
        here, there = company[a], v[b][others].sum()
        if math.isinf(there):
            continue
        top = max(saddle + 0.5 * (here + there), energy[a] + here, energy[b] + there)
        out.append((m, nu * math.exp(-(top - energy[a] - here) / kt)))
    return out


def master_equation(gas, multiples, ions, temperature):
    """Exact charge diffusivity (3, 3), cm^2/s, and occupations of the sites, by enumeration of all configurations."""
    kt = BOLTZMANN_EV * temperature
    energy, moves, pairs = tiled(gas, multiples)
    v = pair_matrix(len(energy), pairs)
    states, weights = [], []
    for chosen in itertools.combinations(range(len(energy)), ions):
        total = energy[list(chosen)].sum() + sum(v[i, j] for i, j in itertools.combinations(chosen, 2))
        if math.isfinite(total):
            states.append(chosen)
            weights.append(math.exp(-total / kt))
    weights = np.array(weights) / sum(weights)
    number = {state: k for k, state in enumerate(states)}
    index, step, flux = [], [], []
    for k, state in enumerate(states):
        filled = np.isin(np.arange(len(energy)), state)
        for m, rate in rates(filled, energy, moves, v, kt):
            a, b, d = moves[m][:3]
            to = number[tuple(sorted((set(state) - {a}) | {b}))]
            index.append((k, to))
            step.append(d)
            flux.append(0.5 * weights[k] * rate)  # both directions are listed
    tensor = covariance_rate(len(states), np.array(index).T, np.array(step), np.array(flux))
    occupation = np.zeros(len(energy))
    for state, w in zip(states, weights, strict=True):
        occupation[list(state)] += w
    return 1e-16 * tensor / ions, occupation


def monte_carlo(gas, multiples, ions, temperature, events, seed):
    """Occupations and charge diffusivity (trace / 3) of a plain rejection-free run with full lists of rates."""
    kt = BOLTZMANN_EV * temperature
    energy, moves, pairs = tiled(gas, multiples)
    v = pair_matrix(len(energy), pairs)
    rng = np.random.default_rng(seed)
    filled = np.zeros(len(energy), bool)
    for k in np.argsort(energy + 1e-6 * rng.random(len(energy))):
        if filled.sum() < ions and math.isfinite(v[k][filled].sum()):
            filled[k] = True
    time, total = [0.0], [np.zeros(3)]
    occupied = np.zeros(len(energy))
    for n in range(events):
        possible = rates(filled, energy, moves, v, kt)
        k = np.array([r for _, r in possible])
        wait = rng.exponential(1.0 / k.sum())
        if n > events // 10:
            occupied += wait * filled
        a, b, d = moves[possible[rng.choice(len(k), p=k / k.sum())][0]][:3]
        filled[a], filled[b] = False, True
        time.append(time[-1] + wait)
        total.append(total[-1] + d)
    return np.array(time), np.array(total), occupied / occupied.sum() * ions
