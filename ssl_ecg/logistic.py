"""L2-regularised logistic regression for many labels and many strengths at once, on NumPy and SciPy.

All classes are fitted together in the basis of the singular vectors of Z. There the Hessian is nearly
diagonal, (p (1 - p) s^2 + 1 / C), so that L-BFGS in coordinates scaled by its root takes some twenty steps
where it would take hundreds. When records are fewer than dimensions, the problem shrinks to their number
without loss.
"""

# ruff: noqa: N803, N806 - matrices are upper case, as in the equations

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
_SMALLEST_EIGENVALUE = 1e-12  # relative to the largest one: rounding error of a Gram matrix


def logistic_path(
    Z: NDArray[np.floating], Y: NDArray[np.floating], strengths: Sequence[float]
) -> tuple[FloatArray, FloatArray]:
    """Fit one-vs-rest logistic regressions for every strength C, each started from the one before.

    Minimises, for class k, ``C * sum_i loss(y_ik, z_i . w_k + b_k) + |w_k|^2 / 2`` as scikit-learn does.

    Parameters
    ----------
    Z : array (record, dim)
        Best standardised: the penalty treats all dimensions alike.
    Y : array (record, class)
        1, 0, or NaN where unknown. Every class needs a positive and a negative.
    strengths : sequence of float
        Values of C, greater than zero.

    Returns
    -------
    coef : float64 array (strength, class, dim)
    intercept : float64 array (strength, class)

    References
    ----------
    Hastie and Tibshirani 2004, doi:10.1093/biostatistics/5.3.329 (quadratic regularisation when p >> n).

    Examples
    --------
    >>> Z = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> coef, intercept = logistic_path(Z, (Z > 0).astype(float), [1.0])
    >>> coef.shape, bool(coef[0, 0, 0] > 0), round(abs(float(intercept[0, 0])), 3)
    ((1, 1, 1), True, 0.0)
    """
    from scipy.optimize import minimize

    centre = Z.mean(axis=0, dtype=np.float64)
    X, directions, singular = _singular_basis(Z - centre)
    known = np.isfinite(Y)
    target = np.where(known, Y, 0.0)
    prior = target.sum(axis=0) / known.sum(axis=0)
    W = np.zeros((X.shape[1] + 1, Y.shape[1]))
    W[-1] = np.log(prior / (1 - prior))
    coef = np.empty((len(strengths), Y.shape[1], Z.shape[1]))
    intercept = np.empty((len(strengths), Y.shape[1]))
    for c in np.argsort(strengths):
        scale = _preconditioner(singular, prior, known.mean(axis=0), len(Z), strengths[c])
        objective = _objective(X, target, known, scale, strengths[c])
        options = {"maxiter": 1000, "ftol": 1e-10, "gtol": 1e-6 * len(Z) ** 0.5}
        result = minimize(objective, (W / scale).ravel(), jac=True, method="L-BFGS-B", options=options)
        W = result.x.reshape(W.shape) * scale
        coef[c] = (directions @ W[:-1]).T
        intercept[c] = W[-1] - coef[c] @ centre
    return coef, intercept


def _singular_basis(Z: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Give (Z V, V, s) of Z = U diag(s) V' from the smaller Gram matrix, without its null space."""
    wide = Z.shape[0] < Z.shape[1]
    values, vectors = np.linalg.eigh(Z @ Z.T if wide else Z.T @ Z)
    keep = values > max(values[-1] * _SMALLEST_EIGENVALUE, np.finfo(np.float64).tiny)
    singular, vectors = np.sqrt(values[keep]), vectors[:, keep]
    if wide:
        return vectors * singular, Z.T @ (vectors / singular), singular
    return Z @ vectors, vectors, singular


def _preconditioner(singular: FloatArray, prior: FloatArray, known: FloatArray, n: int, strength: float) -> FloatArray:
    """Give the inverse root of the approximate Hessian's diagonal, (dim + 1, class)."""
    curvature = np.maximum(0.6 * prior * (1 - prior), 1e-6) * known  # 0.6: fitted p lie nearer to 0 and 1
    weights = curvature * singular[:, None] ** 2 + 1 / strength
    return np.asarray(1 / np.sqrt(np.vstack([weights, curvature * n])))


def _objective(
    X: FloatArray, target: FloatArray, known: NDArray[np.bool_], scale: FloatArray, strength: float
) -> Callable[[FloatArray], tuple[float, FloatArray]]:
    """Give the loss and gradient in the scaled coordinates, for all classes at once."""
    from scipy.special import expit

    complete = bool(known.all())
    lifted = np.hstack([X, np.ones((len(X), 1))])
    penalty = np.full((lifted.shape[1], 1), 1 / strength)
    penalty[-1] = 0.0

    def loss_and_gradient(u: FloatArray) -> tuple[float, FloatArray]:
        W = u.reshape(scale.shape) * scale
        logit = lifted @ W
        loss = np.logaddexp(0, logit) - target * logit
        error = expit(logit) - target
        if not complete:
            loss, error = loss * known, error * known
        shrink = penalty * W
        return float(loss.sum() + 0.5 * (shrink * W).sum()), ((lifted.T @ error + shrink) * scale).ravel()

    return loss_and_gradient
