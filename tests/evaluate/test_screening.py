"""Screening in a protocol, against a plain loop over splits with scikit-learn's AUROC."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ssl_ecg.errors import LabelError, RecipeError
from ssl_ecg.evaluate.protocol import Protocol
from ssl_ecg.evaluate.screening import screening
from ssl_ecg.evaluate.splits import Split
from ssl_ecg.screen.detectors import DETECTORS

CLASSES = ["NORM", "MI", "CD"]


def _world(seed=0, n=360):
    """Give labels with unknowns, and embeddings in which what is not normal lies apart."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 3)) < [0.6, 0.25, 0.2]).astype(float)
    labels[::41] = np.nan
    z = rng.normal(size=(n, 6)) + 1.5 * np.nan_to_num(labels[:, 1:]).sum(axis=1, keepdims=True)
    part = np.arange(n) % 3
    splits = {
        name: Split(
            np.flatnonzero(part == (k + 1) % 3), np.flatnonzero(part == (k + 2) % 3), np.flatnonzero(part == k), {}
        )
        for k, name in enumerate(("first", "second"))
    }
    return labels, z.astype(np.float32), splits, rng.integers(0, 90, n).astype(str)


@pytest.mark.parametrize("detector", ["mahalanobis", "knn"])
def test_figures_are_those_of_a_plain_loop(detector):
    labels, z, splits, patients = _world()
    noise = np.random.default_rng(1).normal(size=z.shape).astype(np.float32)
    found = screening(
        [detector], "NORM", {"encoder": z, "untrained": noise}, splits, labels, CLASSES, patients, n_resamples=50
    )
    judged = found["detectors"][detector]
    whole, of_mi, other = [], [], []
    for name, split in splits.items():
        reference = [r for r in (*split.train, *split.val) if labels[r, 0] == 1 and np.nansum(labels[r]) == 1]
        test = [r for r in split.test if not np.isnan(labels[r, 0])]
        score = DETECTORS[detector]().fit(z[reference]).anomaly_score(z[test])
        usual = np.array([labels[r, 0] == 1 and np.nansum(labels[r]) == 1 for r in test])
        whole.append(roc_auc_score(~usual, score))
        keep = usual | (labels[test, 1] == 1)
        of_mi.append(roc_auc_score(~usual[keep], score[keep]))
        other.append(roc_auc_score(~usual, DETECTORS[detector]().fit(noise[reference]).anomaly_score(noise[test])))
        assert found["records"][name] == {"reference": len(reference), "usual": usual.sum(), "test": len(usual)}
    assert judged["encoder"]["auroc"]["value"] == pytest.approx(np.mean(whole), abs=1e-6)
    assert judged["encoder"]["by_class"]["MI"]["value"] == pytest.approx(np.mean(of_mi), abs=1e-6)
    assert judged["untrained"]["difference"]["value"] == pytest.approx(np.mean(whole) - np.mean(other), abs=1e-6)
    assert "difference" not in judged["encoder"]


def test_what_cannot_be_judged_is_refused():
    labels, z, splits, patients = _world()
    with pytest.raises(LabelError, match="choose from NORM, MI, CD"):
        screening(["knn"], "HEALTHY", {"encoder": z}, splits, labels, CLASSES, patients)
    with pytest.raises(LabelError, match="split first has 0 usual"):
        screening(["knn"], "NORM", {"encoder": z}, splits, np.zeros_like(labels), CLASSES, patients)
    with pytest.raises(RecipeError, match="choose from kmeans"):
        Protocol(detectors=["crystal ball"])
