"""Several methods on one encoder: the sum of their losses, their teachers, their recipes."""

from __future__ import annotations

import pytest
import torch
import yaml

from ssl_ecg.augment.views import Views
from ssl_ecg.errors import RecipeError
from ssl_ecg.methods.base import released_encoder
from ssl_ecg.methods.combined import Combined
from ssl_ecg.models.conv1d import Conv1DEncoder
from ssl_ecg.recipes import dump_recipe, load_recipe

JEPA = {"name": "jepa", "width": 16, "depth": 1, "heads": 2}
VICREG = {"name": "vicreg", "hidden_dim": 16, "out_dim": 16}


def encoder() -> Conv1DEncoder:
    torch.manual_seed(0)
    return Conv1DEncoder(widths=(8, 16))


def test_loss_is_the_weighted_sum_over_one_encoder() -> None:
    parts = [{"name": "autoencoder", "corruption": "none", "weight": 0.3}, {**VICREG, "weight": 2.0}]
    method = Combined(encoder(), Views(), parts=parts).eval()
    x = torch.randn(6, 12, 80)
    first, second = method.parts
    assert first.encoder is second.encoder is method.encoder
    assert second.views is not None
    error = (first.reconstruct(x) - x).square().mean()
    a = second.projector(method.encoder(x))  # views without transforms: both the same, so that the invariance is zero
    spread = torch.relu(1 - (a.var(0) + 1e-4).sqrt()).mean()
    covariance = torch.cov(a.T)
    off = (covariance - torch.diag(covariance.diag())).square().sum() / 16
    expected = 0.3 * error + 2 * (25 * spread + 2 * off)
    assert method.loss({"signal": x}).item() == pytest.approx(expected.item(), rel=1e-4)


def test_parts_learn_from_measurements_and_labels() -> None:
    """The sum is that of the methods alone, with the same weights."""
    guided = {"name": "guided", "hidden_dim": 8, "out_dim": 4, "guide_dim": 8}
    supcon = {"name": "supcon", "hidden_dim": 8, "out_dim": 4}
    method = Combined(encoder(), Views([]), parts=[guided, {**supcon, "weight": 0.5}], n_targets=3).eval()
    x, target = torch.randn(6, 12, 80), (torch.randn(6, 3) > 0).float()
    batch = {"signal": x, "target": target, "target_mask": torch.ones(6, 3, dtype=torch.bool)}
    first, second = method.parts
    expected = first.loss(batch) + 0.5 * second.loss(batch)
    assert first.guide[-1].out_features == 3
    assert method.loss(batch).item() == pytest.approx(expected.item(), rel=1e-5)
    fixmatch = Combined(encoder(), Views([]), parts=[{"name": "fixmatch"}, guided], n_targets=5, n_classes=5)
    assert fixmatch.parts[0].encoder is fixmatch.parts[1].encoder


def test_gradients_add_up_on_the_encoder() -> None:
    x = torch.randn(4, 12, 80)
    gradients = []
    for weights in ((1.0, 0.5), (1.0, None), (None, 0.5)):
        parts = [{"name": "autoencoder", "corruption": "none"}, {"name": "autoencoder", "corruption": "none"}]
        kept = [{**part, "weight": w} for part, w in zip(parts, weights, strict=True) if w is not None]
        method = Combined(encoder(), parts=kept).eval()
        for part in method.parts:
            torch.manual_seed(7)
            for parameter in part.decoder.parameters():
                parameter.data.normal_(std=0.1)
        method.loss({"signal": x}).backward()
        gradients.append(method.encoder.stem[0].scales[0].weight.grad)
    torch.testing.assert_close(gradients[0], gradients[1] + gradients[2], rtol=1e-3, atol=1e-6)


def test_every_parameter_is_optimised_once() -> None:
    method = Combined(encoder(), Views(), parts=[JEPA, VICREG])
    parameters = [p for p in method.parameters() if p.requires_grad]
    own = {id(p) for p in method.encoder.parameters()}
    assert len({id(p) for p in parameters}) == len(parameters)
    assert own <= {id(p) for p in parameters}


def test_steps_reach_the_parts_and_a_part_says_what_is_kept() -> None:
    method = Combined(encoder(), Views(), parts=[VICREG, {**JEPA, "momentum": 0.5}], released="jepa")
    jepa = method.parts[1]
    assert released_encoder(method) is jepa.teacher
    assert released_encoder(Combined(encoder(), Views(), parts=[VICREG, JEPA])) is not None
    plain = Combined(encoder(), Views(), parts=[VICREG, JEPA])
    assert released_encoder(plain) is plain.encoder
    before = jepa.teacher.stem[0].scales[0].weight.clone()
    method.encoder.stem[0].scales[0].weight.data += 1
    method.begin_step(1, 1000)
    torch.testing.assert_close(jepa.teacher.stem[0].scales[0].weight, before + 0.5, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"parts": []}, "is empty"),
        ({"parts": [{"name": "jeppa"}]}, "did you mean 'jepa'"),
        ({"parts": [{}]}, "unknown method 'None'"),
        ({"parts": [{"name": "jepa", "mask": 1}]}, "mask"),
        ({"parts": [{"name": "jepa", "weight": 0}]}, "method.weight"),
        ({"parts": [VICREG]}, "'vicreg' compares views"),
        ({"parts": [{"name": "fixmatch"}]}, "learns from labels"),
        ({"parts": [{"name": "guided"}]}, "'guided' learns from measurements"),
        ({"parts": [JEPA], "released": "vicreg"}, "choose from jepa"),
    ],
)
def test_impossible_parts(arguments: dict, match: str) -> None:
    with pytest.raises(RecipeError, match=match):
        Combined(encoder(), **arguments)


def test_recipe_binds_every_part() -> None:
    bound = load_recipe("jepa_vicreg", ["method.parts.1.weight=2"])
    jepa, vicreg = bound["method"]["parts"]
    assert (jepa["name"], vicreg["name"], vicreg["weight"]) == ("jepa", "vicreg", 2.0)
    assert jepa["depth"] == 2, "defaults are filled in"
    assert load_recipe(yaml.safe_load(dump_recipe(bound))) == bound


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("method.parts.1.wieght=2", "parts.1.wieght: unknown key; did you mean 'weight'"),
        ("method.parts.0.mask_ration=0.2", "did you mean 'mask_ratio'"),
        ("method.parts.0.name=jeppa", "did you mean 'jepa'"),
        ("method.parts.0.momentum=high", "parts.0"),
        ("method.parts.0.weight=-1", "parts.0.weight"),
        ("method.parts.0.weight=true", "parts.0.weight"),
        ("method.parts=[]", "is empty"),
        ("method.parts=[{weight: 2}]", "has no name"),
        ("method.parts=[{name: jepa}]", "makes no views; take the section out$"),  # there is no recipe 'combined'
        ("method.parts=7", "parts"),
        ("method.partz=[]", "did you mean 'parts'"),
    ],
)
def test_mistakes_in_parts_are_named(override: str, hint: str) -> None:
    with pytest.raises(RecipeError, match=hint):
        load_recipe("jepa_vicreg", [override])
