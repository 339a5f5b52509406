"""Residual convolutions, a bidirectional LSTM and attention over time, with age and sex if they are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_ecg.errors import SignalError
from ssl_ecg.models.convolution import Conv1d
from ssl_ecg.models.norm import BatchNorm
from ssl_ecg.models.padding import halve_mask, step_mask
from ssl_ecg.models.recurrent import BiLSTM, TimeAttention
from ssl_ecg.models.resnet import check_convolutions
from ssl_ecg.preprocessing import Preprocessing


class ResNetLSTMEncoder(nn.Module):
    """Residual blocks that halve the time axis, a bidirectional LSTM, attention over time, a dense layer.

    Parameters
    ----------
    n_leads : int
    widths : sequence of int
        Feature maps of each residual block.
    kernels : sequence of odd int
        Kernel length of each residual block [samples].
    hidden : int
        Features of each direction of the LSTM.
    dense : int
        Length of the embedding without age and sex.
    dropout : float
        Whole feature maps left out in training, after the residual blocks.
    metadata : bool
        Join age and sex by a branch of their own and a further dense layer, whose output is the embedding.
    metadata_dense, joint_dense : int
        Widths of that branch and of that layer.

    Attributes
    ----------
    dim : int
        Length of an embedding: `joint_dense` with metadata, else `dense`.
    takes_metadata : bool
        Whether `forward` makes use of its argument `metadata`.
    beyond_features : bool
        That layers lie between `forward_features` and the embedding, which methods that learn from features leave out.

    Notes
    -----
    The defaults with ``metadata=True`` and a linear head for five classes are the published network on PTB-XL.
    Its 957,957 parameters are counted as Keras does, with the running statistics of batch normalisation; torch
    adds a second bias to each gate of the LSTM, 1,024 numbers that change nothing.

    Examples
    --------
    >>> encoder = ResNetLSTMEncoder(widths=(4, 4), hidden=4, dense=8)
    >>> encoder(torch.zeros(2, 12, 250)).shape
    torch.Size([2, 8])
    """

    beyond_features: ClassVar[bool] = True

    def __init__(
        self,
        *,
        n_leads: int = 12,
        widths: Sequence[int] = (256, 128),
        kernels: Sequence[int] = (3, 7),
        hidden: int = 128,
        dense: int = 256,
        dropout: float = 0.25,
        metadata: bool = False,
        metadata_dense: int = 16,
        joint_dense: int = 128,
    ) -> None:
        super().__init__()
        check_convolutions("resnet_lstm", widths, len(kernels), kernels)
        self.n_leads = n_leads
        self.preprocessing = Preprocessing()
        self.blocks = nn.Sequential(
            *(PooledBlock(n, m, k) for n, m, k in zip((n_leads, *widths), widths, kernels, strict=False))
        )
        self.dropout = nn.Dropout(dropout)
        self.lstm = BiLSTM(widths[-1], hidden)
        self.attention = TimeAttention(2 * hidden)
        self.dense = _dense(2 * hidden, dense)
        self.takes_metadata = metadata
        if metadata:
            self.branch = _dense(3, metadata_dense)
            self.joint = _dense(dense + metadata_dense, joint_dense)
        self.n_features = 2 * hidden
        self.stride = 2 ** len(widths)
        self.dim = joint_dense if metadata else dense

    def forward_features(
        self, x: Float[Tensor, "batch lead time"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch feature step"]:
        """Give what the LSTM gives out; ``step = ceil(time / stride)``, zero past a strip's end."""
        mask = step_mask(lengths, x.shape[-1], 1)
        y = x
        for block in self.blocks:
            y = block(y, mask)
            mask = halve_mask(mask, 2)
        if self.training:  # one draw for a whole feature map
            y = y * self.dropout(torch.ones_like(y[..., :1]))
        out: Tensor = self.lstm(y, mask)
        return out

    def forward(
        self,
        x: Float[Tensor, "batch lead time"],
        lengths: Int[Tensor, " batch"] | None = None,
        metadata: Float[Tensor, "batch 2"] | None = None,
    ) -> Float[Tensor, "batch dim"]:
        """Embed strips of any length.

        Parameters
        ----------
        x : Tensor (batch, lead, time)
        lengths : int Tensor (batch,), optional
            Samples of each strip, where shorter ones are followed by zeros.
        metadata : Tensor (batch, 2), optional
            Age [years] and sex (1 male, 0 female) of each patient; NaN, or nothing at all, where unknown.

        Raises
        ------
        SignalError
            If metadata come to an encoder without the branch, or are out of range.
        """
        features = self.forward_features(x, lengths)
        z: Tensor = self.dense(self.attention(features, step_mask(lengths, x.shape[-1], self.stride)))
        if not self.takes_metadata:
            if metadata is not None:
                raise SignalError("metadata", "the encoder has no branch for them", "build it with metadata=True")
            return z
        if metadata is None:
            metadata = x.new_full((len(x), 2), torch.nan)
        joint: Tensor = self.joint(torch.cat([z, self.branch(encode_metadata(metadata.to(z.device)))], dim=1))
        return joint


