"""JEPA: predict what a teacher makes of the hidden parts of a strip, from the parts that are seen."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_ecg.errors import RecipeError
from ssl_ecg.methods.base import Batch, check_positive, gate
from ssl_ecg.methods.gathering import info_nce
from ssl_ecg.methods.masking import draw_leads, draw_spans, put_tokens, strip_lengths, take_tokens
from ssl_ecg.methods.predictor import Predictor, hidden_mean
from ssl_ecg.methods.teacher import check_momentum, follow, make_teacher, momentum_at
from ssl_ecg.models.norm import BatchNorm
from ssl_ecg.models.padding import step_mask
from ssl_ecg.models.patches import TokenEncoder


class Seen(NamedTuple):
    """What encoder and teacher make of a batch."""

    encoded: Float[Tensor, "batch token feature"]
    target: Float[Tensor, "batch token feature"]
    hidden: Bool[Tensor, "batch token"]
    keep: Bool[Tensor, "batch token"] | None
    grid: tuple[int, int]


class JEPA(nn.Module):
    """Joint-embedding prediction in time and over leads, with a teacher that follows the encoder.

    The teacher sees the whole strip; its normalised features are the targets. The encoder sees the strip without some
    spans of time and some leads, and a small transformer fills in the features at the hidden steps. Besides, the mean
    of what is hidden is predicted from the mean of what the encoder makes of the rest. Nothing is reconstructed, so
    that noise need not be modelled. Encoders with tokens (`TokenEncoder`) are given the visible tokens only; all
    others a strip that is zero where it is hidden.

    Parameters
    ----------
    encoder : nn.Module
        With `.forward_features`, `.n_features`, `.stride` and `.n_leads`.
    mask_ratio : float
        Share of the steps that are hidden in all leads, between 0 and 1.
    span : int
        Length of a hidden span [samples].
    lead_share : float
        Largest share of the leads that are hidden throughout; each number up to it is as likely.
    pooled : float
        Weight of predicting the mean of the hidden part from the mean of the rest; it shapes what is embedded, the
        steps shape what that is made of.
    summary : {"contrast", "regress"}
        How means are compared: the true one is told from those of the other strips of the batch, or by distance.
    temperature : float
        Of the contrast.
    visible : float
        Weight of steps that are seen, against 1 for hidden ones: what the teacher makes of all leads is then
        predicted there from those that are left. Tokens of single leads that are seen never count.
    momentum, last_momentum : float
        Of the teacher at the first step and at the last, along a cosine. At 1 it would come to rest while the encoder
        still learns, which costs more than it steadies in runs of some hundred steps.
    width, depth, heads : int
        Of the predictor.
    normalise : {"batch", "layer"}
        Targets have mean 0 and standard deviation 1 for each feature over batch and steps, so that what strips differ
        in counts as much as what steps have in common and no feature can die out, or at each step over the features.
    distance : {"smooth_l1", "mse"}
    beta : float
        Where the smooth L1 distance turns from square to straight.

    Raises
    ------
    RecipeError
        If a parameter is out of range.

    References
    ----------
    Assran et al. 2023, I-JEPA, arXiv 2301.08243, section 3; on ECG: Kim 2024, ECG-JEPA, arXiv 2410.08559; normalised
    targets at hidden steps of a network that sees what is left: Baevski et al. 2022, data2vec, arXiv 2202.03555.
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        mask_ratio: float = 0.5,
        span: int = 100,
        lead_share: float = 0.5,
        pooled: float = 1.0,
        summary: Literal["contrast", "regress"] = "contrast",
        temperature: float = 0.1,
        visible: float = 0.2,
        momentum: float = 0.98,
        last_momentum: float = 0.995,
        width: int = 128,
        depth: int = 2,
        heads: int = 4,
        normalise: Literal["batch", "layer"] = "batch",
        distance: Literal["smooth_l1", "mse"] = "smooth_l1",
        beta: float = 1.0,
    ) -> None:
        super().__init__()
        check_positive(span=span, beta=beta, temperature=temperature)
        check_momentum(momentum)
        check_momentum(last_momentum)
        if not (0 < mask_ratio < 1 and 0 <= lead_share < 1 and min(visible, pooled) >= 0):
            problem = f"mask_ratio {mask_ratio}, lead_share {lead_share}, visible {visible}, pooled {pooled}"
            raise RecipeError("jepa", problem, "give shares between 0 and 1 and weights of 0 or more")
        _check_choice("normalise", normalise, ("batch", "layer"))
        _check_choice("distance", distance, ("smooth_l1", "mse"))
        _check_choice("summary", summary, ("contrast", "regress"))
        self.encoder = encoder
        self.teacher = make_teacher(encoder)
        self.momentum, self.last_momentum = momentum, last_momentum
        self.mask_ratio, self.span, self.lead_share, self.visible = mask_ratio, span, lead_share, visible
        self.summary, self.temperature = summary, temperature
        self.pooled, self.normalise, self.distance, self.beta = pooled, normalise, distance, beta
        n_features = int(encoder.n_features)  # type: ignore[arg-type]
        rows = int(encoder.n_leads) if getattr(encoder, "tokens", "joint") == "lead" else 1  # type: ignore[arg-type]
        self.predictor = Predictor(n_features, n_features, rows=rows, width=width, depth=depth, heads=heads)
        self.token_norm, self.mean_norm = BatchNorm(n_features, affine=False), BatchNorm(n_features, affine=False)
        hidden = (nn.Linear(n_features, 2 * n_features, bias=False), nn.BatchNorm1d(2 * n_features), nn.ReLU())
        self.head = nn.Sequential(*hidden, nn.Linear(2 * n_features, n_features)) if pooled > 0 else None

    @property
    def released(self) -> nn.Module:
        """The teacher, an average of the encoder over many steps."""
        teacher: nn.Module = self.teacher
        return teacher

    def begin_step(self, step: int, steps: int) -> None:
        """Let the teacher follow what the last step made of the encoder."""
        if step > 0:
            momentum = momentum_at(step, steps, self.momentum, self.last_momentum)
            follow(self.teacher, self.encoder, momentum)

    def draw_mask(
        self, x: Float[Tensor, "batch lead time"], lengths: Int[Tensor, " batch"] | None = None
    ) -> tuple[Bool[Tensor, "batch step"], Bool[Tensor, "batch lead"]]:
        """Draw the steps and the leads to hide, for each strip among its own: padding is never hidden."""
        stride = int(self.encoder.stride)  # type: ignore[arg-type]
        steps = -(-x.shape[-1] // stride)
        span = max(1, round(self.span / stride))
        own = None if lengths is None else (lengths + stride - 1) // stride
        spans = draw_spans(x.shape[0], steps, ratio=self.mask_ratio, span=span, own=own, device=x.device)
        return spans, draw_leads((x != 0).any(dim=2), self.lead_share)

    def loss(self, batch: Batch) -> Tensor:
        """Compare predicted and true features of the teacher.

        Raises
        ------
        SignalError
            If the batch is empty or not finite.
        """
        x = gate(batch, at_least=1 if self.head is None else 2)
        lengths = strip_lengths(batch)
        spans, leads = self.draw_mask(x, lengths)
        look = self.look_at_tokens if isinstance(self.encoder, TokenEncoder) else self.look_at_steps
        seen = look(x, spans, leads, lengths)
        predicted = self.predictor(seen.encoded, seen.hidden, seen.grid, seen.keep)
        with torch.autocast(x.device.type, enabled=False):
            keep = torch.ones_like(seen.hidden) if seen.keep is None else seen.keep
            by_lead = seen.grid[0] > 1
            weight = seen.hidden.float() if by_lead else seen.hidden.float().clamp(min=self.visible)
            target = self.normalised(seen.target.float(), keep)
            value = hidden_mean(self._compare(predicted.float(), target), weight * keep)
            if self.head is not None:
                value = value + self.pooled * self.compare_means(seen, keep)
            return value

    def compare_means(self, seen: Seen, keep: Bool[Tensor, "batch token"]) -> Float[Tensor, ""]:
        """Compare the mean of what is hidden, as the teacher sees it, with what the mean of the rest tells of it."""
        guess: Tensor = self.head(_mean(seen.encoded.float(), keep & ~seen.hidden))  # type: ignore[misc]
        truth = _mean(seen.target.float(), keep & seen.hidden)
        truth = self.mean_norm(truth) if self.normalise == "batch" else F.layer_norm(truth, truth.shape[1:])
        if self.summary == "contrast":
            return info_nce(guess, truth, self.temperature)
        return self._compare(guess, truth).mean()

    def normalised(
        self, target: Float[Tensor, "batch token feature"], keep: Bool[Tensor, "batch token"]
    ) -> Float[Tensor, "batch token feature"]:
        """Normalise the teacher's features; in several processes by the statistics of the whole batch."""
        if self.normalise == "layer":
            return F.layer_norm(target, target.shape[2:])
        normed: Tensor = self.token_norm(target.transpose(1, 2), None if bool(keep.all()) else keep[:, None])
        return normed.transpose(1, 2)

    def look_at_steps(
        self,
        x: Float[Tensor, "batch lead time"],
        spans: Bool[Tensor, "batch step"],
        leads: Bool[Tensor, "batch lead"],
        lengths: Int[Tensor, " batch"] | None = None,
    ) -> Seen:
        """Show an encoder of whole strips zeros where they are hidden."""
        with torch.no_grad():
            target = self.teacher.forward_features(x, lengths).transpose(1, 2)
        features = self.encoder.forward_features(self._silence(x, spans, leads), lengths)  # type: ignore[operator]
        mask = step_mask(lengths, x.shape[-1], int(self.encoder.stride))  # type: ignore[arg-type]
        keep = None if mask is None else mask[:, 0]
        return Seen(features.transpose(1, 2), target, spans, keep, (1, spans.shape[1]))

    def look_at_tokens(
        self,
        x: Float[Tensor, "batch lead time"],
        spans: Bool[Tensor, "batch step"],
        leads: Bool[Tensor, "batch lead"],
        lengths: Int[Tensor, " batch"] | None = None,
    ) -> Seen:
        """Give an encoder with tokens those that are not hidden."""
        encoder, teacher = self.encoder, self.teacher
        grid: tuple[int, int] = encoder.grid(x.shape[-1])  # type: ignore[operator]
        with torch.no_grad():
            whole, keep = teacher.tokenise(x, lengths)
            target = teacher.encode(whole, keep)
        by_lead = encoder.tokens == "lead"
        hidden = (spans[:, None] | leads[:, :, None]).flatten(1) if by_lead else spans
        silent = x
        if not encoder.local:
            silent = self._silence(x, spans, leads)
        elif not by_lead:
            silent = x.masked_fill(leads[..., None], 0.0)
        tokens, _ = encoder.tokenise(silent, lengths)  # type: ignore[operator]
        fewer, kept, index = take_tokens(tokens, keep & ~hidden)
        encoded = put_tokens(encoder.encode(fewer, kept), index, hidden.shape[1])  # type: ignore[operator]
        return Seen(encoded, target, hidden, keep, grid)

    def _silence(self, x: Tensor, spans: Tensor, leads: Tensor) -> Tensor:
        """Set what is hidden to zero, which is what an absent lead is."""
        samples = spans.repeat_interleave(int(self.encoder.stride), dim=1)[:, : x.shape[-1]]  # type: ignore[arg-type]
        return x.masked_fill(samples[:, None] | leads[..., None], 0.0)

    def _compare(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Average the distance over the features."""
        if self.distance == "mse":
            return (predicted - target).square().mean(dim=-1)
        return F.smooth_l1_loss(predicted, target, beta=self.beta, reduction="none").mean(dim=-1)


def _check_choice(name: str, value: str, known: tuple[str, str]) -> None:
    if value not in known:
        raise RecipeError(f"method.{name}", f"unknown {value!r}", f"choose {known[0]} or {known[1]}")


def _mean(
    x: Float[Tensor, "batch token feature"], counts: Bool[Tensor, "batch token"]
) -> Float[Tensor, "batch feature"]:
    """Average over the tokens that count."""
    return (x * counts[..., None]).sum(dim=1) / counts.sum(dim=1, keepdim=True).clamp(min=1)
