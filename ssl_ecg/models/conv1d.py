"""Multi-scale convolutional encoder: the small, quick default."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor, nn

from ssl_ecg.errors import SignalError
from ssl_ecg.models.layers import MultiScaleConv, ResidualBlock
from ssl_ecg.models.norm import BatchNorm
from ssl_ecg.models.padding import pool_max, pool_mean
from ssl_ecg.models.stages import StagedEncoder, make_stages
from ssl_ecg.preprocessing import Preprocessing


class Conv1DEncoder(StagedEncoder):
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
    last_gamma : float
        Scale at which the last normalisation of each block starts. At 0 a block starts as its shortcut (He et al.
        2019, doi 10.1109/CVPR.2019.00065, section 3.1).

    Attributes
    ----------
    dim : int
        Length of an embedding.
    n_leads : int
    preprocessing : Preprocessing
        What the input must have gone through.

    Examples
    --------
    >>> import torch
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
        last_gamma: float = 1.0,
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
            nn.ReLU(),
        )
        block = partial(ResidualBlock, kernels=kernels, separable=separable, last_gamma=last_gamma)
        self.stages = make_stages(block, widths[0], widths[1:], [blocks] * (len(widths) - 1), first=2)
        self.n_features = widths[-1]
        self.stride = 2 ** len(widths)
        self.dim = widths[-1] * (2 if pool == "meanmax" else 1)

    def stem_features(
        self, x: Float[Tensor, "batch lead time"], mask: Bool[Tensor, "batch 1 half"] | None
    ) -> tuple[Float[Tensor, "batch feature step"], Bool[Tensor, "batch 1 step"] | None]:
        """Give what enters the first stage, and its mask; `mask` is that of every other sample."""
        convolution, norm, relu = self.stem
        return relu(norm(convolution(x), mask)), mask

    def pool_features(
        self, features: Float[Tensor, "batch feature step"], mask: Bool[Tensor, "batch 1 step"] | None
    ) -> Float[Tensor, "batch dim"]:
        """Pool as `pool` says."""
        if self.pool == "meanmax":
            return super().pool_features(features, mask)
        return (pool_mean if self.pool == "mean" else pool_max)(features, mask)