def encode_metadata(metadata: Float[Tensor, "batch 2"]) -> Float[Tensor, "batch 3"]:
    """Turn age and sex into numbers near one: age from 60 years in units of 20, male, female.

    An unknown age counts as 60 years, about the mean of PTB-XL; of unknown sex is who is neither male nor female.

    Raises
    ------
    SignalError
        If the shape is another, an age is not within 0 to 130 years, or a sex is neither 0 nor 1.

    Examples
    --------
    >>> encode_metadata(torch.tensor([[80.0, 1.0], [torch.nan, 0.0], [40.0, torch.nan]])).tolist()
    [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [-1.0, 0.0, 0.0]]
    """
    if metadata.ndim != 2 or metadata.shape[1] != 2:
        raise SignalError("metadata", f"shape {tuple(metadata.shape)}", "give age and sex of each strip, (batch, 2)")
    age, sex = metadata.unbind(dim=1)
    if bool(((age < 0) | (age > 130)).any()) or bool(((sex != 0) & (sex != 1) & ~sex.isnan()).any()):
        remedy = "give age in years, sex as 1 (male) or 0 (female), NaN where unknown"
        raise SignalError("metadata", "age beyond 0 to 130 or sex other than 0 and 1", remedy)
    columns = [(age - 60) / 20, sex, 1 - sex]
    return torch.stack(columns, dim=1).nan_to_num(nan=0.0)


class PooledBlock(nn.Module):
    """Two convolutions with batch normalisation, a shortcut of length 1, ReLU, and max pooling by two.

    The last step of a strip of odd length is pooled alone.
    """

    def __init__(self, n_in: int, n_out: int, kernel: int) -> None:
        super().__init__()
        self.conv1 = Conv1d(n_in, n_out, kernel, 1, kernel // 2)
        self.norm1 = BatchNorm(n_out)
        self.conv2 = Conv1d(n_out, n_out, kernel, 1, kernel // 2)
        self.norm2 = BatchNorm(n_out)
        self.shortcut = Conv1d(n_in, n_out, 1)
        self.shortcut_norm = BatchNorm(n_out)

    def forward(
        self, x: Float[Tensor, "batch n_in time"], mask: Bool[Tensor, "batch 1 time"] | None = None
    ) -> Float[Tensor, "batch n_out step"]:
        """Apply the block; padding, where the mask is False, is zero and stays zero."""
        y = F.relu(self.norm1(self.conv1(x), mask))
        y = self.norm2(self.conv2(y), mask) + self.shortcut_norm(self.shortcut(x), mask)
        # after ReLU, padding of zeros is never larger than what was recorded
        pooled: Tensor = F.max_pool1d(F.relu(y), 2, ceil_mode=True)
        return pooled


def _dense(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_in, n_out), BatchNorm(n_out), nn.ReLU())
