"""ECG paper: scale, geometry, honesty of the footer, both renderers."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from ssl_ecg.data.record import Annotations
from ssl_ecg.errors import SignalError
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.plot.ecg import ecg_svg, plot_ecg
from ssl_ecg.plot.paper import suggest_layout
from ssl_ecg.plot.sheet import Highlight

NS = "{http://www.w3.org/2000/svg}"
LEADS = STANDARD_LEADS


class Drawing:
    """Reads an SVG back, independently of the code that wrote it."""

    def __init__(self, svg: str) -> None:
        self.svg = svg
        self.root = ElementTree.fromstring(svg)
        self.width, self.height = (float(self.root.get(side).removesuffix("mm")) for side in ("width", "height"))
        areas = [path for path in self.root.iter(f"{NS}path") if "url(#" in path.get("fill", "") and path.get("stroke")]
        self.grid = tuple(float(v) for v in re.findall(r"-?[\d.]+", areas[0].get("d")))[:4]
        pulse = next(path for path in self.root.iter(f"{NS}path") if path.get("class") == "pulse")
        self.pulses = [
            np.array([[float(v) for v in pair.split()] for pair in part.split("L")])
            for part in pulse.get("d").split("M")[1:]
        ]
        self.texts = [text.text for text in self.root.iter(f"{NS}text")]

    def traces(self, lead: str) -> list[np.ndarray]:
        """Polylines of a lead [mm], one list entry for each unbroken run."""
        out = []
        for path in self.root.iter(f"{NS}path"):
            if path.get("data-lead") == lead:
                scale = float(re.fullmatch(r"scale\(([\d.]+)\)", path.get("transform"))[1])
                for run in path.get("d").split("M")[1:]:
                    first, steps = run.split("l")
                    start = np.array([int(v) for v in first.split()])
                    moves = np.array([int(v) for v in re.findall(r"-?\d+", steps)]).reshape(-1, 2)
                    out.append(np.vstack([start, start + np.cumsum(moves, 0)]) * scale)
        return out

    @property
    def baselines(self) -> list[float]:
        return [float(pulse[0, 1]) for pulse in self.pulses]


def wave(fs: float = 100, seconds: float = 10, seed: int = 0, n_leads: int = 12) -> np.ndarray:
    """Rough signals of 1 mV with spikes; their median over any cell is not zero."""
    rng = np.random.default_rng(seed)
    n = int(fs * seconds)
    x = np.cumsum(rng.normal(size=(n_leads, n)), 1) / np.sqrt(fs * 20)
    x[:, :: int(fs * 0.8)] += 1.0
    return x.astype(np.float32)


LAYOUT_CELLS = {  # lead -> (row, start [s], length [s], x [mm] from the first trace)
    "3x4+1": {
        lead: (k % 3, 2.5 * (k // 3), 2.5, 62.5 * (k // 3))
        for k, lead in enumerate(["I", "II", "III", "aVR", "aVL", "aVF", *LEADS[6:]])
        if lead != "II"
    },
    "6x2": {lead: (k % 6, 5.0 * (k // 6), 5.0, 125.0 * (k // 6)) for k, lead in enumerate(LEADS)},
    "12x1": {lead: (k, 0.0, 10.0, 0.0) for k, lead in enumerate(LEADS)},
    "rows": {lead: (k, 0.0, 10.0, 0.0) for k, lead in enumerate(LEADS)},
}


@pytest.mark.parametrize("layout", LAYOUT_CELLS)
@pytest.mark.parametrize("fs", [100, 360, 500])
def test_every_sample_is_where_the_scale_says(layout: str, fs: int) -> None:
    signal = wave(fs)
    drawing = Drawing(ecg_svg(signal, fs, LEADS, layout=layout))
    x0 = drawing.grid[0] + 15
    for lead, (row, start, seconds, x_cell) in LAYOUT_CELLS[layout].items():
        first, last = round(start * fs), min(round((start + seconds) * fs) + 1, signal.shape[1])
        part = signal[LEADS.index(lead), first:last].astype(float)
        x = x0 + x_cell + (np.arange(first, last) / fs - start) * 25.0
        y = drawing.baselines[row] - 10.0 * (part - np.median(part))
        (line,) = drawing.traces(lead)
        assert line[0, 0] == pytest.approx(x[0], abs=0.02)
        assert line[-1, 0] == pytest.approx(x[-1], abs=0.02)
        error = np.abs(np.interp(x, line[:, 0], line[:, 1]) - y)
        steep = np.abs(np.gradient(y, x)) > 2  # there an error of 0.02 mm in time shows as one in height
        assert error[~steep].max() < 0.08
        assert (error[steep] < 0.08 + 0.03 * np.abs(np.gradient(y, x))[steep]).all()
        assert np.interp(x, line[:, 0], line[:, 1]).max() == pytest.approx(y.max(), abs=0.1)


@pytest.mark.parametrize(("speed", "gain"), [(25.0, 10.0), (50.0, 20.0), (25.0, 5.0)])
def test_calibration_pulse_is_one_millivolt_high_and_200_ms_long_on_the_grid(speed: float, gain: float) -> None:
    drawing = Drawing(ecg_svg(wave(), 100, LEADS, speed=speed, gain=gain))
    assert len(drawing.pulses) == 4
    for pulse in drawing.pulses:
        rise, top, fall = pulse[1], pulse[2], pulse[4]
        assert rise[1] - top[1] == gain
        assert fall[0] - rise[0] == pytest.approx(0.2 * speed)
        assert (rise[0] - drawing.grid[0]) % 5 == pytest.approx(0)
        assert (rise[1] - drawing.grid[1]) % 5 == pytest.approx(0)


def test_grid_has_one_and_five_millimetre_tiles_that_start_at_its_corner() -> None:
    drawing = Drawing(ecg_svg(wave(), 100, LEADS))
    patterns = list(drawing.root.iter(f"{NS}pattern"))
    assert sorted(float(p.get("width")) for p in patterns) == [1, 5]
    for pattern in patterns:
        size = float(pattern.get("width"))
        assert (drawing.grid[0] - float(pattern.get("x"))) % size == 0
        assert (drawing.grid[1] - float(pattern.get("y"))) % size == 0
    assert drawing.grid[2] % 5 == 0
    assert drawing.grid[3] % 5 == 0
    assert drawing.root.get("viewBox").split()[2:] == [f"{drawing.width:g}", f"{drawing.height:.4g}"]


def test_figure_has_true_size_in_pixels() -> None:
    signal = np.zeros((1, 1000), np.float32)
    figure = plot_ecg(signal, 100, ["II"], layout="rows", dpi=254)  # 10 pixels a millimetre
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)
    drawing = Drawing(ecg_svg(signal, 100, ["II"], layout="rows"))
    assert pixels.shape[1] == pytest.approx(10 * drawing.width, abs=1)
    assert pixels.shape[0] == pytest.approx(10 * drawing.height, abs=1)
    black = pixels.max(2) < 80
    (left, base), (_, top), (right, _) = drawing.pulses[0][[1, 2, 4]] * 10
    flat = black[round(top) - 12 : round(top) + 13, round(left) + 5 : round(right) - 5].sum(1)
    assert round(top) - 12 + np.flatnonzero(flat > 30).mean() == pytest.approx(top, abs=1)
    rise = black[round(top) + 10 : round(base) - 10, round(left) - 12 : round(left) + 13].sum(0)
    assert round(left) - 12 + np.flatnonzero(rise > 60).mean() == pytest.approx(left, abs=1)
    line = pixels[round(top) - 25, round(left) + 200 : round(left) + 2200, 1].astype(float)
    strength = np.abs(np.fft.rfft(line - line.mean(), 1 << 16))
    period = 1 / np.fft.rfftfreq(1 << 16)[1:][strength[1:].argmax()]
    assert min(abs(period - 10), abs(period - 50)) < 0.1


def test_figure_and_svg_say_and_place_the_same() -> None:
    options = {"title": "record 7", "subtitle": "68 y", "band": (0.5, 40.0), "gain": 5.0}
    figure = plot_ecg(wave(), 100, LEADS, **options)
    drawing = Drawing(ecg_svg(wave(), 100, LEADS, **options))
    texts = figure.axes[0].texts
    assert [text.get_text() for text in texts] == drawing.texts
    assert "25 mm/s · 5 mm/mV · HALF GAIN · band 0.5–40 Hz · 100 samples/s" in drawing.texts
    places = [(float(t.get("x")), float(t.get("y"))) for t in drawing.root.iter(f"{NS}text")]
    np.testing.assert_allclose([text.get_position() for text in texts], places, atol=0.01)


def test_figure_survives_dollar_signs_and_draws_something() -> None:
    figure = plot_ecg(wave(), 100, LEADS, title="$\\bad{$", subtitle="a_b^c$", dpi=60)
    figure.canvas.draw()
    pixels = np.ascontiguousarray(figure.canvas.buffer_rgba()).view(np.uint32)
    assert len(np.unique(pixels)) > 20


def test_columns_of_the_standard_layout_follow_each_other_in_time() -> None:
    signal = np.zeros((12, 1000), np.float32)
    signal[:, 625] = 1.0  # 6.25 s: third column only
    drawing = Drawing(ecg_svg(signal, 100, LEADS))
    moving = {lead for lead in LEADS for line in drawing.traces(lead) if np.ptp(line[:, 1]) > 5}
    assert moving == {"V1", "V2", "V3", "II"}  # II in the rhythm strip
    strip = max(drawing.traces("II"), key=lambda line: np.ptp(line[:, 0]))
    assert strip[strip[:, 1].argmin(), 0] - strip[0, 0] == pytest.approx(156.25, abs=0.05)
    (v1,) = drawing.traces("V1")
    assert v1[v1[:, 1].argmin(), 0] == pytest.approx(strip[strip[:, 1].argmin(), 0], abs=0.05)


def test_short_recording_shows_every_lead_whole_and_says_so() -> None:
    drawing = Drawing(ecg_svg(wave(seconds=4), 100, LEADS))
    for lead in ("I", "aVR", "V1", "V6"):
        assert np.ptp(drawing.traces(lead)[0][:, 0]) == pytest.approx(62.5, abs=0.3)
    assert any("4.0 s recorded: the columns overlap in time" in text for text in drawing.texts)


def test_long_recording_is_cut_with_a_notice() -> None:
    drawing = Drawing(ecg_svg(wave(seconds=30), 100, LEADS, start=12))
    assert any("10.0 s of 30.0 s shown, from 12.0 s" in text for text in drawing.texts)
    assert not any("shown, from" in text for text in Drawing(ecg_svg(wave(), 100, LEADS)).texts)


def test_absent_leads_are_not_drawn_as_flat() -> None:
    mask = np.ones(12, bool)
    mask[[2, 9]] = False
    drawing = Drawing(ecg_svg(wave(), 100, LEADS, lead_mask=mask))
    assert drawing.texts.count("not recorded") == 2
    assert not drawing.traces("III")
    assert not drawing.traces("V4")
    assert "not recorded: V4, III" in drawing.root.find(f"{NS}title").text
    eight = Drawing(ecg_svg(wave(n_leads=2), 100, ["V1", "II"]))
    assert eight.texts.count("not recorded") == 10


def test_nan_is_a_gap_and_infinity_too() -> None:
    signal = wave(n_leads=1)
    signal[0, 300:400] = np.nan
    signal[0, 700] = np.inf
    drawing = Drawing(ecg_svg(signal, 100, ["II"], layout="rows"))
    runs = drawing.traces("II")
    x0 = drawing.grid[0] + 15
    ends = [(round((run[0, 0] - x0) * 4), round((run[-1, 0] - x0) * 4)) for run in runs]
    assert ends == [(0, 299), (400, 699), (701, 999)]
    empty = Drawing(ecg_svg(np.full((1, 1000), np.nan), 100, ["II"], layout="rows", gain="auto"))
    assert "no valid samples" in empty.texts


def test_extremes_are_cut_at_their_row_and_marked() -> None:
    signal = wave()
    signal[6, 600] += 30
    drawing = Drawing(ecg_svg(signal, 100, LEADS))
    assert any("cut at the marks where it leaves its row: V1" in text for text in drawing.texts)
    marks = [path for path in drawing.root.iter(f"{NS}path") if path.get("class") == "cut"]
    assert len(marks) == 1
    assert marks[0].get("d").count("z") == 1
    clips = {clip.get("id") for clip in drawing.root.iter(f"{NS}clipPath")}
    used = {group.get("clip-path")[5:-1] for group in drawing.root.iter(f"{NS}g") if group.get("clip-path")}
    assert used == clips
    assert drawing.height < 200
    absurd = Drawing(ecg_svg(signal * 1e30, 100, LEADS))
    assert absurd.height < 300


def test_rows_make_room_so_that_traces_stay_apart() -> None:
    signal = wave()
    signal[1] *= 1.8
    drawing = Drawing(ecg_svg(signal, 100, LEADS, layout="12x1"))
    spans = [(line[:, 1].min(), line[:, 1].max()) for lead in LEADS for line in drawing.traces(lead)]
    assert all(upper[1] < lower[0] for upper, lower in pairwise(spans))


def test_gain_is_never_reduced_in_silence() -> None:
    assert not any("GAIN" in text for text in Drawing(ecg_svg(wave(), 100, LEADS, gain="auto")).texts)
    peaks = np.zeros((12, 1000))
    peaks[:, ::12] = 1.0
    loud = Drawing(ecg_svg(peaks * 5, 100, LEADS, gain="auto"))
    assert loud.pulses[0][1, 1] - loud.pulses[0][2, 1] == 5
    assert any("5 mm/mV · HALF GAIN" in text for text in loud.texts)
    louder = Drawing(ecg_svg(peaks * 12, 100, LEADS, gain="auto"))
    assert any("2.5 mm/mV · REDUCED GAIN" in text for text in louder.texts)
    fixed = Drawing(ecg_svg(peaks * 5, 100, LEADS))
    assert any("10 mm/mV" in text for text in fixed.texts)


def test_offset_is_removed_and_said() -> None:
    drawing = Drawing(ecg_svg(wave() * 0.1 + 3, 100, LEADS))
    notes = [text for text in drawing.texts if "removed for drawing" in text]
    assert re.search(r"offset of up to (3\.\d\d|2\.9\d) mV", notes[0])


def test_highlight_covers_its_time_in_its_lead() -> None:
    spans = [(1.0, 2.0), Highlight(6.0, 7.0, "V2", "strange")]
    drawing = Drawing(ecg_svg(wave(), 100, LEADS, highlight=spans))
    tints = [(float(r.get("x")), float(r.get("width"))) for r in drawing.root.iter(f"{NS}rect")]
    x0 = drawing.grid[0] + 15
    assert sorted(tints) == sorted([(x0 + 25, 25.0)] * 4 + [(x0 + 150, 25.0)])
    assert "strange" in drawing.texts


def test_annotations_stand_at_their_sample() -> None:
    marks = Annotations(np.array([250, 500, 5000]), ("N", "V", "N"), ("", "", ""))
    drawing = Drawing(ecg_svg(wave(), 100, LEADS, annotations=marks))
    places = {t.text: float(t.get("x")) for t in drawing.root.iter(f"{NS}text") if t.text in ("N", "V")}
    x0 = drawing.grid[0] + 15
    assert places == {"N": pytest.approx(x0 + 62.5), "V": pytest.approx(x0 + 125)}


def test_nothing_a_user_wrote_becomes_markup() -> None:
    evil = '<script>alert("x")</script>&\x00\u202e@'
    svg = ecg_svg(wave(n_leads=2), 100, ["II", '"><img src=x>'], layout="rows", title=evil, subtitle=evil)
    root = ElementTree.fromstring(svg)
    tags = {element.tag.removeprefix(NS) for element in root.iter()}
    assert tags <= {"svg", "title", "path", "defs", "pattern", "clipPath", "g", "text", "rect"}
    assert '<script>alert("x")</script>&��@' in "".join(root.itertext())
    assert not re.search(r"(?:href|src)\s*=", re.sub(r">[^<]*<", "><", svg))


def test_drawing_is_repeatable_and_ids_differ_between_recordings() -> None:
    first, again, other = (ecg_svg(wave(seed=seed), 100, LEADS) for seed in (0, 0, 1))
    assert first == again
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (first, other)]
    assert not ids[0] & ids[1]
    assert all(f'id="{name}"' in first for name in re.findall(r"url\(#([^)]+)\)", first))


def test_input_is_not_changed() -> None:
    signal = wave()
    signal[0, 5] = np.inf
    copy = signal.copy()
    ecg_svg(signal, 100, LEADS)
    np.testing.assert_array_equal(signal, copy)


@pytest.mark.parametrize(
    ("signal", "fs", "leads", "options", "where"),
    [
        (np.zeros(100), 100, ["I"], {}, "signal"),
        (np.zeros((1, 0)), 100, ["I"], {}, "signal"),
        (np.zeros((2, 100)), 100, ["I"], {}, "leads"),
        (np.zeros((1, 100)), 0, ["I"], {}, "fs"),
        (np.zeros((1, 100)), 100, ["I"], {"gain": float("nan")}, "gain"),
        (np.zeros((1, 100)), 100, ["I"], {"speed": -25}, "speed"),
        (np.zeros((1, 100)), 100, ["I"], {"layout": "4x3"}, "layout"),
        (np.zeros((1, 100)), 100, ["I"], {"start": 1.0}, "start"),
        (np.zeros((1, 100)), 100, ["I"], {"lead_mask": [True, False]}, "lead_mask"),
    ],
)
def test_impossible_input_is_refused(
    signal: np.ndarray, fs: float, leads: list[str], options: dict, where: str
) -> None:
    with pytest.raises(SignalError) as caught:
        ecg_svg(signal, fs, leads, **options)
    assert caught.value.where == where
    assert caught.value.remedy


def test_layout_is_suggested_by_the_leads_there_are() -> None:
    assert suggest_layout(LEADS) == "3x4+1"
    assert suggest_layout(LEADS, np.arange(12) < 2) == "rows"
    assert suggest_layout(["RESP", "II"]) == "rows"


@pytest.mark.real
def test_real_records_are_small_and_true(real_data: Path) -> None:
    wfdb = pytest.importorskip("wfdb")
    headers = sorted((real_data / "ptbxl").glob("records100/*/*.hea"))[:12]
    assert headers
    for header in headers:
        record = wfdb.rdrecord(str(header.with_suffix("")))
        for layout, limit in (("3x4+1", 40_000), ("6x2", 60_000), ("12x1", 60_000)):
            svg = ecg_svg(record.p_signal.T, record.fs, record.sig_name, layout=layout)
            assert len(svg) < limit
        drawing = Drawing(svg)
        assert {"aVR", "V6"} <= set(drawing.texts)
        part = record.p_signal[:, 7]
        (line,) = drawing.traces("V2")
        assert np.ptp(line[:, 1]) == pytest.approx(min(10 * np.ptp(part), 130), abs=0.12)
