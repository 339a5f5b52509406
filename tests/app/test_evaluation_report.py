"""The page and figures of an evaluation: from its JSON alone, and plain errors where that is damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ssl_ecg.app.evaluation_report import draw_figures, efficiency, write_evaluation_report
from ssl_ecg.errors import ArchiveError
from ssl_ecg.evaluate.judge import Judge, Scored
from ssl_ecg.evaluate.protocol import Protocol
from ssl_ecg.evaluate.report import Report

CLASSES = ["MI", "HYP", "rare"]
LOSS = {name: {"value": -0.125, "low": -0.2, "high": None} for name in ("auroc", "difference")}


def report(
    models: tuple[str, ...] = ("encoder", "untrained"), sizes: tuple[str, ...] = ("all", "20"), way: str = "linear"
) -> Report:
    """Figures of made-up scores, of a class that nobody has among them."""
    rng = np.random.default_rng(0)
    n = 120
    index = pd.DataFrame({"fold": 1 + np.arange(n) % 9, "patient_id": [f"p{k}" for k in range(n)], "corpus": "mine"})
    labels = np.column_stack([rng.random((n, 2)) < 0.4, np.zeros(n)]).astype(float)
    labels[5, 0] = np.nan
    splits = Protocol().splits(index, labels, np.ones(n, bool))
    judge = Judge(splits, labels, index["patient_id"].to_numpy(), CLASSES, n_resamples=10)

    def scored(draws: int) -> Scored:
        found = Scored([], [])
        for split in splits.values():
            proba = rng.random((draws, len(split.test), 3)).astype(np.float32)
            found.proba.append(proba)
            found.decisions.append(proba > 0.5)
        return found

    results = {
        model: {
            f"{way}/{size}": {
                **judge.table(scored(1 if size == "all" else 3), whole=size == "all"),
                "by_split": {},
                "draws": 1,
            }
            for size in sizes
        }
        for model in models
    }
    records = {name: {part: len(rows) for part, rows in split.sets().items()} for name, split in splits.items()}
    return Report(
        {
            "protocol": {"about": "<b>made up</b>"}, "task": "mine", "classes": CLASSES, "checkpoint": None,
            "archive": {"fingerprint": "f", "corpora": {"mine": "120 records"}, "part": True},
            "encoder": {"function": "f"}, "robustness": {"times 2": {"encoder": LOSS}},
            "results": results, "differences": {}, "seconds": 1.0, "versions": {},
            "splits": {name: {"records": counts, "seen_in_pretraining": []} for name, counts in records.items()},
            "references": [
                {"who": "A & B", "how": "linear", "metric": m, "value": 0.9, "corpus": "mine", "source": "paper"}
                for m in ("auroc", "f1")
            ],
        }
    )  # fmt: skip


def test_everything_is_made_from_the_json(tmp_path: Path) -> None:
    report().write(tmp_path)
    page = write_evaluation_report(tmp_path).read_text(encoding="utf-8")
    names = {"roc", "precision_recall", "reliability", "confusion", "label_efficiency"}
    assert {p.name for p in (tmp_path / "figures").iterdir()} == {
        f"{n}.{kind}" for n in names for kind in ("png", "svg")
    }
    assert "&lt;b&gt;made up&lt;/b&gt;" in page
    assert "A &amp; B" in page
    assert "times 2" in page
    assert "-0.125" in page
    assert "part of the corpus" in page
    assert page.count("<svg") == 5


def test_figures_that_have_no_numbers_are_left_out() -> None:
    drawn = draw_figures(report(sizes=("all",)).content)
    assert "label_efficiency" not in drawn
    assert [axes.get_title() for axes in drawn["roc"][0].axes] == CLASSES


@pytest.mark.parametrize("way", ["knn", "hybrid", "finetuned"])
def test_any_way_of_judging_has_its_page(tmp_path: Path, way: str) -> None:
    report(way=way).write(tmp_path)
    page = write_evaluation_report(tmp_path).read_text(encoding="utf-8")
    assert f"Encoder, {way}, all labels" in page
    assert (tmp_path / "figures" / "roc.png").is_file()


def test_efficiency_counts_labels() -> None:
    curves = efficiency(report().content)
    assert list(curves) == ["encoder, linear", "untrained, linear"]
    assert list(curves["encoder, linear"]) == [67, 20]


def test_calibration_error_is_the_mean_of_the_splits() -> None:
    content = report().content
    found = content["results"]["encoder"]["linear/all"]
    values = [by["expected_calibration_error"]["value"] for by in found["per_class"].values()]
    assert values[2] is None
    assert found["macro"]["expected_calibration_error"]["value"] == pytest.approx(np.mean(values[:2]))


@pytest.mark.parametrize("damage", ["gone", "cut", "empty"])
def test_damaged_reports_are_named(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "report.json"
    if damage == "cut":
        file.write_text(report().to_json()[:-200])
    elif damage == "empty":
        file.write_text(json.dumps({"classes": []}))
    with pytest.raises(ArchiveError, match="evaluate again"):
        write_evaluation_report(tmp_path)
