"""Occlusion against a plain loop: pieces set to zero one by one, embedded and scored one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.prepare import prepare
from ssl_ecg.data.record import Record
from ssl_ecg.data.simulate import simulate_records
from ssl_ecg.embedding import run as running
from ssl_ecg.embedding.run import embed
from ssl_ecg.errors import CheckpointError, SignalError
from ssl_ecg.explain import occlusion
from ssl_ecg.explain.occlusion import occlude
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.models.registry import build_encoder
from ssl_ecg.preprocessing import Preprocessing
from ssl_ecg.screen.knn import KNNScreen

FS, LEAD, START, STOP = 100, 7, 300, 500  # V2, 3-5 s


def disturbed() -> Record:
    record = next(iter(simulate_records(1, seed=99)))
    signal = record.signal.copy()
    fs = int(record.fs)
    a, b = START * fs // FS, STOP * fs // FS
    signal[LEAD, a:b] += 4 * np.sin(np.arange(b - a) * 2 * np.pi * 7 / fs).astype(np.float32)
    return Record(signal, record.fs, record.leads, "disturbed")


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Archive:
    usual = list(simulate_records(60, seed=1))
    few = disturbed()
    few = Record(few.signal[:9], few.fs, few.leads[:9], "few leads")
    gap = disturbed().signal.copy()
    gap[2, 100:180] = np.nan
    gap = Record(gap, few.fs, STANDARD_LEADS, "gap")
    out = tmp_path_factory.mktemp("occlusion") / "archive"
    return prepare([*usual, disturbed(), few, gap], out, fs=FS, band=None, workers=1, progress=False)


@pytest.fixture(scope="module", params=["none", "record"])
def encoder(request) -> nn.Module:
    torch.manual_seed(1)
    encoder = build_encoder("conv1d", widths=[8, 16]).eval()
    encoder.preprocessing = Preprocessing(FS, STANDARD_LEADS, None, request.param, 10)
    return encoder


@pytest.fixture(scope="module")
def detector(encoder: nn.Module, archive: Archive) -> KNNScreen:
    return KNNScreen(k=5).fit(embed(encoder, archive).vectors[:60])


def slow_drops(encoder, detector, signal: np.ndarray, spans, window: int) -> np.ndarray:
    """Embed window by window, one variant at a time, and average as the documentation says."""

    def score(x: np.ndarray) -> float:
        z = np.zeros(encoder.dim)
        for start in range(0, x.shape[1], window):
            part = torch.from_numpy(x[None, :, start : start + window].copy())
            if encoder.preprocessing.scale == "record":
                recorded = (part != 0).any(dim=2)[0]
                part = part / part[:, recorded].square().mean().sqrt()
            with torch.no_grad():
                z += part.shape[2] * encoder(part)[0].numpy()
        return float(detector.anomaly_score(z[None] / x.shape[1])[0])

    drops = np.zeros((len(signal), len(spans)))
    for lead in range(len(signal)):
        for k, (a, b) in enumerate(spans):
            without = signal.copy()
            without[lead, a:b] = 0
            drops[lead, k] = score(signal) - score(without)
    return drops


def expected(drops: np.ndarray) -> np.ndarray:
    positive = np.maximum(drops, 0)
    return positive / positive.sum()


def test_the_disturbed_lead_and_span_lead_the_reasons(encoder, detector, archive):
    row = archive.index["record_id"].tolist().index("disturbed")
    variants = [{}, {"segment": 0.5}, {"overlap": 0.2}]
    if encoder.preprocessing.scale == "none":  # without a whole lead the scale of the others is another
        variants.append({"pieces": "margins"})
    for options in variants:
        reasons = occlude(encoder, detector, archive, row, **options)
        assert reasons.top_leads(1)[0][0] == "V2"
        start, end, share = reasons.top_spans(1)[0]
        assert start < 3.5
        assert end > 4.5
        assert end - start <= 4
        assert share > 0.2
        assert reasons.values.sum() == pytest.approx(1, abs=1e-5)
        assert (reasons.leads, reasons.how) == (STANDARD_LEADS, "occlusion")


def test_the_same_as_a_plain_loop(encoder, detector, archive):
    row = archive.index["record_id"].tolist().index("disturbed")
    reasons = occlude(encoder, detector, archive, row, batch_size=7)
    spans = [(k * 100, k * 100 + 100) for k in range(10)]
    loop = expected(slow_drops(encoder, detector, archive.read(row), spans, 6000))
    np.testing.assert_allclose(reasons.values, loop, atol=2e-4)
    np.testing.assert_allclose(reasons.seconds, np.array(spans) / FS)


def test_windows_of_long_records(encoder, detector, archive, monkeypatch):
    """A window of 3.7 s instead of 60: segments lie in two windows, the last window is short."""
    for module in (running, occlusion):
        monkeypatch.setattr(module, "LONGEST", 3.7)
    row = archive.index["record_id"].tolist().index("disturbed")
    loop = slow_drops(encoder, detector, archive.read(row), [(k * 100, k * 100 + 100) for k in range(10)], 370)
    np.testing.assert_allclose(occlude(encoder, detector, archive, row).values, expected(loop), atol=2e-4)


def test_the_whole_score_is_that_of_the_table(encoder, detector, archive, monkeypatch):
    """What the drops are measured from is the score that screening gives."""
    seen = []
    original = detector.anomaly_score
    monkeypatch.setattr(detector, "anomaly_score", lambda Z: seen.append(original(Z)) or seen[-1])
    for row in range(60, 63):
        occlude(encoder, detector, archive, row, pieces="margins")
    table = original(embed(encoder, archive).vectors[60:])
    np.testing.assert_allclose([scores[0] for scores in seen], table, rtol=1e-4)


def test_absent_leads_are_left_out(encoder, detector, archive):
    row = archive.index["record_id"].tolist().index("few leads")
    reasons = occlude(encoder, detector, archive, row)
    assert reasons.leads == STANDARD_LEADS[:9]
    assert reasons.values.shape == (9, 10)
    by_array = occlude(encoder, detector, archive.read(row))
    assert by_array.leads == reasons.leads
    np.testing.assert_allclose(by_array.values, reasons.values, atol=1e-6)


def test_leads_that_the_encoder_was_not_shown_are_left_out(encoder, detector, archive, monkeypatch):
    monkeypatch.setattr(encoder, "preprocessing", replace(encoder.preprocessing, shown=("V3", "II")))
    assert occlude(encoder, detector, archive, 0).leads == ("II", "V3")


def test_invalid_samples_count_as_zero(encoder, detector, archive):
    row = archive.index["record_id"].tolist().index("gap")
    signal = archive.read(row)
    assert np.isnan(signal).any()
    whole = occlude(encoder, detector, np.nan_to_num(signal))
    np.testing.assert_allclose(occlude(encoder, detector, archive, row).values, whole.values, atol=1e-6)


def test_what_cannot_be_explained_is_refused(encoder, detector, archive, tmp_path):
    with pytest.raises(SignalError, match="no row"):
        occlude(encoder, detector, archive)
    with pytest.raises(SignalError, match="no lead"):
        occlude(encoder, detector, np.zeros((12, 500), np.float32))
    with pytest.raises(SignalError, match="shape"):
        occlude(encoder, detector, np.ones((2, 500), np.float32))
    with pytest.raises(SignalError, match="grid or margins"):
        occlude(encoder, detector, archive, 0, pieces="leads")
    slower = prepare(simulate_records(1, seed=0), tmp_path / "a", fs=50, band=None, workers=1, progress=False)
    with pytest.raises(CheckpointError, match="--fs 100"):
        occlude(encoder, detector, slower, 0)
