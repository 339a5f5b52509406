"""Recordings on disk: tables, going on after an interruption, annotations, report, memory."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb

import ssl_ecg.monitor.recording as recording_module
from ssl_ecg.app.monitoring import clock, draw_strip, monitor_with_report
from ssl_ecg.cli import run
from ssl_ecg.data.readers.long import LongRecording
from ssl_ecg.embedding.vectors import Embeddings
from ssl_ecg.errors import RecordError, SignalError
from ssl_ecg.monitor.recording import CARD, STATE, monitor_recording
from ssl_ecg.monitor.settings import MonitorSettings
from ssl_ecg.monitor.stream import Monitor
from ssl_ecg.monitor.tables import Tables, read_tables, write_annotations, write_parquet
from ssl_ecg.train.checkpoint import save_encoder

SHORT = MonitorSettings(baseline=40.0, block=10.0)
NAMES = ("timeline.csv", "beats.csv", "episodes.csv")


@pytest.fixture
def long_recording(recording, saved):
    record = recording(150.0, 250.0, "PVC")
    return LongRecording(saved(record.signal[[1, 6]]), fs=250.0, leads=["II", "V1"])


def texts(folder: Path) -> list[str]:
    return [(folder / name).read_text() for name in NAMES]


def test_tables_hold_the_events_of_the_stream(long_recording, encoder, tmp_path):
    card = monitor_recording(long_recording, tmp_path / "out", encoder, settings=SHORT)
    monitor = Monitor(encoder, 250.0, ["II", "V1"], settings=SHORT)
    events = monitor.feed(long_recording.read(0, 10**6)) + monitor.finish()
    tables = read_tables(tmp_path / "out")
    assert len(tables.timeline) + len(tables.beats) == sum(hasattr(e, "threshold") for e in events)
    beats = [event for event in events if hasattr(event, "rr")]
    np.testing.assert_allclose(tables.beats["score"], [beat.score for beat in beats], atol=6e-4)
    np.testing.assert_allclose(tables.beats["rr"], [beat.rr for beat in beats], atol=6e-4)
    assert tables.beats["label"].tolist() == [beat.label for beat in beats]
    assert sum(card["seconds_by_state"].values()) == pytest.approx(150.0)
    assert sum(card["beats"].values()) == len(beats)
    assert card["episodes"] == len(tables.episodes)
    assert json.loads((tmp_path / "out" / CARD).read_text()) == card


@pytest.mark.parametrize("stopped_at", [3, 9])
def test_an_interrupted_call_goes_on_and_gives_the_same(long_recording, encoder, tmp_path, monkeypatch, stopped_at):
    whole, part = tmp_path / "whole", tmp_path / "part"
    monitor_recording(long_recording, whole, encoder, settings=SHORT)
    monkeypatch.setattr(recording_module, "_KEPT_EVERY", 0.0)
    fed, feed = [], Monitor.feed

    def interrupted(self, chunk):
        fed.append(self.fed)
        if len(fed) == stopped_at:
            raise KeyboardInterrupt
        return feed(self, chunk)

    monkeypatch.setattr(Monitor, "feed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        monitor_recording(long_recording, part, encoder, settings=SHORT)
    assert (part / STATE).exists() == (stopped_at == 9)
    assert not (part / CARD).exists()
    if stopped_at == 9:
        with (part / "beats.csv").open("a") as file:
            file.write("what was written after the state was kept")
    monkeypatch.setattr(Monitor, "feed", feed)
    read, first = LongRecording.read, []
    monkeypatch.setattr(LongRecording, "read", lambda self, a, b: first.append(a) or read(self, a, b))
    monitor_recording(long_recording, part, encoder, settings=SHORT)
    assert texts(part) == texts(whole)
    assert not (part / STATE).exists()
    assert (min(first[recording_module._PLACES :]) > 40 * 250) == (stopped_at == 9)  # after what the origin reads


def test_a_finished_recording_is_not_watched_again_unless_something_changed(
    long_recording, encoder, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    first = monitor_recording(long_recording, out, encoder, settings=SHORT)
    calls, feed = [], Monitor.feed
    monkeypatch.setattr(Monitor, "feed", lambda self, chunk: calls.append(1) or feed(self, chunk))
    assert monitor_recording(long_recording, out, encoder, settings=SHORT) == first
    assert not calls
    other = MonitorSettings(baseline=40.0, block=10.0, beat_threshold=9.0)
    assert monitor_recording(long_recording, out, encoder, settings=other)["episodes"] <= first["episodes"]
    assert calls


def test_annotations_are_read_by_wfdb(tmp_path):
    timeline = pd.DataFrame(
        {"start": [0.0, 5.0, 10.0, 15.0], "state": ["normal", "noise", "noise", "anomaly"], "end": [10.0, 15, 20, 25]}
    )
    beats = pd.DataFrame(
        {"time": [0.5, 1.5, 16.25], "label": ["usual", "unusual", "noise"], "score": [0.0, 3.21, np.nan]}
    )
    episodes = pd.DataFrame({"start": [1.25, 15.0], "end": [1.95, 25.0], "score": [0.46, 1.0]})
    path = write_annotations(Tables(timeline, beats, episodes), tmp_path, "rec 1", 250.0)
    assert path == tmp_path / "rec_1.ssl"
    read = wfdb.rdann(str(tmp_path / "rec_1"), "ssl")
    got = [(s, c, n.rstrip("\x00")) for s, c, n in zip(read.sample, read.symbol, read.aux_note, strict=True)]
    assert read.fs == 250
    assert got == [
        (125, "Q", ""),
        (312, '"', "(episode 1 score 0.5"),
        (375, "Q", "unusual 3.2"),
        (488, '"', "episode 1)"),
        (1250, "~", "noise"),
        (3750, '"', "(episode 2 score 1.0"),
        (3750, "~", "clean"),
        (4062, "Q", ""),
        (6250, '"', "episode 2)"),
    ]


def test_recordings_that_cannot_be_watched_say_why(saved, encoder, tmp_path):
    short = LongRecording(saved(np.zeros((1, 250 * 20))), fs=250.0, leads=["II"])
    with pytest.raises(RecordError, match=r"lasts 20\.0 s"):
        monitor_recording(short, tmp_path / "a", encoder)
    strange = LongRecording(saved(np.zeros((1, 250 * 90)), "r2"), fs=250.0, leads=["Pleth"])
    with pytest.raises(SignalError, match="none of the encoder's leads"):
        monitor_recording(strange, tmp_path / "a", encoder)
    card = monitor_recording(strange, tmp_path / "a", encoder, leads=("V5",), settings=SHORT)
    assert card["seconds_by_state"] == {"lead_off": 90.0}
    assert card["episodes"] == 0


def test_a_truncated_record_is_one_clear_line(tmp_path, capsys):
    (tmp_path / "t.hea").write_text("t 1 250 100000\nt.dat 16 200/mV 16 0 0 0 0 II\n")
    (tmp_path / "t.dat").write_bytes(b"\0\0" * 5000)
    assert run(["monitor", str(tmp_path / "t"), "--out", str(tmp_path / "out"), "--quiet"]) == 2
    assert "holds 5000 of the 100000 samples" in capsys.readouterr().err


def test_the_command_writes_a_report(recording, tmp_path, capsys):
    record = recording(120.0, 250.0, "PVC")
    wfdb.wrsamp(
        "w1", fs=250, units=["mV"] * 2, sig_name=["MLII", "V1"], p_signal=record.signal[[1, 6]].T.astype(float),
        fmt=["16"] * 2, write_dir=str(tmp_path),
    )  # fmt: skip
    out = tmp_path / "out"
    arguments = ["monitor", str(tmp_path / "w1"), "--out", str(out), "--baseline", "0.7", "--top", "2", "--quiet"]
    assert run(arguments) == 0
    assert "unusual of" in capsys.readouterr().out
    page = (out / "report.html").read_text()
    assert page.count('class="ecg"') >= 2
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert len(list((out / "strips").glob("*.svg"))) == min(2, len(read_tables(out).episodes)) > 0
    assert len(wfdb.rdann(str(out / "w1"), "ssl").sample) > 100
    for name, table in zip(NAMES, read_tables(out), strict=True):
        pd.testing.assert_frame_equal(pd.read_parquet(out / name.replace(".csv", ".parquet")), table)
    assert {"overview.png", "overview.svg"} <= {path.name for path in out.iterdir()}


def test_names_that_do_not_fit_are_refused(saved, tmp_path):
    path = saved(np.zeros((1, 250 * 90)))
    with pytest.raises(SignalError, match="2 names for 1 leads"):
        monitor_with_report(
            path, tmp_path / "o", "conv1d-small", leads_as=["II", "V1"], options={"fs": 250, "leads": "x"}
        )


def test_strips_and_times(long_recording):
    for centre in (0.0, 75.0, 150.0):
        assert draw_strip(long_recording, ["II", "V1"], centre, [(centre, centre + 1)]).startswith("<svg")
    assert (clock(0.0), clock(59.96), clock(90061.0)) == ("0:00:00.0", "0:00:59.9", "25:01:01.0")


def test_parquet_of_nothing(tmp_path, encoder, saved):
    flat = LongRecording(saved(np.zeros((1, 250 * 90))), fs=250.0, leads=["II"])
    monitor_recording(flat, tmp_path / "o", encoder, settings=SHORT)
    assert len(write_parquet(read_tables(tmp_path / "o"), tmp_path / "o")) == 3


@pytest.mark.slow
def test_memory_does_not_grow_with_the_recording(recording, encoder, tmp_path):
    piece = (recording(600.0, 250.0, "PVC").signal[[1, 6]] * 1000).astype(np.int16)
    peaks = []
    for times in (2, 12):
        path = tmp_path / f"{times}.npy"
        np.save(path, np.tile(piece, (1, times)))
        long = LongRecording(path, fs=250.0, leads=["II", "V1"], scale=0.001)
        tracemalloc.start()
        monitor_recording(long, tmp_path / str(times), encoder)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.05 * peaks[0] + 2**20


@pytest.mark.real
@pytest.mark.parametrize("name", ["119", "106"])
def test_ventricular_beats_of_a_real_recording(real_data, released, name):
    from sklearn.metrics import roc_auc_score

    from ssl_ecg.data.readers import read_record
    from ssl_ecg.monitor.events import Beat

    record = read_record(real_data / "mitdb" / name, annotations="atr", stop=360 * 900)
    monitor = Monitor(released, record.fs, record.leads, settings=MonitorSettings(block=30.0))
    beats = [event for event in monitor.feed(record.signal) + monitor.finish() if isinstance(event, Beat)]
    symbols, true = np.array(record.annotations.symbol), record.annotations.sample / record.fs
    nearest = [np.abs(true - beat.time).argmin() for beat in beats]
    kept = [k for k, j in enumerate(nearest) if symbols[j] in "NV" and abs(true[j] - beats[k].time) < 0.15]
    ventricular = [symbols[nearest[k]] == "V" for k in kept]
    assert sum(ventricular) > 0.97 * (symbols == "V").sum()
    assert roc_auc_score(ventricular, np.nan_to_num([beats[k].score for k in kept], nan=-9)) > 0.97


def test_a_state_of_other_settings_does_not_survive_tables_begun_anew(long_recording, encoder, tmp_path, monkeypatch):
    """Killed, begun with other settings, killed before a state was kept, and begun with the first settings again."""
    whole, part = tmp_path / "whole", tmp_path / "part"
    monitor_recording(long_recording, whole, encoder, settings=SHORT)
    feed = Monitor.feed

    def stopped_at(sample):
        def interrupted(self, chunk):
            if self.fed >= sample:
                raise KeyboardInterrupt
            return feed(self, chunk)

        return interrupted

    other = MonitorSettings(baseline=40.0, block=10.0, beat_threshold=2.74)
    for settings, kept_every, until in ((SHORT, 0.0, 80), (other, 1e9, 140)):
        monkeypatch.setattr(recording_module, "_KEPT_EVERY", kept_every)
        monkeypatch.setattr(Monitor, "feed", stopped_at(until * 250))
        with pytest.raises(KeyboardInterrupt):
            monitor_recording(long_recording, part, encoder, settings=settings)
    monkeypatch.setattr(Monitor, "feed", feed)
    monitor_recording(long_recording, part, encoder, settings=SHORT)
    assert texts(part) == texts(whole)


def test_another_recording_of_the_same_name_that_begins_alike_is_watched(recording, encoder, saved, tmp_path):
    signal = recording(90.0, 250.0, "NORM").signal[[1]].copy()
    signal[:, : 250 * 12] = 0  # the lead is attached later
    first = monitor_recording(
        LongRecording(saved(np.zeros_like(signal)), fs=250.0, leads=["II"]), tmp_path / "out", encoder, settings=SHORT
    )
    second = monitor_recording(
        LongRecording(saved(signal), fs=250.0, leads=["II"]), tmp_path / "out", encoder, settings=SHORT
    )
    assert not first["beats"]
    assert sum(second["beats"].values()) > 60


def test_a_finished_recording_whose_table_is_gone_is_watched_again(long_recording, encoder, tmp_path):
    monitor_recording(long_recording, tmp_path, encoder, settings=SHORT)
    before = texts(tmp_path)
    (tmp_path / "beats.csv").unlink()
    monitor_recording(long_recording, tmp_path, encoder, settings=SHORT)
    assert texts(tmp_path) == before


def test_a_reference_of_another_encoder_is_refused(recording, encoder, saved, tmp_path):
    vectors = np.random.default_rng(0).normal(size=(20, encoder.dim)).astype(np.float32)
    index = pd.DataFrame({"record_id": [f"r{k}" for k in range(20)]})
    Embeddings(vectors, index, {"encoder": "of something else"}).save(tmp_path / "usual")
    save_encoder(encoder, tmp_path / "encoder", architecture={"name": "conv1d", "widths": [4, 8]})
    path = saved(recording(90.0, 250.0, "NORM").signal[[1]])
    with pytest.raises(SignalError, match="of another encoder"):
        monitor_with_report(
            path, tmp_path / "out", tmp_path / "encoder", reference=tmp_path / "usual",
            options={"fs": 250.0, "leads": ["II"]},
        )  # fmt: skip
