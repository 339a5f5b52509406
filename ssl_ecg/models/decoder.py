"""Convolutional decoder: the second half of the Conv1D autoencoder."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class Conv1DDecoder(nn.Module):
    """Feature map back to strips: nearest-neighbour up-sampling and convolution, stage by stage.

    Up-sampling before a convolution avoids the checkerboard of transposed convolutions
    (Odena et al. 2016, doi 10.23915/distill.00003).

    Parameters
    ----------
    n_features : int
        Feature maps coming in.
    n_leads : int
        Leads going out.
    stride : int
        Time steps of the strip per step of the feature map; a power of two.
    kernel : int
        Odd kernel length [samples].
    widths : sequence of int, optional
        Feature maps of the stages; by default halved from stage to stage, 16 at least.
    """

    def __init__(
        self,
        n_features: int,
        n_leads: int,
        stride: int,
        *,
        kernel: int = 7,
        widths: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        n_stages = stride.bit_length() - 1
        if widths is None:
            widths = [max(16, n_features >> (k + 1)) for k in range(n_stages)]
        layers: list[nn.Module] = []
        n_in = n_features
        for n_out in widths:
            layers += [
                nn.Upsample(scale_factor=2, mode="nearest"),
                nn.Conv1d(n_in, n_out, kernel, padding=kernel // 2, bias=False),
                nn.BatchNorm1d(n_out),
                nn.ReLU(inplace=True),
            ]
            n_in = n_out
        self.stages = nn.Sequential(*layers)
        self.to_leads = nn.Conv1d(n_in, n_leads, kernel, padding=kernel // 2)

    def forward(self, features: Float[Tensor, "batch feature step"], length: int) -> Float[Tensor, "batch lead time"]:
        """Decode to strips of `length` samples."""
        x: Tensor = self.to_leads(self.stages(features))
        return x[..., :length] if x.shape[-1] >= length else F.pad(x, (0, length - x.shape[-1]))
