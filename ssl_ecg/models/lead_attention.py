"""Local lead-attention: every lead keeps a row of its own, and attends to its own past and to the other leads."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_ecg.errors import SignalError
from ssl_ecg.models.attention import DropPath, attend, drop_path_rates, init_transformer
from ssl_ecg.models.convolution import Conv1d
from ssl_ecg.models.norm import BatchNorm
from ssl_ecg.models.padding import pool_mean, present_leads, step_mask
from ssl_ecg.models.patches import sincos
from ssl_ecg.preprocessing import Preprocessing


class LeadStem(nn.Module):
    """Depthwise separable convolutions that never mix leads: (row, 1, time) to (row, width, step).

    A row is one lead of one strip. It is not filtered once at first but once per feature map.
    """

    def __init__(self, widths: Sequence[int], strides: Sequence[int], kernel: int, width: int) -> None:
        super().__init__()
        self.strides = list(strides)
        self.depthwise = nn.ModuleList()
        self.pointwise = nn.ModuleList()
        self.norms = nn.ModuleList()
        for n_in, n_out, stride in zip([widths[0], *widths[:-1]], widths, strides, strict=True):
            groups = n_in if len(self.norms) else 1
            filters = Conv1d(groups, n_in, kernel, stride, kernel // 2, groups=groups, bias=False)
            self.depthwise.append(filters)
            self.pointwise.append(Conv1d(n_in, n_out, 1, bias=False))
            self.norms.append(BatchNorm(n_out))
        self.out = Conv1d(widths[-1], width, 1)

    def forward(
        self, x: Float[Tensor, "row 1 time"], mask: Bool[Tensor, "row 1 time"]
    ) -> Float[Tensor, "row width step"]:
        """Filter rows whose mask is False where nothing was recorded; that is left out of batch statistics."""
        y = x
        for depthwise, pointwise, norm, stride in zip(
            self.depthwise, self.pointwise, self.norms, self.strides, strict=True
        ):
            mask = mask[..., ::stride]
            y = F.relu(norm(pointwise(depthwise(y)), mask))
        out: Tensor = self.out(y)
        return out


class LeadAttention(nn.Module):
    """Attention of every lead and step to all leads that are kept, within a window of time.

    Projections differ from lead to lead: a depthwise convolution over three steps with weights per lead and feature,
    then a matrix, which together are ``W[lead, tap] = diag(a[lead, tap]) M``. With ``z`` in R^(lead, step, width),
    ``q[i, t] = sum_tap z[i, t + tap] W_q[i, tap]``, k and v alike, every head gives

    ``out[i, t] = sum_(j, s) softmax_(j, s)(q[i, t] . k[j, s] / sqrt(size)) v[j, s]``,

    over leads j and steps s with ``|s - t| <= window // 2`` that are kept.

    Parameters
    ----------
    width, heads, n_leads : int
    window : odd int or None
        Steps; None for the whole strip.
    """

    def __init__(self, width: int, heads: int, n_leads: int, window: int | None) -> None:
        super().__init__()
        self.heads, self.reach = heads, None if window is None else window // 2
        taps = torch.zeros(n_leads * width, 3, 1, 3)  # (lead and feature, q k v, 1, tap): starts as doing nothing
        taps[..., 1] = 1
        self.taps = nn.Parameter((taps + 0.02 * torch.randn_like(taps)).flatten(0, 1))
        self.project = nn.Parameter(nn.init.trunc_normal_(torch.empty(3, width, width), std=width**-0.5))
        self.out = nn.Linear(width, width)

    def forward(
        self, z: Float[Tensor, "batch lead step width"], keep: Bool[Tensor, "batch lead step"]
    ) -> Float[Tensor, "batch lead step width"]:
        """Attend; `z` is zero where it is not kept."""
        batch, leads, steps, width = z.shape
        rows = z.transpose(2, 3).reshape(batch, leads * width, steps)
        taps = F.conv1d(rows, self.taps, padding=1, groups=leads * width)
        taps = taps.view(batch, leads, width, 3, steps).permute(3, 0, 1, 4, 2).reshape(3, -1, width)
        qkv = torch.bmm(taps, self.project).view(3, batch, leads, steps, self.heads, width // self.heads)
        q, k, v = qkv.permute(0, 1, 4, 2, 3, 5)
        if self.reach is None or steps <= 4 * self.reach:  # so few that all pairs are less work than chunks
            mask = keep.flatten(1)[:, None, None]
            if self.reach is not None:
                step = torch.arange(steps, device=z.device)
                mask = _allow((step[:, None] - step).abs() <= self.reach, keep.flatten(1))
            y = attend(q.flatten(2, 3), k.flatten(2, 3), v.flatten(2, 3), mask).view(q.shape)
        else:
            y = _attend_nearby(q, k, v, keep, self.reach)
        out: Tensor = self.out(y.permute(0, 2, 3, 1, 4).flatten(3))
        return out


def _allow(near: Bool[Tensor, "step key_step"], keys: Bool[Tensor, "batch key"]) -> Bool[Tensor, "batch 1 query key"]:
    """Give the pairs of near steps whose key is kept; to a query that has none all are given, as NaN would spread."""
    leads = keys.shape[1] // near.shape[1]
    allowed = near.repeat(leads, leads) & keys[:, None, None]
    return allowed | ~allowed.any(dim=-1, keepdim=True)


def _attend_nearby(
    q: Float[Tensor, "batch head lead step size"],
    k: Float[Tensor, "batch head lead step size"],
    v: Float[Tensor, "batch head lead step size"],
    keep: Bool[Tensor, "batch lead step"],
    reach: int,
) -> Float[Tensor, "batch head lead step size"]:
    """Attend to all leads within `reach` steps, in chunks of that many queries with the keys around them."""
    batch, heads, leads, steps, size = q.shape
    fill, span = -steps % reach, 3 * reach
    q = F.pad(q, (0, 0, 0, fill)).view(batch, heads, leads, -1, reach, size)
    q = q.permute(0, 3, 1, 2, 4, 5).reshape(-1, heads, leads * reach, size)
    k, v = (
        F.pad(x, (0, 0, reach, fill + reach)).unfold(3, span, reach).permute(0, 3, 1, 2, 5, 4)
        .reshape(-1, heads, leads * span, size) for x in (k, v)
    )  # fmt: skip
    kept = F.pad(keep, (reach, fill + reach)).unfold(2, span, reach).transpose(1, 2).flatten(0, 1)
    lag = torch.arange(span, device=q.device) - torch.arange(reach, device=q.device)[:, None]
    near = (lag >= 0) & (lag <= 2 * reach)
    y = attend(q, k, v, _allow(near, kept.flatten(1)))
    y = y.view(batch, -1, heads, leads, reach, size).permute(0, 2, 3, 1, 4, 5)
    return y.reshape(batch, heads, leads, steps + fill, size)[..., :steps, :]


class LeadBlock(nn.Module):
    """Lead-attention and a perceptron behind layer normalisations; before them two steps may become one."""

    def __init__(
        self, width: int, heads: int, n_leads: int, *,
        window: int | None, merge: bool, ratio: float, drop_path: float,
    ) -> None:  # fmt: skip
        super().__init__()
        hidden = int(ratio * width)
        self.norm1 = nn.LayerNorm(width)
        self.attention = LeadAttention(width, heads, n_leads, window)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.drop_path = DropPath(drop_path)
        self.apply(init_transformer)
        self.merge = nn.Linear(2 * width, width) if merge else None

    def forward(
        self, z: Float[Tensor, "batch lead step width"], keep: Bool[Tensor, "batch lead step"]
    ) -> tuple[Float[Tensor, "batch lead shorter width"], Bool[Tensor, "batch lead shorter"]]:
        """Apply the block, and give the mask of what comes out."""
        if self.merge is not None:
            z = F.pad(z * keep[..., None], (0, 0, 0, z.shape[2] % 2))
            z = self.merge(z.reshape(*z.shape[:2], -1, 2 * z.shape[3]))
            keep = keep[..., ::2]
        z = z + self.drop_path(self.attention(self.norm1(z) * keep[..., None], keep))
        z = z + self.drop_path(self.mlp(self.norm2(z)))
        return z, keep


class LeadAttentionEncoder(nn.Module):
    """Convolutions within each lead, local and global lead-attention, mean over leads and time.

    A public entry to the PhysioNet/CinC challenge 2021, with the positions in time, the embedding of leads, the drop
    path and the masks of absent leads that it lacked. There, strips are 16 s at 500 Hz.

    Parameters
    ----------
    n_leads : int
    stem_widths, strides : sequence of int
        Feature maps and strides of the convolutions, all of length `kernel` [samples].
    kernel : odd int
    width, heads : int
        Features per lead and step, and attention heads.
    blocks : (int, int, int)
        Local blocks, local blocks that each halve the steps, blocks that attend to the whole strip.
    window : odd int
        Steps that local attention reaches, half of them to each side.
    ratio : float
        Hidden units of the perceptrons per unit of `width`.
    drop_path : float
        Probability to leave out a residual branch in training: of the last block, growing linearly from none.

    References
    ----------
    Wu et al. 2021, CvT, arXiv 2103.15808: convolutional projections; Liu et al. 2021, Swin, arXiv 2103.14030:
    merging of neighbours.

    Examples
    --------
    >>> encoder = LeadAttentionEncoder(stem_widths=(4, 8), strides=(2, 2), width=8, heads=2, blocks=(1, 1, 1))
    >>> encoder(torch.zeros(2, 12, 250)).shape, encoder.stride
    (torch.Size([2, 8]), 8)
    """

    def __init__(
        self,
        *,
        n_leads: int = 12,
        stem_widths: Sequence[int] = (24, 48, 96, 96),
        strides: Sequence[int] = (2, 2, 2, 1),
        kernel: int = 9,
        width: int = 128,
        heads: int = 4,
        blocks: Sequence[int] = (2, 5, 3),
        window: int = 19,
        ratio: float = 4.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        if len(stem_widths) != len(strides) or len(blocks) != 3 or min(*stem_widths, *strides, 1 + min(blocks)) < 1:
            problem = f"stem_widths {tuple(stem_widths)}, strides {tuple(strides)}, blocks {tuple(blocks)}"
            raise SignalError("lead_attention", problem, "give as many strides as widths, and three counts of blocks")
        if kernel % 2 == 0 or window % 2 == 0 or window < 3 or width % 2 or width % heads:
            problem = f"kernel {kernel}, window {window}, width {width}, {heads} heads"
            remedy = "give an odd kernel, an odd window from 3, and an even width that the heads divide"
            raise SignalError("lead_attention", problem, remedy)
        self.n_leads = n_leads
        self.dim = self.n_features = width
        self.preprocessing = Preprocessing()
        self.stem = LeadStem(stem_widths, strides, kernel, width)
        kinds = [(window, False)] * blocks[0] + [(window, True)] * blocks[1] + [(None, False)] * blocks[2]
        self.blocks = nn.ModuleList(
            LeadBlock(width, heads, n_leads, window=reach, merge=merge, ratio=ratio, drop_path=rate)
            for (reach, merge), rate in zip(kinds, drop_path_rates(drop_path, len(kinds)), strict=True)
        )
        self.norm = nn.LayerNorm(width)
        self.lead_embedding = nn.Parameter(0.02 * torch.randn(n_leads, width))
        self.stem_stride = math.prod(strides)
        self.stride = self.stem_stride * 2 ** blocks[1]

    def forward_features(
        self, x: Float[Tensor, "batch lead time"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch feature step"]:
        """Give the feature map averaged over the leads that are present; zero past a strip's end."""
        batch, leads, time = x.shape
        keep = present_leads(x)[..., None]
        mask = step_mask(lengths, time, 1)
        keep = keep.expand(-1, -1, time) if mask is None else keep & mask
        rows = self.stem(x.reshape(-1, 1, time), keep.reshape(-1, 1, time))
        keep = keep[..., :: self.stem_stride]
        z = rows.view(batch, leads, self.dim, -1).transpose(2, 3)
        position = sincos(z.shape[2], self.dim, x.device).to(self.norm.weight.dtype)
        z = z + (self.lead_embedding[:, None] + position)
        for block in self.blocks:
            z, keep = block(z, keep)
        z = self.norm(z) * keep[..., None]
        mean: Tensor = z.sum(dim=1) / keep.sum(dim=1).clamp(min=1)[..., None]
        return mean.transpose(1, 2)

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
        return pool_mean(self.forward_features(x, lengths), step_mask(lengths, x.shape[-1], self.stride))
