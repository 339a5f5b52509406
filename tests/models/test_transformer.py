from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_ecg.errors import SignalError
from ssl_ecg.models.attention import DropPath, TransformerBlock
from ssl_ecg.models.patches import TokenEncoder
from ssl_ecg.models.transformer import TransformerEncoder

KINDS = [("joint", "linear"), ("joint", "conv"), ("lead", "linear"), ("lead", "conv")]


def build(tokens: str = "joint", stem: str = "linear", **kwargs: object) -> TransformerEncoder:
    torch.manual_seed(0)
    sizes = {"n_leads": 4, "patch": 6, "width": 8, "depth": 2, "heads": 2}
    encoder = TransformerEncoder(**{**sizes, "tokens": tokens, "stem": stem, **kwargs})
    for p in encoder.parameters():  # far from initial zeros and ones, so that nothing can be forgotten unseen
        p.data += 0.2 * torch.randn_like(p)
    return encoder.double().eval()


def layer_norm(v: Tensor, norm: torch.nn.LayerNorm) -> Tensor:
    centred = v - v.mean()
    return centred / math.sqrt(float((centred**2).mean()) + norm.eps) * norm.weight + norm.bias


def slow_block(block: TransformerBlock, tokens: list[Tensor]) -> list[Tensor]:
    """One strip's tokens, one query, one head and one key at a time."""
    attention, heads, width = block.attention, block.attention.heads, tokens[0].numel()
    size = width // heads
    qkv = [attention.qkv.weight @ layer_norm(t, block.norm1) + attention.qkv.bias for t in tokens]
    out = []
    for here, token in zip(qkv, tokens, strict=True):
        mixed = torch.zeros(width, dtype=torch.float64)
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            score = [float(here[:width][part] @ other[width : 2 * width][part]) / math.sqrt(size) for other in qkv]
            weight = [math.exp(s - max(score)) for s in score]
            for w, other in zip(weight, qkv, strict=True):
                mixed[part] += w / sum(weight) * other[2 * width :][part]
        token = token + attention.out.weight @ mixed + attention.out.bias
        hidden = F.gelu(block.mlp[0].weight @ layer_norm(token, block.norm2) + block.mlp[0].bias)
        out.append(token + block.mlp[2].weight @ hidden + block.mlp[2].bias)
    return out


def slow_position(encoder: TransformerEncoder, lead: int, step: int) -> Tensor:
    half = encoder.width // 2
    angles = [step / 10000 ** (2 * wave / encoder.width) for wave in range(half)]
    time = torch.tensor([math.sin(a) for a in angles] + [math.cos(a) for a in angles], dtype=torch.float64)
    return time if encoder.lead_embedding is None else time + encoder.lead_embedding[lead]


