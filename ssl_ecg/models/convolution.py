"""Convolution over time that is quick on a processor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

Ints: TypeAlias = tuple[int, ...]


class Conv1d(nn.Conv1d):
    """`torch.nn.Conv1d`, whose output on a processor has the feature maps of a step side by side in memory.

    Shapes, weights and results are those of torch's, but for rounding. Convolutions work on whole steps; in torch's
    own layout, which has the steps of a feature map side by side, each turns its input and its output over, in both
    directions. There is such a layout in two dimensions only ("channels-last"), so the time axis is the width of an
    image that is one row high. What stands between convolutions keeps the layout: activations, sums and pooling as
    they are, normalisation as `ssl_ecg.models.norm.BatchNorm`.

    Examples
    --------
    >>> convolution = Conv1d(12, 32, 15, stride=2, padding=7)
    >>> features = convolution(torch.randn(4, 12, 1000))
    >>> features.shape, features.stride(1)
    (torch.Size([4, 32, 500]), 1)
    """

    def forward(self, x: Float[Tensor, "batch n_in time"]) -> Float[Tensor, "batch n_out step"]:
        """Convolve."""
        if isinstance(self.padding, str) or self.padding_mode != "zeros":
            return super().forward(x)
        return _convolve(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class DoublingConv1d(Conv1d):
    """Nearest-neighbour up-sampling by two, then a convolution; in one, so that the longer strip is never made.

    Each step of the input stands for two neighbours, for which the kernel's weights can be added up beforehand: one
    sum for the even steps of the output, another for the odd ones. Both together take 5 products where a kernel of 7
    takes 7, and 5 for 9. Weights are those of the convolution that follows the up-sampling.

    Parameters
    ----------
    n_in, n_out : int
        Feature maps.
    kernel : int
        Odd kernel length [steps of the output].
    bias : bool
        Add a bias.

    Examples
    --------
    >>> DoublingConv1d(32, 16, 7)(torch.randn(4, 32, 125)).shape
    torch.Size([4, 16, 250])
    """

    sums: Tensor

    def __init__(self, n_in: int, n_out: int, kernel: int, *, bias: bool = True) -> None:
        before = kernel // 2
        super().__init__(n_in, n_out, kernel, padding=before, bias=bias)
        self.reach = (before + 1) // 2  # steps of the input to either side
        sums = torch.zeros(kernel, 2, 2 * self.reach + 1)
        for odd in range(2):
            for k in range(kernel):
                sums[k, odd, (odd + k - before) // 2 + self.reach] = 1
        self.register_buffer("sums", sums, persistent=False)

    def forward(self, x: Float[Tensor, "batch n_in step"]) -> Float[Tensor, "batch n_out double_step"]:
        """Up-sample and convolve: (batch, n_in, step) -> (batch, n_out, 2 step)."""
        weight = torch.einsum("oik,kdj->doij", self.weight, self.sums).flatten(0, 1)
        bias = None if self.bias is None else self.bias.repeat(2)
        both = _convolve(x, weight, bias, self.stride, (self.reach,), self.dilation, self.groups)
        return both.mT.reshape(len(x), 2 * x.shape[-1], self.out_channels).mT


def _convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> Tensor:
    if x.device.type != "cpu":
        return F.conv1d(x, weight, bias, stride, padding, dilation, groups)
    n_out, n_in, length = weight.shape
    if x.shape[-1] < length * stride[0]:  # so few steps, mostly padding, are quicker as they were
        return F.conv1d(x.contiguous(), weight, bias, stride, padding, dilation, groups)
    image = x.unsqueeze(2).contiguous(memory_format=torch.channels_last)
    # by way of rows, so that gradients come back in the layout of the weights, as several processes want them
    rows = weight.flatten(1).view(n_out, n_in, 1, length).contiguous(memory_format=torch.channels_last)
    return F.conv2d(image, rows, bias, (1, *stride), (0, *padding), (1, *dilation), groups).squeeze(2)


def join_maps(parts: Sequence[Float[Tensor, "batch _ time"]]) -> Float[Tensor, "batch feature time"]:
    """Join feature maps, in the layout of `Conv1d`, which `torch.cat` knows of images only."""
    return torch.cat([part.unsqueeze(2) for part in parts], dim=1).squeeze(2) if len(parts) > 1 else parts[0]
