"""Noise: spectra, amplitudes and ratios that come out as asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ssl_ecg.augment.functional_noise import (
    add_sources,
    band_noise,
    bank_rows,
    gain_for_snr,
    mixed_power,
    signal_power,
    sinusoids,
)
from ssl_ecg.augment.noise_records import read_noise
from ssl_ecg.augment.transforms_noise import EMG, BaselineWander, Powerline
from ssl_ecg.augment.transforms_real_noise import RealNoise
from ssl_ecg.errors import RecipeError, RecordError, SignalError

FS = 250.0


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spectrum(x: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean power spectrum over strips and leads, with Hann's window."""
    window = np.hanning(x.shape[-1])
    power = np.abs(np.fft.rfft(x.double().numpy() * window)) ** 2
    return np.fft.rfftfreq(x.shape[-1], 1 / FS), power.mean((0, 1))


def band_share(x: torch.Tensor, low: float, high: float) -> float:
    frequency, power = spectrum(x)
    return float(power[(frequency >= low) & (frequency <= high)].sum() / power.sum())


def test_sources_by_loops() -> None:
    x, weights = torch.randn(3, 4, 20, generator=seeded()), torch.randn(3, 4, 2, generator=seeded(1))
    sources = torch.randn(3, 2, 20, generator=seeded(2))
    expected = x.numpy() + np.einsum("bls,bst->blt", weights, sources)
    np.testing.assert_allclose(add_sources(x, weights, sources), expected, atol=1e-5)
    slow = (np.einsum("bls,bst->blt", weights, sources).astype(np.float64) ** 2).mean(-1)
    np.testing.assert_allclose(mixed_power(weights, sources), slow, rtol=1e-4)


def test_sinusoids_against_numpy() -> None:
    frequency, turn = torch.tensor([[0.3, 50.0], [60.0, 120.1]]), torch.tensor([[0.0, 0.25], [0.5, 0.1]])
    fast = sinusoids(frequency, turn, FS, 2500).double().numpy()
    time = np.arange(2500) / FS
    slow = np.sin(2 * np.pi * (frequency.double().numpy()[..., None] * time + turn.double().numpy()[..., None]))
    np.testing.assert_allclose(fast, slow, atol=1e-3)


def test_bank_rows_by_loops() -> None:
    bank = torch.randn(3, 100, generator=seeded())
    row = torch.randint(0, 3, (5, 4), generator=seeded(1))
    start = torch.randint(0, 81, (5, 4), generator=seeded(2))
    out = bank_rows(bank, row, start, 20)
    for b, k in np.ndindex(5, 4):
        assert torch.equal(out[b, k], bank[row[b, k], start[b, k] : start[b, k] + 20])
    with pytest.raises(SignalError, match="noise"):
        bank_rows(bank, row, start, 101)


def test_power_of_signal() -> None:
    x = torch.randn(4, 12, 300, generator=seeded()) * 2 + 1
    mask = torch.rand(4, 12, generator=seeded(1)) > 0.5
    mask[:, 0] = True
    variance = x.double().numpy().var(-1)
    np.testing.assert_allclose(signal_power(x), variance.mean(1), rtol=1e-4)
    expected = [row[m].mean() for row, m in zip(variance, mask.numpy(), strict=True)]
    np.testing.assert_allclose(signal_power(x, mask), expected, rtol=1e-4)
    assert gain_for_snr(torch.tensor(1.0), torch.tensor(0.0), torch.tensor(3.0)) == 0


@pytest.mark.parametrize("per_lead", [False, True])
@pytest.mark.parametrize("kind", [BaselineWander, Powerline, EMG])
def test_amplitude_is_the_one_asked_for(kind: type, per_lead: bool) -> None:
    transform = kind(fs=FS, amplitude=(0.3, 0.3), per_lead=per_lead, strength=0.5)
    noise = transform(torch.zeros(200, 12, 2500), generator=seeded())
    rms = noise.square().mean((1, 2)).sqrt()
    # Slow waves do not complete their periods in the strip, so that single strips scatter.
    assert float(rms.square().mean().sqrt()) == pytest.approx(0.15, rel=0.08)
    assert noise.mean().abs() < 0.01


def test_strips_draw_their_amplitude_from_the_range() -> None:
    rms = EMG(fs=FS, amplitude=(0.1, 0.4))(torch.zeros(500, 12, 1000), generator=seeded()).square().mean((1, 2)).sqrt()
    assert 0.08 < rms.min() < 0.13
    assert 0.36 < rms.max() < 0.45
    assert rms.mean() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(("mains", "drift"), [(50.0, 0.0), (60.0, 0.0), (50.0, 0.1)])
def test_powerline_is_at_the_mains_and_its_harmonics(mains: float, drift: float) -> None:
    transform = Powerline(fs=FS, mains=(mains,), harmonics=3, drift=drift)
    noise = transform(torch.zeros(50, 12, 2500), generator=seeded())
    frequency, power = spectrum(noise)
    assert frequency[power.argmax()] == pytest.approx(mains, abs=0.1 + drift)
    near = [(k * mains - 0.6, k * mains + 0.6) for k in (1, 2)]  # three times the mains is above half the rate
    assert sum(band_share(noise, *band) for band in near) > 0.999
    assert band_share(noise, *near[1]) > 0.005


def test_powerline_needs_a_rate() -> None:
    with pytest.raises(RecipeError, match="mains"):
        Powerline(fs=100.0)
    assert Powerline(fs=110.0).mains == (50.0,)


