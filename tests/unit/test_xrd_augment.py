"""Augmentations: what each step may and may not do, its statistics, and its seed."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from fastin.xrd import augment  # noqa: E402
from fastin.xrd.augment import FAITHFUL, FIXED  # noqa: E402

STEP = 0.02
ROWS = 240


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def sticks():
    """One pattern of 40 peaks, repeated."""
    rng = generator(7)
    row = torch.zeros(4501)
    row[torch.randperm(3500, generator=rng)[:40] + 500] = 0.2 + 0.8 * torch.rand(40, generator=rng)
    row[2000] = 1.0
    return row.expand(ROWS, -1).clone()


def test_normalise_cuts_and_scales():
    rows = torch.tensor([[0.0, 5.0, 100.0, 9.0], [2.0, 2.0, 2.0, 2.0]])
    out = augment.normalise(rows, 0.1)
    assert out.tolist() == [[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]


def test_published_shift_goes_up_by_one_to_three_degrees(sticks):
    moved = augment.shift(sticks, STEP, FAITHFUL, generator())
    first = (sticks[0] > 0).nonzero()[0].item()
    sizes = torch.stack([(row > 0).nonzero()[0, 0] for row in moved]) - first
    assert set(sizes[sizes != 0].tolist()) <= set(range(50, 150))
    assert (sizes != 0).float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert sizes[sizes != 0].float().mean().item() == pytest.approx(99.5, abs=6)


def test_fixed_shift_goes_both_ways(sticks):
    moved = augment.shift(sticks, STEP, FIXED, generator())
    first = (sticks[0] > 0).nonzero()[0].item()
    sizes = torch.stack([(row > 0).nonzero()[0, 0] for row in moved]) - first
    assert (sizes < 0).any()
    assert (sizes > 0).any()
    assert sizes.abs().max().item() <= 5


def test_rescaling_touches_at_most_the_share(sticks):
    out = augment.rescale_peaks(sticks, FAITHFUL, generator())
    changed = (out != sticks).sum(dim=1)
    assert changed.max().item() <= int(0.15 * 41)
    assert (changed > 0).float().mean().item() == pytest.approx(0.5 * (1 - 1 / (0.15 * 41)), abs=0.1)
    ratio = (out / sticks.clamp_min(1e-9))[out != sticks]
    assert ratio.min().item() >= 1.0
    assert ratio.max().item() <= 3.0
    assert ratio.mean().item() == pytest.approx(2.0, abs=0.1)
    assert not out[sticks == 0].any()


def test_dropping_only_empties(sticks):
    out = augment.drop_peaks(sticks, FAITHFUL, generator())
    lost = (sticks > 0) & (out == 0)
    assert lost.sum(dim=1).max().item() <= int(0.15 * 41)
    assert torch.equal(out[~lost], sticks[~lost])
    free = replace(FAITHFUL, exact_counts=False)
    share = ((sticks > 0) & (augment.drop_peaks(sticks, free, generator(1)) == 0)).sum() / (sticks > 0).sum()
    assert share.item() == pytest.approx(0.5 * 0.075, abs=0.012)


def test_gap_shift_keeps_peaks_and_moves_one_side(sticks):
    out = augment.shift_gap(sticks, STEP, FAITHFUL, generator(2))
    moved = (out != sticks).any(dim=1)
    # half of the rows, less those where nothing lies below the chosen gap and the lower side was to move
    assert 0.25 < moved.float().mean().item() < 0.55
    base = (sticks[0] > 0).nonzero().flatten()
    for row in out[moved][:50]:
        peaks = (row > 0).nonzero().flatten()
        assert len(peaks) == len(base)  # gaps are wider than what is cut, so no peak is lost
        steps = peaks - base
        values = sorted(set(steps.tolist()))
        assert len(values) <= 2
        assert 0 in values or len(values) == 1
        assert max(abs(v) for v in values) <= 500
        change = (steps[1:] != steps[:-1]).sum().item()
        assert change <= 1


def test_stretch_follows_bragg(sticks):
    preset = replace(FIXED, stretch=0.02)
    out = augment.stretch(sticks, STEP, preset, generator())
    assert torch.allclose(out.sum(dim=1), sticks.sum(dim=1), atol=1e-4)
    low, high = 2000, (sticks[0] > 0).nonzero()[-1].item()
    for row in out[:20]:
        strong = int(row.argmax())
        strain = torch.sin(torch.deg2rad(torch.tensor(low * STEP / 2))) / torch.sin(
            torch.deg2rad(torch.tensor(strong * STEP / 2))
        )
        assert abs(strain.item() - 1) < 0.021
        last = (row > 0).nonzero()[-1].item()
        expected = (
            2 / STEP * torch.rad2deg(torch.asin(torch.sin(torch.deg2rad(torch.tensor(high * STEP / 2))) / strain))
        )
        assert last == pytest.approx(expected.item(), abs=4)


def test_noise_is_off_in_the_published_preset_and_on_in_the_fixed_one(sticks):
    assert torch.equal(augment.add_noise(sticks, FAITHFUL, generator()), sticks)
    noisy = augment.add_noise(sticks, FIXED, generator())
    rows = (noisy != sticks).any(dim=1)
    assert rows.float().mean().item() == pytest.approx(0.5, abs=0.1)
    share = (noisy != sticks)[rows].float().mean().item()
    assert share == pytest.approx(FIXED.noise_share, rel=0.1)
    assert (noisy - sticks).max().item() <= FIXED.noise_height


def test_broadening_keeps_areas(sticks):
    out = augment.broaden(sticks[:50], STEP, FIXED, generator())
    assert torch.allclose(out.sum(dim=1), sticks[:50].sum(dim=1), rtol=1e-4)
    changed = (out != sticks[:50]).any(dim=1)
    assert 0.25 < changed.float().mean().item() < 0.75


@pytest.mark.parametrize("preset", [FAITHFUL, FIXED], ids=lambda p: p.name)
@pytest.mark.parametrize("change", [augment.weak, augment.strong], ids=lambda f: f.__name__)
def test_seeded_and_in_range(sticks, preset, change):
    batch = sticks[:32]
    first = change(batch, STEP, preset, generator(3))
    assert torch.equal(first, change(batch, STEP, preset, generator(3)))
    assert not torch.equal(first, change(batch, STEP, preset, generator(4)))
    assert first.shape == batch.shape
    assert first.min().item() == 0.0
    assert first.max().item() == 1.0
    assert torch.isfinite(first).all()
    assert torch.equal(batch, sticks[:32])  # the input is left alone


def test_empty_patterns_survive():
    blank = torch.zeros(4, 901)
    for preset in (FAITHFUL, FIXED):
        for change in (augment.weak, augment.strong):
            assert torch.isfinite(change(blank, 0.1, preset, generator())).all()
