"""JEPA against loops over strips and steps, and what it may not see; also the masks and the predictor."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor

from ssl_ecg.errors import RecipeError, SignalError
from ssl_ecg.methods.jepa import JEPA
from ssl_ecg.methods.masking import draw_leads, draw_spans, draw_tokens, put_tokens, strip_lengths, take_tokens
from ssl_ecg.methods.predictor import Predictor
from ssl_ecg.models.registry import build_encoder

SMALL = {"width": 16, "depth": 1, "heads": 2}
ENCODERS = {
    "conv1d": {"widths": (8, 16)},
    "joint": {**SMALL, "patch": 16},
    "lead": {**SMALL, "patch": 16, "tokens": "lead"},
    "lead-conv": {**SMALL, "patch": 16, "tokens": "lead", "stem": "conv"},
}


def make(kind: str = "conv1d", **arguments: object) -> JEPA:
    torch.manual_seed(0)
    encoder = build_encoder("conv1d" if kind == "conv1d" else "transformer", **ENCODERS[kind])
    method = JEPA(encoder, span=32, **{**SMALL, **arguments})
    for parameter in method.teacher.parameters():  # a teacher that is not the student
        parameter.data.add_(0.05 * torch.randn(parameter.shape))
    return method


def strips(n: int = 4, length: int = 160) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(n, 12, length)


def fix_mask(method: JEPA, x: Tensor) -> tuple[Tensor, Tensor]:
    spans, leads = method.draw_mask(x)
    method.draw_mask = lambda *_: (spans, leads)
    return spans, leads


# --- masks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("steps", "ratio", "span", "spans"), [(40, 0.5, 5, 4), (63, 0.6, 6, 6), (10, 0.01, 3, 1)])
def test_spans_are_whole_and_as_many_in_every_strip(steps: int, ratio: float, span: int, spans: int) -> None:
    torch.manual_seed(0)
    hidden = draw_spans(300, steps, ratio=ratio, span=span)
    for row in hidden.tolist():
        runs = "".join("x" if hide else "." for hide in row).split(".")
        assert sum(map(len, runs)) == spans * span
        assert all(len(run) % span == 0 for run in runs), "spans may touch, but are whole"
    share = hidden.float().mean(0)
    assert share.min() > 0.0
    assert len({tuple(row) for row in hidden.tolist()}) > 5


@pytest.mark.parametrize(("steps", "ratio", "span"), [(2, 0.9, 1), (3, 0.99, 50), (12, 0.95, 4), (24, 0.9, 7)])
def test_spans_leave_something_to_see(steps: int, ratio: float, span: int) -> None:
    hidden = draw_spans(50, steps, ratio=ratio, span=span)
    assert bool(hidden.any(1).all())
    assert not bool(hidden.all(1).any())


def test_spans_lie_within_each_strips_own_steps() -> None:
    """As many and as long as in a strip alone, at all places alike; padding is never hidden."""
    own = torch.tensor([32, 5, 2, 1, 19, 7]).repeat_interleave(500)
    torch.manual_seed(0)
    hidden = draw_spans(3000, 40, ratio=0.5, span=6, own=own)
    for steps in own.unique().tolist():
        part = hidden[own == steps]
        assert not bool(part[:, steps:].any())
        torch.manual_seed(1)
        alone = draw_spans(500, steps, ratio=0.5, span=6)
        assert part.sum(1).unique().tolist() == alone.sum(1).unique().tolist(), "as many"
        assert float((part[:, :steps].float().mean(0) - alone.float().mean(0)).abs().max()) < 0.12, "as often"
        assert {tuple(row) for row in part[:, :steps].tolist()} >= {
            tuple(row) for row in alone[:20].tolist()
        } or steps > 7
        if steps > 1:
            assert bool(part.any(1).all())
            assert not bool(part[:, :steps].all(1).any())
    torch.manual_seed(2)
    whole = draw_spans(50, 40, ratio=0.5, span=6, own=torch.full((50,), 40))
    torch.manual_seed(2)
    assert torch.equal(whole, draw_spans(50, 40, ratio=0.5, span=6))


@pytest.mark.parametrize("kind", ["conv1d", "lead"])
def test_short_strips_are_neither_hidden_nor_seen_as_a_whole(kind: str) -> None:
    """Strips of 0.8 s among those of 5 s: in each, something is hidden and something is left."""
    method, x = make(kind), strips(200, 500)
    lengths = torch.full((200,), 80)
    lengths[::4] = 500
    x = x * (torch.arange(500) < lengths[:, None, None])
    spans, _ = method.draw_mask(x, lengths)
    own = -(-lengths // method.encoder.stride)
    within = torch.arange(spans.shape[1]) < own[:, None]
    assert not bool((spans & ~within).any())
    assert bool(spans.any(1).all())
    assert bool((within & ~spans).any(1).all())


def test_leads_are_hidden_among_those_present() -> None:
    torch.manual_seed(0)
    present = torch.ones(2000, 12, dtype=torch.bool)
    present[1000:, 4:] = False
    hidden = draw_leads(present, 0.5)
    assert not bool((hidden & ~present).any())
    for part, most in ((hidden[:1000], 6), (hidden[1000:], 2)):
        counts = torch.bincount(part.sum(1), minlength=most + 1).float() / 1000
        assert len(counts) == most + 1
        assert float((counts - 1 / (most + 1)).abs().max()) < 0.06
    assert float((hidden[:1000].float().mean(0) - 0.25).abs().max()) < 0.06
    assert not bool(draw_leads(present, 0.0).any())


def test_tokens_are_hidden_by_share_of_those_that_count() -> None:
    torch.manual_seed(0)
    keep = torch.arange(20)[None] < torch.tensor([20, 8, 2, 1])[:, None]
    for _ in range(20):
        hidden = draw_tokens(keep, 0.75)
        assert hidden.sum(1).tolist() == [15, 6, 1, 1]
        assert not bool((hidden & ~keep).any())
    often = torch.stack([draw_tokens(keep, 0.75)[0] for _ in range(400)]).float().mean(0)
    assert float((often - 0.75).abs().max()) < 0.1


def test_some_tokens_are_hidden_before_others() -> None:
    torch.manual_seed(0)
    keep = torch.arange(20)[None] < torch.tensor([20, 8, 2])[:, None]
    first = torch.arange(20)[None].expand(3, 20) % 4 == 1
    often = torch.zeros(3, 20)
    for _ in range(300):
        hidden = draw_tokens(keep, 0.5, first)
        assert hidden.sum(1).tolist() == [10, 4, 1]
        assert bool(hidden[first & keep].all())
        assert not bool((hidden & ~keep).any())
        often += hidden / 300
    assert float((often[0][~first[0]] - 5 / 15).abs().max()) < 0.1, "the others are drawn by lot"
    assert draw_tokens(keep, 0.05, first).sum(1).tolist() == [5, 2, 1], "all of them, even if these are more"


def test_tokens_are_taken_out_and_put_back() -> None:
    tokens = torch.randn(3, 7, 2)
    chosen = torch.tensor([[1, 0, 1, 1, 0, 0, 1], [0, 0, 0, 0, 0, 1, 0], [0, 1, 1, 0, 0, 0, 0]], dtype=torch.bool)
    fewer, keep, index = take_tokens(tokens, chosen)
    for b in range(3):
        assert torch.equal(fewer[b][keep[b]], tokens[b][chosen[b]])
    back = put_tokens(fewer * keep[..., None], index, 7)
    assert torch.equal(back, tokens * chosen[..., None])
    assert take_tokens(tokens, torch.ones(3, 7, dtype=torch.bool))[1] is None


def test_lengths_are_passed_on_only_where_strips_are_padded() -> None:
    signal = torch.zeros(2, 12, 50)
    assert strip_lengths({"signal": signal}) is None
    assert strip_lengths({"signal": signal, "length": torch.tensor([50, 50])}) is None
    assert strip_lengths({"signal": signal, "length": torch.tensor([50, 30])}).tolist() == [50, 30]


# --- predictor -------------------------------------------------------------------------------------------------------


def test_predictor_looks_neither_at_hidden_tokens_nor_at_those_that_do_not_count() -> None:
    torch.manual_seed(0)
    predictor = Predictor(6, 5, rows=3, **SMALL)
    tokens, hidden, keep = torch.randn(2, 12, 6), torch.rand(2, 12) < 0.5, torch.ones(2, 12, dtype=torch.bool)
    keep[1, 8:] = False
    other = torch.where((hidden | ~keep)[..., None], torch.randn(2, 12, 6), tokens)
    first, second = (predictor(t, hidden, (3, 4), keep) for t in (tokens, other))
    assert first.shape == (2, 12, 5)
    torch.testing.assert_close(first[keep], second[keep])
    assert len({tuple(v.tolist()) for v in first[0][hidden[0]]}) == int(hidden[0].sum()), "places differ"


def test_predictor_by_row_fills_in_each_row_alone() -> None:
    torch.manual_seed(0)
    predictor = Predictor(6, 5, rows=3, **SMALL, by_row=True)
    tokens, hidden = torch.randn(2, 12, 6), torch.rand(2, 12) < 0.5
    other = tokens.clone()
    other[:, 4:] += 1
    first, second = (predictor(t, hidden, (3, 4)) for t in (tokens, other))
    torch.testing.assert_close(first[:, :4], second[:, :4])
    assert not torch.allclose(first[:, 4:], second[:, 4:])


# --- loss ------------------------------------------------------------------------------------------------------------


def distance(a: Tensor, b: Tensor, kind: str, beta: float) -> float:
    """Mean over the features, from the formula of the smooth L1 distance."""
    total = 0.0
    for p, t in zip(a.tolist(), b.tolist(), strict=True):
        d = abs(p - t)
        total += d * d if kind == "mse" else (0.5 * d * d / beta if d < beta else d - 0.5 * beta)
    return total / len(a)


def standardised(values: Tensor) -> Tensor:
    """(n, feature) with mean 0 and standard deviation 1 of each feature."""
    return (values - values.mean(0)) / (values.var(0, unbiased=False) + 1e-5).sqrt()


def per_vector(values: Tensor) -> Tensor:
    """Mean 0 and standard deviation 1 of each vector."""
    return (values - values.mean(-1, keepdim=True)) / (values.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()


@pytest.mark.parametrize("normalise", ["batch", "layer"])
@pytest.mark.parametrize("kind", ["mse", "smooth_l1"])
@pytest.mark.parametrize("means", ["contrast", "regress"])
def test_loss_with_a_convolutional_encoder(means: str, kind: str, normalise: str) -> None:
    method = make(distance=kind, normalise=normalise, beta=0.7, visible=0.3, pooled=0.6, summary=means, temperature=0.2)
    x = strips()
    spans, leads = fix_mask(method, x)
    silent = x.clone()
    for b in range(4):
        for step in range(spans.shape[1]):
            if spans[b, step]:
                silent[b, :, 4 * step : 4 * step + 4] = 0
        silent[b, leads[b]] = 0
    expected = 0.0
    with torch.no_grad():
        truth = copy.deepcopy(method.teacher).forward_features(x).transpose(1, 2)
        seen = copy.deepcopy(method.encoder).forward_features(silent).transpose(1, 2)
        guess = method.predictor(seen, spans, (1, 40))
        flat = (standardised if normalise == "batch" else per_vector)(truth.flatten(0, 1)).view_as(truth)
        for b in range(4):
            weights = [1.0 if hide else 0.3 for hide in spans[b].tolist()]
            each = [w * distance(guess[b, s], flat[b, s], kind, 0.7) for s, w in enumerate(weights)]
            expected += sum(each) / sum(weights) / 4
        summary = torch.stack([seen[b][~spans[b]].mean(0) for b in range(4)])
        hidden = torch.stack([truth[b][spans[b]].mean(0) for b in range(4)])
        hidden = (standardised if normalise == "batch" else per_vector)(hidden)
        told = copy.deepcopy(method.head)(summary)
        for b in range(4):
            if means == "regress":
                expected += 0.6 * distance(told[b], hidden[b], kind, 0.7) / 4
            else:
                odds = [math.exp(float(torch.cosine_similarity(told[b], h, 0)) / 0.2) for h in hidden]
                expected -= 0.6 * math.log(odds[b] / sum(odds)) / 4
    assert method.loss({"signal": x}).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("encoder", ["joint", "lead", "lead-conv"])
def test_loss_with_tokens_encoded_one_strip_at_a_time(encoder: str) -> None:
    """Each strip alone, its visible tokens picked out by hand, absent leads among them."""
    method = make(encoder, distance="mse", normalise="layer", pooled=0.0, visible=0.0)
    x = strips()
    x[1, 3] = 0
    spans, leads = fix_mask(method, x)
    expected = 0.0
    with torch.no_grad():
        for b in range(4):
            one, silent = x[b : b + 1], x[b : b + 1].clone()
            silent[:, leads[b]] = 0
            if encoder == "lead-conv":
                for step in range(10):
                    if spans[b, step]:
                        silent[:, :, 16 * step : 16 * step + 16] = 0
            by_lead = encoder != "joint"
            tokens = method.encoder.tokenise(one if encoder == "lead" else silent)[0][0]
            keep = [lead != 3 or b != 1 for lead in range(12) for _ in range(10)] if by_lead else [True] * 10
            hide = [
                bool(spans[b, step]) or (by_lead and bool(leads[b, lead]))
                for lead in range(12 if by_lead else 1)
                for step in range(10)
            ]
            visible = [k for k in range(len(hide)) if keep[k] and not hide[k]]
            whole = torch.zeros(1, len(hide), 16)
            whole[0, visible] = method.encoder.encode(tokens[visible][None])[0]
            grid = (12 if by_lead else 1, 10)
            guess = method.predictor(whole, torch.tensor([hide]), grid, torch.tensor([keep]))[0]
            shown, counts = method.teacher.tokenise(one)
            truth = per_vector(method.teacher.encode(shown, counts)[0])
            asked = [k for k in range(len(hide)) if keep[k] and hide[k]]
            expected += sum(distance(guess[k], truth[k], "mse", 1.0) for k in asked) / len(asked) / 4
    assert method.loss({"signal": x}).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("encoder", list(ENCODERS))
def test_what_is_hidden_is_not_seen(encoder: str) -> None:
    method = make(encoder).eval()
    x = strips()
    spans, leads = method.draw_mask(x)
    stride = method.encoder.stride
    samples = spans.repeat_interleave(stride, 1)[:, None] | leads[..., None]
    other = torch.where(samples, torch.randn_like(x), x)
    look = method.look_at_steps if encoder == "conv1d" else method.look_at_tokens
    first, second = look(x, spans, leads), look(other, spans, leads)
    guess = [method.predictor(seen.encoded, seen.hidden, seen.grid, seen.keep) for seen in (first, second)]
    torch.testing.assert_close(guess[0], guess[1])
    assert not torch.allclose(first.target, second.target)


@pytest.mark.parametrize("encoder", list(ENCODERS))
def test_padding_does_not_matter(encoder: str) -> None:
    """What is drawn does not depend on it either."""
    method, x = make(encoder), strips(4, 128)
    plain = copy.deepcopy(method)
    torch.manual_seed(5)
    alone = plain.loss({"signal": x}).item()
    for padding in (64, 160):
        one = copy.deepcopy(method)
        torch.manual_seed(5)
        more = torch.nn.functional.pad(x, (0, padding))
        loss = one.loss({"signal": more, "length": torch.full((4,), 128)})
        assert loss.item() == pytest.approx(alone, rel=1e-3)


def test_teacher_follows_and_is_released() -> None:
    method = make(momentum=0.9, last_momentum=0.5)
    teacher = copy.deepcopy(dict(method.teacher.named_parameters()))
    student = dict(method.encoder.named_parameters())
    assert method.released is method.teacher
    assert not any(p.requires_grad for p in method.teacher.parameters())
    method.begin_step(0, 100)
    assert all(torch.equal(p, teacher[key]) for key, p in method.teacher.named_parameters())
    method.begin_step(1, 100)
    for key, p in method.teacher.named_parameters():
        torch.testing.assert_close(p, 0.9 * teacher[key] + 0.1 * student[key], rtol=1e-3, atol=1e-4)
    teacher = copy.deepcopy(dict(method.teacher.named_parameters()))
    method.begin_step(99, 100)
    for key, p in method.teacher.named_parameters():
        torch.testing.assert_close(p, 0.5 * teacher[key] + 0.5 * student[key], rtol=1e-3, atol=1e-4)


def test_targets_get_no_gradient_and_everything_else_does() -> None:
    method = make("lead")
    method.loss({"signal": strips()}).backward()
    assert all(p.grad is None for p in method.teacher.parameters())
    silent = [key for key, p in method.named_parameters() if p.requires_grad and p.grad is None]
    assert silent == []


def test_a_single_strip_has_no_batch_statistics() -> None:
    with pytest.raises(SignalError, match="1 strips, the method needs 2"):
        make().loss({"signal": strips(1)})
    assert torch.isfinite(make(pooled=0.0).loss({"signal": strips(1)}))


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"mask_ratio": 1.0}, "mask_ratio 1.0"),
        ({"lead_share": -0.1}, "lead_share -0.1"),
        ({"pooled": -1.0}, "weights"),
        ({"momentum": 1.5}, "momentum"),
        ({"last_momentum": -1.0}, "momentum"),
        ({"normalise": "none"}, "batch or layer"),
        ({"distance": "l1"}, "smooth_l1 or mse"),
        ({"summary": "sum"}, "contrast or regress"),
        ({"temperature": 0.0}, "temperature"),
        ({"beta": 0.0}, "beta"),
        ({"width": 15}, "width"),
        ({"depth": 0}, "depth"),
    ],
)
def test_impossible_parameters(wrong: dict, match: str) -> None:
    with pytest.raises(RecipeError, match=match):
        make(**wrong)
