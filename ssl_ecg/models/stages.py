"""Stages of blocks that shorten the time axis: what the convolutional encoders share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ssl_ecg.models.padding import halve_mask, pool_max, pool_mean, step_mask


class StagedEncoder(nn.Module):
    """Stem, stages of blocks, mean and max over time joined; subclasses make `stages` and give the stem's output.

    Attributes
    ----------
    stages : nn.Sequential
        Blocks, each with its `stride`, called with a feature map and the mask of its steps.
    stride : int
        Samples per step of the last feature map.
    """

    stages: nn.Sequential
    stride: int

    def stem_features(
        self, x: Float[Tensor, "batch lead time"], mask: Bool[Tensor, "batch 1 half"] | None
    ) -> tuple[Float[Tensor, "batch feature step"], Bool[Tensor, "batch 1 step"] | None]:
        """Give what enters the first stage, and its mask; `mask` is that of every other sample."""
        raise NotImplementedError

    def forward_features(
        self, x: Float[Tensor, "batch lead time"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch feature step"]:
        """Give the feature map before pooling; ``step = ceil(time / stride)``, zero past a strip's end."""
        return run_blocks(self.stages, *self.stem_features(x, step_mask(lengths, x.shape[-1], 2)))

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
        return self.pool_features(features, mask)

    def pool_features(
        self, features: Float[Tensor, "batch feature step"], mask: Bool[Tensor, "batch 1 step"] | None
    ) -> Float[Tensor, "batch dim"]:
        """Pool the last feature map over the steps of each strip."""
        return torch.cat([pool_mean(features, mask), pool_max(features, mask)], dim=1)


def run_blocks(
    blocks: Iterable[nn.Module], y: Float[Tensor, "batch feature step"], mask: Bool[Tensor, "batch 1 step"] | None
) -> Float[Tensor, "batch last shorter"]:
    """Pass a feature map through blocks, and its mask along with it."""
    for block in blocks:
        y = block(y, mask)
        mask = halve_mask(mask, block.stride)  # type: ignore[arg-type]
    return y


def make_stages(
    block: Callable[[int, int, int], nn.Module], n_in: int, widths: Sequence[int], depths: Sequence[int], *, first: int
) -> nn.Sequential:
    """Make stages of blocks of which the first of each has the stride.

    Parameters
    ----------
    block : callable
        (feature maps in, feature maps out, stride) -> block.
    n_in : int
        Feature maps that enter.
    widths, depths : sequence of int
        Feature maps and blocks of each stage.
    first : {1, 2}
        Stride of the first stage; that of the others is 2.
    """
    blocks = []
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        for k in range(depth):
            stride = 1 if k else 2 if stage else first
            blocks.append(block(n_in, width, stride))
            n_in = width
    return nn.Sequential(*blocks)