def slow_encode(encoder: TransformerEncoder, strip: Tensor) -> dict[tuple[int, int], Tensor]:
    """Encoded tokens of one strip, alone, linear stem, with absent leads simply not there."""
    patch, stem = encoder.stride, encoder.stem.project
    tokens = {}
    for start in range(0, strip.shape[1], patch):
        piece = torch.zeros(strip.shape[0], patch, dtype=torch.float64)
        piece[:, : strip[:, start : start + patch].shape[1]] = strip[:, start : start + patch]
        rows = {0: piece.flatten()} if encoder.tokens == "joint" else dict(enumerate(piece))
        for lead, samples in rows.items():
            if encoder.tokens == "joint" or strip[lead].abs().max() > 0:
                position = slow_position(encoder, lead, start // patch)
                tokens[lead, start // patch] = stem.weight @ samples + stem.bias + position
    values = list(tokens.values())
    for block in encoder.blocks:
        values = slow_block(block, values)
    return {key: layer_norm(value, encoder.norm) for key, value in zip(tokens, values, strict=True)}


@pytest.mark.parametrize("tokens", ["joint", "lead"])
@torch.no_grad()
def test_against_loops_over_queries_heads_and_keys(tokens: str) -> None:
    encoder = build(tokens)
    lengths = torch.tensor([23, 10])
    x = torch.randn(2, 4, 23, dtype=torch.float64) * (torch.arange(23) < lengths[:, None, None])
    x[0, 2] = 0
    x[1, :3] = 0
    encoded, keep = encoder.encode(*encoder.tokenise(x, lengths)), encoder.tokenise(x, lengths)[1]
    plane = encoded.unflatten(1, encoder.grid(23))
    features, pooled = encoder.forward_features(x, lengths), encoder(x, lengths)
    for k in range(2):
        expected = slow_encode(encoder, x[k, :, : lengths[k]])
        assert int(keep[k].sum()) == len(expected)
        for (lead, step), value in expected.items():
            torch.testing.assert_close(plane[k, lead, step], value)
        for step in range(4):
            column = [value for key, value in expected.items() if key[1] == step]
            mean = sum(column) / len(column) if column else torch.zeros(8, dtype=torch.float64)
            torch.testing.assert_close(features[k, :, step], mean)
        torch.testing.assert_close(pooled[k], sum(expected.values()) / len(expected))


@torch.no_grad()
def test_convolutional_stem_against_loops() -> None:
    """Patches of 6: two convolutions of strides 2 and 3, kernels 4 and 5 centred on what they stand for."""
    encoder = build(stem="conv")
    x = torch.randn(1, 4, 16, dtype=torch.float64)
    padded = F.pad(x[0], (1, 3))  # one before, one after, and 2 to fill the last patch
    stem = encoder.stem
    first = [stem.conv1.bias + (stem.conv1.weight * padded[:, 2 * k : 2 * k + 4]).sum((1, 2)) for k in range(9)]
    middle = F.pad(F.gelu(torch.stack(first, dim=1)), (1, 1))
    expected = [stem.conv2.bias + (stem.conv2.weight * middle[:, 3 * k : 3 * k + 5]).sum((1, 2)) for k in range(3)]
    torch.testing.assert_close(encoder.tokenise(x)[0][0], torch.stack(expected) + encoder.positions(x))


@pytest.mark.parametrize(("tokens", "stem"), KINDS)
@torch.no_grad()
def test_token_interface(tokens: str, stem: str) -> None:
    encoder = build(tokens, stem)
    assert isinstance(encoder, TokenEncoder)
    lengths = torch.tensor([31, 12, 18])
    x = torch.randn(3, 4, 31, dtype=torch.float64) * (torch.arange(31) < lengths[:, None, None])
    x[1, 1] = 0
    values, keep = encoder.tokenise(x, lengths)
    rows, steps = encoder.grid(31)
    assert (rows, steps) == (4 if tokens == "lead" else 1, 6)
    assert values.shape == (3, rows * steps, encoder.width)
    assert keep.shape == (3, rows * steps)
    assert keep.sum(dim=1).tolist() == ([24, 6, 12] if tokens == "lead" else [6, 2, 3])
    encoded = encoder.encode(values, keep)
    torch.testing.assert_close(encoder.pool(encoded, keep), encoder(x, lengths))
    for k in range(3):  # what is not kept may as well be absent, and order is in the positions alone
        order = torch.randperm(int(keep[k].sum()))
        alone = encoder.encode(values[k : k + 1, keep[k]][:, order])
        torch.testing.assert_close(encoded[k, keep[k]][order], alone[0])
        assert not encoded[k, ~keep[k]].any()
        torch.testing.assert_close(encoder(x[k : k + 1, :, : lengths[k]])[0], encoder(x, lengths)[k])


@pytest.mark.parametrize(("tokens", "stem"), KINDS)
@torch.no_grad()
def test_local_says_what_a_token_sees(tokens: str, stem: str) -> None:
    encoder = build(tokens, stem)
    x = torch.randn(1, 4, 30, dtype=torch.float64)
    other = x.clone()
    other[:, 1, 12:18] += 1
    changed = (encoder.tokenise(x)[0] != encoder.tokenise(other)[0]).any(dim=2).unflatten(1, encoder.grid(30))[0]
    row = 1 if tokens == "lead" else 0
    assert changed[row, 2]
    assert int(changed.sum()) == (1 if encoder.local else 3)
    assert changed.sum() == changed[row].sum()


@torch.no_grad()
def test_nothing_kept_counts_as_all() -> None:
    encoder = build()
    values, keep = encoder.tokenise(torch.randn(2, 4, 30, dtype=torch.float64))
    keep[0] = False
    torch.testing.assert_close(encoder.encode(values, keep), encoder.encode(values))


def test_drop_path_keeps_the_mean() -> None:
    torch.manual_seed(0)
    drop = DropPath(0.25)
    y = drop(torch.ones(40_000, 2))
    assert set(y.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert (y[:, 0] == y[:, 1]).all()
    assert abs(float(y.mean()) - 1) < 0.02
    assert torch.equal(drop.eval()(y), y)
    encoder = TransformerEncoder(width=8, depth=3, heads=2, drop_path=0.2)
    assert [block.drop_path.rate for block in encoder.blocks] == pytest.approx([0, 0.1, 0.2])
    assert TransformerEncoder(width=8, depth=1, heads=2, drop_path=0.2).blocks[0].drop_path.rate == 0.2


def test_default_size() -> None:
    assert 1_000_000 < sum(p.numel() for p in TransformerEncoder().parameters()) < 2_000_000


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"tokens": "leads"}, "unknown tokens 'leads'"),
        ({"stem": "mlp"}, "or stem 'mlp'"),
        ({"width": 20, "heads": 3}, "width 20, 3 heads"),
        ({"patch": 0}, "patches of 0 samples"),
        ({"drop_path": 1.0}, "rate 1.0"),
    ],
)
def test_bad_parameters_are_refused(kwargs: dict, message: str) -> None:
    with pytest.raises(SignalError, match=message):
        TransformerEncoder(**kwargs)
