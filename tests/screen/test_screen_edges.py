"""Screens on what is broken or unusual: wrong options, damaged folders, a reference that holds the screened."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ssl_ecg.embedding.vectors import Embeddings
from ssl_ecg.errors import ArchiveError, SignalError
from ssl_ecg.screen.detectors import DETECTORS, load_detector
from ssl_ecg.screen.folder import score_table

CLOUD = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)


def embeddings(Z: np.ndarray, corpus: str = "toy") -> Embeddings:
    names = [f"r{k}" for k in range(len(Z))]
    return Embeddings(Z, pd.DataFrame({"record_id": names, "corpus": corpus, "patient_id": names}))


@pytest.mark.parametrize(
    ("detector", "wrong"),
    [
        ("knn", {"k": "abc"}),
        ("knn", {"k": 2.5}),
        ("knn", {"whiten": 3}),
        ("mahalanobis", {"trim": "a"}),
        ("mahalanobis", {"trim": None}),
        ("mahalanobis", {"alert_rate": True}),
        ("ensemble", {"options": {"knn": {"k": "abc"}}}),
    ],
)
def test_options_of_a_wrong_kind(detector, wrong):
    with pytest.raises(SignalError, match="give"):
        DETECTORS[detector]().set_params(**wrong).fit(CLOUD)


@pytest.mark.parametrize("right", [{"trim": 0}, {"n_components": None}, {"n_components": np.int64(3)}, {"seed": 4}])
def test_options_of_the_right_kind(right):
    DETECTORS["knn"]().set_params(**right).fit(CLOUD)


@pytest.mark.parametrize("detector", ["mahalanobis", "knn", "ensemble"])
def test_a_detector_with_arrays_of_another_is_damaged(tmp_path, detector):
    DETECTORS[detector]().fit(CLOUD).save(tmp_path / "one")
    DETECTORS["kmeans"]().fit(CLOUD).save(tmp_path / "other")
    np.testing.assert_array_equal(
        load_detector(tmp_path / "one").anomaly_score(CLOUD), load_detector(tmp_path / "one").anomaly_score(CLOUD)
    )
    (tmp_path / "other" / "detector.npz").replace(tmp_path / "one" / "detector.npz")
    with pytest.raises(ArchiveError, match="cannot be read as a detector"):
        load_detector(tmp_path / "one")


def test_no_record_is_its_own_neighbour_in_a_reference_that_holds_it():
    usual, some = embeddings(CLOUD), embeddings(CLOUD[:20])
    table = score_table(DETECTORS["knn"](n_components=None), some, usual)
    apart = np.linalg.norm(CLOUD[:20, None] - CLOUD, axis=2)
    for k, names in enumerate(table["nearest"]):
        others = [row for row in np.argsort(apart[k]) if row != k]
        assert names == [f"r{row}" for row in others[:3]]
    same_names = score_table(DETECTORS["knn"](n_components=None), embeddings(CLOUD[:20], "else"), usual)
    assert [names[0] for names in same_names["nearest"]] == [f"r{k}" for k in range(20)]
