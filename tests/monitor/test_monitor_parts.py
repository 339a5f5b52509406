"""The steps of a monitor, each against a slow reference."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_ecg.errors import SignalError
from ssl_ecg.monitor.baseline import BeatBaseline, WindowBaseline
from ssl_ecg.monitor.blocks import BlockCutter
from ssl_ecg.monitor.episodes import EpisodeJoiner
from ssl_ecg.monitor.events import Beat, Window
from ssl_ecg.monitor.intervals import Intervals
from ssl_ecg.monitor.lead_rows import LeadRows
from ssl_ecg.monitor.likeness import DRIFT, NOISE_SHARE, Usual, core_rows, local_noise
from ssl_ecg.monitor.measure import BAND, MeasuredBeats, Measurer
from ssl_ecg.monitor.quality import missing_and_off, settled
from ssl_ecg.monitor.second_look import broad_beats
from ssl_ecg.monitor.settings import LEFT, RIGHT, MonitorSettings
from ssl_ecg.signal import resample_band


@pytest.mark.parametrize("fs", [250.0, 257.3])
@pytest.mark.parametrize("chunk", [1, 7, 1000, 10**6])
def test_blocks_are_slices_of_the_stream_whatever_the_chunks(fs, chunk):
    signal = np.arange(2 * 9001, dtype=np.float32).reshape(2, 9001)
    cutter = BlockCutter(2, fs, MonitorSettings())
    blocks = [b for k in range(0, 9001, chunk) for b in cutter.feed(signal[:, k : k + chunk])]
    early = len(blocks)
    blocks += cutter.finish()
    cores = [(round(5 * k * fs), min(round(5 * (k + 1) * fs), 9001)) for k in range(len(blocks))]
    assert [b.core for b in blocks] == cores
    assert cores[-1][1] == 9001
    assert [b.last for b in blocks] == [False] * (len(blocks) - 1) + [True]
    assert early == sum(stop + round(RIGHT * fs) <= 9001 for _, stop in cores[:-1])
    for block in blocks:
        first, stop = max(0, block.core[0] - round(LEFT * fs)), min(9001, block.core[1] + round(RIGHT * fs))
        np.testing.assert_array_equal(block.signal, signal[:, first : max(stop, block.core[1])])
        assert block.start == first


def test_rows_that_the_encoder_was_not_shown_are_absent():
    rows = LeadRows(["II", "V5"], ["I", "II", "V5"], shown=["V5"])
    assert rows.present(np.array([True, True])) == (False, False, True)
    assert rows.place(np.ones((2, 1), np.float32), np.array([True, True])).tolist() == [[0.0], [0.0], [1.0]]
    with pytest.raises(SignalError, match="none of the encoder's leads"):
        LeadRows(["I", "II"], ["I", "II", "V5"], shown=["V5"])


def test_filtering_block_by_block_is_filtering_the_whole(encoder, recording):
    record = recording(100.0, 360.0, "NORM")
    settings = MonitorSettings()
    measurer = Measurer(encoder, 360.0, record.leads, settings)
    whole = resample_band(record.signal, 360.0, 100.0, BAND)
    cutter = BlockCutter(12, 360.0, settings)
    windows = []
    for block in [*cutter.feed(record.signal), *cutter.finish()]:
        windows += measurer.measure(block)[0]
    assert [window.start for window in windows] == [5.0 * k for k in range(19)]
    for window in windows[1:-1]:
        first = round(window.start * 100)
        np.testing.assert_allclose(window.strip, whole[:, first : first + 1000], atol=0.02)


def test_beats_at_the_edges_of_blocks_are_found_once(encoder, recording):
    record = recording(120.0, 250.0, "PVC")
    true = record.annotations.sample[1:] / 250
    for block in (5.0, 10.0, 30.0):
        settings = MonitorSettings(block=block)
        measurer, cutter = Measurer(encoder, 250.0, record.leads, settings), BlockCutter(12, 250.0, settings)
        found = np.concatenate([measurer.measure(b)[1].time for b in [*cutter.feed(record.signal), *cutter.finish()]])
        inside = true[(true > 0.3) & (true < 119.7)]
        nearest = np.abs(found[:, None] - inside).min(axis=0)
        assert nearest.max() < 0.05
        assert np.diff(found).min() > 0.2
        assert abs(len(found) - len(true)) <= 1


def slow_noise(vectors, times):
    nearest = []
    for a in range(len(times)):
        near = [b for b in range(len(times)) if b != a and abs(times[b] - times[a]) <= 4.0]
        distances = [sum((vectors[a] - vectors[b]) ** 2) for b in near]
        nearest.append(min(distances) / 2 if len(near) >= 2 else np.nan)
    out = []
    for a in range(len(times)):
        known = [nearest[b] for b in range(len(times)) if abs(times[b] - times[a]) <= 4.0 and nearest[b] == nearest[b]]
        out.append(np.median(known) if known else np.nan)
    return out


def test_local_noise_is_that_of_loops():
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0, 60, 40))
    times[-1] = 90.0
    vectors = rng.normal(size=(40, 6))
    np.testing.assert_allclose(local_noise(vectors, times), slow_noise(vectors, times), rtol=1e-9)


def test_local_noise_estimates_the_noise_and_not_the_rhythm():
    rng = np.random.default_rng(1)
    kinds = np.stack([np.zeros(50), np.linspace(-5, 5, 50)])
    bigeminy = kinds[np.arange(200) % 2]
    times = np.arange(200.0)
    quiet, loud = (local_noise(bigeminy + s * rng.normal(size=(200, 50)), times) for s in (0.1, 1.0))
    assert 0.5 < np.median(quiet) / (50 * 0.1**2) < 1.1  # the nearest of a few is a little nearer than all
    assert 0.5 < np.median(loud) / 50 < 1.1


def test_the_usual_is_learned_from_a_baseline_with_many_unusual_beats():
    rng = np.random.default_rng(0)
    normal, odd = rng.normal(size=(70, 20)), rng.normal(size=(30, 20)) + 6
    mixed = np.concatenate([normal, odd])[rng.permutation(100)]
    usual = Usual.fit(mixed, np.full(100, np.nan))
    assert np.abs(usual.centre).max() < 0.7
    scores = usual.score(np.concatenate([normal, odd]), np.full(100, np.nan))
    assert scores[:70].max() < scores[70:].min()
    assert len(core_rows(mixed)) == 60


def test_scores_follow_their_formula():
    usual = Usual(np.array([1.0, 2.0]), 2.0, 0.5)
    got = usual.score(np.array([[4.0, 2.0], [4.0, 2.0], [4.0, 2.0]]), np.array([0.1, 4.5, np.nan]))
    np.testing.assert_allclose(got, [np.log(9 / 2), np.log(9 / (2 + NOISE_SHARE * 4)), np.log(9 / 2)])
    fitted = Usual.fit(np.tile([[3.0, 4.0]], (40, 1)), np.zeros(40))
    assert fitted.energy == pytest.approx(DRIFT * 25, rel=1e-9)


def test_gaps_and_leads_off_are_those_of_loops():
    rng = np.random.default_rng(0)
    fs, n = 100, 3000
    x = rng.normal(scale=0.2, size=(4, n)).astype(np.float32)
    x[0, 400:430] = np.nan
    x[1, 1000:1500] = 0.123  # flat for five seconds
    x[2, 700:740] = 5.0  # at a rail for 0.4 s
    x[3, 2000:2030] = 0.1  # 0.3 s of the usual level: no reason to give a lead up
    missing, off = missing_and_off(x, fs)
    for lead in range(4):
        for tenth in range(n // 10):
            piece = x[lead, 10 * tenth : 10 * tenth + 10]
            assert missing[lead, tenth] == bool(np.isnan(piece).any())
    expected = np.zeros((4, n // 10), bool)
    expected[1, 100:150] = True
    expected[2, 70:74] = True
    np.testing.assert_array_equal(off, expected)
    wide = settled(expected)
    assert wide[1, 97:153].all()
    assert wide[1].sum() == 56


def test_leads_are_put_in_place_and_limb_leads_derived():
    rows = LeadRows(["MLII", "I", "V1", "RESP"], ["I", "II", "III", "aVR", "V1", "V2"])
    x = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    got = rows.place(x, np.ones(4, bool))
    np.testing.assert_allclose(got, [x[1], x[0], x[0] - x[1], -(x[0] + x[1]) / 2, x[2], 0 * x[2]], atol=1e-6)
    assert rows.present(np.array([True, False, False, True])) == (False, True, False, False, False, False)
    assert not rows.place(x, np.array([False, False, False, True])).any()
    with pytest.raises(SignalError, match="none of the encoder's leads"):
        LeadRows(["RESP"], ["I"])


def test_intervals_go_on_from_call_to_call_and_begin_anew_after_a_pause():
    times = np.array([0.0, 1.0, 2.1, 3.0, 4.0, 4.6, 9.0, 10.0])
    at_once, piecewise = Intervals(), Intervals()
    rr, share = at_once.add(times)
    parts = [piecewise.add(times[k : k + 1]) for k in range(len(times))]
    np.testing.assert_array_equal(rr, np.concatenate([part[0] for part in parts]))
    np.testing.assert_array_equal(share, np.concatenate([part[1] for part in parts]))
    np.testing.assert_allclose(rr, [np.nan, 1, 1.1, 0.9, 1, 0.6, np.nan, 1])
    assert np.isnan(share[:4]).all()
    assert share[4] == pytest.approx(1.0)
    assert share[5] == pytest.approx(0.6)
    assert np.isnan(share[6:]).all()


def test_windows_and_beats_become_one_episode_if_near():
    def window(start, score):
        return Window(start, start + 10, "normal", score, 1.5, 60, ("II",), 10, 0, 0.0, (1.0, 2.0))

    def beat(time, score):
        return Beat(time, score, 2.75, 1.0, "unusual" if score > 2.75 else "usual")

    joiner = EpisodeJoiner(10.0)
    items = [window(0, 0.0), beat(12, 3.0), window(5, 0.1), window(10, 2.5), beat(35.3, 0.0), beat(50, 4.0)]
    found = [episode for item in items for episode in joiner.add(item)]
    assert [(e.ended, e.start) for e in found] == [(False, 11.75), (True, 10), (False, 49.75)]
    whole = found[1]
    assert (whole.end, whole.beats, whole.windows, whole.peak) == (20, 1, 1, 15)
    assert whole.score == pytest.approx(1.0)
    assert whole.nearest == (1.0, 2.0)
    assert list(joiner.passed(55.0)) == []
    assert [e.peak for e in joiner.passed(61.0)] == [50]


def test_broad_beats_are_found_in_their_pauses_and_t_waves_are_not():
    fs, rng = 200.0, np.random.default_rng(0)
    at = np.arange(100, 8000, 180)
    time = np.arange(8200)

    def wave(centre, width, height):
        return height * np.exp(-0.5 * ((time - centre) / width) ** 2)

    broad = [at[12] - 60, at[30] - 60]  # early, without a steep slope
    beats = np.array([k for k in at if k not in (at[12], at[30])])
    lead = sum(wave(k, 4, 1.0) + wave(k + 55, 12, 0.35) for k in beats) + sum(wave(k, 14, -0.9) for k in broad)
    rows = np.stack([lead, 0.5 * lead]).astype(np.float32) + 0.01 * rng.normal(size=(2, 8200)).astype(np.float32)
    found = broad_beats(rows, beats, fs)
    assert len(found) == 2
    assert np.abs(found - broad).max() <= 4
    paused = np.delete(beats, 20)  # a pause in which nothing is but the T wave and what noise there is
    rows -= np.stack([wave(beats[20], 4, 1.0) + wave(beats[20] + 55, 12, 0.35)] * 2).astype(np.float32) * [[1], [0.5]]
    assert len(broad_beats(rows, paused, fs)) == 2
    assert len(broad_beats(rows, paused[:7], fs)) == 0


def make_beats(rng, n, leads=2):
    shape = np.sin(np.linspace(0, np.pi, 50))
    qrs = (shape + 0.05 * rng.normal(size=(n, leads, 50))).astype(np.float32)
    flags = np.ones((n, leads), bool)
    vector = (1 + 0.05 * rng.normal(size=(n, 6))).astype(np.float32)
    return MeasuredBeats(np.arange(n) * 0.8, qrs, np.full((n, leads), 0.1), flags, ~flags, vector, np.full(n, 0.1))


def test_scores_of_beats():
    rng = np.random.default_rng(0)
    baseline = BeatBaseline.fit(make_beats(rng, 100))
    beats = make_beats(rng, 6)
    beats.qrs[0] *= -1
    beats.vector[0] *= -1
    beats.qrs[2] *= 0.2
    beats.noisy[3, 0] = True
    beats.qrs[3, 0] = 9.0
    beats.usable[4] = False
    same = np.ones(6)
    scores = baseline.score(beats, same)
    assert scores[0] > 2.75 > scores[1]
    assert scores[2] < 0
    assert scores[3] < 2.75
    assert np.isnan(scores[4])
    early = baseline.score(beats, np.full(6, 0.7))
    np.testing.assert_allclose((early - scores)[[0, 1, 5]], 1.2)
    with pytest.raises(SignalError, match="clean"):
        BeatBaseline.fit(make_beats(rng, 20))


def test_scores_of_windows_follow_their_formula():
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(40, 5)).astype(np.float32)
    baseline = WindowBaseline.of_vectors(reference)
    asked = rng.normal(size=5).astype(np.float32) + 3

    def embed(strips):
        return np.stack([asked if strip.any() else 0 * asked for strip in strips])

    score, nearest = baseline.score(np.ones((2, 10), np.float32), embed)
    core = reference[core_rows(reference, 0.7)].astype(float)
    usual = np.median(
        [np.mean(sorted(np.sum((a - b) ** 2) for j, b in enumerate(core) if j != i)[:3]) for i, a in enumerate(core)]
    )
    usual += DRIFT * np.sum(core.mean(axis=0) ** 2)
    distances = sorted((np.sum((row - asked) ** 2), k) for k, row in enumerate(reference) if row in core)
    assert score == pytest.approx(np.log(np.mean([d for d, _ in distances[:3]]) / usual), rel=1e-4)
    assert nearest == tuple(float(k) for _, k in distances[:3])


@pytest.mark.parametrize(
    "wrong", [{"window": 1.0}, {"hop": 11.0}, {"block": 7.0}, {"baseline": 10.0}, {"merge": -1.0}, {"window": 30.0}]
)
def test_settings_that_do_not_fit_are_refused(wrong):
    with pytest.raises(SignalError):
        MonitorSettings(**wrong)
