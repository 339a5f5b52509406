from __future__ import annotations

from math import ceil
from pathlib import Path

import numpy as np
import pytest
import scipy.signal as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_ecg.errors import SignalError
from ssl_ecg.leads import LIMB_LEADS, STANDARD_LEADS, limb_relations
from ssl_ecg.signal import bandpass, notch, quality_flags, resample, resample_band, scale, windows
from ssl_ecg.spectral import butterworth_gain

RATES = (100, 128, 250, 257, 257.3, 360, 400, 499.87, 500, 1000, 10000)


def _noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def _tones(fs: float, seconds: float, *freqs: float) -> np.ndarray:
    t = np.arange(round(fs * seconds)) / fs
    return sum(np.sin(2 * np.pi * f * t + 0.3 + f) for f in freqs)  # type: ignore[return-value]


class TestGain:
    @pytest.mark.parametrize("order", [1, 2, 4, 5])
    @pytest.mark.parametrize(
        ("kind", "low", "high"), [("bandpass", 0.5, 40), ("highpass", 0.5, None), ("lowpass", None, 40)]
    )
    def test_is_that_of_the_digital_butterworth_design_squared(
        self, kind: str, low: float | None, high: float | None, order: int
    ) -> None:
        freq = np.linspace(0, 50, 400)
        edges = [edge for edge in (low, high) if edge is not None]
        sos = reference.butter(order, edges if len(edges) > 1 else edges[0], kind, fs=100, output="sos")
        response = reference.sosfreqz(sos, worN=freq, fs=100)[1]
        np.testing.assert_allclose(butterworth_gain(freq, 100, low, high, order), np.abs(response) ** 2, atol=1e-9)

    def test_bandpass_is_forward_and_backward_filtering(self) -> None:
        x = _noise(3, 20000)
        sos = reference.butter(4, [0.5, 40], "bandpass", fs=100, output="sos")
        expected = reference.sosfiltfilt(sos, x, axis=-1)
        np.testing.assert_allclose(bandpass(x, 100, 0.5, 40)[:, 2000:-2000], expected[:, 2000:-2000], atol=2e-5)

    def test_notch_is_forward_and_backward_filtering(self) -> None:
        x = _noise(2, 20000, seed=1)
        b, a = reference.iirnotch(50, 30, fs=500)
        expected = reference.filtfilt(b, a, x, axis=-1)
        np.testing.assert_allclose(notch(x, 500, 50)[:, 3000:-3000], expected[:, 3000:-3000], atol=2e-5)

    def test_notch_removes_the_mains_and_nothing_else(self) -> None:
        ecg, mains = _tones(500, 10, 5, 17), _tones(500, 10, 50)
        np.testing.assert_allclose(notch(ecg + mains, 500, 50)[1000:-1000], ecg[1000:-1000], atol=0.02)


