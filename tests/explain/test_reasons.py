"""Shares by lead and time: sums, spans that touch, text."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_ecg.errors import SignalError
from ssl_ecg.explain.reasons import Reasons, share_out
from ssl_ecg.explain.segments import MOST, cut_segments

LEADS = ("I", "V1", "V2")


def make(values, seconds=None) -> Reasons:
    values = np.array(values, np.float32)
    n = values.shape[1]
    seconds = np.stack([np.arange(n), np.arange(n) + 1], axis=1).astype(float) if seconds is None else seconds
    return Reasons(values, seconds, LEADS[: len(values)], "occlusion")


def test_leads_are_ranked_by_their_sum():
    reasons = make([[0.1, 0.0, 0.1], [0.0, 0.5, 0.3], [0.0, 0.0, 0.0]])
    assert [lead for lead, _ in reasons.top_leads()] == ["V1", "I"]  # V2 has no share
    np.testing.assert_allclose([share for _, share in reasons.top_leads()], [0.8, 0.2], rtol=1e-6)


def test_adjacent_segments_are_one_span():
    reasons = make([[0.3, 0.3, 0.0, 0.05, 0.35, 0.0]])
    spans = reasons.top_spans()
    assert [span[:2] for span in spans] == [(0.0, 2.0), (4.0, 5.0)]
    np.testing.assert_allclose([span[2] for span in spans], [0.6, 0.35], rtol=1e-6)
    assert len(reasons.top_spans(1)) == 1


def test_overlapping_segments_are_one_span():
    seconds = np.array([[0.0, 1.5], [0.5, 2.5], [3.5, 4.0]])
    assert [span[:2] for span in make([[0.4, 0.4, 0.2]], seconds).top_spans()] == [(0.0, 2.5)]


def test_even_shares_are_one_span_over_all():
    (span,) = make(np.full((3, 7), 1 / 21)).top_spans()
    np.testing.assert_allclose(span, (0.0, 7.0, 1.0), rtol=1e-5)
    assert make(np.full((3, 7), 1 / 21)).text() == "all leads; 0.0-7.0 s"


def test_text():
    assert make([[0.0, 0.0], [0.0, 0.6], [0.0, 0.4]]).text() == "V1, V2; 1.0-2.0 s"
    nothing = make(np.zeros((3, 2)))
    assert (nothing.text(), nothing.top_leads(), nothing.top_spans()) == ("nothing stands out", [], [])


def test_impossible_reasons_are_refused():
    seconds = np.array([[0.0, 1.0]])
    for values in ([[0.5, 0.5]], [[-0.5]], [[np.nan]]):
        with pytest.raises(SignalError):
            Reasons(np.array(values, np.float32), seconds, ("I",), "occlusion")


def test_shares_sum_to_one_or_are_zero():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(12, 20))
    shares = share_out(values)
    positive = [[max(v, 0.0) for v in row] for row in values]
    total = sum(map(sum, positive))
    np.testing.assert_allclose(shares, [[v / total for v in row] for row in positive], rtol=1e-6)
    assert share_out(-np.ones((2, 2))).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(("n", "seconds"), [(1000, 1.0), (1, 1.0), (1037, 0.5), (99, 30.0), (1_000_000, 0.5)])
def test_segments_cover_the_record_once(n, seconds):
    covered = np.zeros(n, int)
    spans = cut_segments(n, 100, seconds)
    for start, end in spans:
        covered[start:end] += 1
    assert (covered == 1).all()
    assert len(spans) <= MOST


@pytest.mark.parametrize(("seconds", "overlap"), [(0.0, 0.0), (-1.0, 0.0), (1.0, 1.0), (1.0, -0.1), (np.nan, 0.0)])
def test_impossible_segments_are_refused(seconds, overlap):
    with pytest.raises(SignalError):
        cut_segments(1000, 100, seconds, overlap)
