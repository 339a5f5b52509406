"""What functions from strips to embeddings may give, and what is said of what they may not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ssl_ecg import Archive, prepare
from ssl_ecg.data.simulate.corpus import SimulatedCorpus
from ssl_ecg.errors import RecipeError
from ssl_ecg.evaluate.vectors import vectors_of


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    folder: Path = tmp_path_factory.mktemp("vectors")
    corpus = SimulatedCorpus(5, seed=0, fs=100.0, seconds=2.0)
    return prepare(corpus, folder / "a", band=None, workers=1, progress=False)


def test_tensors_of_a_graph_and_lists_are_taken_as_arrays(archive: Archive) -> None:
    plain = np.stack([archive.read(row).mean(axis=1) for row in range(5)]).astype(np.float32)
    scale = torch.ones((), requires_grad=True)
    given: list[Callable[[Any], Any]] = [
        lambda strips: strips.mean(axis=2),
        lambda strips: torch.from_numpy(strips).mean(dim=2) * scale,
        lambda strips: strips.mean(axis=2).tolist(),
    ]
    for function in given:
        np.testing.assert_allclose(vectors_of(function, archive), plain, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "match"),
    [
        (lambda strips: "x", "gave no numbers but str"),
        (lambda strips: [[1.0], [1.0, 2.0]], "gave no numbers but list"),
        (lambda strips: strips.mean(axis=(1, 2)), r"gave shape \(2,\) for 2 records"),
        (lambda strips: np.ones((1, 3)), r"gave shape \(1, 3\) for 2 records"),
        (lambda strips: np.ones((len(strips), len(strips))), "gave 1 numbers a record after 2"),
    ],
)
def test_other_things_are_refused(archive: Archive, function: Callable[[Any], Any], match: str) -> None:
    with pytest.raises(RecipeError, match=match):
        vectors_of(function, archive, batch_size=2)


def test_the_record_without_a_finite_embedding_is_named(archive: Archive) -> None:
    calls: list[int] = []

    def second_of_the_second_batch(strips: Any) -> Any:
        calls.append(len(strips))
        z = strips.mean(axis=2)
        z[-1, 3] = np.inf if len(calls) == 2 else 0.0
        return z

    with pytest.raises(RecipeError, match=f"for record '{archive.index['record_id'].iloc[3]}'"):
        vectors_of(second_of_the_second_batch, archive, batch_size=2)