class TestRates:
    @pytest.mark.parametrize("fs", RATES)
    def test_tones_keep_their_amplitude_and_place(self, fs: float) -> None:
        out = resample(_tones(fs, 10, 1, 7.3, 31), fs, 100)
        assert len(out) == ceil(round(fs * 10) * 100 / fs)
        np.testing.assert_allclose(out[100:900], _tones(100, 10, 1, 7.3, 31)[100:900], atol=3e-3)

    @pytest.mark.parametrize("fs", [250, 257, 360, 500, 1000])
    @pytest.mark.parametrize("freq", [55, 70, 99, 110])
    def test_nothing_is_aliased(self, fs: float, freq: float) -> None:
        out = resample(_tones(fs, 10, freq), fs, 100)
        assert np.abs(out[100:900]).max() < 2e-3

    @pytest.mark.parametrize(("fs_in", "fs_out"), [(500, 100), (360, 100), (1000, 250), (100, 500)])
    def test_agrees_with_a_polyphase_filter_on_what_the_ecg_is_made_of(self, fs_in: int, fs_out: int) -> None:
        sos = reference.butter(6, 0.3 * min(fs_in, fs_out), fs=fs_in, output="sos")
        x = reference.sosfiltfilt(sos, _noise(2, 20 * fs_in, seed=2), axis=-1)
        step = np.gcd(fs_in, fs_out)
        expected = reference.resample_poly(x, fs_out // step, fs_in // step, axis=-1, window=("kaiser", 12.0))
        middle = slice(2 * fs_out, -2 * fs_out)
        np.testing.assert_allclose(resample(x, fs_in, fs_out)[:, middle], expected[:, middle], atol=0.02 * x.std())

    @pytest.mark.parametrize("fs", [250, 360, 500])
    def test_one_pass_is_resampling_and_then_filtering(self, fs: float) -> None:
        x = _noise(2, int(30 * fs), seed=3)
        both = bandpass(resample(x, fs, 100), 100, 0.5, 40)
        np.testing.assert_allclose(resample_band(x, fs, 100, (0.5, 40))[:, 500:-500], both[:, 500:-500], atol=2e-3)

    def test_the_same_rate_changes_nothing(self) -> None:
        x = _noise(2, 777).astype(np.float32)
        out = resample(x, 100, 100)
        np.testing.assert_array_equal(out, x)
        assert not np.shares_memory(out, x)

    @given(fs_in=st.floats(20, 5000), fs_out=st.sampled_from([50.0, 100.0, 128.0, 500.0]), n=st.integers(1, 900))
    @settings(max_examples=60, deadline=None)
    def test_any_rate_and_length(self, fs_in: float, fs_out: float, n: int) -> None:
        out = resample(np.full((2, n), 3.0), fs_in, fs_out)
        assert out.shape[0] == 2
        assert abs(out.shape[1] - n * fs_out / fs_in) < 1.01
        np.testing.assert_allclose(out, 3.0, rtol=1e-4)

    def test_long_recordings_are_taken_lead_by_lead_to_the_same_result(self) -> None:
        x = _noise(3, 1_500_000, seed=4).astype(np.float32)
        np.testing.assert_array_equal(resample(x, 500, 100)[1], resample(x[1], 500, 100))


class TestEnds:
    def test_they_are_better_than_those_of_sosfiltfilt(self) -> None:
        """Strips cut from a drifting recording, against the recording filtered as a whole."""
        drift = np.cumsum(_noise(120_000, seed=5)) * 0.01 + _tones(100, 1200, 1.2, 8, 21)
        sos = reference.butter(4, [0.5, 40], "bandpass", fs=100, output="sos")
        whole = reference.sosfiltfilt(sos, drift)
        ends = np.r_[:100, 900:1000]
        ours, theirs = [], []
        for start in range(1000, 118_000, 970):
            strip, truth = drift[start : start + 1000], whole[start : start + 1000]
            ours.append(np.abs(bandpass(strip, 100, 0.5, 40) - truth)[ends].mean())
            theirs.append(np.abs(reference.sosfiltfilt(sos, strip) - truth)[ends].mean())
        assert np.mean(ours) < 0.5 * np.mean(theirs)

    @pytest.mark.parametrize("n", [1, 2, 3, 10, 99])
    def test_short_recordings(self, n: int) -> None:
        out = bandpass(_noise(2, n) + 40, 100, 0.5, 40)
        assert out.shape == (2, n)
        assert np.isfinite(out).all()
        assert np.abs(out).max() < 10

    def test_a_constant_vanishes_whatever_its_size(self) -> None:
        assert np.abs(bandpass(np.full((1, 1000), 300.0), 100, 0.5, 40)).max() < 1e-3


class TestMissing:
    def test_gaps_stay_gaps_and_do_not_spread(self) -> None:
        x = _tones(500, 10, 3, 11)[None].repeat(2, 0)
        holed = x.copy()
        holed[0, 2000:2500] = np.nan
        holed[0, 4000] = np.inf
        out = resample_band(holed, 500, 100, (0.5, 40))
        assert np.flatnonzero(np.isnan(out[0])).tolist() == [*range(400, 501), 800]
        clean = resample_band(x, 500, 100, (0.5, 40))
        np.testing.assert_array_equal(out[1], clean[1])
        assert np.abs(out - clean)[0, 620:780].max() < 0.1

    def test_single_samples_are_not_lost_when_the_rate_falls(self) -> None:
        x = np.zeros((1, 1000))
        x[0, 503] = np.nan
        assert np.isnan(resample(x, 500, 100)).sum() == 1

    def test_a_gap_is_whole_when_the_rate_rises(self) -> None:
        x = np.zeros((1, 100))
        x[0, 40:60] = np.nan
        out = resample(x, 100, 500)
        assert np.isnan(out[0, 200:296]).all()
        assert np.isfinite(out[0, :197]).all()

    def test_a_lead_without_samples(self) -> None:
        x = np.stack([np.full(500, np.nan), _tones(100, 5, 3)])
        out = bandpass(x, 100, 0.5, 40)
        assert np.isnan(out[0]).all()
        assert np.isfinite(out[1]).all()

    def test_no_filter_marks_infinite_samples_too(self) -> None:
        out = resample(np.array([[1.0, np.inf, 3.0]]), 100, 100)
        np.testing.assert_array_equal(out, [[1.0, np.nan, 3.0]])


@pytest.mark.parametrize("shape", [(700,), (2, 700), (3, 2, 700)])
def test_shapes_types_and_no_change_in_place(shape: tuple[int, ...]) -> None:
    x = _noise(*shape)
    before = x.copy()
    for out in (bandpass(x, 100, 0.5, 40), resample(x, 200, 100), notch(x, 200, 50)):
        assert out.dtype == np.float32
        assert out.shape[:-1] == shape[:-1]
        assert out.flags.c_contiguous
    np.testing.assert_array_equal(x, before)


def test_filters_keep_the_relations_between_leads() -> None:
    first, second = _noise(2, 2000, seed=6)
    limb = [first, second, second - first, -(first + second) / 2, first - second / 2, second - first / 2]
    out = resample_band(np.stack(limb), 500, 100, (0.5, 40))
    assert np.abs(limb_relations(LIMB_LEADS) @ out).max() < 1e-5


@pytest.mark.parametrize(
    ("low", "high", "order"), [(40, 0.5, 4), (0.5, 50, 4), (0.5, 0.5, 4), (-1, 40, 4), (0.5, 40, 0)]
)
def test_impossible_bands(low: float, high: float, order: int) -> None:
    with pytest.raises(SignalError):
        bandpass(np.zeros((1, 100)), 100, low, high, order)


@pytest.mark.parametrize("fs", [0.0, -1.0, float("nan"), float("inf"), 1e-9])
def test_impossible_rates(fs: float) -> None:
    with pytest.raises(SignalError):
        resample(np.zeros((1, 100)), fs, 100)


def test_no_samples() -> None:
    with pytest.raises(SignalError, match="at least one sample"):
        resample(np.zeros((12, 0)), 500, 100)
    with pytest.raises(SignalError):
        notch(np.zeros((1, 10)), 100, 60)


class TestScale:
    def test_lead(self) -> None:
        x = _noise(3, 400, seed=7) * np.array([[1], [5], [0]]) + 2
        out = scale(x, "lead")
        np.testing.assert_allclose(out[:2].mean(axis=1), 0, atol=1e-6)
        np.testing.assert_allclose(out[:2].std(axis=1), 1, atol=1e-6)
        np.testing.assert_array_equal(out[2], 0)

    def test_record_keeps_proportions_and_passes_over_absent_leads(self) -> None:
        x = np.stack([3 * np.ones(10), -4 * np.ones(10), np.zeros(10)])
        out = scale(x, "record")
        np.testing.assert_allclose(out[:, 0], np.array([3, -4, 0]) / np.sqrt(12.5), rtol=1e-6)
        np.testing.assert_array_equal(scale(np.zeros((2, 5)), "record"), 0)

    @pytest.mark.parametrize("mode", ["none", "record", "lead"])
    def test_is_what_the_encoders_see(self, mode: str) -> None:
        torch = pytest.importorskip("torch")
        scaling = pytest.importorskip("ssl_ecg.scaling")
        x = _noise(12, 300, seed=8).astype(np.float32)
        x[4] = 0
        np.testing.assert_allclose(scale(x, mode), scaling.scale_strips(torch.from_numpy(x)[None], mode)[0], atol=1e-5)

    def test_unknown(self) -> None:
        with pytest.raises(SignalError, match="choose"):
            scale(np.zeros((1, 3)), "batch")


class TestWindows:
    def test_against_slices(self) -> None:
        x = _noise(3, 100)
        out = windows(x, 30, 17)
        assert out.shape == (5, 3, 30)
        for k in range(5):
            np.testing.assert_array_equal(out[k], x[:, 17 * k : 17 * k + 30])

    def test_shorter_than_one(self) -> None:
        assert windows(np.zeros((2, 5)), 6).shape == (0, 2, 6)

    def test_impossible(self) -> None:
        with pytest.raises(SignalError):
            windows(np.zeros((2, 5)), 3, 0)


class TestQuality:
    def _ecg(self, fs: float = 500) -> np.ndarray:
        rng = np.random.default_rng(9)
        t = np.arange(int(10 * fs)) / fs
        beat = np.exp(-(((t % 0.8) - 0.4) ** 2) / 2e-4)
        limb = [0.6 * beat, beat]
        limb += [limb[1] - limb[0], -(limb[0] + limb[1]) / 2, limb[0] - limb[1] / 2, limb[1] - limb[0] / 2]
        limb_noise = rng.normal(size=(2, t.size)) * 0.01
        extra = [limb_noise[0], limb_noise[1], limb_noise[1] - limb_noise[0]]
        extra += [-(extra[0] + extra[1]) / 2, extra[0] - extra[1] / 2, extra[1] - extra[0] / 2]
        chest = [beat * k + rng.normal(size=t.size) * 0.01 for k in (-1, -0.5, 0.5, 1, 1.2, 1.1)]
        return np.stack([*(a + b for a, b in zip(limb, extra, strict=True)), *chest]).astype(np.float32)

    @pytest.mark.parametrize("fs", [100, 360, 500])
    def test_a_good_recording(self, fs: float) -> None:
        assert quality_flags(self._ecg(fs), fs, STANDARD_LEADS) == []

    def test_each_flaw(self) -> None:
        x = self._ecg()
        x[6, 1000:2200] = x[6, 1000]
        x[7] = np.clip(x[7] + _tones(500, 10, 0.3), None, 0.9)
        x[8] *= 0.01
        x[9] *= 30
        x[10, 77] = np.nan
        x[11, 5] = -np.inf
        x[2] += 0.5
        flags = quality_flags(x, 500, STANDARD_LEADS)
        assert set(flags) == {
            "flat:V1", "saturated:V2", "amplitude:V3", "amplitude:V4", "nan:V5", "nan:V6", "einthoven",
        }  # fmt: skip

    def test_a_dead_lead_is_flat_and_nothing_else(self) -> None:
        x = self._ecg()
        x[6] = 5.0
        assert quality_flags(x, 500, STANDARD_LEADS) == ["flat:V1"]

    def test_a_gap_is_missing_and_not_flat(self) -> None:
        x = self._ecg()
        x[6, 3000:] = np.nan
        assert quality_flags(x, 500, STANDARD_LEADS) == ["nan:V1"]

    def test_a_sharp_peak_or_a_coarse_converter_is_no_rail(self) -> None:
        x = np.round(self._ecg() / 0.02) * 0.02
        assert [flag for flag in quality_flags(x, 500, STANDARD_LEADS) if flag.startswith("sat")] == []

    def test_clipping_above_and_below(self) -> None:
        wave = 2 * _tones(500, 10, 1)[None]
        assert quality_flags(np.clip(wave, -9, 1.5), 500, ["V1"]) == ["saturated:V1"]
        assert quality_flags(np.clip(wave, -1.5, 9), 500, ["V1"]) == ["saturated:V1"]
        assert quality_flags(wave, 500, ["V1"]) == []

    @pytest.mark.parametrize("n", [1, 2, 40])
    def test_short_ones(self, n: int) -> None:
        assert isinstance(quality_flags(np.zeros((2, n), np.float32), 100, ["I", "II"]), list)

    def test_nothing_valid_or_huge(self) -> None:
        assert "nan:I" in quality_flags(np.full((1, 200), np.nan), 100, ["I"])
        assert "amplitude:I" in quality_flags(np.array([[3e38, -3e38] * 100]), 100, ["I"])

    @pytest.mark.real
    def test_real_recordings_with_lead_off(self, real_data: Path) -> None:
        """Challenge 2011: electrodes that came off are among what people called unacceptable."""
        import csv

        from ssl_ecg.data.readers import read_record

        flat: dict[str, list[bool]] = {}
        with (real_data / "cinc2011" / "records.csv").open() as table:
            for row in csv.DictReader(table):
                record = read_record(real_data / "cinc2011" / row["id"])
                flags = quality_flags(record.signal, record.fs, record.leads)
                assert "einthoven" not in flags
                flat.setdefault(row["label"], []).append(any(flag.startswith("flat") for flag in flags))
        assert np.mean(flat["unacceptable"]) > 0.5
        assert np.mean(flat["acceptable"]) < 0.03
