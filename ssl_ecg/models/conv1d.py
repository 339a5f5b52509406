"""Multi-scale convolutional encoder: the small, quick default."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ssl_ecg.errors import SignalError
from ssl_ecg.models.layers import MultiScaleConv, ResidualBlock
from ssl_ecg.models.norm import BatchNorm
from ssl_ecg.models.padding import halve_mask, pool_max, pool_mean, step_mask
from ssl_ecg.preprocessing import Preprocessing


class Conv1DEncoder(nn.Module):
    """Stem, residual stages that halve the time axis, and pooling over time.

    Parameters
    ----------
    n_leads : int
    widths : sequence of int
        Feature maps of the stem and of each stage.
    stem_kernels, kernels : sequence of odd int
        Kernel lengths that run side by side in the stem and in every later convolution [samples].
    blocks : int
        Residual blocks per stage.
    separable : bool
        Depthwise separable convolutions: fewer weights, for small devices.
    pool : {"mean", "max", "meanmax"}
        Pooling over time; "meanmax" joins both and doubles `dim`.

    Attributes
    ----------
    dim : int
        Length of an embedding.
    n_leads : int
    preprocessing : Preprocessing
        What the input must have gone through.

    Examples
    --------
    >>> encoder = Conv1DEncoder(widths=(8, 16))
    >>> encoder(torch.zeros(2, 12, 250)).shape
    torch.Size([2, 16])
    """

    def __init__(
        self,
        *,
        n_leads: int = 12,
        widths: Sequence[int] = (32, 64, 128, 256),
        stem_kernels: Sequence[int] = (15,),
        kernels: Sequence[int] = (7,),
        blocks: int = 1,
        separable: bool = False,
        pool: Literal["mean", "max", "meanmax"] = "mean",
    ) -> None:
        super().__init__()
        odd = bool(stem_kernels and kernels) and all(k > 0 and k % 2 for k in (*stem_kernels, *kernels))
        if len(widths) < 2 or min(widths) < 1 or not odd:
            problem = f"widths {tuple(widths)}, kernels {tuple(stem_kernels)} and {tuple(kernels)}"
            raise SignalError("conv1d", problem, "give at least two widths and odd kernel lengths")
        if pool not in ("mean", "max", "meanmax"):
            raise SignalError("conv1d", f"unknown pool {pool!r}", "choose mean, max or meanmax")
        self.n_leads = n_leads
        self.pool = pool
        self.preprocessing = Preprocessing()
        self.stem = nn.Sequential(
            MultiScaleConv(n_leads, widths[0], stem_kernels, stride=2),
            BatchNorm(widths[0]),
            nn.ReLU(inplace=True),
        )
        stages: list[nn.Module] = []
        for n_in, n_out in itertools.pairwise(widths):
            for block in range(blocks):
                first = block == 0
                stages.append(
                    ResidualBlock(
                        n_in if first else n_out,
                        n_out,
                        kernels,
                        stride=2 if first else 1,
                        separable=separable,
                    )
                )
        self.stages = nn.Sequential(*stages)
        self.n_features = widths[-1]
        self.stride = 2 ** len(widths)
        self.dim = widths[-1] * (2 if pool == "meanmax" else 1)

    def forward_features(
        self, x: Float[Tensor, "batch lead time"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch feature step"]:
        """Give the feature map before pooling; ``step = ceil(time / stride)``, zero past a strip's end."""
        mask = step_mask(lengths, x.shape[-1], 2)
        convolution, norm, relu = self.stem
        y: Tensor = relu(norm(convolution(x), mask))
        for block in self.stages:
            y = block(y, mask)
            mask = halve_mask(mask, block.stride)  # type: ignore[arg-type]
        return y

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
        features = self.forward_features(x, lengths)
        mask = step_mask(lengths, x.shape[-1], self.stride)
        pools = {"mean": (pool_mean,), "max": (pool_max,), "meanmax": (pool_mean, pool_max)}[self.pool]
        pooled = [pool(features, mask) for pool in pools]
        return pooled[0] if len(pooled) == 1 else torch.cat(pooled, dim=1)
