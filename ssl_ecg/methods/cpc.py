"""CPC: tell the features of what comes next from those of other moments and other strips."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_ecg.errors import RecipeError, SignalError
from ssl_ecg.methods.base import Batch, check_positive, gate
from ssl_ecg.methods.gathering import gathered
from ssl_ecg.methods.masking import strip_lengths
from ssl_ecg.methods.predictor import hidden_mean
from ssl_ecg.models.padding import step_mask


class CPC(nn.Module):
    """Contrastive predictive coding over the steps of a feature map.

    A recurrent network reads the features up to a moment and predicts those of later steps. What is kept is the
    encoder; the context network is thrown away.

    Parameters
    ----------
    encoder : nn.Module
        With `.forward_features`, `.n_features` and `.stride`; with a window, `.dim`.
    first, horizon : int
        First step ahead that is predicted, and number of steps from there on. Where `first` is less than what a
        feature sees to either side, part of the answer is in the question.
    window : int, optional
        Encode the strip in pieces of so many samples, each alone, and predict their embeddings instead of the steps
        of one feature map. Then no feature has seen what is to be predicted, whatever the encoder: wanted for
        transformers, which see the whole strip at every step.
    context_dim, layers : int
        Of the recurrent network.
    cell : {"gru", "lstm"}
    out_dim : int
        Length of the vectors that are compared.
    negatives : {"both", "same", "other"}
        What a prediction is told from: the other steps of its own strip, the same step of other strips, or both.
    anchors : int
        Moments per batch at which predictions begin, drawn at random; all of them where there are fewer.
    temperature : float

    Raises
    ------
    RecipeError
        If a parameter is out of range.

    References
    ----------
    van den Oord et al. 2018, arXiv 1807.03748, equations 3 and 4, here with vectors of unit length over a temperature;
    on ECG: Mehari and Strodthoff 2022, doi 10.1016/j.compbiomed.2021.105114; pieces that are encoded alone: Hénaff et
    al. 2020, arXiv 1905.09272.
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        first: int = 1,
        horizon: int = 8,
        window: int | None = None,
        context_dim: int = 256,
        layers: int = 1,
        cell: Literal["gru", "lstm"] = "gru",
        out_dim: int = 128,
        negatives: Literal["both", "same", "other"] = "both",
        anchors: int = 16,
        temperature: float = 0.1,
    ) -> None:
        super().__init__()
        check_positive(first=first, horizon=horizon, window=1 if window is None else window, context_dim=context_dim)
        check_positive(layers=layers, out_dim=out_dim, anchors=anchors, temperature=temperature)
        if cell not in ("gru", "lstm") or negatives not in ("both", "same", "other"):
            problem = f"cell {cell!r}, negatives {negatives!r}"
            raise RecipeError("cpc", problem, "choose gru or lstm, and both, same or other")
        self.encoder = encoder
        self.first, self.horizon, self.window, self.anchors = first, horizon, window, anchors
        self.negatives, self.temperature = negatives, temperature
        n_in = int(encoder.n_features if window is None else encoder.dim)  # type: ignore[arg-type]
        self.context = (nn.GRU if cell == "gru" else nn.LSTM)(n_in, context_dim, layers, batch_first=True)
        self.project = nn.Linear(n_in, out_dim, bias=False)
        self.predict = nn.ModuleList(nn.Linear(context_dim, out_dim, bias=False) for _ in range(horizon))

    def loss(self, batch: Batch) -> Tensor:
        """Give the cross-entropy of finding the true step among the candidates, over strips, moments and horizon.

        Raises
        ------
        SignalError
            If the batch is empty or not finite, or its strips are too short for the horizon.
        """
        x = gate(batch, at_least=1 if self.negatives == "same" else 2)
        features, keep = self.sequence(x, strip_lengths(batch))
        n_starts = features.shape[1] - self.first - self.horizon + 1
        if n_starts < 1:
            problem = f"strips of {features.shape[1]} steps, predicted {self.first + self.horizon - 1} ahead"
            raise SignalError("batch", problem, "give longer strips (data.seconds) or a shorter horizon")
        starts = torch.randperm(n_starts, device=x.device)[: self.anchors].sort().values
        with torch.autocast(x.device.type, enabled=False):
            context = self.context(features)[0][:, starts]
            targets = F.normalize(self.project(features), dim=2)
            everyone, everyone_kept = gathered(targets), gathered(keep.float()) > 0
            errors, counts = [], []
            for k, predict in enumerate(self.predict):
                ahead = starts + self.first + k
                predicted = F.normalize(predict(context), dim=2)
                own = self.own_scores(predicted, targets, keep, ahead)
                other = self.other_scores(predicted, everyone[:, ahead], everyone_kept[:, ahead])
                true = (predicted * targets[:, ahead]).sum(dim=2, keepdim=True) / self.temperature
                errors.append(torch.cat([true, *own, *other], dim=2).logsumexp(dim=2) - true[..., 0])
                counts.append(keep[:, ahead])
            return hidden_mean(torch.cat(errors, dim=1), torch.cat(counts, dim=1))

    def sequence(
        self, x: Float[Tensor, "batch lead time"], lengths: Int[Tensor, " batch"] | None = None
    ) -> tuple[Float[Tensor, "batch step feature"], Bool[Tensor, "batch step"]]:
        """Give the features to predict in float32, and which of the steps belong to the strips."""
        if self.window is None:
            features = self.encoder.forward_features(x, lengths).transpose(1, 2)  # type: ignore[operator]
            mask = step_mask(lengths, x.shape[-1], int(self.encoder.stride))  # type: ignore[arg-type]
            keep = torch.ones(features.shape[:2], dtype=torch.bool, device=x.device) if mask is None else mask[:, 0]
            return features.float(), keep
        steps = x.shape[-1] // self.window
        pieces = x[..., : steps * self.window].reshape(*x.shape[:2], steps, self.window).transpose(1, 2)
        ends = (torch.arange(steps, device=x.device) + 1) * self.window
        keep = (
            torch.ones_like(ends, dtype=torch.bool).expand(len(x), -1) if lengths is None else ends <= lengths[:, None]
        )
        embedded = self.encoder(pieces[keep]).float()  # padding is not encoded, so that it is in no batch statistics
        return embedded.new_zeros(*keep.shape, embedded.shape[1]).index_put((keep,), embedded), keep

    def own_scores(
        self,
        predicted: Float[Tensor, "batch anchor dim"],
        targets: Float[Tensor, "batch step dim"],
        keep: Bool[Tensor, "batch step"],
        ahead: Int[Tensor, " anchor"],
    ) -> list[Float[Tensor, "batch anchor step"]]:
        """Score the other steps of the strip itself; one that does not count has a score of minus infinity."""
        if self.negatives == "other":
            return []
        itself = ahead[:, None] == torch.arange(targets.shape[1], device=ahead.device)
        scores = predicted @ targets.transpose(1, 2) / self.temperature
        return [scores.masked_fill(itself | ~keep[:, None], -torch.inf)]

    def other_scores(
        self,
        predicted: Float[Tensor, "local anchor dim"],
        everyone: Float[Tensor, "batch anchor dim"],
        keep: Bool[Tensor, "batch anchor"],
    ) -> list[Float[Tensor, "local anchor batch"]]:
        """Score the same step of the other strips, those of other processes too."""
        if self.negatives == "same":
            return []
        from lightly.utils.dist import rank

        rows = torch.arange(len(predicted), device=predicted.device) + rank() * len(predicted)
        itself = rows[:, None, None] == torch.arange(len(everyone), device=predicted.device)
        scores = torch.einsum("bad,cad->bac", predicted, everyone) / self.temperature
        return [scores.masked_fill(itself | ~keep.T[None], -torch.inf)]
