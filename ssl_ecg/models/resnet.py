"""One-dimensional ResNet-18 and ResNet-34, as used on CPSC 2018."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_ecg.errors import SignalError
from ssl_ecg.models.convolution import Conv1d
from ssl_ecg.models.norm import BatchNorm
from ssl_ecg.models.padding import halve_mask
from ssl_ecg.models.stages import StagedEncoder, make_stages
from ssl_ecg.preprocessing import Preprocessing


class ResNet(StagedEncoder):
    """Stem, max pooling, four stages of basic blocks, mean and max over time joined; see its two subclasses.

    Parameters
    ----------
    n_leads : int
    widths : sequence of int
        Feature maps of each of the four stages; the stem has those of the first.
    stem_kernel, kernel : odd int
        Kernel lengths of the stem and of the blocks [samples].
    dropout : float
        Between the two convolutions of a block.
    last_gamma : float
        Scale at which the last normalisation of each block starts. At 0 an untrained block passes its input on
        unchanged, which serves pretraining and training with few labels (evaluation/comparison); 1 is the start of
        the network published for ECG.

    Attributes
    ----------
    depths : tuple of int
        Blocks per stage.
    dim : int
        Length of an embedding, twice the last width.

    References
    ----------
    He et al. 2016, doi 10.1109/CVPR.2016.90, table 1; Zhang et al. 2021, doi 10.1016/j.isci.2021.102373, for ECG;
    He et al. 2019, doi 10.1109/CVPR.2019.00065, section 3.1 (zero gamma).
    """

    depths: ClassVar[tuple[int, ...]]

    def __init__(
        self,
        *,
        n_leads: int = 12,
        widths: Sequence[int] = (64, 128, 256, 512),
        stem_kernel: int = 15,
        kernel: int = 7,
        dropout: float = 0.2,
        last_gamma: float = 0.0,
    ) -> None:
        super().__init__()
        check_convolutions(type(self).__name__.lower(), widths, len(self.depths), (stem_kernel, kernel))
        self.n_leads = n_leads
        self.preprocessing = Preprocessing()
        self.stem = Conv1d(n_leads, widths[0], stem_kernel, 2, stem_kernel // 2, bias=False)
        self.stem_norm = BatchNorm(widths[0])
        block = partial(BasicBlock, kernel=kernel, dropout=dropout, last_gamma=last_gamma)
        self.stages = make_stages(block, widths[0], widths, self.depths, first=1)
        self.n_features = widths[-1]
        self.stride = 2 ** (len(widths) + 1)
        self.dim = 2 * self.n_features

    def stem_features(
        self, x: Float[Tensor, "batch lead time"], mask: Bool[Tensor, "batch 1 half"] | None
    ) -> tuple[Float[Tensor, "batch feature step"], Bool[Tensor, "batch 1 step"] | None]:
        """Give what enters the first stage, and its mask; `mask` is that of every other sample."""
        return pool_stem(F.relu(self.stem_norm(self.stem(x), mask)), mask)


class ResNet18(ResNet):
    """ResNet with two basic blocks in each stage; parameters are those of `ResNet`.

    Examples
    --------
    >>> import torch
    >>> encoder = ResNet18(widths=(4, 8, 8, 16))
    >>> encoder(torch.zeros(2, 12, 250)).shape
    torch.Size([2, 32])
    """

    depths = (2, 2, 2, 2)


class ResNet34(ResNet):
    """ResNet with 3, 4, 6 and 3 basic blocks: with a linear head for nine classes 16,610,185 parameters.

    Parameters are those of `ResNet`.

    Examples
    --------
    >>> ResNet34(n_leads=1, widths=(4, 8, 8, 16)).dim
    32
    """

    depths = (3, 4, 6, 3)


class BasicBlock(nn.Module):
    """Convolution, batch normalisation, ReLU, dropout, convolution, batch normalisation; and a shortcut.

    The shortcut is a strided convolution of length 1 with batch normalisation where the shape changes.
    """

    def __init__(
        self, n_in: int, n_out: int, stride: int = 1, *, kernel: int, dropout: float, last_gamma: float
    ) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = Conv1d(n_in, n_out, kernel, stride, kernel // 2, bias=False)
        self.norm1 = BatchNorm(n_out)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = Conv1d(n_out, n_out, kernel, 1, kernel // 2, bias=False)
        self.norm2 = BatchNorm(n_out)
        nn.init.constant_(self.norm2.weight, last_gamma)
        reshapes = stride > 1 or n_in != n_out
        self.shortcut = Conv1d(n_in, n_out, 1, stride, bias=False) if reshapes else None
        self.shortcut_norm = BatchNorm(n_out) if reshapes else None

    def forward(
        self, x: Float[Tensor, "batch n_in time"], mask: Bool[Tensor, "batch 1 time"] | None = None
    ) -> Float[Tensor, "batch n_out step"]:
        """Apply the block; padding, where the mask is False, is zero and stays zero."""
        shorter = halve_mask(mask, self.stride)
        y = self.dropout(F.relu(self.norm1(self.conv1(x), shorter)))
        y = self.norm2(self.conv2(y), shorter)
        if self.shortcut is not None and self.shortcut_norm is not None:
            x = self.shortcut_norm(self.shortcut(x), shorter)
        return F.relu(y + x)


def pool_stem(
    y: Float[Tensor, "batch feature step"], mask: Bool[Tensor, "batch 1 step"] | None
) -> tuple[Float[Tensor, "batch feature shorter"], Bool[Tensor, "batch 1 shorter"] | None]:
    """Take the largest of three steps, every other step; the input is not negative, and zero in the padding."""
    # zeros are never larger than what was recorded, but the first step of the padding sees a strip's last
    pooled, shorter = F.max_pool1d(y, 3, 2, 1), halve_mask(mask, 2)
    return (pooled if shorter is None else pooled * shorter), shorter


def check_convolutions(where: str, widths: Sequence[int], n_stages: int, kernels: Sequence[int]) -> None:
    """Refuse widths and kernel lengths of which no network can be built.

    Raises
    ------
    SignalError
        If there is not one width for each stage, or a kernel has no middle.
    """
    if len(widths) != n_stages or min(widths) < 1:
        raise SignalError(where, f"widths {tuple(widths)}", f"give {n_stages} widths, one for each stage")
    if any(k < 1 or k % 2 == 0 for k in kernels):
        raise SignalError(where, f"kernels {tuple(kernels)}", "give odd kernel lengths")
