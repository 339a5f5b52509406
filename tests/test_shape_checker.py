"""The shapes in signatures are really checked while tests run."""

from __future__ import annotations

import jaxtyping
import pytest
import torch

from ssl_ecg.models.conv1d import Conv1DEncoder
from ssl_ecg.models.padding import pool_mean


def test_wrong_shapes_are_found() -> None:
    with pytest.raises(jaxtyping.TypeCheckError, match="mask"):
        pool_mean(torch.zeros(3, 4, 5), torch.zeros(2, 1, 5, dtype=torch.bool))
    with pytest.raises(jaxtyping.TypeCheckError, match="batch lead time"):
        Conv1DEncoder(widths=(4, 8))(torch.zeros(12, 100))
