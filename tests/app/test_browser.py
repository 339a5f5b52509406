"""The report of a screen in a headless browser: it fetches nothing, and the map answers to pointer and keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_ecg.app.cluster_cards import describe_clusters
from ssl_ecg.app.inputs import Anomaly, MapPoints, Recording, Scores, Summary, Thumbnails
from ssl_ecg.app.map_data import MOST_POINTS, MOST_THUMBNAILS, choose_points
from ssl_ecg.app.report import write_screen_report
from ssl_ecg.explain.reasons import Reasons
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.plot.thumbnail import GAP, POINTS

Open = Callable[..., Any]
DARK = """canvas => {const d=canvas.getContext('2d').getImageData(0,0,canvas.width,canvas.height).data;
let n=0;for(let k=0;k<d.length;k+=4)if(d[k+3]&&d[k]+d[k+1]+d[k+2]<200)n++;return n}"""
PLACE = "k => document.querySelector('.atlas').place(k)"
PICTURE = "() => document.querySelector('.stage>canvas').toDataURL()"


def recording(name: str, seed: int) -> Recording:
    signal = np.random.default_rng(seed).normal(size=(12, 1000)).cumsum(axis=1) / 20
    return Recording(name, signal, 100.0, STANDARD_LEADS, ("IMI",))


def write(out: Path, n: int, *, total: int | None = None, first: str = "r0") -> Path:
    """Write a report of synthetic recordings: the last are the strangest, flagged beyond a score of 2.5."""
    rng = np.random.default_rng(0)
    n_all = total or n
    scores = np.sort(rng.gamma(4, 0.3, size=n_all))
    flagged = scores > 2.5
    rows = choose_points(scores, flagged, n)
    xy = np.stack([rows % 211, rows // 211], axis=1) + rng.uniform(-0.2, 0.2, (len(rows), 2))
    shown = choose_points(scores[rows], flagged[rows], MOST_THUMBNAILS)
    ecg = (np.sin(np.arange(POINTS) / 5) * 100 + rng.normal(size=(len(shown), 3, POINTS))).astype(np.int8)
    ecg[:, 2, :50] = GAP
    clusters, codes = np.arange(n_all) % 12 - 1, [("NORM",) if k % 4 else ("MI", "SR") for k in range(n_all)]
    names = [first, *(f"r{k}" for k in range(1, n_all))]
    strangest = np.argsort(-scores)[:3].tolist()
    values = np.zeros((12, 10), np.float32)
    values[6, 5:7] = 0.5
    seconds = np.stack([np.arange(10.0), np.arange(10.0) + 1], axis=1)
    reasons = Reasons(values, seconds, tuple(STANDARD_LEADS), "occlusion")
    ranks = np.argsort(np.argsort(-scores)) + 1
    return write_screen_report(
        out,
        summary=Summary(records=n_all),
        scores=Scores(scores, 2.5, "a rule", "knn", "others", names, codes),
        anomalies=[
            Anomaly(recording(names[k], k), float(scores[k]), recording("usual", 1), 1.0, row=k, reasons=reasons)
            for k in strangest
        ],
        map_points=MapPoints(
            xy, [codes[k] for k in rows], clusters[rows], scores[rows], record_ids=[names[k] for k in rows], rows=rows,
            total=n_all, flagged=flagged[rows], ranks=ranks[rows],
            thumbnails=Thumbnails(ecg, np.full(len(shown), 0.01), shown, ("II", "V2", "V5"), 5.0),
        ),
        clusters=describe_clusters(rng.normal(size=(n_all, 2)), clusters, scores, flagged, codes),
    )  # fmt: skip


@pytest.fixture
def opened(browser: Any) -> Iterator[Open]:
    """Open a report in a fresh page; whatever it fetches, logs or throws fails the test."""

    @contextmanager
    def look(path: Path, width: int = 1300, height: int = 900) -> Iterator[Any]:
        context = browser.new_context(
            viewport={"width": width, "height": height}, offline=True, reduced_motion="reduce"
        )
        page, faults = context.new_page(), []
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: faults.append(request.url) if request.url != path.as_uri() else None)
        page.goto(path.as_uri())
        page.wait_for_selector(".atlas[data-shown]")
        page.locator(".atlas").scroll_into_view_if_needed()
        yield page
        assert faults == []
        context.close()

    return look


@pytest.fixture(scope="module")
def report(tmp_path_factory, evil: str) -> Path:
    return write(tmp_path_factory.mktemp("browser"), 400, first=evil)


def hover(page: Any, point: int) -> Any:
    x, y = page.evaluate(PLACE, point)
    page.mouse.move(x, y)
    page.wait_for_function("() => !document.querySelector('.tip').hidden")
    return page.locator(".tip")


def test_hovering_shows_the_recording_and_its_ecg(report: Path, opened: Open) -> None:
    with opened(report) as page:
        assert page.locator(".atlas").get_attribute("data-shown") == "400"
        for point in (399, 7):
            tip = hover(page, point)
            assert tip.locator("b").inner_text() == f"r{point}"
            words = tip.inner_text()
            assert f"rank {400 - point} of 400" in words
            assert ("flagged" in words) == (point == 399)
            assert ("MI, SR" if point % 4 == 0 else "NORM") in words
            assert page.evaluate(DARK, tip.locator("canvas").element_handle()) > 300
        page.mouse.move(5, 5)
        assert tip.is_hidden()


def test_a_name_that_would_do_harm_is_text(report: Path, opened: Open) -> None:
    with opened(report) as page:
        assert "<script>alert('x')</script>" in hover(page, 0).inner_text()


def test_colours_and_filters(report: Path, opened: Open) -> None:
    with opened(report) as page:
        atlas, pictures = page.locator(".atlas"), {page.evaluate(PICTURE)}
        for name in ("cluster", "label"):
            page.click(f".choice[data-colour={name}]")
            page.wait_for_selector(f".atlas[data-colour={name}]")
            pictures.add(page.evaluate(PICTURE))
        assert len(pictures) == 3
        assert [text.rsplit(" ", 1) for text in page.locator(".legend button").all_inner_texts()] == [
            ["NORM", "300"], ["MI", "100"],
        ]  # fmt: skip
        page.click(".legend button >> nth=0")
        page.wait_for_selector(".atlas[data-shown='100']")
        page.click(".legend button >> nth=0")
        page.wait_for_selector(".atlas[data-shown='400']")
        page.check(".only")
        page.wait_for_function("() => +document.querySelector('.atlas').dataset.shown < 60")
        flagged = int(re.search(r"([\d,]+) of 400 recordings", page.inner_text("main"))[1])
        assert int(atlas.get_attribute("data-shown")) == flagged


def test_a_click_pins_and_leads_to_the_drawing(report: Path, opened: Open) -> None:
    with opened(report) as page:
        hover(page, 398)
        page.mouse.click(*page.evaluate(PLACE, 398))
        pin = page.locator(".pin")
        assert pin.locator("b").inner_text() == "r398"
        assert page.evaluate(DARK, pin.locator("canvas").element_handle()) > 300
        pin.locator("a").click()
        assert page.url.endswith("#anomaly-2")
        assert page.locator("#anomaly-2 h3").inner_text() == "2. r398"
        assert page.locator("#anomaly-2").bounding_box()["y"] < 200
        page.locator(".pin button").click()
        assert page.locator(".pin").count() == 0


def test_zoom_drag_search_and_keys(report: Path, opened: Open) -> None:
    with opened(report) as page:
        before = np.array(page.evaluate(PLACE, 10)) - page.evaluate(PLACE, 300)
        page.click("text=+ >> nth=0")
        after = np.array(page.evaluate(PLACE, 10)) - page.evaluate(PLACE, 300)
        np.testing.assert_allclose(after, 1.6 * before, rtol=1e-6)
        place = np.array(page.evaluate(PLACE, 200))
        stage = page.locator(".stage").bounding_box()
        x, y = stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 40, y - 30, steps=4)
        page.mouse.up()
        np.testing.assert_allclose(page.evaluate(PLACE, 200), place + np.array([40, -30]), atol=0.01)
        assert page.locator(".pin").count() == 0
        page.click("text=Show all")
        np.testing.assert_allclose(np.array(page.evaluate(PLACE, 10)) - page.evaluate(PLACE, 300), before, rtol=1e-6)

        page.fill("input[type=search]", "r123")
        page.press("input[type=search]", "Enter")
        assert page.locator(".pin b").inner_text() == "r123"
        page.fill("input[type=search]", "nobody")
        page.press("input[type=search]", "Enter")
        assert "No recording nobody on this map." in page.inner_text(".hint")

        page.focus(".stage>canvas")
        for key, name in (("Escape", None), ("ArrowRight", "r399"), ("ArrowRight", "r398"), ("ArrowLeft", "r399")):
            page.keyboard.press(key)
            assert (page.inner_text(".tip b") if page.locator(".tip").is_visible() else None) == name
        page.keyboard.press("Enter")
        assert page.locator(".pin b").all_inner_texts() == ["r123", "r399"]


def test_ranked_list_and_drawings(report: Path, opened: Open) -> None:
    with opened(report) as page:
        scores = [float(text) for text in page.locator("table[data-sort] tr td:nth-child(3)").all_inner_texts()]
        assert len(scores) > 3
        assert scores == sorted(scores, reverse=True)
        assert page.locator("#anomaly-1 .strange svg.ecg rect").count() == 2  # two seconds of V1
        assert page.locator("#anomaly-1 .typical svg.ecg rect").count() == 0
        assert "Deviates in V1; 5.0-7.0 s." in page.inner_text("#anomaly-1")
        assert page.locator(".card").count() == 11


@pytest.mark.parametrize("width", [380, 1920])
def test_narrow_and_wide_windows(report: Path, opened: Open, width: int) -> None:
    with opened(report, width=width) as page:
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
        strange, typical = (page.locator(f"#anomaly-1 .{kind}").bounding_box() for kind in ("strange", "typical"))
        beside = strange["y"] == pytest.approx(typical["y"]) and strange["x"] < typical["x"]
        assert beside == (width > 1500)
        assert page.pdf().startswith(b"%PDF")


def test_a_hundred_thousand_recordings_stay_usable(tmp_path: Path, opened: Open) -> None:
    path = write(tmp_path, MOST_POINTS, total=100_000)
    assert path.stat().st_size < 15e6
    with opened(path) as page:
        words = page.inner_text(".atlas figcaption")
        assert "a sample of 20,000 of 100,000 recordings, in it all that are flagged" in words
        assert "the ECG of 4,000 of them" in words
        tip = hover(page, MOST_POINTS - 1)
        assert tip.locator("b").inner_text() == "r99999"
        assert "rank 1 of 100,000" in tip.inner_text()
        assert page.evaluate(DARK, tip.locator("canvas").element_handle()) > 300
        page.click("details summary >> nth=0")
        assert "The first 200 are listed" in page.inner_text("details caption >> nth=0")
