"""The monitor as a whole: invariance, latency, states, episodes, rates and leads."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_ecg.errors import SignalError
from ssl_ecg.monitor.events import Beat, Episode, Window
from ssl_ecg.monitor.settings import MonitorSettings
from ssl_ecg.monitor.stream import Monitor, monitor_stream

SHORT = MonitorSettings(baseline=40.0)


def run(encoder, signal, fs, leads, settings=SHORT, **options):
    monitor = Monitor(encoder, fs, leads, settings=settings, **options)
    return monitor.feed(signal) + monitor.finish()


def of_kind(events, kind):
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize("chunk", [1, 37, 2500, 7777])
def test_chunks_make_no_difference(encoder, recording, chunk):
    record = recording(90.0, 250.0, "PVC")
    signal = record.signal[[1, 6]]
    blocks = (signal[:, k : k + chunk] for k in range(0, signal.shape[1], chunk))
    events = list(monitor_stream(blocks, encoder, fs=250.0, leads=["II", "V1"], settings=SHORT))
    assert repr(events) == repr(run(encoder, signal, 250.0, ["II", "V1"]))  # NaN is not equal to itself
    assert len(of_kind(events, Beat)) > 60


def test_events_are_out_in_time(encoder, recording):
    record = recording(150.0, 250.0, "PVC")
    monitor = Monitor(encoder, 250.0, record.leads, settings=SHORT)
    for k in range(0, record.signal.shape[1], 25):
        before = monitor.fed / 250
        for event in monitor.feed(record.signal[:, k : k + 25]):
            due = max(event.time, SHORT.baseline) + monitor.latency
            if isinstance(event, Window):
                due += SHORT.window
            if isinstance(event, Episode) and event.ended:
                due += SHORT.merge + SHORT.window
            assert before <= due + 0.1, event
    assert monitor.latency == 10.0


def test_gap_lead_off_and_noise_are_no_anomalies(encoder, recording):
    record = recording(240.0, 250.0, "NORM")
    signal = record.signal[[1, 6]].copy()
    rng = np.random.default_rng(0)

    def at(first, last):
        return slice(round(first * 250), round(last * 250))

    signal[:, at(60, 80)] = np.nan
    signal[0, at(90, 110)] = 0.031
    signal[1, at(90, 110)] = 5.0
    signal[0, at(120, 140)] = -2.0  # one lead off: the other goes on
    signal[:, at(160, 185)] += rng.normal(scale=1.0, size=(2, 25 * 250)).astype(np.float32)
    events = run(encoder, signal, 250.0, ["II", "V1"])
    state = {window.start: window.state for window in of_kind(events, Window)}
    leads = {window.start: window.leads for window in of_kind(events, Window)}
    assert {state[t] for t in (60.0, 65.0, 70.0)} == {"gap"}
    assert {state[t] for t in (90.0, 95.0, 100.0)} == {"lead_off"}
    assert leads[95.0] == ()
    assert {state[t] for t in (120.0, 125.0, 130.0)} == {"normal"}
    assert leads[125.0] == ("V1",)
    assert {state[t] for t in (160.0, 165.0, 170.0, 175.0)} == {"noise"}
    quiet = {state[t] for t in (*np.arange(0, 50, 5.0), *np.arange(190, 235, 5.0))}
    assert quiet == {"normal"}
    assert not of_kind(events, Episode)
    assert not [b for b in of_kind(events, Beat) if 62 < b.time < 78 or 92 < b.time < 108]


@pytest.mark.parametrize(("fs", "rows"), [(250.0, [1]), (1000.0, list(range(12))), (128.0, [1, 10])])
def test_unusual_beats_of_a_simulated_recording(released, recording, fs, rows):
    record = recording(180.0, fs, "PVC")
    events = run(released, record.signal[rows], fs, [record.leads[k] for k in rows])
    beats = of_kind(events, Beat)
    times = np.array([beat.time for beat in beats])
    symbols = np.array(record.annotations.symbol)
    ventricular = record.annotations.sample[symbols == "V"] / fs
    other = record.annotations.sample[symbols == "N"] / fs
    label = np.array([beat.label for beat in beats])
    found = [label[np.abs(times - t).argmin()] == "unusual" for t in ventricular if 1 < t < 179]
    false = [label[np.abs(times - t).argmin()] == "unusual" for t in other if 1 < t < 179]
    assert len(found) >= 8
    assert np.mean(found) >= 0.9
    assert np.mean(false) <= 0.02
    episodes = [e for e in of_kind(events, Episode) if e.ended]
    assert all(any(e.start <= t <= e.end for e in episodes) for t, hit in zip(ventricular, found, strict=False) if hit)
    assert all(e.start <= e.peak <= e.end and e.beats + e.windows > 0 for e in episodes)


def test_another_rhythm_is_an_episode_of_windows_and_names_usual_ones(released, recording):
    usual, other = recording(150.0, 250.0, "NORM").signal, recording(40.0, 250.0, "LBBB", 9).signal
    signal = np.concatenate([usual, other, usual[:, : 250 * 60]], axis=1)
    events = run(released, signal, 250.0, recording(150.0, 250.0, "NORM").leads)
    ended = [e for e in of_kind(events, Episode) if e.ended]
    main = max(ended, key=lambda e: e.end - e.start)
    assert abs(main.start - 150) < 11
    assert abs(main.end - 190) < 11
    assert main.beats + main.windows > 20
    assert main.nearest
    assert max(main.nearest) < 40
    anomalous = {w.start for w in of_kind(events, Window) if w.state == "anomaly"}
    assert {160.0, 165.0, 170.0, 175.0} <= anomalous
    assert not {w for w in anomalous if w < 135 or w > 200}


def test_a_reference_judges_windows_from_the_first(encoder, recording):
    record = recording(90.0, 250.0, "NORM")
    far = np.full((30, encoder.dim), 50.0, np.float32) + np.random.default_rng(0).normal(size=(30, encoder.dim))
    windows = of_kind(run(encoder, record.signal, 250.0, record.leads, reference=far), Window)
    assert all(window.state == "anomaly" and window.score > 1.5 for window in windows)
    with pytest.raises(SignalError, match="same encoder"):
        Monitor(encoder, 250.0, record.leads, reference=far[:, :3])


def test_without_a_heart_beat_there_is_no_baseline(encoder):
    noise = np.random.default_rng(0).normal(scale=0.02, size=(1, 250 * 200)).astype(np.float32)
    events = run(encoder, noise, 250.0, ["II"])
    assert {window.state for window in of_kind(events, Window)} <= {"unknown", "noise"}
    assert {beat.label for beat in of_kind(events, Beat)} <= {"unknown", "noise"}
    assert len(of_kind(events, Window)) == 39


@pytest.mark.parametrize("wrong", [np.zeros(5), np.zeros((2, 5)), np.zeros((1, 2, 3))])
def test_wrong_shapes_are_refused(encoder, wrong):
    with pytest.raises(SignalError, match="samples have shape"):
        Monitor(encoder, 250.0, ["II"]).feed(wrong)


def test_a_low_rate_is_refused(encoder):
    with pytest.raises(SignalError, match="80 Hz"):
        Monitor(encoder, 50.0, ["II"])


def test_windows_know_the_beats_before_a_long_block(encoder, recording):
    signal = recording(150.0, 250.0, "PVC").signal[[1]]
    settings = MonitorSettings(baseline=40.0, block=60.0, window=20.0)
    events = run(encoder, signal, 250.0, ["II"], settings)
    times = np.array([beat.time for beat in of_kind(events, Beat)])
    for window in of_kind(events, Window):
        assert window.beats == np.count_nonzero((times >= window.start) & (times < window.end)), window


def test_a_row_that_is_no_lead_does_not_hide_what_is_wrong_with_the_lead(encoder, recording):
    good = recording(150.0, 250.0, "NORM").signal[1]
    rows = np.stack([good, good])
    rows[0, 60 * 250 : 85 * 250] += np.random.default_rng(0).normal(size=25 * 250).astype(np.float32)
    rows[0, 100 * 250 : 125 * 250] = np.nan
    state = {w.start: w.state for w in of_kind(run(encoder, rows, 250.0, ["II", "X"]), Window)}
    assert {state[t] for t in (60.0, 65.0, 70.0, 75.0)} == {"noise"}
    assert {state[t] for t in (100.0, 105.0, 110.0, 115.0)} == {"gap"}


@pytest.mark.parametrize("name", ["beat_threshold", "window_threshold"])
def test_thresholds_are_numbers(name):
    with pytest.raises(SignalError, match="give numbers"):
        MonitorSettings(**{name: float("nan")})
