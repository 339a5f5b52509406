"""Leads, masks and bands against slow NumPy references."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import butter, sosfreqz

from ssl_ecg.augment.functional import (
    apply_lead_map,
    band_response,
    chain_lead_maps,
    filter_band,
    keep_some_leads,
    mask_time,
    padded_length,
    span_mask,
    stop_response,
)


def draws(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_lead_maps_and_their_products() -> None:
    x, full, diagonal = draws(4, 12, 50), draws(4, 12, 12, seed=1), draws(4, 12, seed=2)
    expected = np.stack([m @ s for m, s in zip(full.numpy(), x.numpy(), strict=True)])
    np.testing.assert_allclose(apply_lead_map(x, full), expected, atol=1e-4)
    np.testing.assert_allclose(apply_lead_map(x, diagonal), x.numpy() * diagonal.numpy()[:, :, None])
    for first in (full, diagonal):
        for then in (full.transpose(1, 2), diagonal):
            one_by_one = apply_lead_map(apply_lead_map(x, first), then)
            at_once = apply_lead_map(x, chain_lead_maps(first, then))
            torch.testing.assert_close(at_once, one_by_one, atol=1e-4, rtol=1e-4)


def test_reuse_writes_into_the_input_and_only_then() -> None:
    x, factors = torch.ones(2, 3, 4), torch.full((2, 3), 2.0)
    apply_lead_map(x, factors)
    assert (x == 1).all()
    assert apply_lead_map(x, factors, reuse=True).data_ptr() == x.data_ptr()
    assert (x == 2).all()


def test_one_present_lead_is_always_kept() -> None:
    score = torch.rand(200, 12, generator=torch.Generator().manual_seed(0))
    mask = torch.rand(200, 12, generator=torch.Generator().manual_seed(1)) > 0.7
    mask[:, 0] = True
    keep = keep_some_leads(score, 0.9, mask).bool()
    assert (keep & mask).any(1).all()
    for row in range(200):
        best = int(np.argmax(np.where(mask[row], score[row], -1)))
        expected = {k for k in range(12) if score[row, k] >= 0.9} | {best}
        assert set(keep[row].nonzero().flatten().tolist()) == expected


def test_spans_by_loops() -> None:
    rng = np.random.default_rng(0)
    start, length = rng.integers(0, 40, (5, 3, 2)), rng.integers(0, 15, (5, 3, 2))
    inside = span_mask(torch.from_numpy(start), torch.from_numpy(length), 47).numpy()
    expected = np.zeros((5, 3, 47), bool)
    for b, lead, k in np.ndindex(5, 3, 2):
        expected[b, lead, start[b, lead, k] : start[b, lead, k] + length[b, lead, k]] = True
    np.testing.assert_array_equal(inside, expected)
    x = draws(5, 3, 47)
    np.testing.assert_array_equal(mask_time(x, torch.from_numpy(inside)), np.where(expected, 0, x.numpy()))


@pytest.mark.parametrize("kind", ["lowpass", "highpass", "bandpass"])
def test_response_is_butterworth(kind: str) -> None:
    # Edges far below half the rate, where SciPy's bilinear transform hardly bends the frequencies.
    fs, low, high = 4000.0, 2.0, 40.0
    frequency = np.linspace(0.1, 200.0, 500)
    expected = np.ones(500)
    for edge, half in ((high, "lowpass"), (low, "highpass")):
        if kind in (half, "bandpass"):
            _, factor = sosfreqz(butter(4, edge, half, fs=fs, output="sos"), frequency, fs=fs)
            expected = expected * np.abs(factor)
    response = band_response(
        torch.from_numpy(frequency),
        torch.tensor([0.0 if kind == "lowpass" else low]).double(),
        torch.tensor([torch.inf if kind == "highpass" else high]).double(),
    )
    np.testing.assert_allclose(response[0], expected, atol=0.01)


def test_stop_is_zero_at_centre_and_half_at_its_edge() -> None:
    frequency = torch.tensor([5.0, 8.0, 10.0, 12.0, 50.0])
    stop = stop_response(frequency, torch.tensor([10.0]), torch.tensor([4.0]))[0]
    torch.testing.assert_close(stop[1:], torch.tensor([0.5, 0.0, 0.5, 1.0]))


def test_filter_against_numpy() -> None:
    x, n_samples = draws(3, 2, 333), 333
    margin, length = padded_length(n_samples)
    response = torch.rand(3, length // 2 + 1, generator=torch.Generator().manual_seed(5))
    filtered = filter_band(x, response).numpy()
    for b, lead in np.ndindex(3, 2):
        padded = np.pad(x[b, lead].double().numpy(), (margin, length - n_samples - margin), mode="reflect")
        slow = np.fft.irfft(np.fft.rfft(padded) * response[b].double().numpy(), n=length)
        np.testing.assert_allclose(filtered[b, lead], slow[margin : margin + n_samples], atol=1e-5)
    whole = filter_band(x, torch.ones(3, length // 2 + 1))
    torch.testing.assert_close(whole, x, atol=1e-5, rtol=1e-5)


def test_tones_pass_or_fall_by_their_response() -> None:
    fs, n_samples = 100.0, 2000
    time = torch.arange(n_samples) / fs
    _, length = padded_length(n_samples)
    frequency = torch.fft.rfftfreq(length, 1 / fs)
    response = band_response(frequency, torch.tensor([1.0]), torch.tensor([20.0]))
    for tone, kept in ((0.2, 0.0016), (1.0, 0.7071), (8.0, 1.0), (20.0, 0.7071), (40.0, 0.0625)):
        wave = torch.cos(2 * torch.pi * tone * time).view(1, 1, -1)
        out = filter_band(wave, response)[0, 0, 500:1500]
        assert float(out.square().mean().sqrt() * 2**0.5) == pytest.approx(kept, abs=0.01)


@pytest.mark.parametrize("n_samples", [1, 2, 3, 7, 11, 19, 500, 501, 997])
def test_padding_is_possible_and_quick(n_samples: int) -> None:
    margin, length = padded_length(n_samples)
    assert 0 <= length - n_samples - margin < max(n_samples, 1)
    assert filter_band(torch.ones(1, 1, n_samples), torch.ones(1, length // 2 + 1)).shape[-1] == n_samples
