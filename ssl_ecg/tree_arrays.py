"""Decision trees as plain arrays: fitted by scikit-learn, walked in NumPy, saved without pickle.

Isolation forests and random forests use it: ``Trees.from_sklearn([tree.tree_ for tree in forest.estimators_])``,
then ``leaves`` and whatever each leaf stands for, ``value[leaves]`` or ``depth[leaves]``.
"""

# ruff: noqa: N803 - matrices are upper case, as in the equations

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import ArchiveError

_BLOCK = 16_384  # records walked at once, so that the working arrays stay in the processor's cache


@dataclass(frozen=True, slots=True)
class Trees:
    """Binary trees, their nodes one after another; numbers of nodes count through all trees.

    Attributes
    ----------
    feature : int32 array (node,)
        Column that an inner node asks for; -1 in a leaf.
    threshold : float64 array (node,)
        A value up to it goes left. Values are rounded to float32 first, as scikit-learn does.
    left, right : int32 array (node,)
        Children; a leaf's are itself.
    missing_left : bool array (node,)
        Whether NaN goes left.
    samples : int64 array (node,)
        Fitted records that passed the node.
    value : float64 array (node, output)
        What scikit-learn keeps in each node: a classifier's share of each class, a regressor's mean.
    roots : int32 array (tree,)

    Examples
    --------
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> X = np.arange(8.0)[:, None]
    >>> trees = Trees.from_sklearn([DecisionTreeRegressor(max_depth=1).fit(X, X[:, 0] > 2).tree_])
    >>> trees.value[trees.leaves(X)][:, 0, 0].tolist()
    [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """

    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    missing_left: NDArray[np.bool_]
    samples: NDArray[np.int64]
    value: NDArray[np.float64]
    roots: NDArray[np.int32]

    @classmethod
    def from_sklearn(cls, trees: Sequence[Any]) -> Trees:
        """Copy fitted ``tree_`` objects of scikit-learn; of several outputs the first is kept."""
        first = np.cumsum([0, *(tree.node_count for tree in trees)])
        own = np.arange(first[-1], dtype=np.int32)
        left, right = (
            np.concatenate([np.asarray(getattr(tree, name)) + start for tree, start in zip(trees, first, strict=False)])
            for name in ("children_left", "children_right")
        )
        leaf = np.concatenate([np.asarray(tree.children_left) < 0 for tree in trees])
        return cls(
            feature=np.where(leaf, -1, np.concatenate([tree.feature for tree in trees])).astype(np.int32),
            threshold=np.concatenate([tree.threshold for tree in trees]).astype(np.float64),
            left=np.where(leaf, own, left).astype(np.int32),
            right=np.where(leaf, own, right).astype(np.int32),
            missing_left=np.concatenate([tree.missing_go_to_left for tree in trees]).astype(bool),
            samples=np.concatenate([tree.n_node_samples for tree in trees]).astype(np.int64),
            value=np.concatenate([tree.value[:, 0, :] for tree in trees]).astype(np.float64),
            roots=first[:-1].astype(np.int32),
        )

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Trees:
        """Rebuild from ``arrays()``; further entries are left alone.

        Raises
        ------
        ArchiveError
            If an array is missing or they do not make trees.
        """
        missing = [field.name for field in fields(cls) if field.name not in arrays]
        if missing:
            raise ArchiveError("trees", f"no array {', '.join(missing)}", "fit and save the model again")
        trees = cls(**{field.name: np.asarray(arrays[field.name]) for field in fields(cls)})
        if not trees._sound():
            raise ArchiveError("trees", "nodes do not make trees", "fit and save the model again")
        return trees

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Give all arrays by name, for ``numpy.savez``."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __len__(self) -> int:
        return len(self.roots)

    @property
    def depth(self) -> NDArray[np.int64]:
        """Edges between each node and its root (node,)."""
        depth = np.zeros(len(self.feature), np.int64)
        level = self.roots[self.feature[self.roots] >= 0]
        while len(level):
            below = np.concatenate([self.left[level], self.right[level]])
            depth[below] = np.tile(depth[level] + 1, 2)
            level = below[self.feature[below] >= 0]
        return depth

    def leaves(self, X: NDArray[np.floating]) -> NDArray[np.int32]:
        """Give the leaf (record, tree) that each record (record, feature) falls into, in every tree."""
        found = np.empty((len(X), len(self)), np.int32)
        for start in range(0, len(X), _BLOCK):
            rounded = np.asarray(X[start : start + _BLOCK], dtype=np.float32)
            for number, root in enumerate(self.roots):
                found[start : start + _BLOCK, number] = self._walk(rounded, root)
        return found

    def _walk(self, X: NDArray[np.float32], root: int) -> NDArray[np.int32]:
        node = np.full(len(X), root, np.int32)
        on_the_way = np.arange(len(X))
        while len(on_the_way):
            at = node[on_the_way]
            inner = self.feature[at] >= 0
            on_the_way, at = on_the_way[inner], at[inner]
            asked = X[on_the_way, self.feature[at]]
            goes_left = (asked <= self.threshold[at]) | (np.isnan(asked) & self.missing_left[at])
            node[on_the_way] = np.where(goes_left, self.left[at], self.right[at])
        return node

    def _sound(self) -> bool:
        """Tell whether walking comes to an end: children are within range and come after their parents."""
        n = len(self.feature)
        per_node = (self.feature, self.threshold, self.left, self.right, self.missing_left, self.samples, self.value)
        if any(len(array) != n for array in per_node) or not len(self.roots):
            return False
        inner = np.flatnonzero(self.feature >= 0)
        children = np.stack([self.left[inner], self.right[inner]])
        within = bool(((self.roots >= 0) & (self.roots < n)).all() and (children < n).all())
        return within and bool((children > inner).all())
