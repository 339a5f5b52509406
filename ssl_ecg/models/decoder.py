"""Convolutional decoder: the second half of the Conv1D autoencoder."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_ecg.models.convolution import Conv1d, DoublingConv1d
from ssl_ecg.models.norm import BatchNorm
from ssl_ecg.models.padding import step_mask


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
        self.stride = stride
        n_stages = stride.bit_length() - 1
        if widths is None:
            widths = [max(16, n_features >> (k + 1)) for k in range(n_stages)]
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        n_in = n_features
        for k, n_out in enumerate(widths):
            # names are those of runs that exist, whose stages had a layer of up-sampling before these three
            layers[f"{4 * k + 1}"] = DoublingConv1d(n_in, n_out, kernel, bias=False)
            layers[f"{4 * k + 2}"] = BatchNorm(n_out)
            layers[f"{4 * k + 3}"] = nn.ReLU()
            n_in = n_out
        self.stages = nn.Sequential(layers)
        self.to_leads = Conv1d(n_in, n_leads, kernel, padding=kernel // 2)

    def forward(
        self, features: Float[Tensor, "batch feature step"], length: int, lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch lead time"]:
        """Decode to strips of `length` samples.

        Parameters
        ----------
        features : Tensor (batch, feature, step)
            As the encoder gives them, zero past a strip's end.
        length : int
            Samples of the batch.
        lengths : int Tensor (batch,), optional
            Samples of each strip, where shorter ones are followed by padding. Each is then decoded as it would be
            alone, and zero past its end.
        """
        mask = step_mask(lengths, length, self.stride)
        x = features
        for layer in self.stages:
            if isinstance(layer, DoublingConv1d):
                # a strip's last step counts as a whole, as it does where no strip is padded
                mask = None if mask is None else mask.repeat_interleave(2, dim=2)
            x = layer(x, mask) if isinstance(layer, BatchNorm) else layer(x)
        x = self.to_leads(x)
        x = x[..., :length] if x.shape[-1] >= length else F.pad(x, (0, length - x.shape[-1]))
        inside = step_mask(lengths, length, 1)
        return x if inside is None else x * inside
