"""Convolution over time that is quick on a processor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


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
        if x.device.type != "cpu" or isinstance(self.padding, str) or self.padding_mode != "zeros":
            return super().forward(x)
        if x.shape[-1] < self.kernel_size[0] * self.stride[0]:  # so few steps, mostly padding, are quicker as they were
            return super().forward(x.contiguous())
        n_out, n_in, length = self.weight.shape
        image = x.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        # by way of rows, so that gradients come back in the layout of the weights, as several processes want them
        weight = self.weight.flatten(1).view(n_out, n_in, 1, length).contiguous(memory_format=torch.channels_last)
        stride, padding, dilation = (1, *self.stride), (0, *self.padding), (1, *self.dilation)
        return F.conv2d(image, weight, self.bias, stride, padding, dilation, self.groups).squeeze(2)


def join_maps(parts: Sequence[Float[Tensor, "batch _ time"]]) -> Float[Tensor, "batch feature time"]:
    """Join feature maps, in the layout of `Conv1d`, which `torch.cat` knows of images only."""
    return torch.cat([part.unsqueeze(2) for part in parts], dim=1).squeeze(2) if len(parts) > 1 else parts[0]
