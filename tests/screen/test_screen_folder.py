from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from ssl_ecg.embedding.vectors import Embeddings
from ssl_ecg.errors import ArchiveError, SignalError
from ssl_ecg.screen.detectors import DETECTORS, load_detector
from ssl_ecg.screen.folder import screen_folder
from ssl_ecg.screen.operating import OperatingPoint, within_budget


def _save(folder, n=200, outliers=2, prefix="r", seed=0):
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(n, 6))
    Z[n - outliers :] += 12
    names = [f"{prefix}{k}" for k in range(n)]
    index = pd.DataFrame({"record_id": names, "corpus": "toy", "patient_id": names, "row": np.arange(n) * 3})
    return Embeddings(Z, index).save(folder)


@pytest.mark.parametrize("detector", list(DETECTORS))
def test_table_of_scores(tmp_path, detector):
    _save(tmp_path / "e")
    table = screen_folder(tmp_path / "e", tmp_path / "o", detector=detector, alert_budget=10, seed=2)
    assert list(table.columns) == [
        "record_id", "corpus", "patient_id", "row",
        "anomaly_score", "percentile", "p_value", "cluster", "flagged", "nearest",
    ]  # fmt: skip
    assert table["record_id"].tolist() == [f"r{k}" for k in range(200)]
    assert table["row"].tolist() == list(range(0, 600, 3))
    assert table.index[table["flagged"]].tolist() == [198, 199]
    assert table["percentile"].between(0, 100).all()
    assert table["p_value"].isna().all()
    assert all(len(set(names)) == 3 for names in table["nearest"])
    assert all(own not in names for own, names in zip(table["record_id"], table["nearest"], strict=True))
    stored = pd.read_parquet(tmp_path / "o" / "scores.parquet")
    np.testing.assert_array_equal(stored["anomaly_score"], table["anomaly_score"])
    card = json.loads((tmp_path / "o" / "screen.json").read_text())
    assert (card["detector"], card["n_flagged"], card["seed"], card["params"]["seed"]) == (detector, 2, 2, 2)
    loaded = load_detector(tmp_path / "o" / "detector")
    assert loaded.threshold_ == pytest.approx(card["threshold"])


def test_reference_is_what_is_usual(tmp_path):
    _save(tmp_path / "usual", outliers=0, prefix="u")
    _save(tmp_path / "e", n=40, outliers=20, seed=3)  # half of them are strange: among themselves nobody is
    table = screen_folder(tmp_path / "e", tmp_path / "o", reference=tmp_path / "usual", alert_budget=100)
    assert (table["percentile"][20:] == 100).all()
    assert table["percentile"][:20].median() < 90
    assert table["flagged"].sum() == 4
    assert table["flagged"][20:].sum() == 4
    assert all(name.startswith("u") for names in table["nearest"] for name in names)


def test_nearest_records_are_the_nearest(tmp_path):
    names = [f"r{k}" for k in range(100)]
    Z = np.random.default_rng(0).normal(size=(100, 3))
    Z[7], Z[8] = Z[50] + 1e-3, Z[50] - 1e-3
    Embeddings(Z, pd.DataFrame({"record_id": names})).save(tmp_path / "e")
    table = screen_folder(tmp_path / "e", tmp_path / "o", n_nearest=2)
    assert set(table["nearest"][50]) == {"r7", "r8"}


def test_large_sets_name_neighbours_among_a_sample(tmp_path, monkeypatch):
    monkeypatch.setattr("ssl_ecg.screen.folder._NEIGHBOURS_AMONG", 50)
    _save(tmp_path / "e")
    table = screen_folder(tmp_path / "e", tmp_path / "o")
    assert all(len(set(names)) == 3 for names in table["nearest"])
    assert all(own not in names for own, names in zip(table["record_id"], table["nearest"], strict=True))
    assert len({name for names in table["nearest"] for name in names}) <= 50


def test_record_without_embedding_is_listed_without_score(tmp_path):
    folder = _save(tmp_path / "e")
    Z = np.load(folder / "embeddings.npy")
    Z[4] = np.nan
    np.save(folder / "embeddings.npy", Z)
    table = screen_folder(folder, tmp_path / "o")
    assert len(table) == 200
    assert table["anomaly_score"].isna().tolist() == [k == 4 for k in range(200)]
    assert not table["flagged"][4]
    assert table["nearest"][4] == []
    assert json.loads((tmp_path / "o" / "screen.json").read_text())["n_without_score"] == 1


@pytest.mark.parametrize(("n", "budget", "flagged"), [(1000, 20, 20), (150, 20, 3), (10, 20, 1), (10, 0, 0)])
def test_budget(n, budget, flagged):
    scores = np.random.default_rng(0).normal(size=n)
    chosen = within_budget(scores, budget)
    assert chosen.sum() == flagged
    if flagged > 0:
        assert scores[chosen].min() > scores[~chosen].max()


