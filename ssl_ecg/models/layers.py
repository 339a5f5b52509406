"""Building blocks of the convolutional encoders."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_ecg.models.convolution import Conv1d, join_maps
from ssl_ecg.models.norm import BatchNorm
from ssl_ecg.models.padding import average_pool, halve_mask


class MultiScaleConv(nn.Module):
    """Parallel convolutions of several kernel lengths, their outputs joined.

    Parameters
    ----------
    n_in, n_out : int
        Feature maps in and out; the outputs are shared out evenly over the kernels.
    kernels : sequence of odd int
        Kernel lengths [samples].
    stride : int
    separable : bool
        Depthwise separable: each kernel filters its share of the inputs one by one, then a convolution of
        length 1 mixes them (Chollet 2017, arXiv 1610.02357).

    References
    ----------
    Several temporal scales side by side: Ismail Fawaz et al. 2020, InceptionTime, doi 10.1007/s10618-020-00710-y.
    """

    def __init__(
        self, n_in: int, n_out: int, kernels: Sequence[int], *, stride: int = 1, separable: bool = False
    ) -> None:
        super().__init__()
        shared = n_in if separable else n_out
        self.shares = [shared // len(kernels) + (k < shared % len(kernels)) for k in range(len(kernels))]
        self.separable = separable
        self.scales = nn.ModuleList(
            Conv1d(
                share if separable else n_in, share, kernel, stride, kernel // 2,
                groups=share if separable else 1, bias=False,
            )
            for share, kernel in zip(self.shares, kernels, strict=True)
        )  # fmt: skip
        self.mix = Conv1d(n_in, n_out, 1, bias=False) if separable else nn.Identity()

    def forward(self, x: Float[Tensor, "batch n_in time"]) -> Float[Tensor, "batch n_out step"]:
        """Convolve; ``step = ceil(time / stride)``."""
        if self.separable:
            parts = [conv(part) for conv, part in zip(self.scales, torch.split(x, self.shares, dim=1), strict=True)]
        else:
            parts = [conv(x) for conv in self.scales]
        out: Tensor = self.mix(join_maps(parts))
        return out


class ResidualBlock(nn.Module):
    """Two multi-scale convolutions with batch normalisation and a shortcut.

    References
    ----------
    He et al. 2016, doi 10.1109/CVPR.2016.90; the shortcut averages before its 1x1 convolution, as in
    He et al. 2019 (ResNet-D, doi 10.1109/CVPR.2019.00065).
    """

    def __init__(
        self, n_in: int, n_out: int, stride: int = 1, *, kernels: Sequence[int], separable: bool, last_gamma: float
    ) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = MultiScaleConv(n_in, n_out, kernels, stride=stride, separable=separable)
        self.norm1 = BatchNorm(n_out)
        self.conv2 = MultiScaleConv(n_out, n_out, kernels, separable=separable)
        self.norm2 = BatchNorm(n_out)
        nn.init.constant_(self.norm2.weight, last_gamma)
        self.shortcut = Shortcut(n_in, n_out, stride) if stride > 1 or n_in != n_out else None

    def forward(
        self, x: Float[Tensor, "batch n_in time"], mask: Bool[Tensor, "batch 1 time"] | None = None
    ) -> Float[Tensor, "batch n_out step"]:
        """Apply the block; padding, where the mask is False, is zero and stays zero."""
        shorter = halve_mask(mask, self.stride)
        y = F.relu(self.norm1(self.conv1(x), shorter))
        y = self.norm2(self.conv2(y), shorter)
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x, mask)))


class Shortcut(nn.Sequential):
    """Averaging over the stride, a convolution of length 1, batch normalisation (ResNet-D)."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        # the first place is kept so that the weights keep their names in released checkpoints
        super().__init__(nn.Identity(), Conv1d(n_in, n_out, 1, bias=False), BatchNorm(n_out))
        self.stride = stride

    def forward(
        self, x: Float[Tensor, "batch n_in time"], mask: Bool[Tensor, "batch 1 time"] | None = None
    ) -> Float[Tensor, "batch n_out step"]:
        """Apply the shortcut."""
        pooled = average_pool(x, mask, self.stride) if self.stride > 1 else x
        out: Tensor = self[2](self[1](pooled), halve_mask(mask, self.stride))
        return out