def test_wander_is_slow_and_muscle_within_its_band() -> None:
    wander = BaselineWander(fs=FS, band=(0.15, 0.5))(torch.zeros(50, 12, 5000), generator=seeded())
    assert band_share(wander, 0.05, 0.65) > 0.999
    muscle = EMG(fs=FS, band=(30.0, 80.0))(torch.zeros(50, 12, 2500), generator=seeded())
    assert band_share(muscle, 29.0, 81.0) > 0.999
    assert band_share(muscle, 30.0, 55.0) == pytest.approx(0.5, abs=0.05)
    assert EMG(fs=100.0).band == (20.0, 45.0)
    with pytest.raises(RecipeError, match="band"):
        EMG(fs=40.0)


def test_band_noise() -> None:
    noise = band_noise(20000, FS, 20.0, 60.0, generator=seeded())
    assert noise.square().mean() == pytest.approx(1.0, abs=1e-4)
    assert band_share(noise.view(1, 1, -1), 19.5, 60.5) > 0.999
    with pytest.raises(SignalError, match="empty"):
        band_noise(1000, FS, 200.0, 300.0)


def achieved_snr(x: torch.Tensor, noisy: torch.Tensor, mask: torch.Tensor, axes: tuple[int, ...]) -> np.ndarray:
    signal, noise = x.double().numpy(), (noisy - x).double().numpy()
    keep = mask.numpy()
    ratio = (signal.var(-1) * keep).sum(axes) / np.maximum((noise.var(-1) * keep).sum(axes), 1e-30)
    with np.errstate(divide="ignore"):
        return np.asarray(10 * np.log10(ratio))


def test_snr_is_the_one_asked_for() -> None:
    noise = torch.randn(2, 5000, generator=seeded()).cumsum(1)
    x = torch.randn(30, 12, 600, generator=seeded(1)) * (torch.rand(30, 12, 1, generator=seeded(2)) + 0.1) + 0.5
    mask = torch.rand(30, 12, generator=seeded(3)) > 0.3
    mask[:, 4] = True
    x = x * mask.unsqueeze(-1)
    for snr in (-3.0, 12.0):
        noisy = RealNoise(noise, fs=FS, snr=(snr, snr))(x, mask, generator=seeded(4))
        np.testing.assert_allclose(achieved_snr(x, noisy, mask, (1,)), snr, atol=0.05)
    louder = RealNoise(noise, fs=FS, snr=(6.0, 6.0), strength=2.0)(x, mask, generator=seeded(4))
    np.testing.assert_allclose(achieved_snr(x, louder, mask, (1,)), 6.0 - 6.02, atol=0.05)
    own = RealNoise(noise, fs=FS, snr=(9.0, 9.0), per_lead=True)(x, mask, generator=seeded(5))
    np.testing.assert_allclose(achieved_snr(x, own, mask, ())[mask.numpy()], 9.0, atol=0.05)
    padded = torch.cat([x, torch.full((30, 12, 900), 3.0)], 2)  # what lies past the end counts for nothing
    for per_lead, axes in ((False, (1,)), (True, ())):
        add = RealNoise(noise, fs=FS, snr=(9.0, 9.0), per_lead=per_lead)
        noisy = add(padded, mask, generator=seeded(6), lengths=torch.full((30,), 600))[..., :600]
        achieved = achieved_snr(x, noisy, mask, axes)
        np.testing.assert_allclose(achieved if axes else achieved[mask.numpy()], 9.0, atol=0.05)
    spread = achieved_snr(x, RealNoise(noise, fs=FS, snr=(0.0, 20.0))(x, mask), mask, (1,))
    assert spread.min() < 5.0 < 15.0 < spread.max()


def test_noise_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(SignalError, match="row varies"):
        read_noise(torch.ones(2, 50), FS)
    with pytest.raises(SignalError, match="row varies"):
        read_noise([], FS)
    with pytest.raises(SignalError, match="row, time"):
        read_noise(torch.ones(50), FS)
    with pytest.raises(RecordError, match="nothing_here"):
        read_noise(tmp_path / "nothing_here", FS)
    (tmp_path / "bad.hea").write_text("bad 2 360 100\nno such line")
    with pytest.raises(RecordError, match="bad"):
        read_noise(tmp_path / "bad", FS)
    with pytest.raises(SignalError, match="noise"):
        RealNoise(torch.randn(1, 100), fs=FS)(torch.randn(2, 12, 101))
    with pytest.raises(RecipeError, match="snr"):
        RealNoise(torch.randn(1, 100), fs=FS, snr=(9.0, 3.0))
    with pytest.raises(RecipeError, match="amplitude"):
        EMG(fs=FS, amplitude=(0.2, 0.1))
    with_gaps = torch.randn(2, 500, generator=seeded())
    with_gaps[0, :9] = torch.nan
    assert read_noise(with_gaps, FS).isfinite().all()


@pytest.mark.real
def test_noise_stress_records(real_data: Path) -> None:
    folder = real_data / "nstdb"
    rows = read_noise([folder / "bw", folder / "em.hea", str(folder / "ma")], 100.0)
    assert rows.shape[0] == 6
    assert rows.shape[1] == pytest.approx(650_000 / 3.6, abs=2)
    np.testing.assert_allclose(rows.double().square().mean(1), 1.0, atol=1e-3)
    # Baseline wander is slower than muscle noise.
    fast = rows.diff(dim=1).square().mean(1)
    assert fast[:2].max() < fast[4:].min()
    x = torch.randn(8, 12, 1000, generator=seeded())
    noisy = RealNoise(folder / "ma", fs=100.0, snr=(6.0, 6.0))(x, generator=seeded())
    np.testing.assert_allclose(achieved_snr(x, noisy, torch.ones(8, 12), (1,)), 6.0, atol=0.05)
