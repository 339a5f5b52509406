"""Small transformer that fills in hidden tokens from those that are seen."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ssl_ecg.errors import RecipeError
from ssl_ecg.methods.base import check_positive
from ssl_ecg.models.attention import TransformerBlock, init_transformer
from ssl_ecg.models.patches import sincos


class Predictor(nn.Module):
    """Tokens on a grid of rows and steps to one vector per token, where hidden ones are given by their place alone.

    Parameters
    ----------
    n_in, n_out : int
        Length of an encoded token and of what is predicted for it.
    rows : int
        Rows of the grid: leads, or one.
    width, depth, heads : int
        Of the transformer. It is narrow on purpose, so that the work is left to the encoder.
    by_row : bool
        Each row is filled in from itself alone.

    Raises
    ------
    RecipeError
        If a size is impossible.

    References
    ----------
    Predictor of JEPA: Assran et al. 2023, arXiv 2301.08243, section 3; as a decoder, lead by lead: Na et al. 2024,
    ST-MEM, arXiv 2402.09450, section 3.3.
    """

    def __init__(
        self, n_in: int, n_out: int, *, rows: int = 1, width: int, depth: int, heads: int, by_row: bool = False
    ) -> None:
        super().__init__()
        check_positive(width=width, depth=depth, heads=heads)
        if width % 2 or width % heads:
            raise RecipeError("method.width", f"is {width} for {heads} heads", "give an even width that heads divide")
        self.by_row = by_row
        self.embed = nn.Linear(n_in, width)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, n_out)
        self.apply(init_transformer)
        self.mask_token = nn.Parameter(0.02 * torch.randn(width))
        self.row_embedding = nn.Parameter(0.02 * torch.randn(rows, width)) if rows > 1 else None

    def forward(
        self,
        tokens: Float[Tensor, "batch token n_in"],
        hidden: Bool[Tensor, "batch token"],
        grid: tuple[int, int],
        keep: Bool[Tensor, "batch token"] | None = None,
    ) -> Float[Tensor, "batch token n_out"]:
        """Predict for all tokens.

        Parameters
        ----------
        tokens : Tensor (batch, token, n_in)
            Row by row; whatever stands at hidden places is not looked at.
        hidden : bool Tensor (batch, token)
        grid : (int, int)
            Rows and steps.
        keep : bool Tensor (batch, token), optional
            False for padding and absent leads, which nothing is predicted from.
        """
        rows, steps = grid
        y = torch.where(hidden[..., None], self.mask_token, self.embed(tokens))
        place = sincos(steps, y.shape[2], y.device)[None]
        if self.row_embedding is not None:
            place = place + self.row_embedding[:, None]
        y = y + place.flatten(0, 1)
        if self.by_row:
            y = y.reshape(-1, steps, y.shape[2])
            keep = None if keep is None else keep.reshape(-1, steps)
        if keep is not None:
            keep = None if bool(keep.all()) else keep | ~keep.any(dim=1, keepdim=True)
        for block in self.blocks:
            y = block(y, keep)
        out: Tensor = self.out(self.norm(y))
        return out.reshape(len(tokens), rows * steps, -1)


def hidden_mean(
    error: Float[Tensor, "batch token"], weight: Float[Tensor, "batch token"] | Bool[Tensor, "batch token"]
) -> Float[Tensor, ""]:
    """Average an error over the tokens that count in each strip, then over the strips.

    So every strip weighs the same, and the loss of a batch is the mean of those of its parts.
    """
    weight = weight.to(error.dtype)
    return ((error * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1e-6)).mean()
