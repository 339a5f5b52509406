"""ResNet, LSTM and attention against plain layers and the recurrence written out, strip by strip."""

from __future__ import annotations

import math

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import nn

from ssl_ecg.errors import SignalError
from ssl_ecg.models.recurrent import BiLSTM, TimeAttention
from ssl_ecg.models.resnet_lstm import ResNetLSTMEncoder, encode_metadata

TINY = {"widths": (6, 4), "hidden": 3, "dense": 5, "metadata_dense": 2, "joint_dense": 4}


def test_parameters_of_the_published_network() -> None:
    """Keras counts running statistics as well, and has one bias for each gate where torch has two."""
    encoder = ResNetLSTMEncoder(metadata=True)
    assert (encoder.dim, encoder.n_features, encoder.stride) == (128, 256, 4)
    numbers = sum(p.numel() for module in (encoder, nn.Linear(encoder.dim, 5)) for p in module.parameters())
    statistics = sum(b.numel() for name, b in encoder.named_buffers() if "running" in name)
    second_biases = sum(p.numel() for name, p in encoder.named_parameters() if "bias_hh" in name)
    assert numbers + statistics - second_biases == 957_957


def run_lstm(x, lstm, suffix=""):
    """One direction, step by step, as Hochreiter and Schmidhuber with a forget gate; x (step, feature)."""
    w_x, w_h, b_x, b_h = (
        getattr(lstm, f"{name}_l0{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    h = c = torch.zeros(w_h.shape[1])
    out = []
    for step in x:
        i, f, g, o = (w_x @ step + b_x + w_h @ h + b_h).chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        out.append(h)
    return torch.stack(out)


def both_directions(s, lstm):
    """(feature, step) -> (feature, step)."""
    backward = run_lstm(s.T.flip(0), lstm, "_reverse").flip(0)
    return torch.cat([run_lstm(s.T, lstm), backward], dim=1).T


def attend(s, weight):
    scores = [math.exp(math.tanh((weight @ s[:, t]).item())) for t in range(s.shape[1])]
    return sum(score * s[:, t] for t, score in enumerate(scores)) / sum(scores)


@pytest.mark.parametrize("whole", [False, True])
def test_lstm_starts_and_ends_with_each_strip(whole: bool, pad) -> None:
    torch.manual_seed(0)
    layer = BiLSTM(4, 3)
    strips = [torch.randn(4, n) for n in ((9, 9) if whole else (9, 1, 6))]
    x, lengths = pad(strips)
    mask = None if whole else (torch.arange(x.shape[2]) < lengths[:, None])[:, None]
    out = layer(x, mask)
    for row, s in zip(out, strips, strict=True):
        torch.testing.assert_close(row[:, : s.shape[1]], both_directions(s, layer.lstm))
        assert not row[:, s.shape[1] :].any()


def test_attention_is_a_softmax_over_each_strip(pad) -> None:
    torch.manual_seed(0)
    layer = TimeAttention(4)
    strips = [2 * torch.randn(4, n) for n in (9, 1, 6)]
    x, lengths = pad(strips)
    out = layer(x, (torch.arange(9) < lengths[:, None])[:, None])
    torch.testing.assert_close(out, torch.stack([attend(s, layer.weight) for s in strips]))


def dense(layer, x, training):
    linear, norm, _ = layer
    y = x @ linear.weight.T + linear.bias
    mean = y.mean(0) if training else norm.running_mean
    variance = y.var(0, unbiased=False) if training else norm.running_var
    return ((y - mean) / (variance + 1e-5).sqrt() * norm.weight + norm.bias).clamp(min=0)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("metadata", [False, True])
def test_equals_plain_layers(metadata, training, ragged, strips, pad, unsettle) -> None:
    torch.manual_seed(0)
    encoder = ResNetLSTMEncoder(**TINY, dropout=0.0, metadata=metadata).train(training)
    unsettle(encoder.blocks)
    people = torch.tensor([[40.0, 1.0], [80.0, 0.0], [torch.nan, 1.0], [65.0, torch.nan]]) if metadata else None
    table = torch.tensor([[-1, 1, 0], [1, 0, 1], [0, 1, 0], [0.25, 0, 0]])

    plain = ragged(encoder.blocks)
    y = strips
    for width, kernel in ((6, 3), (4, 7)):
        z = plain.relu(plain.norm(plain.conv(y, width, kernel)))
        z = plain.norm(plain.conv(z, width, kernel))
        y = plain.relu(plain.add(z, plain.norm(plain.conv(y, width, 1))))
        y = plain.windows(y, lambda w: w.amax(dim=1), 0, 1)
    assert plain.done()
    pooled = [attend(both_directions(s, encoder.lstm.lstm), encoder.attention.weight) for s in y]
    expected = dense(encoder.dense, torch.stack(pooled), training)
    if metadata:
        branch = dense(encoder.branch, table, training)
        expected = dense(encoder.joint, torch.cat([expected, branch], dim=1), training)

    got = encoder(*pad(strips), metadata=people) if metadata else encoder(*pad(strips))
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)


def test_no_metadata_is_all_unknown() -> None:
    torch.manual_seed(0)
    encoder = ResNetLSTMEncoder(**TINY, metadata=True).eval()
    x = torch.randn(3, 12, 100)
    assert encoder.takes_metadata
    assert torch.equal(encoder(x), encoder(x, metadata=torch.full((3, 2), torch.nan)))
    assert not torch.equal(encoder(x), encoder(x, metadata=torch.tensor([[20.0, 1.0]] * 3)))


def test_gradient_reaches_the_branch() -> None:
    torch.manual_seed(0)
    encoder = ResNetLSTMEncoder(metadata=True)
    people = torch.tensor([[30.0, 0.0], [50.0, 1.0], [70.0, 0.0], [torch.nan, torch.nan]])
    encoder(torch.randn(4, 12, 128), metadata=people).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


def test_dropout_leaves_out_whole_maps() -> None:
    torch.manual_seed(0)
    encoder = ResNetLSTMEncoder(**TINY, dropout=0.5)
    seen = []
    encoder.lstm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.randn(8, 12, 200)
    encoder(x)
    encoder.dropout.p = 0.0
    encoder(x)
    dropped, whole = seen
    left_out = (dropped == 0).all(dim=2, keepdim=True)
    assert 0.2 < left_out.float().mean() < 0.8
    torch.testing.assert_close(dropped, torch.where(left_out, 0.0, 2 * whole))


def test_bfloat16_changes_little(strips, pad) -> None:
    torch.manual_seed(0)
    encoder = ResNetLSTMEncoder(**TINY).eval()
    x, lengths = pad(strips)
    with torch.autocast("cpu", torch.bfloat16):
        rough = encoder(x, lengths)
    torch.testing.assert_close(rough.float(), encoder(x, lengths), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("wrong", [[[300.0, 0.0]], [[50.0, 2.0]], [[-1.0, 1.0]], [50.0, 1.0], [[50.0, 1.0, 0.0]]])
def test_impossible_metadata(wrong: list) -> None:
    """300 is how PTB-XL writes an age over 89; shapes may be caught by the checker of annotations first."""
    with pytest.raises((SignalError, TypeCheckError), match="metadata"):
        encode_metadata(torch.tensor(wrong))


def test_metadata_need_a_branch() -> None:
    with pytest.raises(SignalError, match="metadata=True"):
        ResNetLSTMEncoder(**TINY).eval()(torch.randn(1, 12, 64), metadata=torch.zeros(1, 2))


@pytest.mark.parametrize("wrong", [{"widths": (8,)}, {"kernels": (3, 4)}, {"widths": (8, 0)}])
def test_impossible_parameters(wrong: dict) -> None:
    with pytest.raises(SignalError, match="resnet_lstm"):
        ResNetLSTMEncoder(**wrong)