def test_wrong_requests(tmp_path):
    _save(tmp_path / "e")
    with pytest.raises(SignalError, match="choose from kmeans"):
        screen_folder(tmp_path / "e", tmp_path / "o", detector="kmean")
    with pytest.raises(SignalError, match="no parameter 'clusters'"):
        screen_folder(tmp_path / "e", tmp_path / "o", options={"clusters": 3})
    with pytest.raises(SignalError, match="alert budget"):
        screen_folder(tmp_path / "e", tmp_path / "o", alert_budget=2000)
    with pytest.raises(ArchiveError, match="no embeddings"):
        screen_folder(tmp_path, tmp_path / "o")
    assert not (tmp_path / "o").exists()


# ---------------------------------------------------------------- operating points


def test_quantile_of_the_reference(tmp_path):
    _save(tmp_path / "usual", outliers=0, prefix="u")
    _save(tmp_path / "e", n=40, outliers=20, seed=3)
    point = OperatingPoint("quantile", 0.95)
    table = screen_folder(tmp_path / "e", tmp_path / "o", reference=tmp_path / "usual", operating=point)
    card = json.loads((tmp_path / "o" / "screen.json").read_text())
    assert card["operating"] == {"kind": "quantile", "level": 0.95}
    usual = np.sort(load_detector(tmp_path / "o" / "detector").reference_scores_)
    assert (table["flagged"] == (table["anomaly_score"] > usual[190])).all()  # 0.95 * 199 = 189.05, next higher
    assert table["flagged"][20:].all()


@pytest.mark.parametrize("detector", ["kmeans", "mahalanobis"])
def test_conformal_p_values_of_a_folder(tmp_path, detector):
    rng = np.random.default_rng(0)
    names = [f"u{k}" for k in range(300)]
    patients = [f"p{k // 3}" for k in range(300)]
    index = pd.DataFrame({"record_id": names, "corpus": "toy", "patient_id": patients})
    Z = rng.normal(size=(300, 6))
    Embeddings(Z, index).save(tmp_path / "usual")
    _save(tmp_path / "e", n=400, outliers=20, seed=3)
    point = OperatingPoint("conformal", 0.05)
    how = {"detector": detector, "reference": tmp_path / "usual"}
    table = screen_folder(tmp_path / "e", tmp_path / "o", operating=point, **how)
    card = json.loads((tmp_path / "o" / "screen.json").read_text())
    assert (card["n_reference"], card["n_calibration"]) == (201, 99)  # a third of 100 patients, three records each
    fitted = load_detector(tmp_path / "o" / "detector")
    apart = np.abs(fitted.anomaly_score(Z.astype(np.float32))[:, None] - fitted.calibration_scores_)
    held = (apart.min(axis=1) < 1e-9).reshape(100, 3)
    assert (held.all(axis=1) == held.any(axis=1)).all()  # patients stay together
    usual = fitted.anomaly_score(Z)[held.ravel()]
    expected = [(1 + sum(u >= s for u in usual)) / 100 for s in table["anomaly_score"]]
    np.testing.assert_allclose(table["p_value"], expected)
    assert (table["flagged"] == (table["p_value"] <= 0.05)).all()
    assert (table["flagged"] == (table["anomaly_score"] > card["threshold"])).all()
    assert table["flagged"][380:].all()
    assert table["flagged"][:380].mean() < 0.12


def test_conformal_needs_enough_of_a_reference(tmp_path):
    _save(tmp_path / "e")
    with pytest.raises(SignalError, match="give a reference"):
        screen_folder(tmp_path / "e", tmp_path / "o", operating=OperatingPoint("conformal", 0.05))
    _save(tmp_path / "usual", n=60, outliers=0, prefix="u")
    point = OperatingPoint("conformal", 0.01)
    with pytest.raises(SignalError, match=r"20 calibration records, a false-alarm rate of 0\.01 needs at least 99"):
        screen_folder(tmp_path / "e", tmp_path / "o", reference=tmp_path / "usual", operating=point)


@pytest.mark.parametrize(("kind", "level"), [("rate", 1), ("budget", -1), ("quantile", 1.0), ("conformal", 0.0)])
def test_operating_points_that_make_no_sense(kind, level):
    with pytest.raises(SignalError, match=r"choose from budget|give"):
        OperatingPoint(kind, level)


def test_trimming_through_options(tmp_path):
    _save(tmp_path / "e", outliers=10)
    screen_folder(tmp_path / "e", tmp_path / "o", options={"trim": 0.05})
    card = json.loads((tmp_path / "o" / "screen.json").read_text())
    assert (card["n_trimmed"], card["n_reference"]) == (10, 190)
    assert not load_detector(tmp_path / "o" / "detector").kept_[190:].any()
