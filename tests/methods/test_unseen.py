"""Predictions of hidden samples against loops over strips, masks and patches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssl_ecg.methods.autoencoder import Autoencoder
from ssl_ecg.methods.masked import MaskedPatches
from ssl_ecg.methods.unseen import complementary_masks, predict_strips
from ssl_ecg.models.conv1d import Conv1DEncoder
from ssl_ecg.models.transformer import TransformerEncoder

SMALL = {"width": 16, "depth": 1, "heads": 2}
KINDS = [("lead", "linear"), ("lead", "conv"), ("joint", "linear"), ("joint", "conv")]


@pytest.mark.parametrize("ratio", [0.05, 0.25, 0.5, 0.6, 0.75, 0.9])
@pytest.mark.parametrize(("rows", "steps"), [(1, 40), (12, 20), (12, 3), (1, 2), (1, 1)])
def test_every_patch_is_hidden_equally_often(ratio, rows, steps):
    masks = complementary_masks(rows, steps, ratio, seed=3)
    times = masks.sum(dim=0)
    assert times.unique().numel() == 1
    assert int(times[0, 0]) >= 1
    if rows * steps >= 20 and steps > 3:
        assert abs(masks.float().mean().item() - ratio) < 0.11
        assert not masks.all(dim=2).any()  # every lead is seen in part
    assert torch.equal(masks, complementary_masks(rows, steps, ratio, seed=3))


def autoencoder(corruption: str, **arguments) -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(Conv1DEncoder(n_leads=3, widths=(4, 8)), corruption=corruption, **arguments).eval()


@pytest.mark.parametrize("corruption", ["none", "noise"])
def test_plain_autoencoders_see_the_strip(corruption):
    method, x = autoencoder(corruption), torch.randn(2, 3, 46)
    with torch.no_grad():
        assert torch.equal(predict_strips(method, x), method.reconstruct(x))


@pytest.mark.parametrize("lead_share", [0.0, 0.3, 1.0])
def test_masked_autoencoder_is_averaged_over_what_was_hidden(lead_share):
    method, x = autoencoder("mask", patch=10, lead_share=lead_share, mask_ratio=0.7), torch.randn(2, 3, 46)
    expected = np.zeros((2, 3, 46))
    with torch.no_grad():
        for rows, weight in ((3, lead_share), (1, 1 - lead_share)):
            masks = complementary_masks(rows, 5, 0.7, 4)
            for b in range(2):
                for lead in range(3):
                    for t in range(46):
                        guesses = []
                        for mask in masks:
                            if mask[lead if rows == 3 else 0, t // 10]:
                                seen = x[b : b + 1].clone()
                                for other in range(3):
                                    for s in range(46):
                                        if mask[other if rows == 3 else 0, s // 10]:
                                            seen[0, other, s] = 0
                                guesses.append(method.reconstruct(seen)[0, lead, t].item())
                        expected[b, lead, t] += weight * np.mean(guesses)
                    if weight == 0:
                        break
        np.testing.assert_allclose(predict_strips(method, x, seed=4), expected, atol=1e-5)


@pytest.mark.parametrize("ratio", [0.3, 0.75])
@pytest.mark.parametrize("lead_share", [0.0, 0.5, 1.0])
def test_no_sample_of_a_masked_autoencoder_is_seen(ratio, lead_share):
    """Changing one sample changes predictions elsewhere, never its own."""
    method, x = autoencoder("mask", patch=10, mask_ratio=ratio, lead_share=lead_share), torch.randn(1, 3, 80)
    check_unseen(method, x, 1, 37)


@pytest.mark.parametrize(("tokens", "stem"), KINDS)
def test_no_sample_of_masked_patches_is_seen(tokens, stem):
    check_unseen(patches(tokens, stem), torch.randn(1, 3, 77), 2, 41)


def check_unseen(method, x, lead, t):
    other = x.clone()
    other[0, lead, t] += 3
    with torch.no_grad():
        a, b = predict_strips(method, x), predict_strips(method, other)
    assert torch.equal(a[0, lead, t], b[0, lead, t])
    assert not torch.equal(a, b)


def patches(tokens: str, stem: str, **arguments) -> MaskedPatches:
    torch.manual_seed(0)
    encoder = TransformerEncoder(n_leads=3, patch=10, tokens=tokens, stem=stem, **SMALL)
    return MaskedPatches(encoder, **{**SMALL, **arguments}).eval()


@pytest.mark.parametrize(("tokens", "stem"), KINDS)
@pytest.mark.parametrize("normalise", [False, True])
def test_masked_patches_are_averaged_and_put_back(tokens, stem, normalise):
    method, x = patches(tokens, stem, normalise=normalise), torch.randn(2, 3, 46)
    x[1, 2] = 0  # absent
    rows = 3 if tokens == "lead" else 1
    masks = complementary_masks(rows, 5, 0.75, 2).flatten(1)
    expected = np.zeros((2, 3, 46))
    with torch.no_grad():
        guesses = []
        for mask in masks:
            keep = method.encoder.tokenise(x)[1]
            guesses.append(method.reconstruct(x, mask & keep, keep))
        for b in range(2):
            for lead in range(3):
                for t in range(46):
                    token = lead * 5 + t // 10 if rows == 3 else t // 10
                    place = t % 10 if rows == 3 else lead * 10 + t % 10
                    values = [g[b, token, place].item() for g, m in zip(guesses, masks, strict=True) if m[token]]
                    expected[b, lead, t] = np.mean(values)
                    if normalise:
                        leads = [lead] if rows == 3 else [0, 1, 2]
                        start = t // 10 * 10
                        own = x[b, leads, start : min(start + 10, 46)].double().numpy()
                        expected[b, lead, t] = expected[b, lead, t] * np.sqrt(own.var() + 1e-6) + own.mean()
        found = predict_strips(method, x, seed=2).numpy()
    present = np.array([[True] * 3, [True, True, tokens == "joint"]])
    np.testing.assert_allclose(found[present], expected[present], atol=2e-5)


def test_the_rest_of_the_batch_does_not_matter():
    x = torch.randn(3, 3, 50)
    for method in (autoencoder("mask", patch=10), patches("lead", "conv")):
        with torch.no_grad():
            alone = torch.cat([predict_strips(method, one[None]) for one in x])
            np.testing.assert_allclose(predict_strips(method, x), alone, atol=1e-5)


def test_other_methods_reconstruct_nothing():
    with pytest.raises(TypeError, match="reconstructs nothing"):
        predict_strips(Conv1DEncoder(n_leads=3, widths=(4, 8)), torch.zeros(1, 3, 20))
