"""The part of scikit-learn's estimator contract that probes and screens need, without its slow import."""

# ruff: noqa: N803 - matrices are upper case, as in the equations

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.errors import SignalError


class Estimator:
    """Base of everything with ``fit``: parameters live in ``__init__``, results in attributes ending in "_".

    ``sklearn.base.clone``, ``Pipeline`` and grid searches work on subclasses.

    Examples
    --------
    >>> class Shift(Estimator):
    ...     def __init__(self, by=1.0):
    ...         self.by = by
    >>> Shift().set_params(by=2.0)
    Shift(by=2.0)
    """

    @classmethod
    def _parameter_names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Give the constructor's arguments; ``deep`` is there for scikit-learn."""
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **params: Any) -> Any:
        """Set constructor arguments by name and give the estimator back."""
        names = self._parameter_names()
        for name, value in params.items():
            if name not in names:
                remedy = f"choose from {', '.join(names)}"
                raise SignalError(type(self).__name__, f"no parameter {name!r}", remedy)
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({shown})"

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import Tags, TargetTags

        return Tags(estimator_type=None, target_tags=TargetTags(required=False))

    def _check_fitted(self, attribute: str) -> None:
        if not hasattr(self, attribute):
            raise SignalError(type(self).__name__, "is not fitted", "call fit first")


def check_vectors(Z: ArrayLike, where: str, *, dim: int | None = None) -> NDArray[np.floating]:
    """Give embeddings as a finite 2-D floating array (record, dim) or say what is wrong with them.

    Raises
    ------
    SignalError
        If Z is not 2-D, has no column, not ``dim`` columns, or NaN or infinite values.

    Examples
    --------
    >>> check_vectors([[1, 2]], "probe").shape
    (1, 2)
    """
    try:
        array = np.asarray(Z)
        if array.dtype not in (np.float32, np.float64):
            array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise SignalError(where, "embeddings are not numbers", "give a float array (record, dim)") from error
    if array.ndim != 2 or array.shape[1] == 0:
        raise SignalError(where, f"embeddings have shape {array.shape}", "give them as (record, dim)")
    if dim is not None and array.shape[1] != dim:
        problem = f"embeddings have {array.shape[1]} dimensions, {dim} were fitted"
        raise SignalError(where, problem, "use embeddings of the same encoder")
    bad = ~np.isfinite(array).all(axis=1)
    if bad.any():
        problem = f"{int(bad.sum())} of {len(array)} embeddings hold NaN or infinite values"
        raise SignalError(where, f"{problem}, first in row {int(np.argmax(bad))}", "leave these records out")
    return array
