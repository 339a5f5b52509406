"""The losses against slow references written from the papers' equations."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import pytest
import torch

from ssl_ecg.augment.views import Views
from ssl_ecg.errors import RecipeError
from ssl_ecg.methods.autoencoder import Autoencoder
from ssl_ecg.methods.base import begin_step
from ssl_ecg.methods.registry import METHODS
from ssl_ecg.methods.simclr import SimCLR
from ssl_ecg.methods.vicreg import VICReg
from ssl_ecg.models.conv1d import Conv1DEncoder


def encoder() -> Conv1DEncoder:
    torch.manual_seed(0)
    return Conv1DEncoder(widths=(8, 16))


class Pair(Views):
    """Two fixed views, so that a reference can be computed on the same numbers."""

    def forward(self, batch, lead_mask=None, *, generator=None, n_views=None):
        return [batch, batch.flip(1)]


def projections(method: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    return method.projector(method.encoder(torch.cat([x, x.flip(1)])))


@pytest.mark.parametrize("name", ["simclr", "moco", "nnclr", "byol", "barlow_twins", "vicreg", "dino", "guided"])
def test_methods_of_pairs_ask_for_two_views(name: str) -> None:
    """Whatever number the views were built for: three views in two halves would pair different strips."""

    class Counting(Views):
        asked: ClassVar[list[int]] = []

        def forward(self, *arguments: Any, **options: Any) -> list[torch.Tensor]:
            made = super().forward(*arguments, **options)
            self.asked.append(len(made))
            return made

    targets = {"n_targets": 3} if name == "guided" else {}
    method = METHODS[name](Conv1DEncoder(widths=(8, 16)), Counting(n_views=3, crop=100), **targets)
    target = {"target": torch.randn(4, 3), "target_mask": torch.ones(4, 3, dtype=torch.bool)}
    begin_step(method, 0, 10)
    assert method.loss({"signal": torch.randn(4, 12, 200), **target}).isfinite()
    assert Counting.asked[0] == 2


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_simclr(temperature: float) -> None:
    method = SimCLR(encoder(), Pair(), hidden_dim=16, out_dim=8, temperature=temperature)
    x = torch.randn(6, 12, 100)
    z = projections(method, x).detach().double()
    n = len(x)
    cosine = [[float(a @ b / a.norm() / b.norm()) for b in z] for a in z]
    total = 0.0
    for i in range(2 * n):
        j = (i + n) % (2 * n)
        others = sum(math.exp(cosine[i][k] / temperature) for k in range(2 * n) if k != i)
        total -= math.log(math.exp(cosine[i][j] / temperature) / others)
    assert float(method.loss({"signal": x})) == pytest.approx(total / (2 * n), rel=1e-4)


def test_vicreg() -> None:
    method = VICReg(encoder(), Pair(), hidden_dim=16, out_dim=8, invariance=10.0, variance=20.0, covariance=3.0)
    x = torch.randn(9, 12, 100)
    a, b = projections(method, x).detach().double().chunk(2)
    n, dim = a.shape

    def variance(z: torch.Tensor) -> float:
        return sum(max(0.0, 1 - math.sqrt(float(z[:, k].var()) + 1e-4)) for k in range(dim)) / dim

    def covariance(z: torch.Tensor) -> float:
        c = z - z.mean(0)
        off = [float(c[:, i] @ c[:, j]) / (n - 1) for i in range(dim) for j in range(dim) if i != j]
        return sum(value**2 for value in off) / dim

    mse = float(((a - b) ** 2).mean())
    # lightly averages the variance of the two views (the paper's code, not its eq. 6, which adds them)
    expected = 10 * mse + 20 * (variance(a) + variance(b)) / 2 + 3 * (covariance(a) + covariance(b))
    assert float(method.loss({"signal": x})) == pytest.approx(expected, rel=1e-4)


def test_plain_autoencoder_is_the_mean_squared_error() -> None:
    method = Autoencoder(encoder(), corruption="none").eval()
    x = torch.randn(3, 12, 120)
    present = torch.ones(3, 12, dtype=torch.bool)
    present[0, 3] = present[2, 7] = False
    error = (method.reconstruct(x) - x) ** 2
    kept = [error[b, lead] for b in range(3) for lead in range(12) if present[b, lead]]
    loss = method.loss({"signal": x, "lead_mask": present})
    assert float(loss) == pytest.approx(float(torch.stack(kept).mean()), rel=1e-5)


def test_masked_autoencoder_counts_hidden_samples_only() -> None:
    method = Autoencoder(encoder(), corruption="mask", mask_ratio=0.4, patch=10).eval()
    x = torch.randn(4, 12, 100)
    torch.manual_seed(5)
    hidden = method.draw_mask(x)
    error = (method.reconstruct(torch.where(hidden, torch.zeros(()), x)) - x)[hidden].square().mean()
    torch.manual_seed(5)
    assert float(method.loss({"signal": x})) == pytest.approx(float(error), rel=1e-5)


@pytest.mark.parametrize("lead_share", [0.0, 0.5, 1.0])
def test_mask_covers_the_ratio_asked_for(lead_share: float) -> None:
    method = Autoencoder(encoder(), mask_ratio=0.5, patch=20, lead_share=lead_share)
    torch.manual_seed(0)
    mask = method.draw_mask(torch.zeros(400, 12, 410))
    assert float(mask.float().mean()) == pytest.approx(0.5, abs=0.02)
    same_over_leads = bool((mask == mask[:, :1]).all())
    assert same_over_leads == (lead_share == 0.0)
    inside = mask[..., :400].view(400, 12, 20, 20)
    assert bool((inside == inside[..., :1]).all()), "patches are whole"


def test_denoising_sees_noise_but_is_judged_on_the_clean_strip() -> None:
    class Identity(Conv1DEncoder):
        seen: torch.Tensor

        def forward_features(self, x: torch.Tensor) -> torch.Tensor:
            self.seen = x
            return super().forward_features(x)

    torch.manual_seed(0)
    method = Autoencoder(Identity(widths=(8, 16)), corruption="noise", noise=0.3).eval()
    x = torch.randn(64, 12, 100)
    present = torch.ones(64, 12, dtype=torch.bool)
    present[:, 5] = False
    x[:, 5] = 0
    loss = method.loss({"signal": x, "lead_mask": present})
    added = method.encoder.seen - x
    assert float(added[:, :5].std()) == pytest.approx(0.3, rel=0.05)
    assert float(added[:, 5].abs().max()) == 0.0
    expected = (method.reconstruct(method.encoder.seen) - x)[present].square().mean()
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("wrong", [{"corruption": "blur"}, {"mask_ratio": 1.0}, {"patch": 0}, {"lead_share": 2}])
def test_impossible_parameters(wrong: dict) -> None:
    with pytest.raises(RecipeError, match="autoencoder"):
        Autoencoder(encoder(), **wrong)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_projector_has_the_layers_asked_for(layers: int) -> None:
    from ssl_ecg.methods.projector import make_projector

    torch.manual_seed(0)
    head = make_projector(Conv1DEncoder(widths=(8, 16)), hidden_dim=12, out_dim=4, layers=layers).eval()
    linear = [module for module in head.modules() if isinstance(module, torch.nn.Linear)]
    wanted = {1: [(16, 4)], 2: [(16, 12), (12, 4)], 3: [(16, 12), (12, 12), (12, 4)]}[layers]
    assert [(module.in_features, module.out_features) for module in linear] == wanted
    x, y = torch.randn(2, 5, 16)
    straight = torch.allclose(head(x) + head(y), head(x + y) + head(torch.zeros_like(x)), atol=1e-5)
    assert straight == (layers == 1)


@pytest.mark.parametrize("method", ["moco", "vicreg"])
def test_a_projector_without_a_hidden_layer_is_refused(method: str) -> None:
    from ssl_ecg.methods.registry import METHODS

    with pytest.raises(RecipeError, match=r"method\.layers"):
        METHODS[method](Conv1DEncoder(widths=(8, 16)), Views([]), layers=1)
