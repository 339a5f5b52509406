"""Curves, maps and score charts: what they show agrees with the data, and drawing has no side effects."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from ssl_ecg.errors import ArchiveError, SSLECGError
from ssl_ecg.plot import style
from ssl_ecg.plot.curves import plot_curves, read_log, smooth
from ssl_ecg.plot.map import dominant, plot_map
from ssl_ecg.plot.scores import Estimate, plot_label_efficiency, plot_per_class, plot_scores

LOG = """step,loss,lr,strips_per_s,rank,std,probe_auroc
0,4.0,0.0,900,,,
10,3.0,0.001,900,12.5,0.4,
20,2.5,0.0005,900,14.0,0.5,0.81
"""


def colours(figure: Figure) -> int:
    figure.canvas.draw()
    pixels = np.ascontiguousarray(figure.canvas.buffer_rgba()).view(np.uint32)
    return len(np.unique(pixels))


def test_log_is_read_with_its_gaps(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(LOG)
    log = read_log(tmp_path)
    assert log["loss"] == ([0, 10, 20], [4.0, 3.0, 2.5])
    assert log["rank"] == ([10, 20], [12.5, 14.0])
    assert log["probe_auroc"] == ([20], [0.81])


def test_log_cut_short_by_a_crash_is_read_up_to_there(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(LOG.encode() + b"30,2.1,\x000.0\n40,")
    assert read_log(path)["loss"][1] == [4.0, 3.0, 2.5, 2.1]


@pytest.mark.parametrize("content", [None, b"", b"step,loss\n", b"\xff\xfe\x00binary", b"a;b\nx;y\n"])
def test_log_that_is_none_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "log.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SSLECGError) as caught:
        read_log(path)
    assert caught.value.remedy


def test_curves_show_the_logged_values(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    figure = plot_curves(path)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["Loss", "Learning rate", "Embedding rank", "Embedding spread", "Online probe"]
    x, y = figure.axes[0].lines[0].get_data()
    assert (list(x), list(y)) == ([0, 10, 20], [4.0, 3.0, 2.5])
    assert colours(figure) > 20


def test_smoothing_is_a_centred_mean() -> None:
    values = np.random.default_rng(0).normal(size=300)
    half = 3  # 2 % of 300, halved
    expected = [values[max(0, k - half) : k + half + 1].mean() for k in range(300)]
    np.testing.assert_allclose(smooth(values.tolist()), expected)
    assert smooth([1.0, float("nan"), 3.0], share=1.0)[1] == 2.0


def test_dominant_label_is_the_preferred_or_the_rarest() -> None:
    labels = [("SR", "AFIB"), ("SR",), np.array(["SR", "MI"]), None, "SR"]
    assert dominant(labels) == ["AFIB", "SR", "MI", "no label", "SR"]
    assert dominant(labels, order=("SR", "MI")) == ["SR", "SR", "SR", "no label", "SR"]


def test_map_legend_counts_every_record_once() -> None:
    rng = np.random.default_rng(0)
    names = rng.choice(["NORM", "MI", "CD", *(f"rare{k}" for k in range(12))], 500).tolist()
    figure = plot_map(rng.normal(size=(500, 2)), labels=names, order=("MI", "NORM"), marked=[3])
    entries = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    counts = {e.split("  ")[0]: int(e.split("(")[1].rstrip(")").replace(",", "")) for e in entries}
    assert sum(counts.values()) == 500
    assert all(counts[name] == names.count(name) for name in counts if name != "other")
    assert entries[0].startswith("MI")
    assert entries[-1].startswith("other")
    assert sum(len(dots.get_offsets()) for dots in figure.axes[0].collections) == 500
    assert colours(figure) > 50


def test_map_by_score_and_cluster() -> None:
    xy = np.random.default_rng(1).normal(size=(60, 2))
    scores = np.arange(60.0)
    scores[5] = np.nan
    assert colours(plot_map(xy, scores=scores)) > 50
    figure = plot_map(xy, clusters=np.arange(60) % 3 - 1)
    entries = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert entries == ["cluster 0  (20)", "cluster 1  (20)", "noise  (20)"]


def test_map_refuses_what_does_not_fit() -> None:
    with pytest.raises(SSLECGError, match="shape"):
        plot_map(np.zeros((5, 3)))
    with pytest.raises(SSLECGError, match="labels do not fit"):
        plot_map(np.zeros((5, 2)), labels=["a"])


def test_score_histogram_holds_every_record_and_counts_the_flagged() -> None:
    scores = np.concatenate([np.random.default_rng(0).gamma(3, size=995), [500.0] * 5])
    figure = plot_scores(scores, 8.0, how="97th percentile")
    axes = figure.axes[0]
    total = (
        sum(bar.get_height() for bar in axes.containers[-1]),
        sum(b.get_height() for b in axes.containers[0]),
    )
    assert sum(total) == 1000
    flagged = int((scores >= 8).sum())
    assert f"{flagged} of 1,000 ({flagged / 1000:.1%}) flagged" in axes.get_title(loc="right")
    beyond = int(re.search(r"(\d+) beyond the axis", axes.get_xlabel())[1])
    assert beyond == (scores > axes.containers[0][-1].get_x() + axes.containers[0][-1].get_width() + 1e-9).sum()
    with pytest.raises(SSLECGError, match="no finite score"):
        plot_scores([np.nan])


def test_label_efficiency_and_class_chart_show_values_and_baseline() -> None:
    curves = {"SimCLR": {100: Estimate(0.84, 0.8, 0.88), 1000: 0.9}, "random encoder": {100: 0.74, 1000: 0.8}}
    figure = plot_label_efficiency(curves)
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert list(lines["SimCLR"].get_ydata()) == [0.84, 0.9]
    assert lines["random encoder"].get_color() == style.BASELINE
    assert colours(figure) > 20
    figure = plot_per_class(["MI", "$x$"], [(0.8, 0.7, 0.9), 0.6], [0.7, 0.5])
    assert colours(figure) > 20
    with pytest.raises(SSLECGError, match="differ in number"):
        plot_per_class(["MI"], [0.8, 0.9])


def test_figures_are_saved_whole_as_png_and_svg(tmp_path: Path) -> None:
    figure = plot_scores(np.arange(50.0), 40.0)
    paths = style.save_figure(figure, tmp_path / "deep" / "map.v2.png")
    assert [path.name for path in paths] == ["map.v2.png", "map.v2.svg"]
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    ElementTree.fromstring(paths[1].read_bytes())
    again = style.save_figure(plot_scores(np.arange(50.0), 40.0), tmp_path / "again")
    assert again[1].read_bytes() == paths[1].read_bytes()
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ArchiveError):
        style.save_figure(figure, blocked / "chart")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.png", "again.svg", "deep", "file"]


def test_inline_svg_has_ids_of_its_own_and_no_outside_reference() -> None:
    charts = [style.inline_svg(plot_scores(np.arange(50.0) + k, 40.0), r"a \1 b") for k in (0, 1)]
    ids = [set(re.findall(r' id="([^"]+)"', chart)) for chart in charts]
    assert ids[0]
    assert not ids[0] & ids[1]
    for chart, names in zip(charts, ids, strict=True):
        root = ElementTree.fromstring(chart)
        assert root.get("aria-label") == r"a \1 b"
        references = re.findall(r'(?:url\(|href=")#([^)"]+)', chart)
        assert set(references) <= names
        assert not re.search(r'(?:href|src)="(?!#|data:)', chart)
        assert "currentColor" in chart
        assert style.INK not in chart


def test_palette_stays_apart_for_the_colour_blind() -> None:
    """Distances after Machado et al. 2009, doi 10.1109/TVCG.2009.113."""
    matrices = {
        "normal": np.eye(3),
        "deuteranopia": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
        "protanopia": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    }
    raw = np.array([[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in style.PALETTE[:6]]) / 255
    linear = np.where(raw > 0.04045, ((raw + 0.055) / 1.055) ** 2.4, raw / 12.92)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    for name, matrix in matrices.items():
        xyz = np.clip(linear @ matrix.T, 0, 1) @ to_xyz.T / to_xyz.sum(1)
        f = np.cbrt(xyz)
        lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)
        distance = np.linalg.norm(lab[:, None] - lab[None], axis=-1)[np.triu_indices(6, 1)]
        assert distance.min() > 10, name


def test_drawing_leaves_no_global_state() -> None:
    code = """
import sys
import numpy as np
import ssl_ecg.plot.ecg, ssl_ecg.plot.curves, ssl_ecg.plot.map, ssl_ecg.plot.scores
import ssl_ecg.app.report
assert "matplotlib" not in sys.modules, "imported too early"
import matplotlib
before = matplotlib.rcParams.copy()
from ssl_ecg.plot.ecg import plot_ecg
from ssl_ecg.plot.scores import plot_scores
from ssl_ecg.plot.style import inline_svg
figure = plot_ecg(np.zeros((1, 100)), 100, ["II"], layout="rows", dpi=50)
figure.canvas.draw()
inline_svg(plot_scores([1.0, 2.0], 1.5), "")
assert "matplotlib.pyplot" not in sys.modules, "pyplot"
assert matplotlib.rcParams.copy() == before, "rcParams"
assert type(figure.canvas).__name__ == "FigureCanvasAgg"
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
