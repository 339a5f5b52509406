"""Autoencoders: padding does not matter, and whole leads that are hidden."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_ecg.errors import RecipeError
from ssl_ecg.methods.autoencoder import Autoencoder
from ssl_ecg.models.conv1d import Conv1DEncoder
from ssl_ecg.models.decoder import Conv1DDecoder
from ssl_ecg.models.registry import build_encoder


def make(**arguments: object) -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(Conv1DEncoder(widths=(8, 16, 16)), **arguments)


def fix_draws(method: Autoencoder, x: Tensor) -> None:
    """Noise or mask of the strips without padding; with padding, something is drawn there too."""
    torch.manual_seed(1)
    noise, hidden = torch.randn(x.shape), method.draw_mask(x)

    def corrupt(padded: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        more = padded.shape[-1] - x.shape[-1]
        if method.corruption == "noise":
            return torch.where(counts, padded + F.pad(noise, (0, more), value=7.0), padded), counts
        if method.corruption == "mask":
            silent = F.pad(hidden, (0, more), value=True)
            return padded.masked_fill(silent, 0), counts & silent
        return padded, counts

    method.corrupt = corrupt  # type: ignore[method-assign]


def norms_of(method: Autoencoder) -> dict[str, Tensor]:
    return {key: value for key, value in method.named_buffers() if "running" in key}


@pytest.mark.parametrize("corruption", ["none", "noise", "mask"])
def test_padding_leaves_loss_and_statistics_as_they_are(corruption: str) -> None:
    """Strips of 120 and 75 samples: alike whatever follows; where all are whole, alike with no lengths given."""
    x = torch.randn(6, 12, 120, generator=torch.Generator().manual_seed(2))
    lengths = torch.tensor([120, 120, 75, 75, 120, 75])
    mixed = x * (torch.arange(120) < lengths[:, None, None])
    for strips, own in ((x, torch.full((6,), 120)), (mixed, lengths)):
        method = make(corruption=corruption)
        fix_draws(method, strips)
        found = []
        for padding in (0, 8, 72):
            one = copy.deepcopy(method)
            loss = one.loss({"signal": F.pad(strips, (0, padding)), "length": own})
            loss.backward()
            gradients = [p.grad for p in one.parameters() if p.grad is not None]
            found.append((loss.item(), norms_of(one), gradients))
        assert len(found[0][1]) > 10, "of encoder and decoder"
        for loss, norms, gradients in found[1:]:
            assert loss == pytest.approx(found[0][0], rel=1e-5)
            torch.testing.assert_close(norms, found[0][1], rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(gradients, found[0][2], rtol=1e-2, atol=1e-5)
        if strips is x:
            one = copy.deepcopy(method)
            assert one.loss({"signal": x}).item() == found[0][0]


def test_padded_strips_are_reconstructed_as_each_alone() -> None:
    """One strip at a time, cut to its length; also where this is not a whole number of steps."""
    method = make(corruption="none").eval()
    for name, buffer in method.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1.5)
    lengths = [100, 63, 8, 1, 41]
    x = torch.randn(5, 12, 100)
    for b, length in enumerate(lengths):
        x[b, :, length:] = 0
    together = method.reconstruct(x, torch.tensor(lengths))
    for b, length in enumerate(lengths):
        alone = method.reconstruct(x[b : b + 1, :, :length])[0]
        torch.testing.assert_close(together[b, :, :length], alone, rtol=1e-4, atol=1e-5)
        assert not together[b, :, length:].any()


def test_loss_counts_the_samples_of_strips_only() -> None:
    method = make(corruption="none").eval()
    lengths, x = [64, 30, 47], torch.randn(3, 12, 64)
    present = torch.ones(3, 12, dtype=torch.bool)
    present[1, 4] = False
    total, n = 0.0, 0
    for b, length in enumerate(lengths):
        x[b, :, length:] = 0
        alone = x[b : b + 1, :, :length]
        for lead in range(12):
            if present[b, lead]:
                for told, true in zip(
                    method.reconstruct(alone)[0, lead].tolist(), alone[0, lead].tolist(), strict=True
                ):
                    total, n = total + (told - true) ** 2, n + 1
    loss = method.loss({"signal": x, "lead_mask": present, "length": torch.tensor(lengths)})
    assert loss.item() == pytest.approx(total / n, rel=1e-4)


def test_a_decoder_takes_up_the_weights_of_an_older_one() -> None:
    """The names of weights are those of runs that exist, and decoding is up-sampling and convolving, layer by layer."""
    torch.manual_seed(0)
    decoder = Conv1DDecoder(8, 3, 4).eval()
    assert sorted(key for key in decoder.state_dict() if key.endswith("weight")) == [
        *("stages.1.weight", "stages.2.weight", "stages.5.weight", "stages.6.weight", "to_leads.weight"),
    ]
    y = features = torch.randn(2, 8, 5)
    for k in (0, 4):
        y = F.conv1d(y.repeat_interleave(2, dim=2), decoder.stages.get_submodule(f"{k + 1}").weight, padding=3)
        norm = decoder.stages.get_submodule(f"{k + 2}")
        y = F.relu(norm.weight[:, None] * y / (1 + norm.eps) ** 0.5 + norm.bias[:, None])
    expected = F.conv1d(y, decoder.to_leads.weight, decoder.to_leads.bias, padding=3)
    torch.testing.assert_close(decoder(features, 18), expected[..., :18], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lead_share", [0.0, 0.5, 1.0])
def test_whole_leads_are_hidden_and_the_ratio_is_kept(lead_share: float) -> None:
    method = make(mask_ratio=0.6, patch=20, lead_share=lead_share, whole_leads=0.5)
    torch.manual_seed(0)
    x = torch.ones(4000, 12, 400)
    x[2000:, 4:] = 0
    hidden = method.draw_mask(x)
    for part, n in ((hidden[:2000], 12), (hidden[2000:, :4], 4)):
        shares = part.float().mean(dim=(1, 2))
        assert float(shares.mean()) == pytest.approx(0.6, abs=0.01)
        counts = torch.bincount(part.all(dim=2).sum(dim=1), minlength=n // 2 + 1)[: n // 2 + 1]
        assert len(counts) == n // 2 + 1
        assert float((counts / 2000 - 1 / (n // 2 + 1)).abs().max()) < 0.04, "each number is as likely"
        assert part.all(dim=2).sum(dim=1).max() <= n // 2
        by_lead = part.all(dim=2).float().mean(dim=0)
        assert float((by_lead - by_lead.mean()).abs().max()) < 0.05, "each lead is as likely"


def test_few_whole_leads_leave_nothing_else_to_hide() -> None:
    """With more leads hidden than the ratio asks for, all others are seen."""
    method = make(mask_ratio=0.1, whole_leads=0.9)
    hidden = method.draw_mask(torch.ones(200, 12, 100))
    leads = hidden.all(dim=2)
    many = leads.sum(dim=1) >= 2
    assert bool(many.any())
    assert not bool((hidden & ~leads[..., None])[many].any())
    assert not bool(leads.all(dim=1).any())


def test_hidden_leads_are_not_seen() -> None:
    method = make(mask_ratio=0.5, whole_leads=0.5).eval()
    x = torch.randn(8, 12, 96)
    torch.manual_seed(3)
    hidden = method.draw_mask(x)
    assert bool(hidden.all(dim=2).any())
    torch.manual_seed(3)
    seen, counts = method.corrupt(x, torch.ones_like(hidden))
    assert torch.equal(seen == 0, hidden)
    assert torch.equal(counts, hidden)


def test_impossible_parameters() -> None:
    for share in (-0.1, 1.0):
        with pytest.raises(RecipeError, match=r"autoencoder\.whole_leads"):
            make(whole_leads=share)
    encoder = build_encoder("transformer", width=16, depth=1, heads=2, patch=20)
    with pytest.raises(RecipeError, match="one step for 20 samples"):
        Autoencoder(encoder)
