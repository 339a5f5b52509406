"""Guided contrast: its loss against plain loops, and what the guide adds."""

from __future__ import annotations

import math

import pytest
import torch

from ssl_ecg.augment.views import Views
from ssl_ecg.errors import RecipeError, SignalError
from ssl_ecg.methods.guided import Guided
from ssl_ecg.methods.simclr import SimCLR
from ssl_ecg.models.conv1d import Conv1DEncoder


def batch(n: int = 6) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    known = torch.rand(n, 4, generator=generator) > 0.3
    return {
        "signal": torch.randn(n, 12, 64, generator=generator),
        "target": torch.randn(n, 4, generator=generator) * known,
        "target_mask": known,
    }


def make(guidance: float = 2.0) -> Guided:
    torch.manual_seed(0)
    return Guided(
        Conv1DEncoder(widths=(8, 16)), Views([]), n_targets=4, guidance=guidance, guide_dim=8, hidden_dim=16, out_dim=8
    ).eval()


def test_loss_is_contrast_plus_the_error_of_what_is_known() -> None:
    method, data = make(), batch()
    with torch.no_grad():
        z = method.encoder(data["signal"])
        told, p = method.guide(z), method.projector(z)
        errors = [
            (told[i, k].item() - data["target"][i, k].item()) ** 2
            for i in range(6)
            for k in range(4)
            if data["target_mask"][i, k]
        ]
        cosine = [[torch.cosine_similarity(a, b, dim=0).item() / 0.1 for b in p] for a in p]
        contrast = 0.0
        for i in range(6):  # both views are the strip itself
            others = sum(2 * math.exp(cosine[i][j]) for j in range(6) if j != i)
            contrast -= math.log(math.exp(cosine[i][i]) / (math.exp(cosine[i][i]) + others)) / 6
        found = method.loss(data).item()
    assert found == pytest.approx(contrast + 2.0 * sum(errors) / len(errors), rel=1e-4)


def test_nothing_known_leaves_the_contrast() -> None:
    method, data = make(), batch()
    data["target_mask"] = torch.zeros(6, 4, dtype=torch.bool)
    with torch.no_grad():
        assert method.loss(data).item() == pytest.approx(SimCLR.loss(method, data).item(), rel=1e-6)


def test_what_is_not_known_has_no_gradient() -> None:
    method, data = make(), batch()
    data["target_mask"][:, 2] = False
    method.loss(data).backward()
    gradient = method.guide[-1].weight.grad
    assert gradient is not None
    assert gradient[2].abs().sum() == 0
    assert gradient[1].abs().sum() > 0


def test_bad_input_is_refused() -> None:
    with pytest.raises(SignalError, match=r"data\.measures"):
        make().loss({"signal": torch.randn(4, 12, 64)})
    with pytest.raises(RecipeError, match="guidance"):
        make(guidance=0)
