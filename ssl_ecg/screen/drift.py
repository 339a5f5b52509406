"""Whether incoming recordings are like the reference: two-sample tests on embeddings, patients kept together."""

# ruff: noqa: N803, N806 - matrices are upper case, as in the equations

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.embedding.vectors import Embeddings, load_embeddings
from ssl_ecg.errors import SignalError
from ssl_ecg.estimator import check_vectors
from ssl_ecg.evaluate.metrics import auroc
from ssl_ecg.files import plain, write_json
from ssl_ecg.logistic import logistic_path
from ssl_ecg.screen.folder import record_names
from ssl_ecg.screen.whiten import Whitening, fit_whitening

FloatArray = NDArray[np.float64]
_FEWEST = 20  # patients on each side
_FOLDS = 5
_STRENGTH = 0.01  # of the classifier: C of the logistic regression
_WITNESS_BLOCK = 8192


@dataclass(frozen=True, slots=True, eq=False)
class Drift:
    """How far incoming records are from the reference, and whether chance explains it.

    Attributes
    ----------
    mmd2 : float
        Unbiased squared maximum mean discrepancy; about 0 without drift.
    mmd_p : float
        Share of permutations of patients with an mmd2 as high.
    auroc : float
        Of a cross-validated classifier that tells incoming from reference; about 0.5 without drift.
    auroc_p : float
        Share of permutations, the classifier fitted anew for each, with an AUROC as high.
    n_reference, n_incoming : int
        Records given.
    n_compared : tuple of int
        Records compared, reference and incoming: one of each patient, at most ``max_records``.
    bandwidth : float
        Of the kernel, in units of the projected embeddings.
    witness : float64 array (incoming record,)
        Mean similarity to the incoming less that to the reference: the higher, the more a record drives the drift.
    drivers : list of int
        Rows of the incoming records with the highest witness, highest first.
    driver_ids : list of str
        Their record ids, where known.
    """

    mmd2: float
    mmd_p: float
    auroc: float
    auroc_p: float
    n_reference: int
    n_incoming: int
    n_compared: tuple[int, int]
    bandwidth: float
    witness: FloatArray
    drivers: list[int]
    driver_ids: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Give everything but the witness of every record, as plain values for JSON."""
        values = {name: value for name, value in asdict(self).items() if name != "witness"}
        return {name: plain(value) for name, value in values.items()}

    def to_json(self, path: str | Path) -> Path:
        """Write what ``to_dict`` gives.

        Raises
        ------
        ArchiveError
            If the file cannot be written.
        """
        return write_json(path, self.to_dict())


def drift(
    reference: ArrayLike,
    incoming: ArrayLike,
    *,
    reference_patients: ArrayLike | None = None,
    incoming_patients: ArrayLike | None = None,
    n_components: int | None = 32,
    max_records: int = 1000,
    permutations: int = 500,
    classifier_permutations: int = 100,
    n_drivers: int = 20,
    seed: int = 0,
) -> Drift:
    """Compare incoming embeddings with a reference by two tests: kernel and classifier.

    One record of each patient is compared, so that many records of a few patients are no drift; whoever is
    on both sides is on one of them, drawn by chance.

    Parameters
    ----------
    reference, incoming : array (record, dim)
    reference_patients, incoming_patients : array (record,), optional
        Names; by default every record is a patient of its own.
    n_components : int or None
        Principal directions of both together in which they are compared.
    max_records : int
        Records compared from each side.
    permutations, classifier_permutations : int
        The smallest p-value is 1 / (permutations + 1).
    n_drivers : int
    seed : int

    Raises
    ------
    SignalError
        If embeddings do not fit each other, hold NaN, or come from fewer than twenty patients on a side.

    References
    ----------
    Gretton et al. 2012, JMLR 13, pp. 723-773 (MMD: eq. 3 unbiased estimate, section 2.3 witness, section 8
    median heuristic).
    Lopez-Paz and Oquab 2017, arXiv:1610.06545 (classifier two-sample test).
    Phipson and Smyth 2010, doi:10.2202/1544-6115.1585 (permutation p-values that are never 0).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = drift(rng.normal(size=(200, 4)), rng.normal(size=(100, 4)) + 1, permutations=99)
    >>> found.mmd_p, found.auroc > 0.8
    (0.01, True)
    """
    usual = check_vectors(reference, "drift, reference")
    new = check_vectors(incoming, "drift, incoming", dim=usual.shape[1])
    rng = np.random.default_rng(seed)
    rows = _one_per_patient(
        _names(reference_patients, len(usual), "reference"), _names(incoming_patients, len(new), "incoming"), rng
    )
    first, second = (np.sort(rng.permutation(side)[:max_records]) for side in rows)
    for side, name in ((first, "reference"), (second, "incoming")):
        if len(side) < _FEWEST:
            problem = f"{len(side)} patients, at least {_FEWEST} are needed"
            raise SignalError(f"drift, {name}", problem, "give more recordings")
    compared = np.concatenate([usual[first], new[second]])
    project = fit_whitening(compared, n_components, whiten=False)  # of both alike: else sides differ by the fit
    X = project(compared).astype(np.float64)
    is_new = np.arange(len(X)) >= len(first)
    squared = _squared_distances(X, X)
    bandwidth = float(np.sqrt(np.median(squared[np.triu_indices(len(X), 1)]))) or 1.0
    K = np.exp(-squared / (2 * bandwidth**2))
    mmd2, mmd_p = _mmd_test(K, is_new, permutations, rng)
    area, area_p = _classifier_test(X, is_new, classifier_permutations, rng)
    witness = _witness(project, new, X, is_new, bandwidth)
    drivers = np.argsort(-witness, kind="stable")[:n_drivers].tolist()
    sizes = (len(first), len(second))
    return Drift(mmd2, mmd_p, area, area_p, len(usual), len(new), sizes, bandwidth, witness, drivers, [])


def drift_folders(reference_dir: str | Path, incoming_dir: str | Path, **options: Any) -> Drift:
    """Compare two folders of embeddings; records without a finite embedding are left out.

    Parameters
    ----------
    reference_dir, incoming_dir : path
        Written by ``ssl-ecg embed`` with the same encoder.
    **options
        As of ``drift``; ``witness`` and ``drivers`` follow the rows of the incoming folder, NaN where a record
        has no embedding.

    Raises
    ------
    ArchiveError
        If a folder cannot be read.
    SignalError
        As of ``drift``.
    """
    both = [load_embeddings(folder) for folder in (reference_dir, incoming_dir)]
    finite = [np.flatnonzero(np.isfinite(each.vectors).all(axis=1)) for each in both]
    usual, new = (each.select(rows) for each, rows in zip(both, finite, strict=True))
    patients: dict[str, Any] = {"reference_patients": _patients(usual), "incoming_patients": _patients(new)}
    found = drift(usual.vectors, new.vectors, **patients, **options)
    witness = np.full(len(both[1]), np.nan)
    witness[finite[1]] = found.witness
    names = record_names(new.index)[found.drivers].tolist()
    values = {name: getattr(found, name) for name in Drift.__dataclass_fields__}
    drivers = finite[1][found.drivers].tolist()
    return Drift(**{**values, "witness": witness, "drivers": drivers, "driver_ids": names})


def _patients(embeddings: Embeddings) -> NDArray[Any]:
    index = embeddings.index
    return np.asarray((index["corpus"].astype(str) + "/" + index["patient_id"].astype(str)).to_numpy())


def _names(patients: ArrayLike | None, n: int, side: str) -> NDArray[np.str_]:
    names = np.asarray([f"{side}/{k}" for k in range(n)] if patients is None else patients).astype(str)
    if names.shape != (n,):
        raise SignalError(f"drift, {side}", f"{n} embeddings but {names.size} patients", "give one for each")
    return names


def _one_per_patient(
    first: NDArray[np.str_], second: NDArray[np.str_], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw one record of each patient from both sides together; give the rows on each side."""
    order = rng.permutation(len(first) + len(second))
    drawn = order[np.unique(np.concatenate([first, second])[order], return_index=True)[1]]
    return drawn[drawn < len(first)], drawn[drawn >= len(first)] - len(first)


