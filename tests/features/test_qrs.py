"""R peaks against known places, and the trace they come from against slow references."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from ssl_ecg.data.readers import read_record
from ssl_ecg.data.simulate import simulate
from ssl_ecg.errors import SignalError
from ssl_ecg.features.qrs import r_peaks
from ssl_ecg.features.qrs_energy import RATE, qrs_trace, silent

BEATS = set("NLRBAaJSVrFejnE/fQ?")


def train(fs: float, seconds: float = 12.0, sign: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian beats with T waves at uneven times; the lead [mV] and the times of R [s]."""
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.uniform(0.6, 1.1, 90)) - 0.3
    times = times[times < seconds - 0.3]
    t = np.arange(round(seconds * fs)) / fs
    lead = 0.02 * rng.normal(size=t.size) + 0.3 * np.sin(2 * np.pi * 0.2 * t)
    for at in times:
        lead += sign * np.exp(-(((t - at) / 0.012) ** 2)) + 0.35 * np.exp(-(((t - at - 0.28) / 0.05) ** 2))
    return lead, times


def matched(found: np.ndarray, true: np.ndarray, tolerance: float) -> tuple[int, np.ndarray]:
    """Pair each true beat with the nearest found one that is still free; the number and the offsets."""
    free, offsets = set(range(len(found))), []
    for at in true:
        near = [k for k in free if abs(found[k] - at) <= tolerance]
        if near:
            best = min(near, key=lambda k: abs(found[k] - at))
            free.discard(best)
            offsets.append(found[best] - at)
    return len(offsets), np.array(offsets)


@pytest.mark.parametrize("fs", [100, 128, 250, 360, 500, 1000])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_known_beats_are_found_without_lag(fs: float, sign: float) -> None:
    lead, times = train(fs, sign=sign)
    found = r_peaks(lead, fs)
    assert found.dtype == np.int64
    assert len(found) == len(times)
    np.testing.assert_allclose(found / fs, times, atol=1.5 / fs + 0.002)


def test_amplitude_offset_and_length_do_not_matter() -> None:
    lead, times = train(250)
    expected = r_peaks(lead, 250)
    np.testing.assert_array_equal(r_peaks(1000 * lead, 250), expected)
    np.testing.assert_array_equal(r_peaks(lead + 7, 250), expected)
    short = r_peaks(lead[:500], 250)
    np.testing.assert_array_equal(short, expected[expected < 500])
    assert len(times[times < 2]) == len(short)


def test_several_leads_go_together() -> None:
    lead, times = train(360)
    rng = np.random.default_rng(0)
    leads = np.stack([0.1 * lead, lead, rng.normal(size=lead.size), np.zeros_like(lead)])
    found = r_peaks(leads, 360)
    assert len(found) == len(times)
    np.testing.assert_allclose(found / 360, times, atol=0.005)


def test_missing_and_flat_parts_have_no_peaks() -> None:
    lead, times = train(200, 60.0)
    lead[2000:4000] = np.nan
    lead[6000:8000] = 0.4
    found = r_peaks(lead, 200)
    inside = lambda k: ((k >= 2000) & (k < 4000)) | ((k >= 6000) & (k < 8000))  # noqa: E731
    assert not inside(found).any()
    clear = times[~inside(times * 200 - 30) & ~inside(times * 200 + 30)]
    assert matched(found, clear * 200, 4)[0] == len(clear)
    assert len(found) <= (~inside(times * 200)).sum()
    both = np.stack([lead, train(200, 60.0)[0]])
    assert matched(r_peaks(both, 200), times * 200, 4)[0] == len(times)


def test_a_pause_has_no_peaks() -> None:
    lead, times = train(250, 80.0)  # the beats end after 78 s
    lead[30 * 250 : 60 * 250] = 0.02 * np.random.default_rng(0).normal(size=30 * 250)
    found = r_peaks(lead, 250) / 250
    assert not ((found > 30.5) & (found < 59.5)).any()
    assert len(found) >= ((times < 30) | (times > 60)).sum() - 2


