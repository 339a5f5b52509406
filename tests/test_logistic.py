from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from ssl_ecg.logistic import logistic_path


def _case(n, dim, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(n, dim)) * np.arange(1, dim + 1) ** -0.5 + 3.0
    Y = (Z[:, :classes] - 3.0 + rng.normal(size=(n, classes)) > 0.4).astype(float)
    return Z, Y


@pytest.mark.parametrize(("n", "dim"), [(200, 12), (40, 90)])  # more records than dimensions, and fewer
def test_path_equals_scikit_learn(n, dim):
    Z, Y = _case(n, dim)
    strengths = [0.5, 1e-3, 20.0]  # in any order
    coef, intercept = logistic_path(Z, Y, strengths)
    assert coef.shape == (3, 3, dim)
    for c, strength in enumerate(strengths):
        for k in range(3):
            reference = LogisticRegression(C=strength, tol=1e-10, max_iter=20_000).fit(Z, Y[:, k])
            logit = Z @ coef[c, k] + intercept[c, k]
            np.testing.assert_allclose(logit, reference.decision_function(Z), atol=5e-3)


def test_gradient_vanishes_at_the_solution():
    Z, Y = _case(150, 20, seed=1)
    for strength in (1e-4, 1.0, 100.0):
        coef, intercept = (a[0] for a in logistic_path(Z, Y, [strength]))
        error = 1 / (1 + np.exp(-(Z @ coef.T + intercept))) - Y
        gradient = error.T @ (Z - Z.mean(axis=0)) + coef / strength
        assert np.abs(gradient).max() < 2e-2
        assert np.abs(error.sum(axis=0)).max() < 2e-2


def test_unknown_labels_are_as_if_absent():
    Z, Y = _case(120, 6, seed=2)
    hidden = Y.copy()
    hidden[:40, 1] = np.nan
    coef, intercept = logistic_path(Z, hidden, [0.1])
    full, full_intercept = logistic_path(Z, Y, [0.1])
    part, part_intercept = logistic_path(Z[40:], Y[40:], [0.1])
    np.testing.assert_allclose(coef[0, [0, 2]], full[0, [0, 2]], atol=1e-4)
    np.testing.assert_allclose(coef[0, 1], part[0, 1], atol=1e-4)
    np.testing.assert_allclose(
        intercept[0], [full_intercept[0, 0], part_intercept[0, 1], full_intercept[0, 2]], atol=1e-3
    )


def test_separable_and_duplicate_columns_stay_finite():
    Z = np.repeat(np.linspace(-1, 1, 30)[:, None], 4, axis=1)
    coef, _ = logistic_path(Z, (Z[:, :1] > 0).astype(float), [1e3])
    assert np.isfinite(coef).all()
    np.testing.assert_allclose(coef[0, 0], coef[0, 0, 0], rtol=1e-6)  # equal columns share the weight
