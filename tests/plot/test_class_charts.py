"""Charts with a panel for each class: what they show agrees with the data."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from ssl_ecg.errors import SSLECGError
from ssl_ecg.evaluate.curves import precision_recall_curves, roc_curves
from ssl_ecg.evaluate.decisions import confusion
from ssl_ecg.evaluate.metrics import auroc, average_precision
from ssl_ecg.evaluate.reliability import Reliability, expected_calibration_error, reliability
from ssl_ecg.plot import style
from ssl_ecg.plot.confusion import plot_confusion
from ssl_ecg.plot.ranking import plot_precision_recall, plot_roc
from ssl_ecg.plot.reliability import plot_reliability
from ssl_ecg.plot.scores import plot_label_efficiency

CLASSES = ["NORM", "$x_1$", "none"]


@pytest.fixture(scope="module")
def case() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = (rng.random((200, 3)) < 0.3).astype(float)
    y[:, 2] = 0
    return y, 1 / (1 + np.exp(-(2 * y - 1 + rng.normal(size=y.shape))))


def titles(figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes]


def notes(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_roc_shows_the_curves_of_each_model(case, tmp_path: Path) -> None:
    y, p = case
    curves = {"tuned": roc_curves(y, p), "random encoder": roc_curves(y, 1 - p)}
    areas = {"tuned": auroc(y, p), "random encoder": auroc(y, 1 - p)}
    figure = plot_roc(CLASSES, curves, areas, title="Test")
    assert titles(figure) == CLASSES
    diagonal, tuned, random = figure.axes[0].lines
    assert np.array_equal(tuned.get_data(), np.array(curves["tuned"][0]))
    assert random.get_color() == style.BASELINE
    assert set(notes(figure.axes[0])) == {f"AUROC {areas[name][0]:.3f}" for name in areas}
    assert set(notes(figure.axes[2])) == {"cannot be judged"}
    assert len(figure.axes[2].lines) == 1
    assert diagonal.get_xdata()[1] == 1
    for path in style.save_figure(figure, tmp_path / "roc"):
        assert path.stat().st_size > 5000
    assert "tuned" in (tmp_path / "roc.svg").read_text()
    ElementTree.fromstring((tmp_path / "roc.svg").read_bytes())


def test_precision_recall_is_drawn_as_steps_over_the_prevalence(case) -> None:
    y, p = case
    curves = precision_recall_curves(y, p)
    figure = plot_precision_recall(CLASSES, {"m": curves}, {"m": average_precision(y, p)}, prevalence=y.mean(axis=0))
    dotted, line = figure.axes[1].lines
    assert line.get_drawstyle() == "steps-pre"
    assert np.array_equal(line.get_data(), np.array(curves[1]))
    assert set(dotted.get_ydata()) == {y[:, 1].mean()}


def test_reliability_shows_filled_bins_alone(case) -> None:
    y, p = case
    table = reliability(y, p, n_bins=12)
    again = Reliability.from_dict({name: np.array(rows).tolist() for name, rows in table.to_dict().items()})
    figure = plot_reliability(CLASSES, {"raw": again}, {"raw": expected_calibration_error(y, p)})
    x, height = figure.axes[0].lines[0].get_data()
    filled = table.count[0] > 0
    np.testing.assert_array_equal(x, table.proba[0, filled])
    np.testing.assert_array_equal(height, table.frequency[0, filled])
    dots = figure.axes[0].collections[0]
    assert len(dots.get_offsets()) == filled.sum()
    assert np.argmax(dots.get_sizes()) == np.argmax(table.count[0, filled])
    assert notes(figure.axes[2]) == []


def test_reliability_table_survives_json_with_nulls() -> None:
    table = reliability([0, 1], [0.1, 0.2], n_bins=3)
    content = {name: [[None if v != v else v for v in row] for row in rows] for name, rows in table.to_dict().items()}
    assert content["proba"] == [[pytest.approx(0.15), None, None]]
    np.testing.assert_array_equal(Reliability.from_dict(content).proba, table.proba)
    with pytest.raises(SSLECGError, match="reliability: is damaged"):
        Reliability.from_dict({"edges": [[0, 1]]})


def test_confusion_counts_stand_in_their_cells(case) -> None:
    y, p = case
    counts = confusion(y, p >= 0.5)
    figure = plot_confusion(CLASSES, counts)
    for k, axes in enumerate(figure.axes):
        found = {(t.get_position()[1] - 0.5, t.get_position()[0] - 0.5): t.get_text().split("\n") for t in axes.texts}
        for row in (0, 1):
            for column in (0, 1):
                count, share = found[row, column]
                assert int(count) == counts[k, row, column]
                total = counts[k, row].sum()
                assert share == (f"{counts[k, row, column] / total:.0%}" if total else "-")
        assert axes.yaxis_inverted()


def test_many_classes_fill_a_grid() -> None:
    names = [f"class {k}" for k in range(26)]
    figure = plot_confusion(names, np.ones((26, 2, 2)))
    assert titles(figure) == names
    labelled = [axes.xaxis.get_tick_params()["labelbottom"] for axes in figure.axes]
    assert sum(labelled) == len(labelled) - labelled.index(True)  # those with nothing below


def test_label_efficiency_names_its_axis() -> None:
    assert plot_label_efficiency({"a": {50: 0.8}}, xlabel="labels").axes[0].get_xlabel() == "labels"


def test_what_does_not_fit_is_refused(case) -> None:
    y, p = case
    curves = {"m": roc_curves(y, p)}
    with pytest.raises(SSLECGError, match="3 curves for 2 classes"):
        plot_roc(CLASSES[:2], curves)
    with pytest.raises(SSLECGError, match="for each class"):
        plot_precision_recall(CLASSES, curves, prevalence=[0.1])
    with pytest.raises(SSLECGError, match="shape"):
        plot_confusion(CLASSES, np.ones((2, 2)))
    with pytest.raises(SSLECGError, match="3 classes, not 1"):
        plot_reliability(["a"], {"raw": reliability(y, p)})
    with pytest.raises(SSLECGError, match="there is none"):
        plot_roc([], {})
