"""Batch normalisation over what was recorded: padding is left out, and several processes count as one."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ssl_ecg.processes import sum_of_all, world_size


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of strips whose padding neither counts nor passes.

    With a mask, statistics are taken over the steps of the strips only, and padding comes out as zero, so that a
    following convolution sees what it would see at the end of a strip alone. In a run of several processes the
    statistics are those of the whole batch, on processors too, where `nn.SyncBatchNorm` wants GPUs.

    References
    ----------
    Ioffe and Szegedy 2015, arXiv 1502.03167, algorithm 1.

    Examples
    --------
    >>> norm = BatchNorm(3)
    >>> norm(torch.randn(4, 3, 10), torch.arange(10)[None, None] < torch.tensor([10, 5, 5, 5])[:, None, None]).shape
    torch.Size([4, 3, 10])
    """

    def forward(
        self, x: Float[Tensor, "batch feature *step"], mask: Bool[Tensor, "batch 1 step"] | None = None
    ) -> Float[Tensor, "batch feature *step"]:
        """Normalise, and in training update the running statistics."""
        learning = self.training or not self.track_running_stats
        plain = not learning or (mask is None and world_size() == 1)
        out = self._plain(x) if plain else self._normalise(x, mask)
        return out if mask is None else out * mask

    def _plain(self, x: Tensor) -> Tensor:
        """Use torch's own, as an image that is one row high: of those it knows the layout of `Conv1d`."""
        return super().forward(x.unsqueeze(2)).squeeze(2) if x.ndim == 3 else super().forward(x)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim != 4:
            super()._check_input_dim(input)

    def _normalise(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Use the statistics of all steps that count, in all processes, in float32."""
        values = x.float()
        counts = torch.ones_like(values[:, :1]) if mask is None else mask.to(values.dtype)
        over = [0, *range(2, x.ndim)]
        # two passes, as one (mean of squares) loses digits where the mean is large
        total = sum_of_all(torch.cat([(values * counts).sum(over), counts.sum().view(1)]))
        n = total[-1].clamp(min=1)
        shape = [1, -1, *[1] * (x.ndim - 2)]
        mean = total[:-1] / n
        centred = values - mean.view(shape)
        variance = sum_of_all((centred.square() * counts).sum(over)) / n
        self._follow(mean.detach(), variance.detach() * n / (n - 1).clamp(min=1))
        out = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(x.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running statistics, with the cumulative average where the momentum is None."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), momentum)


def synchronise_norms(module: nn.Module) -> nn.Module:
    """Turn plain one-dimensional batch normalisation, such as in projectors, into `BatchNorm`; in place.

    Parameters and statistics stay the same objects, so that the order of calls and optimisers does not matter.
    """
    for child in module.modules():
        if type(child) is nn.BatchNorm1d:
            child.__class__ = BatchNorm
    return module
