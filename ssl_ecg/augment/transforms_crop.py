"""Crops: pieces of strips, at their own speed or brought to a given length."""

from __future__ import annotations

import math

import torch
from jaxtyping import Int
from torch import Tensor

from ssl_ecg.augment.base import Transform, check_signal
from ssl_ecg.augment.draws import uniform
from ssl_ecg.augment.functional_time import Interpolation, crop, recorded_samples, sample_at, stretched_positions
from ssl_ecg.errors import RecipeError, SignalError


class Crop(Transform):
    """A transform that cuts strips to a length; pieces lie within what was recorded, where that is long enough.

    Parameters
    ----------
    length : int or None
        Samples of the result; None keeps the length of the strips.
    p, strength
        See `Transform`.

    Raises
    ------
    RecipeError
        If the length is below 1.
    """

    time_only = True

    def __init__(self, length: int | None = None, *, p: float = 1.0, strength: float = 1.0) -> None:
        super().__init__(p=p, strength=strength)
        if length is not None and length < 1:
            raise RecipeError("length", f"{length} samples", "give 1 or more")
        self.length = length

    def lengths(self, lengths: Int[Tensor, " batch"], n_samples: int) -> Int[Tensor, " batch"]:
        """Give the lengths of the pieces without their padding: those of strips that are shorter stay.

        Parameters
        ----------
        lengths : int Tensor (batch,)
            Samples of each strip before its padding.
        n_samples : int
            Length of the strips with their padding.
        """
        return lengths.clamp(max=n_samples if self.length is None else self.length)

    def forward(
        self,
        x: Tensor,
        lead_mask: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
        reuse: bool = False,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Cut the strips; see `Transform.forward`.

        Parameters
        ----------
        x, lead_mask, generator, reuse
            See `Transform.forward`.
        lengths : int Tensor (batch,), optional
            Samples of each strip before its padding; strips shorter than the piece are kept from their start on.
        """
        raise NotImplementedError


class RandomCrop(Crop):
    """Cut a piece of given length out of each strip, at random with probability ``p``, else its middle.

    Parameters
    ----------
    length : int or None
        [samples]; None keeps the strips whole.
    p
        See `Transform`.

    Raises
    ------
    SignalError
        On use, if the strips are shorter than ``length``.

    Examples
    --------
    >>> RandomCrop(250)(torch.randn(4, 12, 1000)).shape
    torch.Size([4, 12, 250])
    """

    def forward(
        self,
        x: Tensor,
        lead_mask: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
        reuse: bool = False,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Cut the strips; see `Crop.forward`."""
        check_signal(x, lead_mask)
        draw = uniform(len(x), 2, generator=generator)
        length = x.shape[-1] if self.length is None else self.length
        if length == x.shape[-1]:
            return x
        room = (recorded_samples(x, lengths) - length).clamp(min=0)
        start = (draw[:, 1].double() * (room + 1)).long().minimum(room)
        chosen = (draw[:, 0] < self.p) & (self.strength > 0)
        return crop(x, torch.where(chosen, start, room // 2), length)


class RandomResizedCrop(Crop):
    """Cut a piece of random duration out of each strip and bring it to a given length.

    Parameters
    ----------
    length : int or None
        Samples of the result; None keeps the length of the strips.
    largest : float >= 1
        The piece is ``length`` times a factor from [1 / largest, largest], even on a logarithmic scale and
        cut off where the piece would be longer than the strip.
    interpolation : {"cubic", "linear"}
    p, strength
        See `Transform`; strips that are not chosen give their middle at their own speed.

    Raises
    ------
    RecipeError
        If a parameter is out of range.
    SignalError
        On use, if the strips are shorter than ``length``.

    Examples
    --------
    >>> RandomResizedCrop(250)(torch.randn(4, 12, 1000)).shape
    torch.Size([4, 12, 250])
    """

    def __init__(
        self,
        length: int | None = None,
        largest: float = 1.25,
        *,
        interpolation: Interpolation = "cubic",
        p: float = 1.0,
        strength: float = 1.0,
    ) -> None:
        super().__init__(length, p=p, strength=strength)
        if not largest >= 1.0:
            raise RecipeError("largest", f"{largest} is out of range", "give a factor of 1 or more")
        self.largest = largest
        self.interpolation: Interpolation = interpolation

    def forward(
        self,
        x: Tensor,
        lead_mask: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
        reuse: bool = False,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Cut and stretch the strips; see `Crop.forward`. Strips that are shorter keep their own speed."""
        check_signal(x, lead_mask)
        draw = uniform(len(x), 3, generator=generator)
        length = x.shape[-1] if self.length is None else self.length
        if length > x.shape[-1]:
            problem = f"a crop of {length} samples does not fit a strip of {x.shape[-1]}"
            raise SignalError("crop", problem, "shorten the crop or lengthen the strips")
        chosen = (draw[:, 0] < self.p) & (self.strength > 0)
        if not chosen.any() and length == x.shape[-1]:
            return x
        recorded = recorded_samples(x, lengths)
        chosen &= recorded >= length
        span = (recorded - 1).clamp(min=length - 1).float()  # a shorter strip is read on into its padding
        widest = self.strength * math.log(self.largest)
        fastest = (span.clamp(min=1.0) / max(length - 1, 1)).log().clamp(max=widest)
        speed = torch.where(chosen, (draw[:, 1] * (fastest + widest) - widest).exp(), 1.0)
        room = (span - speed * (length - 1)).clamp(min=0.0)
        start = torch.where(chosen, room * draw[:, 2], (room * 0.5).floor())
        position = stretched_positions(speed, start, length).clamp_(max=span.unsqueeze(1))
        return sample_at(x, position, interpolation=self.interpolation, lengths=lengths)
