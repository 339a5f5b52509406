"""A bidirectional LSTM and attention over time that start and end with each strip, not with its padding."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class BiLSTM(nn.Module):
    """Bidirectional LSTM; the backward direction starts at the last step of each strip.

    Parameters
    ----------
    n_in, hidden : int
        Features in, and of each direction out.

    References
    ----------
    Graves and Schmidhuber 2005, doi 10.1016/j.neunet.2005.06.042.

    Examples
    --------
    >>> BiLSTM(3, 4)(torch.zeros(2, 3, 10)).shape
    torch.Size([2, 8, 10])
    """

    def __init__(self, n_in: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_in, hidden, batch_first=True, bidirectional=True)

    def forward(
        self, x: Float[Tensor, "batch n_in step"], mask: Bool[Tensor, "batch 1 step"] | None = None
    ) -> Float[Tensor, "batch out step"]:
        """Run over time in both directions; zero past a strip's end."""
        # not in bfloat16: rounding adds up over some hundred steps, and it gains nothing in a recurrence
        with torch.autocast(x.device.type, enabled=False):
            steps = x.to(next(self.parameters()).dtype).transpose(1, 2)
            if mask is None:
                out: Tensor = self.lstm(steps)[0]
            else:
                lengths = mask.sum(dim=(1, 2)).cpu()
                packed = pack_padded_sequence(steps, lengths, batch_first=True, enforce_sorted=False)
                out = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[-1])[0]
        return out.transpose(1, 2)


class TimeAttention(nn.Module):
    """Weighted mean over time, by the softmax of tanh(w . x): no step outweighs another by more than e^2.

    Parameters
    ----------
    n_in : int

    References
    ----------
    Zhou et al. 2016, doi 10.18653/v1/P16-2034, equations 9 to 11, with the score inside the tanh.
    """

    def __init__(self, n_in: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_in) / n_in**0.5)

    def forward(
        self, x: Float[Tensor, "batch n_in step"], mask: Bool[Tensor, "batch 1 step"] | None = None
    ) -> Float[Tensor, "batch n_in"]:
        """Pool the steps of each strip."""
        scores = torch.tanh(torch.einsum("bfs,f->bs", x, self.weight))
        if mask is not None:
            scores = scores.masked_fill(~mask[:, 0], -torch.inf)
        return torch.einsum("bfs,bs->bf", x, scores.softmax(dim=1))