def _squared_distances(X: FloatArray, Y: FloatArray) -> FloatArray:
    inner = (X**2).sum(axis=1)[:, None] + (Y**2).sum(axis=1) - 2 * X @ Y.T
    return np.asarray(np.maximum(inner, 0.0))


def _mmd_test(
    K: FloatArray, is_new: NDArray[np.bool_], permutations: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Give eq. 3 of Gretton et al., and its p-value, all permutations in two matrix products."""
    member = np.stack([is_new, *(rng.permutation(is_new) for _ in range(permutations))], axis=1).astype(np.float64)
    m, n = float(is_new.sum()), float((~is_new).sum())
    own = np.diag(K)
    seen = K @ member  # similarity of each record to all that are called new
    within_new = np.einsum("ij,ij->j", member, seen) - own @ member
    across = np.einsum("ij,ij->j", 1 - member, seen)
    within_old = K.sum() - 2 * across - np.einsum("ij,ij->j", member, seen) - own @ (1 - member)
    values = within_new / (m * (m - 1)) + within_old / (n * (n - 1)) - 2 * across / (m * n)
    return float(values[0]), float(np.mean(values >= values[0] - 1e-12))


def _classifier_test(
    X: FloatArray, is_new: NDArray[np.bool_], permutations: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Give the cross-validated AUROC and its p-value; each record is a patient."""
    X = (X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-9)
    values = [_cross_validated(X, is_new, rng)]
    values += [_cross_validated(X, rng.permutation(is_new), rng) for _ in range(permutations)]
    return values[0], float(np.mean(np.asarray(values) >= values[0]))


def _cross_validated(X: FloatArray, is_new: NDArray[np.bool_], rng: np.random.Generator) -> float:
    """Give the AUROC, averaged over stratified folds, of a logistic regression that did not see the fold."""
    fold = np.empty(len(X), np.int64)
    for side in (is_new, ~is_new):
        fold[side] = rng.permutation(np.arange(side.sum()) % _FOLDS)
    target = is_new.astype(np.float64)[:, None]
    areas = []
    for number in range(_FOLDS):
        held = fold == number
        coef, _ = logistic_path(X[~held], target[~held], [_STRENGTH])
        areas.append(auroc(target[held], X[held] @ coef[0].T)[0])
    return float(np.mean(areas))


def _witness(
    project: Whitening, new: NDArray[np.floating], X: FloatArray, is_new: NDArray[np.bool_], bandwidth: float
) -> FloatArray:
    """Give the empirical witness function at every incoming record."""
    value = np.empty(len(new))
    for start in range(0, len(new), _WITNESS_BLOCK):
        part = project(new[start : start + _WITNESS_BLOCK]).astype(np.float64)
        similarity = np.exp(-_squared_distances(part, X) / (2 * bandwidth**2))
        value[start : start + len(part)] = similarity[:, is_new].mean(axis=1) - similarity[:, ~is_new].mean(axis=1)
    return value
