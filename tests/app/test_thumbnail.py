"""Small ECGs: what survives of the samples, gaps, and the drawing."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from ssl_ecg.explain.reasons import Reasons
from ssl_ecg.plot.reasons import highlights, reasons_svg
from ssl_ecg.plot.thumbnail import GAP, POINTS, choose_leads, shrink, thumbnail_svg

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(("fs", "n"), [(100, 500), (100, 1000), (500, 2500), (73, 700), (50, 90), (100, 1)])
def test_extremes_survive_within_half_a_step(fs: int, n: int) -> None:
    signal = np.random.default_rng(0).normal(size=(2, 3, n)).astype(np.float32)
    values, scales = shrink(signal, fs)
    assert values.shape == (2, 3, POINTS)
    shown = signal[..., : 5 * fs]
    for record, part in enumerate(shown):
        for lead, row in enumerate(part):
            centred = row - np.median(row)
            found = values[record, lead]
            kept = found[found != GAP] * scales[record]
            assert len(kept) == max(1, round(POINTS * min(1, len(row) / (5 * fs))))
            # with more bins than samples a bin repeats its neighbour, and none is invented
            distance = np.abs(kept[:, None] - centred[None]).min(axis=1)
            assert distance.max() <= 0.51 * scales[record]
            largest = centred[np.abs(centred).argmax()]
            assert np.abs(kept - largest).min() <= 0.51 * scales[record]


def test_invalid_samples_and_absent_leads_are_gaps() -> None:
    signal = np.ones((1, 3, 500), np.float32) * np.sin(np.arange(500))
    signal[0, 0, 250:] = np.nan
    signal[0, 1] = 0
    signal[0, 2] = np.nan
    values, _ = shrink(signal, 100)
    assert (values[0, 0, :150] != GAP).all()
    assert (values[0, 0, 150:] == GAP).all()
    assert (values[0, 1:] == GAP).all()


def test_leads_that_are_shown() -> None:
    standard = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
    assert [standard[k] for k in choose_leads(standard)] == ["II", "V2", "V5"]
    assert choose_leads(("X",)) == [0]
    assert choose_leads(("ECG1", "V5", "ECG2", "ECG3")) == [0, 1, 2]


def test_drawing_is_svg_with_the_leads_named() -> None:
    signal = np.random.default_rng(0).normal(size=(2, 500))
    signal[0, 100:200] = np.nan
    root = ElementTree.fromstring(thumbnail_svg(signal, 100, ["II", "<b>"], '"quoted"'))
    assert root.get("aria-label") == '"quoted"'
    assert [text.text for text in root.iter(f"{SVG}text")][:2] == ["II", "<b>"]
    trace = [path.get("d") for path in root.iter(f"{SVG}path")][-1]
    assert trace.count("M") == 3  # two pieces and a whole lead


def make_reasons(values: np.ndarray) -> Reasons:
    seconds = np.stack([np.arange(values.shape[1]), np.arange(values.shape[1]) + 1.0], axis=1).astype(float)
    return Reasons(values.astype(np.float32), seconds, ("V1", "II"), "occlusion")


def test_reasons_become_tints_as_strong_as_their_share() -> None:
    reasons = make_reasons(np.array([[0.0, 0.5, 0.3], [0.15, 0.0, 0.05]]))
    found = {(item.lead, item.start, item.stop): item.strength for item in highlights(reasons)}
    assert found == {
        ("V1", 1.0, 2.0): pytest.approx(1.0),
        ("V1", 2.0, 3.0): pytest.approx(0.6),
        ("II", 0.0, 1.0): pytest.approx(0.3),
    }
    assert highlights(make_reasons(np.zeros((2, 3)))) == []
    root = ElementTree.fromstring(reasons_svg(reasons, "a & b"))
    shades = sorted(float(rect.get("fill-opacity")) for rect in root.iter(f"{SVG}rect"))
    assert shades == pytest.approx([0.1, 0.3, 0.6, 1.0])
    ElementTree.fromstring(reasons_svg(make_reasons(np.zeros((2, 3))), ""))