def test_a_burst_and_a_change_of_amplitude_are_survived() -> None:
    lead, times = train(250, 30.0)
    changed = lead.copy()
    changed[3700:] *= 0.2
    changed[1000:1250] += 8 * np.sin(np.arange(250))
    found = r_peaks(changed, 250)
    outside = times[(times < 3.7) | (times > 5.3)]
    assert matched(found, outside * 250, 4)[0] >= len(outside) - 1


@pytest.mark.parametrize("signal", [np.zeros(1000), np.full((2, 1000), np.nan), np.ones(30), np.zeros((3, 0))])
def test_nothing_gives_no_peaks(signal: np.ndarray) -> None:
    assert r_peaks(signal, 100).shape == (0,)


def test_impossible_input_is_refused() -> None:
    with pytest.raises(SignalError, match="80 Hz"):
        r_peaks(np.zeros(1000), 50)
    with pytest.raises(SignalError, match="lead, time"):
        r_peaks(np.zeros((2, 2, 1000)), 500)


@pytest.mark.parametrize("finding", ["NORM", "AF", "PVC", "RBBB"])
def test_simulated_records(finding: str) -> None:
    n_true = n_found = n_paired = 0
    for record in simulate(6, seed=5, fs=250, findings=[finding]):
        found, true = r_peaks(record.signal, record.fs), record.annotations.sample[1:]
        n_paired += matched(found, true, 0.15 * 250)[0]
        n_true, n_found = n_true + len(true), n_found + len(found)
    assert n_paired >= 0.98 * max(n_true, n_found)


def test_silent_against_a_loop() -> None:
    rng = np.random.default_rng(1)
    signal = rng.normal(size=(2, 300)).astype(np.float32)
    signal[0, 50:75], signal[0, 100:124], signal[1, 200:260], signal[1, 10] = 1.0, -2.0, 0.0, np.nan
    for fs in (50.0, 48.0):  # windows of odd and even length
        width = round(0.5 * fs)
        expected = np.isnan(signal)
        for lead, row in enumerate(np.nan_to_num(signal)):
            for first in range(len(row) - width + 1):
                if np.ptp(row[first : first + width]) < 1e-3:
                    expected[lead, first : first + width] = True
        np.testing.assert_array_equal(silent(signal, fs), expected)


def test_trace_against_scipy() -> None:
    """At its own rate the trace of one lead is the filtered derivative's moving energy, but for a factor."""
    lead, _ = train(RATE, 20.0)
    narrow = sosfiltfilt(butter(4, (8, 20), "bandpass", fs=RATE, output="sos"), lead)
    slope = np.zeros_like(narrow)
    for k in range(2, len(narrow) - 2):
        slope[k] = 2 * narrow[k + 2] + narrow[k + 1] - narrow[k - 1] - 2 * narrow[k - 2]
    width = 31
    energy = np.convolve(slope**2, np.ones(width) / width, mode="same") ** 0.5
    trace = qrs_trace(lead[None].astype(np.float32), RATE)
    middle = slice(400, 3600)
    ratio = trace[middle].mean() / energy[middle].mean()
    np.testing.assert_allclose(trace[middle], ratio * energy[middle], atol=0.02)
    assert 0.8 < np.percentile(trace, 99) < 1.3


@pytest.mark.real
@pytest.mark.parametrize("name", ["100", "109", "114"])
def test_mitdb(name: str, real_data: Path) -> None:
    record = read_record(real_data / "mitdb" / name, annotations="atr", stop=360 * 600)
    notes = record.annotations
    assert notes is not None
    true = notes.sample[[k for k, symbol in enumerate(notes.symbol) if symbol in BEATS]]
    found = r_peaks(record.signal, record.fs)
    n, offsets = matched(found, true, 0.15 * 360)
    assert n >= 0.99 * max(len(true), len(found))
    assert np.median(abs(offsets)) < 0.010 * 360
