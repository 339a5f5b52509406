"""The overview of a long recording."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_ecg.errors import SignalError
from ssl_ecg.plot.timeline import BINS, plot_timeline


def draw(n, **options):
    start = 5.0 * np.arange(n)
    rng = np.random.default_rng(0)
    states = ["gap" if 10 <= k < 20 else "noise" if k in (30, 40) else "normal" for k in range(n)]
    score = rng.normal(size=n)
    score[n // 2] = 99.0
    score[10:20] = np.nan
    return plot_timeline(start, start + 10, states, score, score, 60 + score, thresholds=(2.0, 1.0), **options), score


def test_a_single_high_score_among_a_week_is_drawn():
    figure, score = draw(7 * 17280)
    line = figure.axes[0].lines[0]
    assert len(line.get_xdata()) == BINS
    assert np.nanmax(line.get_ydata()) == 99.0
    assert line.get_xdata()[np.nanargmax(line.get_ydata())] == pytest.approx(7 * 12, abs=0.2)  # [h]
    above = figure.axes[0].lines[1].get_ydata()
    assert above.min() > 2.0
    assert len(above) <= np.count_nonzero(score > 2)


def test_states_and_episodes_are_marked():
    figure, _ = draw(100, episodes=[(100.0, 130.0), (200.0, 201.0)], baseline=300.0)
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert texts == ["threshold", "episode", "end of the baseline", "noise", "gap"]
    spans = sorted((patch.get_x(), patch.get_x() + patch.get_width()) for patch in figure.axes[2].patches)
    np.testing.assert_allclose(spans, np.array([[50, 105], [150, 160], [200, 210]]) / 60)
    marks = [line.get_xdata() for line in figure.axes[0].lines if line.get_linewidth() == 4]
    np.testing.assert_allclose(marks, np.array([[100, 130], [200, 201]]) / 60)


def test_columns_that_do_not_fit_are_refused():
    with pytest.raises(SignalError, match="different length"):
        plot_timeline([0, 5], [10, 15], ["normal"], [0, 1], [0, 1], [60, 61], thresholds=(2, 1))
    with pytest.raises(SignalError, match="none"):
        plot_timeline([], [], [], [], [], [], thresholds=(2, 1))
