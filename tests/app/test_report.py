"""The reports: what they say agrees with what they are given, and they take whatever comes."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_ecg.app.probe_sections import by_task, shown
from ssl_ecg.app.report import (
    Anomaly,
    MapPoints,
    Quality,
    Recording,
    Scores,
    Summary,
    write_report,
    write_screen_report,
)
from ssl_ecg.errors import ArchiveError
from ssl_ecg.leads import STANDARD_LEADS

Check = Callable[[str], Any]
LOG = "step,loss,lr,rank,std\n0,4,0.0,,\n1,3,0.1,12,0.5\n2,2,0.05,14,0.6\n"


def interval(value: float | None, width: float = 0.02) -> dict[str, Any]:
    low, high = (None, None) if value is None else (value - width, value + width)
    return {"value": value, "low": low, "high": high, "level": 0.95}


def probe(value: float) -> dict[str, Any]:
    judged = {"average_precision": interval(0.61), "f1": interval(0.52)}
    return {
        "C": 0.005,
        "macro": {"auroc": interval(value), **judged},
        "per_class": {
            "MI": {"auroc": interval(value + 0.01), **judged, "n_positive": 23, "learnt": True},
            "HYP": {"auroc": interval(None), **judged, "n_positive": 0, "learnt": False},
        },
    }


METRICS: dict[str, Any] = {
    "task": "superclass",
    "classes": ["MI", "HYP"],
    "split": {"by": "folds", "train": [1, 2], "val": [3], "test": [4]},
    "counts": {"train": {"records": 1200, "patients": 1100}, "test": {"records": 240, "patients": 231}},
    "linear": probe(0.873),
    "knn": probe(0.851),
    "baseline": {"linear": probe(0.791), "knn": probe(0.77)},
    "difference": {"linear": interval(0.082), "knn": interval(0.081)},
    "label_efficiency": [
        {
            "n_labels": 100,
            "linear": {"macro_auroc": interval(0.84), "draws": [0.83, 0.85]},
            "baseline": {"macro_auroc": interval(0.74), "draws": [0.73, 0.75]},
            "difference": interval(0.1),
        }
    ],
}


def recording(name: str = "r1", **changes: Any) -> Recording:
    signal = np.random.default_rng(len(name)).normal(size=(12, 1000)).cumsum(1) / 20
    return Recording(name, **{"signal": signal, "fs": 100.0, "leads": STANDARD_LEADS, "codes": ("MI",), **changes})


def whole_report(out: Path, **changes: Any) -> str:
    n = 60
    rng = np.random.default_rng(0)
    scores = Scores(rng.gamma(2, size=n), 4.0, "95th percentile", "K-means", "folds 1-8", [f"id{k}" for k in range(n)])
    (out / "log.csv").write_text(LOG)
    given: dict[str, Any] = {
        "summary": Summary(records=1600, patients=1500, corpora=("PTB-XL",), method="SimCLR", dim=256, fs=100),
        "metrics": METRICS,
        "curves": out / "log.csv",
        "map_points": MapPoints(rng.normal(size=(n, 2)), [("MI",)] * n, scores=scores.values),
        "scores": scores,
        "anomalies": [
            Anomaly(recording("strange"), 9.5, recording("usual"), 3.25, [("near", ("AFIB",))], row=3),
            Anomaly(recording("second", codes=np.array(["164889003"], dtype=object)), 7.5),
        ],
        "quality": Quality([("bad1", "no header")], {"r2": np.array(["flat:V1", "flat:V2"], dtype=object)}),
        "provenance": {"seed": 7, "recipe": {"train": {"lr": 0.001}}, "fingerprint": "ab" * 32},
    }
    path = write_report(out, **{**given, **changes})
    assert path == out / "report.html"
    return path.read_text(encoding="utf-8")


def small_report(out: Path, **parts: Any) -> str:
    return write_report(out, **{"summary": {}, **parts}).read_text(encoding="utf-8")


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", text)))


def test_report_holds_every_part_in_order(tmp_path: Path, check: Check) -> None:
    text = whole_report(tmp_path)
    check(text)
    titles = re.findall(r"<h2[^>]*>([^<]+)</h2>", text)
    assert titles == [
        "Summary",
        "Training",
        "What the embeddings know",
        "Map of the recordings",
        "Anomaly scores",
        "The strangest recordings",
        "Data quality",
        "Provenance",
    ]
    words = plain(text)
    for part in (
        "1,600 ECG recordings of PTB-XL from 1,500 patients",
        "0.873 (0.853–0.893)",
        "on 240 test recordings of 231 patients",
        "random weights reaches 0.791 (0.771–0.811)",
        "+0.082 (+0.062 to +0.102), a gain beyond what the choice of test patients explains",
        "MI myocardial infarction 23 0.883 (0.863–0.903) 0.801 (0.781–0.821)",
        "too few examples to learn",
        "100 2 0.840 (0.820–0.860) 0.740 (0.720–0.760) +0.100 (+0.080 to +0.120)",
        "Score 9.5 , above 100.0% of the recordings, flagged",
        "Nearest typical recording: usual, at distance 3.25",
        "Nearest of all: near (AFIB atrial fibrillation)",
        "164889003 atrial fibrillation",
        "bad1 no header",
        "flat no change in a lead, as with a loose electrode 1",
        "recipe train.lr 0.001",
        "Not for clinical use",
    ):
        assert part in words, part
    assert "SIMULATED" not in words
    assert text.count('<svg xmlns="http://www.w3.org/2000/svg" class="ecg"') == 3
    assert len(text) < 600_000


def test_simulated_data_are_announced_before_anything_else(tmp_path: Path) -> None:
    words = plain(whole_report(tmp_path, summary={"records": 5, "simulated": True}).split("<main>")[1])
    assert words.index("SIMULATED DATA – no clinical claim") < words.index("Summary")


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [
        (
            {"value": 0.01, "low": -0.02, "high": 0.04},
            "the interval includes zero, so no gain has been shown",
        ),
        ({"value": -0.05, "low": -0.08, "high": -0.02}, "here pretraining made it worse"),
        ({"value": 0.05, "low": None, "high": None}, "no interval was computed"),
    ],
)
def test_verdict_follows_the_interval(tmp_path: Path, gain: dict[str, Any], verdict: str) -> None:
    metrics = {**METRICS, "difference": {"linear": gain}}
    words = plain(small_report(tmp_path, metrics=metrics))
    assert verdict in words
    assert "a gain beyond" not in words


def test_malicious_names_stay_text(tmp_path: Path, check: Check, evil: str) -> None:
    strange = recording(evil, codes=(evil,), quality=(evil,), sex=evil, corpus=evil)
    metrics = copy.deepcopy(METRICS)
    metrics["task"] = evil
    for part in (metrics["linear"], metrics["baseline"]["linear"]):
        part["per_class"][evil] = part["per_class"].pop("MI")
    n = 60
    text = whole_report(
        tmp_path,
        title=evil,
        summary=Summary(corpora=(evil,), method=evil, encoder=evil, remarks=(evil,)),
        metrics=metrics,
        map_points=MapPoints(np.zeros((n, 2)), [(evil,)] * n, how=evil),
        scores=Scores(np.arange(n), 50.0, evil, evil, evil, [evil] * n, [(evil,)] * n),
        anomalies=[Anomaly(strange, 99.0, strange, 1.0, [(evil, (evil,))])],
        quality=Quality([(evil, evil)], {evil: (evil,)}),
        provenance={evil: evil, "nested": {evil: {evil: evil}}},
        names={evil: evil},
    )
    check(text)
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "\u202e" not in text


def test_report_takes_what_there_is(tmp_path: Path, check: Check) -> None:
    path = write_report(tmp_path / "only.html", summary={})
    assert path.name == "only.html"
    check(path.read_text(encoding="utf-8"))
    odd: list[dict[str, Any]] = [
        {},
        {"linear": {}},
        {"linear": None, "knn": {"macro": {"auroc": 0.8}}},
        {
            "linear": {"macro": {"auroc": interval(None)}, "per_class": None},
            "counts": None,
            "difference": None,
        },
        {"a": METRICS, "b": {"linear": probe(0.7)}, "seed": 1},
        {**METRICS, "label_efficiency": [{"n_labels": 10}, "x"], "counts": {"test": {"records": "many"}}},
    ]
    for metrics in odd:
        check(small_report(tmp_path, metrics=metrics))


def test_metrics_of_several_tasks_are_all_shown(tmp_path: Path) -> None:
    text = small_report(tmp_path, metrics={"superclass": METRICS, "rhythm": {"linear": probe(0.7)}})
    assert re.findall(r"<h3[^>]*>(Task: [^<]+)</h3>", text) == ["Task: superclass", "Task: rhythm"]
    assert list(by_task(METRICS)) == ["superclass"]
    assert shown({"value": np.float32(0.5), "low": 0.4, "high": 0.6}) == "0.500 (0.400–0.600)"


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    broken = [Anomaly(recording("broken", signal=np.zeros((3, 10))), 5.0)]
    words = plain(small_report(tmp_path, anomalies=broken, curves=tmp_path / "none.csv"))
    assert "This recording could not be drawn" in words
    assert "The training log could not be drawn" in words


def test_long_lists_are_cut_and_say_so(tmp_path: Path) -> None:
    quality = Quality([(f"r{k}", "empty") for k in range(1000)], {f"q{k}": ("flat:I",) for k in range(1000)})
    text = small_report(tmp_path, quality=quality)
    words = plain(text)
    assert "1,000 recordings. They were set aside" in words
    assert "The first 200 are listed" in words
    assert "r199" in words
    assert "r200" not in words
    assert "1,000 recordings carry a flag" in words


def test_leads_that_were_not_recorded_and_few_leads(tmp_path: Path) -> None:
    masked = recording("masked", lead_mask=np.arange(12) != 4)
    two = recording("holter", signal=np.zeros((2, 3600)), fs=360.0, leads=("MLII", "V1"))
    words = plain(small_report(tmp_path, anomalies=[Anomaly(masked, 5.0), Anomaly(two, 4.0)]))
    assert "not recorded: aVL" in words
    assert "MLII" in words


def test_screen_report_shows_operating_point_and_flagged_list(tmp_path: Path, check: Check) -> None:
    values = np.array([1.0, 5.0, 3.0, 9.0])
    scores = Scores(values, 4.0, "alert budget", "K-means", record_ids=["a", "b", "c", "d"], codes=[("MI",)] * 4)
    path = write_screen_report(
        tmp_path,
        summary=Summary(records=4, simulated=False),
        scores=scores,
        anomalies=[Anomaly(recording("d"), 9.0)],
    )
    text = path.read_text(encoding="utf-8")
    check(text)
    words = plain(text)
    assert "2 of 4 recordings (50.0%) are flagged" in words
    assert re.search(r"1 d 9 MI myocardial infarction 2 b 5 MI", words)
    assert "Strange is not ill" in words
    assert "Score 9 , above 75.0% of the recordings" in words
    assert (scores.n_flagged, scores.share_below(5.0)) == (2, 0.5)
    unset = write_screen_report(tmp_path / "s.html", summary={}, scores=Scores(values))
    assert "No threshold was set" in plain(unset.read_text(encoding="utf-8"))


def test_report_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArchiveError):
        write_report(tmp_path / "file", summary={})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.real
def test_real_recordings_in_a_screen_report(real_data: Path, tmp_path: Path, check: Check) -> None:
    wfdb = pytest.importorskip("wfdb")
    found = []
    for pattern in ("ptbxl/records100/*/*.hea", "cinc2011/*.hea", "cinc2021/*/*.hea", "mitdb/*.hea"):
        for header in sorted(real_data.glob(pattern))[:2]:
            record = wfdb.rdrecord(str(header.with_suffix("")))
            found.append(Recording(header.stem, record.p_signal.T, record.fs, record.sig_name))
    assert len(found) == 8
    path = write_screen_report(
        tmp_path,
        summary=Summary(records=8),
        scores=Scores(np.arange(8.0), 6.0),
        anomalies=[Anomaly(item, float(k)) for k, item in enumerate(found)],
    )
    text = path.read_text(encoding="utf-8")
    check(text)
    assert text.count('class="ecg"') == 8
    assert "could not be drawn" not in text
