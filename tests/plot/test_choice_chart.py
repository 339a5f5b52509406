"""The chart of what was chosen shows the table."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_ecg.errors import SSLECGError
from ssl_ecg.plot.choice import plot_choice
from ssl_ecg.plot.style import save_figure
from ssl_ecg.screen.choice import Choice
from ssl_ecg.screen.density import DensityScreen

NAN = float("nan")


def test_every_choice_has_a_panel_with_its_values(tmp_path):
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(300, 3)) + 8 * rng.integers(0, 3, (300, 1))
    screen = DensityScreen("dbscan", min_samples=None).fit(Z)
    figure = plot_choice(screen.choice_, title="dbscan")
    assert len(figure.axes) == 2
    for axes, choice in zip(figure.axes, screen.choice_, strict=True):
        curve, line, mark = axes.lines
        np.testing.assert_array_equal(curve.get_xdata(), choice.candidates)
        np.testing.assert_array_equal(curve.get_ydata(), choice.values)
        assert line.get_xdata()[0] == mark.get_xdata()[0] == choice.chosen
        assert axes.get_xlabel() == choice.parameter
    paths = save_figure(figure, tmp_path / "choice")
    assert all(path.stat().st_size > 1000 for path in paths)


def test_candidates_without_value_and_a_choice_outside_of_them():
    figure = plot_choice([Choice("k", "silhouette", "highest", (2.0, 3.0), (NAN, NAN), 1.0)])
    assert len(figure.axes[0].lines) == 2
    with pytest.raises(SSLECGError, match="nothing was chosen"):
        plot_choice([])
