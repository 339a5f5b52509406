"""Compact transformer on patches of strips, for masked and predictive pretraining."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_ecg.errors import SignalError
from ssl_ecg.models.attention import TransformerBlock, drop_path_rates, init_transformer
from ssl_ecg.models.convolution import Conv1d
from ssl_ecg.models.padding import present_leads, step_mask
from ssl_ecg.models.patches import patchify, sincos
from ssl_ecg.preprocessing import Preprocessing


class LinearStem(nn.Module):
    """Patches to tokens by one matrix."""

    def __init__(self, n_in: int, width: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.project = nn.Linear(n_in * patch, width)
        nn.init.xavier_uniform_(self.project.weight)

    def forward(
        self, x: Float[Tensor, "batch n_in time"], mask: Bool[Tensor, "batch 1 step"] | None = None
    ) -> Float[Tensor, "batch step width"]:
        """Project; no mask is needed, as a patch past the end of a strip reaches no other."""
        tokens: Tensor = self.project(patchify(x, self.patch).transpose(1, 2).flatten(2))
        return tokens


class ConvStem(nn.Module):
    """Patches to tokens by two convolutions, each as long as twice its stride.

    References
    ----------
    Xiao et al. 2021, Early convolutions help transformers see better, arXiv 2106.14881.
    """

    def __init__(self, n_in: int, width: int, patch: int) -> None:
        super().__init__()
        first = max(d for d in range(1, patch + 1) if patch % d == 0 and d * d <= patch)
        self.patch, self.second = patch, patch // first
        kernels = [stride + 2 * (stride // 2) for stride in (first, self.second)]
        self.conv1 = Conv1d(n_in, max(1, width // 2), kernels[0], first, first // 2)
        self.conv2 = Conv1d(max(1, width // 2), width, kernels[1], self.second, self.second // 2)

    def forward(
        self, x: Float[Tensor, "batch n_in time"], mask: Bool[Tensor, "batch 1 step"] | None = None
    ) -> Float[Tensor, "batch step width"]:
        """Convolve; what stands past the last patch of a strip is zero between the convolutions too."""
        y = F.gelu(self.conv1(F.pad(x, (0, -x.shape[-1] % self.patch))))
        if mask is not None:
            y = y * mask.repeat_interleave(self.second, dim=2)
        tokens: Tensor = self.conv2(y)
        return tokens.transpose(1, 2)


class TransformerEncoder(nn.Module):
    """Patches as tokens, pre-norm transformer blocks, mean over the tokens.

    Keeps the protocol `ssl_ecg.models.patches.TokenEncoder`.

    Parameters
    ----------
    n_leads : int
    patch : int
        Samples per token.
    tokens : {"joint", "lead"}
        One token per step over all leads, or one per lead and step. The latter costs `n_leads` times more and
        leaves absent leads out of attention.
    stem : {"linear", "conv"}
        How patches become tokens. The convolutions look a few samples into the neighbouring patches.
    width, depth, heads : int
        Length of a token, blocks, attention heads per block.
    ratio : float
        Hidden units of the perceptrons per unit of `width`.
    drop_path : float
        Probability to leave out a residual branch in training: of the last block, growing linearly from none.

    Attributes
    ----------
    dim, width : int
    local : bool
        Whether a token sees its own patch only.

    References
    ----------
    Dosovitskiy et al. 2021, arXiv 2010.11929; tokens of leads and time: Na et al. 2024, arXiv 2402.09450.

    Examples
    --------
    >>> encoder = TransformerEncoder(width=16, depth=1, heads=2)
    >>> encoder(torch.zeros(2, 12, 250)).shape, encoder.forward_features(torch.zeros(2, 12, 250)).shape
    (torch.Size([2, 16]), torch.Size([2, 16, 13]))
    """

    def __init__(
        self,
        *,
        n_leads: int = 12,
        patch: int = 20,
        tokens: Literal["joint", "lead"] = "joint",
        stem: Literal["linear", "conv"] = "linear",
        width: int = 192,
        depth: int = 4,
        heads: int = 6,
        ratio: float = 4.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        if tokens not in ("joint", "lead") or stem not in ("linear", "conv"):
            remedy = "choose joint or lead tokens and a linear or conv stem"
            raise SignalError("transformer", f"unknown tokens {tokens!r} or stem {stem!r}", remedy)
        if min(n_leads, patch, depth, heads, width) < 1 or width % 2 or width % heads:
            problem = f"width {width}, {heads} heads, {depth} blocks, patches of {patch} samples of {n_leads} leads"
            raise SignalError("transformer", problem, "give positive sizes and an even width that the heads divide")
        self.n_leads, self.tokens, self.stride = n_leads, tokens, patch
        self.dim = self.n_features = self.width = width
        self.local = stem == "linear"
        self.preprocessing = Preprocessing()
        rates = drop_path_rates(drop_path, depth)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, ratio=ratio, drop_path=rate) for rate in rates)
        self.norm = nn.LayerNorm(width)
        self.apply(init_transformer)
        self.stem = (LinearStem if self.local else ConvStem)(n_leads if tokens == "joint" else 1, width, patch)
        self.lead_embedding = nn.Parameter(0.02 * torch.randn(n_leads, width)) if tokens == "lead" else None

    def grid(self, length: int) -> tuple[int, int]:
        """Rows (leads, or one for all) and time steps of the tokens of strips of `length` samples."""
        return (self.n_leads if self.tokens == "lead" else 1), -(-length // self.stride)

    def positions(self, x: Float[Tensor, "batch lead time"]) -> Float[Tensor, "token width"]:
        """Embed position in time, and lead, of every token, without content."""
        time = sincos(self.grid(x.shape[-1])[1], self.width, x.device).to(self.norm.weight.dtype)
        return time if self.lead_embedding is None else (self.lead_embedding[:, None] + time).flatten(0, 1)

    def tokenise(
        self, x: Float[Tensor, "batch lead time"], lengths: Int[Tensor, " batch"] | None = None
    ) -> tuple[Float[Tensor, "batch token width"], Bool[Tensor, "batch token"]]:
        """Turn strips into tokens with their positions.

        Parameters
        ----------
        x : Tensor (batch, lead, time)
        lengths : int Tensor (batch,), optional
            Samples of each strip, where shorter ones are followed by zeros.

        Returns
        -------
        tokens : Tensor (batch, token, width)
            Row by row: ``tokens.unflatten(1, encoder.grid(x.shape[-1]))`` is (batch, row, step, width).
        keep : bool Tensor (batch, token)
            False for padding and, with tokens of single leads, for absent leads.
        """
        rows, steps = self.grid(x.shape[-1])
        mask = step_mask(lengths, x.shape[-1], self.stride)
        row_mask = None if mask is None else mask.repeat_interleave(rows, dim=0)
        content = self.stem(x.flatten(0, 1)[:, None] if self.tokens == "lead" else x, row_mask)
        tokens = content.reshape(x.shape[0], rows * steps, self.width) + self.positions(x)
        keep = torch.ones(x.shape[0], rows, steps, dtype=torch.bool, device=x.device)
        if mask is not None:
            keep = keep & mask
        if self.tokens == "lead":
            keep = keep & present_leads(x)[..., None]
        return tokens, keep.flatten(1)

    def encode(
        self, tokens: Float[Tensor, "batch token width"], keep: Bool[Tensor, "batch token"] | None = None
    ) -> Float[Tensor, "batch token width"]:
        """Apply the blocks and the last normalisation to tokens, all of a strip or some.

        Tokens that are not kept are attended to by none and come out as zero. A strip without any counts as having
        all, so that attention has something to attend to.
        """
        if keep is not None:
            keep = keep | ~keep.any(dim=1, keepdim=True)
        for block in self.blocks:
            tokens = block(tokens, keep)
        encoded: Tensor = self.norm(tokens)
        return encoded if keep is None else encoded * keep[..., None]

    def pool(
        self, encoded: Float[Tensor, "batch token width"], keep: Bool[Tensor, "batch token"] | None = None
    ) -> Float[Tensor, "batch dim"]:
        """Average over the tokens that are kept."""
        if keep is None:
            return encoded.mean(dim=1)
        return (encoded * keep[..., None]).sum(dim=1) / keep.sum(dim=1, keepdim=True).clamp(min=1)

    def forward_features(
        self, x: Float[Tensor, "batch lead time"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch feature step"]:
        """Give the encoded tokens, averaged over the leads that are present; zero past a strip's end."""
        tokens, keep = self.tokenise(x, lengths)
        shape = (x.shape[0], *self.grid(x.shape[-1]))
        count = keep.view(shape).sum(dim=1).clamp(min=1)
        total = self.encode(tokens, keep).view(*shape, self.width).sum(dim=1)
        return (total / count[..., None]).transpose(1, 2)

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
        tokens, keep = self.tokenise(x, lengths)
        return self.pool(self.encode(tokens, keep), keep)
