from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ssl_ecg.errors import SignalError
from ssl_ecg.models.lead_attention import LeadAttention, LeadAttentionEncoder, LeadStem


def build(n_leads: int = 4, **kwargs: object) -> LeadAttentionEncoder:
    torch.manual_seed(0)
    sizes = {"stem_widths": (3, 6), "strides": (2, 1), "kernel": 5, "width": 8, "heads": 2, "window": 5}
    encoder = LeadAttentionEncoder(**{**sizes, "n_leads": n_leads, "blocks": (1, 2, 1), **kwargs})
    for p in encoder.parameters():
        p.data += 0.1 * torch.randn_like(p)
    return encoder.double().eval()


def dense(attention: LeadAttention, z: Tensor, keep: Tensor, window: int | None) -> Tensor:
    """The equation for one strip: every query, head and key in turn; z (lead, step, width)."""
    leads, steps, width = z.shape
    size = width // attention.heads
    taps = attention.taps.view(leads, width, 3, 3)  # lead, feature, (q k v), tap

    def project(which: int, lead: int, step: int) -> Tensor:
        total = torch.zeros(width, dtype=torch.float64)
        for tap in range(3):
            if 0 <= step + tap - 1 < steps:
                weights = torch.diag(taps[lead, :, which, tap]) @ attention.project[which]  # width x width, of one lead
                total += z[lead, step + tap - 1] @ weights
        return total

    places = [(i, t) for i in range(leads) for t in range(steps)]
    q, k, v = ({place: project(which, *place) for place in places} for which in range(3))
    out = torch.zeros_like(z)
    for i, t in places:
        seen = [(j, s) for j, s in places if keep[j, s] and (window is None or abs(s - t) <= window // 2)]
        mixed = torch.zeros(width, dtype=torch.float64)
        for head in range(attention.heads):
            part = slice(head * size, (head + 1) * size)
            weight = [math.exp(float(q[i, t][part] @ k[place][part]) / math.sqrt(size)) for place in seen]
            for w, place in zip(weight, seen, strict=True):
                mixed[part] += w / sum(weight) * v[place][part]
        out[i, t] = attention.out.weight @ mixed + attention.out.bias
    return out


@pytest.mark.parametrize(("window", "steps"), [(None, 5), (3, 9), (5, 3), (5, 11), (5, 8)])
@torch.no_grad()
def test_against_the_dense_equation(window: int | None, steps: int) -> None:
    torch.manual_seed(0)
    attention = LeadAttention(4, 2, 3, window)
    for p in attention.parameters():
        p.data += 0.5 * torch.randn_like(p)
    attention = attention.double()
    keep = torch.ones(3, 3, steps, dtype=torch.bool)
    keep[1, 1] = False  # an absent lead, and a shorter strip
    keep[2, :, steps - 2 :] = False
    z = torch.randn(3, 3, steps, 4, dtype=torch.float64) * keep[..., None]
    out = attention(z, keep)
    assert out.isfinite().all()  # past the strip's end too, where nothing near is kept
    for k in range(3):
        length = int(keep[k].any(0).sum())
        expected = dense(attention, z[k, :, :length], keep[k, :, :length], window)
        there = keep[k, :, :length]
        torch.testing.assert_close(out[k, :, :length][there], expected[there])


@pytest.mark.parametrize("length", [40, 333])
@torch.no_grad()
def test_absent_leads_might_as_well_not_exist(length: int) -> None:
    """A strip without some leads gives what an encoder gives that has the weights of the other leads only."""
    whole, part, there = build(4), build(2), [1, 3]
    state = whole.state_dict()
    for key, value in state.items():
        if key.endswith("taps"):
            state[key] = value.view(4, 8, 3, 1, 3)[there].flatten(0, 1).reshape(16 * 3, 1, 3)
        elif key == "lead_embedding":
            state[key] = value[there]
    part.load_state_dict(state)
    x = torch.randn(2, 4, length, dtype=torch.float64)
    x[:, [0, 2]] = 0
    torch.testing.assert_close(whole(x), part(x[:, there]))
    torch.testing.assert_close(whole.forward_features(x), part.forward_features(x[:, there]))


@torch.no_grad()
def test_short_strips_keep_their_batch_statistics() -> None:
    """In training too, absent leads and padding are left out of the statistics."""
    x = torch.randn(2, 4, 50, dtype=torch.float64)
    x[:, 2] = 0
    padded, alone = build().train(), build().train()
    lengths = torch.full((2,), 50)
    torch.testing.assert_close(padded(torch.nn.functional.pad(x, (0, 37)), lengths), alone(x))
    norm = padded.stem.norms[0]
    rows = x[:, [0, 1, 3]].reshape(6, 1, 50)
    filtered = padded.stem.pointwise[0](padded.stem.depthwise[0](rows))
    torch.testing.assert_close(norm.running_mean, 0.1 * filtered.mean((0, 2)))


@torch.no_grad()
def test_leads_and_features_are_not_scrambled() -> None:
    """With no window across leads to carry it (one lead kept as key), a change in a lead stays in that lead."""
    stem = LeadStem((3, 6), (2, 1), 5, 8).eval()
    rows = torch.randn(4, 1, 30)
    changed = rows.clone()
    changed[2] += 1
    differs = (stem(rows, torch.ones_like(rows).bool()) != stem(changed, torch.ones_like(rows).bool())).flatten(1)
    assert differs.any(1).tolist() == [False, False, True, False]
    attention = LeadAttention(8, 2, 4, 5)
    keep = torch.zeros(1, 4, 12, dtype=torch.bool)
    keep[:, 0] = True
    z = torch.randn(1, 4, 12, 8)
    other = z.clone()
    other[0, 2, 6] += 1  # no key, so only the queries within one step of it change
    differs = (attention(z, keep) - attention(other, keep)).abs().amax(3)[0] > 1e-7
    assert differs.nonzero().tolist() == [[2, 5], [2, 6], [2, 7]]


@torch.no_grad()
def test_position_matters() -> None:
    """Without positions, turning far apart parts of the strip round would hardly be seen by global attention."""
    encoder = build(blocks=(0, 0, 2), strides=(2, 2))
    x = torch.randn(1, 4, 80, dtype=torch.float64)
    assert (encoder(x) - encoder(x.roll(40, dims=2))).abs().max() > 1e-3


def test_default_size_with_the_head_of_the_published_system() -> None:
    encoder = sum(p.numel() for p in LeadAttentionEncoder().parameters())
    head = 128 * 128 + 128 + 128 * 26 + 26
    assert encoder + head == pytest.approx(2.4e6, rel=0.05)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"strides": (2, 2)}, r"strides \(2, 2\)"),
        ({"blocks": (2, 5)}, r"blocks \(2, 5\)"),
        ({"window": 4}, "window 4"),
        ({"heads": 3}, "width 128, 3 heads"),
        ({"drop_path": -0.1}, "drop path: rate -0.0"),
    ],
)
def test_bad_parameters_are_refused(kwargs: dict, message: str) -> None:
    with pytest.raises(SignalError, match=message):
        LeadAttentionEncoder(**kwargs)
