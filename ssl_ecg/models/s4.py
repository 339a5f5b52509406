"""State-space encoder: S4D layers behind a strided convolution."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_ecg.errors import SignalError
from ssl_ecg.models.convolution import Conv1d
from ssl_ecg.models.norm import BatchNorm
from ssl_ecg.models.padding import pool_mean, step_mask
from ssl_ecg.models.state_space import StateSpace
from ssl_ecg.preprocessing import Preprocessing


class StepNorm(nn.Module):
    """Layer or batch normalisation of steps of which those past the end of a strip come out as zero."""

    def __init__(self, width: int, kind: Literal["layer", "batch"]) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width) if kind == "layer" else BatchNorm(width)

    def forward(
        self, x: Float[Tensor, "batch step width"], mask: Bool[Tensor, "batch 1 step"] | None = None
    ) -> Float[Tensor, "batch step width"]:
        """Normalise every step over its features, or every feature over steps and strips."""
        if isinstance(self.norm, BatchNorm):
            normed: Tensor = self.norm(x.transpose(1, 2), mask)
            return normed.transpose(1, 2).contiguous()
        y: Tensor = self.norm(x)
        return y if mask is None else y * mask.transpose(1, 2)


class S4Block(nn.Module):
    """Normalisation, state space, GELU and a gated mixture of the features, beside a shortcut."""

    def __init__(
        self, width: int, state: int, *, bidirectional: bool, init: Literal["lin", "inv"],
        norm: Literal["layer", "batch"], dropout: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.norm = StepNorm(width, norm)
        self.state_space = StateSpace(width, state, bidirectional=bidirectional, init=init)
        self.mix = nn.Linear(width, 2 * width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch step width"], mask: Bool[Tensor, "batch 1 step"] | None = None
    ) -> Float[Tensor, "batch step width"]:
        """Apply the block; what it adds past the end of a strip is never looked at."""
        filtered = self.state_space(self.norm(x, mask))
        out: Tensor = x + self.dropout(F.glu(self.mix(self.dropout(F.gelu(filtered))), dim=2))
        return out


class S4Encoder(nn.Module):
    """Strided convolution, state-space blocks (S4D) over the whole strip, and the mean over time.

    Parameters
    ----------
    n_leads : int
    width, depth : int
        Feature maps and blocks.
    state : even int
        States per feature map.
    stride : int
        Samples per step; 1 gives the state spaces every sample, and takes longer.
    kernel : odd int
        Length of the first convolution [samples].
    bidirectional : bool
        Look ahead too; without it no step sees beyond the first convolution's reach.
    init : {"lin", "inv"}
        Frequencies of the states at the start.
    norm : {"layer", "batch"}
    dropout : float

    References
    ----------
    Gu et al. 2022, arXiv 2206.11893; for electrocardiograms, with 4 blocks of 512 feature maps and 8 states and every
    sample: Mehari and Strodthoff 2022, Advancing the state of the art for ECG analysis through structured state space
    models, arXiv 2211.07579.

    Examples
    --------
    >>> import torch
    >>> encoder = S4Encoder(width=8, depth=1, state=4)
    >>> encoder(torch.zeros(2, 12, 250)).shape
    torch.Size([2, 8])
    """

    def __init__(
        self,
        *,
        n_leads: int = 12,
        width: int = 192,
        depth: int = 4,
        state: int = 16,
        stride: int = 4,
        kernel: int = 9,
        bidirectional: bool = True,
        init: Literal["lin", "inv"] = "lin",
        norm: Literal["layer", "batch"] = "layer",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if min(n_leads, width, depth, stride, kernel) < 1 or kernel % 2 == 0:
            problem = f"{depth} blocks of width {width}, stride {stride}, kernel {kernel}, {n_leads} leads"
            raise SignalError("s4", problem, "give positive sizes and an odd kernel")
        if norm not in ("layer", "batch"):
            raise SignalError("s4", f"unknown norm {norm!r}", "choose layer or batch")
        self.n_leads, self.stride = n_leads, stride
        self.dim = self.n_features = width
        self.preprocessing = Preprocessing()
        self.stem = Conv1d(n_leads, width, kernel, stride, kernel // 2)
        self.blocks = nn.ModuleList(
            S4Block(width, state, bidirectional=bidirectional, init=init, norm=norm, dropout=dropout)
            for _ in range(depth)
        )
        self.norm = StepNorm(width, norm)

    def forward_features(
        self, x: Float[Tensor, "batch lead time"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch feature step"]:
        """Give the feature map before pooling; ``step = ceil(time / stride)``, zero past a strip's end."""
        mask = step_mask(lengths, x.shape[-1], self.stride)
        y = self.stem(x).transpose(1, 2).contiguous()
        for block in self.blocks:
            y = block(y, mask)
        out: Tensor = self.norm(y, mask)
        return out.transpose(1, 2)

    def forward(
        self, x: Float[Tensor, "batch lead time"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch dim"]:
        """Embed strips of any length.

        Parameters
        ----------
        x : Tensor (batch, lead, time)
        lengths : int Tensor (batch,), optional
            Samples of each strip, where shorter ones are followed by zeros.
        """
        return pool_mean(self.forward_features(x, lengths), step_mask(lengths, x.shape[-1], self.stride))
