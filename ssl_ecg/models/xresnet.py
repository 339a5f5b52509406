"""One-dimensional xresnet50 and xresnet101, the strongest convolutional networks of the PTB-XL benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_ecg.models.convolution import Conv1d
from ssl_ecg.models.norm import BatchNorm
from ssl_ecg.models.padding import average_pool, halve_mask
from ssl_ecg.models.resnet import check_convolutions, pool_stem
from ssl_ecg.models.stages import StagedEncoder, make_stages
from ssl_ecg.preprocessing import Preprocessing


class XResNet1d(StagedEncoder):
    """Deep stem, four stages of bottlenecks, mean and max over time joined; see its two subclasses.

    Parameters
    ----------
    n_leads : int
    widths : sequence of int
        Feature maps inside the bottlenecks of each of the four stages, which give out `expansion` times as
        many. The default is that of the PTB-XL benchmark, which does not widen; (64, 128, 256, 512) does, as
        for images.
    stem_widths : sequence of three int
        Feature maps of the convolutions of the stem.
    stem_kernel, kernel : odd int
        Kernel lengths of the stem and of the middle convolution of each bottleneck [samples].
    expansion : int
    last_gamma : float
        Scale at which the last normalisation of each bottleneck starts. At 0, as in the paper, an untrained
        block passes its input on unchanged, and its convolutions get a gradient from the second step on only;
        give 1 if the untrained network is to be used as it is.

    Attributes
    ----------
    depths : tuple of int
        Bottlenecks per stage.
    dim : int
        Length of an embedding, twice what the last stage gives out.

    References
    ----------
    He et al. 2019, Bag of tricks, doi 10.1109/CVPR.2019.00065, sections 3.1 and 4 (ResNet-B, -C and -D, zero
    gamma); Strodthoff et al. 2021, doi 10.1109/JBHI.2020.3022989, for ECG.
    """

    depths: ClassVar[tuple[int, ...]]

    def __init__(
        self,
        *,
        n_leads: int = 12,
        widths: Sequence[int] = (64, 64, 64, 64),
        stem_widths: Sequence[int] = (32, 32, 64),
        stem_kernel: int = 5,
        kernel: int = 5,
        expansion: int = 4,
        last_gamma: float = 0.0,
    ) -> None:
        super().__init__()
        where = type(self).__name__.lower()
        check_convolutions(where, widths, len(self.depths), (stem_kernel, kernel))
        check_convolutions(f"{where} stem", stem_widths, 3, ())
        self.n_leads = n_leads
        self.preprocessing = Preprocessing()
        self.stem = nn.ModuleList(
            NormedConv(n_in, n_out, stem_kernel, stride=1 if k else 2)
            for k, (n_in, n_out) in enumerate(pairwise((n_leads, *stem_widths)))
        )
        block = partial(Bottleneck, kernel=kernel, expansion=expansion)
        n_out = [width * expansion for width in widths]
        self.stages = make_stages(block, stem_widths[-1], n_out, self.depths, first=1)
        self.n_features = n_out[-1]
        self.stride = 2 ** (len(widths) + 1)
        self.dim = 2 * self.n_features
        self._initialise(last_gamma)

    @torch.no_grad()
    def _initialise(self, last_gamma: float) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv1d):
                nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, Bottleneck):
                module.conv3.norm.weight.fill_(last_gamma)

    def stem_features(
        self, x: Float[Tensor, "batch lead time"], mask: Bool[Tensor, "batch 1 half"] | None
    ) -> tuple[Float[Tensor, "batch feature step"], Bool[Tensor, "batch 1 step"] | None]:
        """Give what enters the first stage, and its mask; `mask` is that of every other sample."""
        for convolution in self.stem:
            x = F.relu(convolution(x, mask))
        return pool_stem(x, mask)


class XResNet1d50(XResNet1d):
    """XResNet1d with 3, 4, 6 and 3 bottlenecks; parameters are those of `XResNet1d`.

    Examples
    --------
    >>> encoder = XResNet1d50(widths=(4, 4, 4, 4), stem_widths=(4, 4, 8))
    >>> encoder(torch.zeros(2, 12, 250)).shape
    torch.Size([2, 32])
    """

    depths = (3, 4, 6, 3)


class XResNet1d101(XResNet1d):
    """XResNet1d with 3, 4, 23 and 3 bottlenecks; parameters are those of `XResNet1d`.

    Examples
    --------
    >>> XResNet1d101(n_leads=1, widths=(2, 2, 2, 4), stem_widths=(2, 2, 2)).dim
    32
    """

    depths = (3, 4, 23, 3)


class NormedConv(nn.Module):
    """Convolution and batch normalisation."""

    def __init__(self, n_in: int, n_out: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = Conv1d(n_in, n_out, kernel, stride, kernel // 2, bias=False)
        self.norm = BatchNorm(n_out)

    def forward(
        self, x: Float[Tensor, "batch n_in time"], mask: Bool[Tensor, "batch 1 step"] | None = None
    ) -> Float[Tensor, "batch n_out step"]:
        """Convolve and normalise; the mask is that of the output."""
        out: Tensor = self.norm(self.conv(x), mask)
        return out


class Bottleneck(nn.Module):
    """Convolutions of length 1, `kernel` and 1, the middle one with the stride (ResNet-B), and a shortcut.

    The shortcut averages over the stride and then, only where the number of feature maps changes, has a
    convolution of length 1 with batch normalisation (ResNet-D).
    """

    def __init__(self, n_in: int, n_out: int, stride: int = 1, *, kernel: int, expansion: int = 4) -> None:
        super().__init__()
        width = n_out // expansion
        self.stride = stride
        self.conv1 = NormedConv(n_in, width, 1)
        self.conv2 = NormedConv(width, width, kernel, stride=stride)
        self.conv3 = NormedConv(width, n_out, 1)
        self.shortcut = NormedConv(n_in, n_out, 1) if n_in != n_out else None

    def forward(
        self, x: Float[Tensor, "batch n_in time"], mask: Bool[Tensor, "batch 1 time"] | None = None
    ) -> Float[Tensor, "batch n_out step"]:
        """Apply the block; padding, where the mask is False, is zero and stays zero."""
        shorter = halve_mask(mask, self.stride)
        y = F.relu(self.conv1(x, mask))
        y = F.relu(self.conv2(y, shorter))
        y = self.conv3(y, shorter)
        if self.stride > 1:
            x = average_pool(x, mask, self.stride)
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x, shorter)))
