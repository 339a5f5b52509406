"""Masked modelling of patches against loops over strips, leads and patches."""

from __future__ import annotations

import pytest
import torch

import ssl_ecg.methods.masked as masked
from ssl_ecg.errors import RecipeError
from ssl_ecg.methods.masked import MaskedPatches
from ssl_ecg.models.conv1d import Conv1DEncoder
from ssl_ecg.models.transformer import TransformerEncoder

SMALL = {"width": 16, "depth": 1, "heads": 2}
KINDS = [("lead", "linear"), ("lead", "conv"), ("joint", "linear"), ("joint", "conv")]


def make(tokens: str = "lead", stem: str = "linear", **arguments: object) -> MaskedPatches:
    torch.manual_seed(0)
    encoder = TransformerEncoder(n_leads=3, patch=10, tokens=tokens, stem=stem, **SMALL)
    return MaskedPatches(encoder, **{**SMALL, **arguments})


def patch_of(tokens: str, token: int, steps: int) -> list[tuple[int, int]]:
    """Leads and first samples of what a token stands for."""
    if tokens == "lead":
        return [(token // steps, 10 * (token % steps))]
    return [(lead, 10 * token) for lead in range(3)]


@pytest.mark.parametrize(("tokens", "stem"), KINDS)
@pytest.mark.parametrize("normalise", [False, True])
def test_loss(tokens: str, stem: str, normalise: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only hidden patches of present leads count, and of those only samples before the padding."""
    method = make(tokens, stem, normalise=normalise)
    lengths = torch.tensor([46, 33])
    x = torch.randn(2, 3, 46) * (torch.arange(46) < lengths[:, None, None])
    x[1, 2] = 0
    n = 15 if tokens == "lead" else 5
    torch.manual_seed(3)
    hidden = torch.rand(2, n) < 0.6
    monkeypatch.setattr(masked, "draw_tokens", lambda *_: hidden)
    with torch.no_grad():
        keep = method.encoder.tokenise(x, lengths)[1]
        guess = method.reconstruct(x, hidden, keep, lengths)
    expected = 0.0
    for b in range(2):
        errors = []
        for token in range(n):
            if not hidden[b, token]:
                continue
            places = [
                (lead, start + i)
                for lead, start in patch_of(tokens, token, 5)
                if not (b == 1 and lead == 2)
                for i in range(10)
            ]
            inside = [(k, lead, at) for k, (lead, at) in enumerate(places) if at < lengths[b]]
            if not inside:
                continue
            truth = torch.stack([x[b, lead, at] for _, lead, at in inside])
            if normalise:
                truth = (truth - truth.mean()) / (truth.var(unbiased=False) + 1e-6).sqrt()
            told = torch.stack([guess[b, token, k] for k, _, _ in inside])
            errors += (told - truth).square().tolist()
        expected += sum(errors) / len(errors) / 2
    loss = method.loss({"signal": x, "length": lengths})
    assert loss.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("tokens", "stem"), KINDS)
def test_what_is_hidden_is_not_seen(tokens: str, stem: str) -> None:
    method = make(tokens, stem)
    x = torch.randn(2, 3, 50)
    n = 15 if tokens == "lead" else 5
    hidden = torch.arange(n)[None].expand(2, n) % 5 < 3
    other = x.clone()
    for token in range(n):
        if hidden[0, token]:
            for lead, start in patch_of(tokens, token, 5):
                other[:, lead, start : start + 10] = torch.randn(2, 10)
    keep = torch.ones(2, n, dtype=torch.bool)
    torch.testing.assert_close(method.reconstruct(x, hidden, keep), method.reconstruct(other, hidden, keep))


def test_each_lead_is_decoded_from_its_own_tokens() -> None:
    """What another lead holds reaches it through the encoder only."""
    method = make("lead")
    tokens, hidden = torch.randn(2, 15, 16), torch.arange(15)[None].expand(2, 15) % 5 < 3
    other = tokens.clone()
    other[:, 5:] += 1
    first, second = (method.decoder(t, hidden, (3, 5)) for t in (tokens, other))
    torch.testing.assert_close(first[:, :5], second[:, :5])


def test_patches_lie_as_tokens_do() -> None:
    x = torch.arange(2 * 3 * 40.0).view(2, 3, 40)
    for tokens in ("lead", "joint"):
        method = make(tokens)
        patches = method.to_patches(x)
        for token in range(patches.shape[1]):
            expected = torch.cat([x[:, lead, s : s + 10] for lead, s in patch_of(tokens, token, 4)], 1)
            assert torch.equal(patches[:, token], expected)


@pytest.mark.parametrize("stem", ["linear", "conv"])
def test_whole_leads_are_hidden_and_told_from_the_others(stem: str) -> None:
    method = make("lead", stem, whole_leads=0.7, mask_ratio=0.75)
    keep = torch.ones(600, 3, 8, dtype=torch.bool)
    keep[300:, 2] = False
    torch.manual_seed(0)
    hidden = method.draw_mask(keep.flatten(1), 80).view(600, 3, 8)
    assert hidden.flatten(1).sum(1).tolist() == [18] * 300 + [12] * 300, "the ratio is kept"
    whole = (hidden | ~keep).all(dim=2) & keep.any(dim=2)
    for part, most in ((whole[:300], 2), (whole[300:], 1)):
        often = torch.bincount(part.sum(1), minlength=most + 1) / 300
        assert len(often) == most + 1
        assert float((often - 1 / (most + 1)).abs().max()) < 0.1
    x = torch.randn(2, 3, 80)
    one = torch.zeros(2, 24, dtype=torch.bool)
    one[:, :8] = True  # the first lead
    told = method.reconstruct(x, one, torch.ones_like(one))
    other = x.clone()
    other[:, 0] += torch.randn(2, 80)
    torch.testing.assert_close(method.reconstruct(other, one, torch.ones_like(one)), told)
    other[:, 1] += torch.randn(2, 80)
    assert not torch.allclose(method.reconstruct(other, one, torch.ones_like(one))[:, :8], told[:, :8])
    assert torch.isfinite(method.loss({"signal": x, "length": torch.tensor([80, 35])}))


def test_whole_leads_need_tokens_of_single_leads() -> None:
    with pytest.raises(RecipeError, match=r"set encoder\.tokens to lead"):
        make("joint", whole_leads=0.5)
    with pytest.raises(RecipeError, match=r"masked\.whole_leads"):
        make("lead", whole_leads=1.0)
    assert make("lead").decoder.by_row
    assert not make("lead", whole_leads=0.3).decoder.by_row


def test_an_encoder_without_tokens_is_refused() -> None:
    with pytest.raises(RecipeError, match="Conv1DEncoder has no tokens to hide"):
        MaskedPatches(Conv1DEncoder(widths=(4, 8)))
    with pytest.raises(RecipeError, match="mask_ratio"):
        make(mask_ratio=1.0)
