"""Paired differences in every metric, against a slow bootstrap over patients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import sklearn.metrics as sk

from ssl_ecg.evaluate.judge import Judge, Scored
from ssl_ecg.evaluate.splits import Split

N, CLASSES = 160, ["x", "y", "z"]
PARTS = {"a": np.arange(90), "b": np.arange(90, N)}
PATIENTS = np.array([f"p{k // 4}" for k in range(N)])


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return (np.random.default_rng(0).random((N, 3)) < 0.4).astype(float)


def scored(truth: np.ndarray, noise: float, draws: int, seed: int) -> Scored:
    said = truth + noise * np.random.default_rng(seed).normal(size=(draws, *truth.shape))
    proba = 1 / (1 + np.exp(-said))
    parts = [proba[:, rows] for rows in PARTS.values()]
    return Scored(parts, [part > 0.62 for part in parts], [[{}] * draws for _ in parts])


def judge_of(truth: np.ndarray, resamples: int) -> Judge:
    none = np.zeros(0, int)
    splits = {name: Split(none, none, rows, {}) for name, rows in PARTS.items()}
    return Judge(splits, truth, PATIENTS, CLASSES, n_resamples=resamples)


def f1(y: np.ndarray, p: np.ndarray, d: np.ndarray) -> float:
    return float((2 * (y * d).sum(axis=0) / (y.sum(axis=0) + d.sum(axis=0))).mean())


PLAIN: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], float]] = {
    "average_precision": lambda y, p, d: sk.average_precision_score(y, p),
    "f1": f1,
    "precision": lambda y, p, d: sk.precision_score(y, d, average="macro"),
    "recall": lambda y, p, d: sk.recall_score(y, d, average="macro"),
    "specificity": lambda y, p, d: sk.recall_score(1 - y, 1 - d, average="macro"),
    "accuracy": lambda y, p, d: float((y == d).mean()),
    "subset_accuracy": lambda y, p, d: sk.accuracy_score(y, d),
    "hamming_loss": lambda y, p, d: float((y != d).mean()),
}


def plain(truth: np.ndarray, one: Scored, name: str, rows_of: dict[str, np.ndarray] | None = None) -> float:
    """The mean over parts and draws, each record as often as it stands in `rows_of`."""
    found = []
    for part, (proba, decisions) in zip(PARTS, zip(one.proba, one.decisions, strict=True), strict=True):
        take = np.arange(len(PARTS[part])) if rows_of is None else rows_of[part]
        y = truth[PARTS[part]][take]
        found.append(
            np.mean([PLAIN[name](y, p[take], d[take].astype(float)) for p, d in zip(proba, decisions, strict=True)])
        )
    return float(np.mean(found))


def test_differences_have_the_interval_of_a_slow_bootstrap(truth: np.ndarray) -> None:
    a, b = scored(truth, 1.0, 2, 1), scored(truth, 1.15, 1, 2)
    found = judge_of(truth, 2000).differences("linear/all", a, b)
    assert set(found["metrics"]) == {*PLAIN, "specificity_at_90_sensitivity", "f2", "g2", "fmax"}
    rng, slow = np.random.default_rng(3), {name: [] for name in ("f1", "accuracy", "hamming_loss")}
    members = {
        part: [np.flatnonzero(PATIENTS[rows] == name) for name in np.unique(PATIENTS[rows])]
        for part, rows in PARTS.items()
    }
    for _ in range(250):
        drawn = {
            part: np.concatenate([own[i] for i in rng.integers(0, len(own), len(own))]) for part, own in members.items()
        }
        for name, values in slow.items():
            values.append(plain(truth, a, name, drawn) - plain(truth, b, name, drawn))
    for name in PLAIN:
        expected = plain(truth, a, name) - plain(truth, b, name)
        assert found["metrics"][name]["value"] == pytest.approx(expected, abs=1e-9), name
    for name, values in slow.items():
        gain = found["metrics"][name]
        assert gain["low"] == pytest.approx(np.percentile(values, 2.5), abs=0.012), name
        assert gain["high"] == pytest.approx(np.percentile(values, 97.5), abs=0.012), name
        assert (gain["p_value"] < 0.05) == (gain["low"] > 0 or gain["high"] < 0), name


def test_few_labels_are_compared_in_auroc_only_and_nothing_is_resampled_twice(
    truth: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, a, b = judge_of(truth, 20), scored(truth, 1.0, 3, 1), scored(truth, 1.2, 3, 2)
    done: list[str] = []
    original = judge.samples.statistic
    monkeypatch.setattr(judge.samples, "statistic", lambda metric, y: done.append("one") or original(metric, y))
    assert "metrics" not in judge.differences("linear/50", a, b)
    assert len(done) == 2
    tables = [judge.judged("linear/all", one) for one in (a, b)]
    resampled = len(done)
    whole = judge.differences("linear/all", a, b)
    assert len(done) == resampled == 2 * len(tables[0]["macro"]) - 2  # all but the calibration error
    for name, gain in whole["metrics"].items():
        first, second = (table["macro"][name]["value"] for table in tables)
        assert gain["value"] == pytest.approx(first - second)
    assert a.draws(3) is a
    assert [part.shape[0] for part in a.draws(2).proba] == [2, 2]
    assert judge.difference(a.draws(1), b)["value"] == pytest.approx(
        judge.table(a.draws(1), whole=False)["macro"]["auroc"]["value"] - tables[1]["macro"]["auroc"]["value"]
    )
