"""Chains of transforms, and the augmented views that contrastive methods compare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from ssl_ecg.augment.base import LeadMap, Transform, check_signal
from ssl_ecg.augment.functional import apply_lead_map, chain_lead_maps, recorded_mask
from ssl_ecg.augment.transforms import build_transform, parameters_of
from ssl_ecg.augment.transforms_crop import Crop, RandomCrop
from ssl_ecg.errors import RecipeError, RecordError
from ssl_ecg.leads import STANDARD_LEADS


class Compose(nn.Module):
    """Apply transforms one after the other.

    The result is that of calling them in turn, to rounding, and cheaper: matrices in lead space are
    multiplied together and applied once, also past transforms that treat all leads alike (these
    commute), and after the first copy the memory is reused. Where several drop leads, though, at least one lead
    of those present stays.

    Parameters
    ----------
    transforms : iterable of Transform

    Attributes
    ----------
    keeps_lead_relations : bool
        Whether all transforms do.

    Raises
    ------
    RecipeError
        If one is no transform.

    Examples
    --------
    >>> from ssl_ecg.augment.transforms_leads import Gain, LeadMask
    >>> Compose([Gain(), LeadMask()]).keeps_lead_relations
    False
    """

    def __init__(self, transforms: Iterable[Transform]) -> None:
        super().__init__()
        self.transforms = nn.ModuleList(transforms)
        for transform in self.transforms:
            if not isinstance(transform, Transform):
                kind = type(transform).__name__
                raise RecipeError("transforms", f"{kind} is no transform", "give Transform objects")

    @property
    def keeps_lead_relations(self) -> bool:
        """Whether II = I + III and Goldberger's relations survive."""
        return all(bool(transform.keeps_lead_relations) for transform in self.transforms)

    def forward(
        self,
        x: Tensor,
        lead_mask: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
        reuse: bool = False,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Change the strips; see `Transform.forward`.

        With `lengths`, the samples (batch,) of each strip before its padding, each strip is changed as if it stood
        alone: crops lie within it where it is long enough, and what is padding comes out as zero.
        """
        check_signal(x, lead_mask)
        lead_mask = None if lead_mask is None else lead_mask.cpu()  # once: it steers draws on the processor
        kept, pending = lead_mask, None
        for transform in self.transforms:
            if isinstance(transform, LeadMap):
                if transform.p > 0.0:
                    given = kept if transform.drops_leads else lead_mask
                    lead_map = transform.lead_map(x, given, generator=generator)
                    if transform.drops_leads:
                        kept = (lead_map != 0) if kept is None else kept & (lead_map != 0)
                    pending = lead_map if pending is None else chain_lead_maps(pending, lead_map)
                continue
            if pending is not None and not transform.time_only:
                x, reuse, pending = apply_lead_map(x, pending, reuse=reuse), not x.requires_grad, None
            changed = transform(x, lead_mask, generator=generator, reuse=reuse, lengths=lengths)
            if lengths is not None and isinstance(transform, Crop):
                lengths = transform.lengths(lengths, x.shape[-1])
            reuse = (reuse or changed is not x) and not changed.requires_grad
            x = changed
        x = x if pending is None else apply_lead_map(x, pending, reuse=reuse and not x.requires_grad)
        return x if lengths is None else _without_padding(x, lengths)

    def lengths(self, lengths: Int[Tensor, " batch"], n_samples: int) -> tuple[Int[Tensor, " batch"], int]:
        """Give the samples of each strip before its padding and those of all strips, after the transforms."""
        for transform in self.transforms:
            if isinstance(transform, Crop):
                lengths = transform.lengths(lengths, n_samples)
                n_samples = transform.length or n_samples
        return lengths, n_samples


class Views(nn.Module):
    """Make several augmented views of each strip, each from its own random crop.

    Parameters
    ----------
    transforms : iterable of Transform
        Applied to every view, after the crop.
    n_views : int
    crop : int or None
        Length of the views [samples]; None keeps the strips whole. The views of a strip are different
        crops of it, so that strips should be longer than their views.

    Raises
    ------
    RecipeError
        If ``n_views`` or ``crop`` is below 1.

    References
    ----------
    Chen et al. 2020, arXiv:2002.05709 (SimCLR).

    Examples
    --------
    >>> from ssl_ecg.augment.transforms_leads import Gain
    >>> views = Views([Gain()], crop=250)
    >>> [tuple(view.shape) for view in views({"signal": torch.randn(4, 12, 1000)})]
    [(4, 12, 250), (4, 12, 250)]
    """

    def __init__(self, transforms: Iterable[Transform] = (), *, n_views: int = 2, crop: int | None = None) -> None:
        super().__init__()
        if n_views < 1:
            raise RecipeError("n_views", f"{n_views} views", "give 1 or more")
        try:
            first = [] if crop is None else [RandomCrop(crop)]
        except RecipeError as error:
            raise RecipeError("crop", error.problem, error.remedy) from error
        self.chain = Compose([*first, *transforms])
        self.n_views = n_views

    @property
    def keeps_lead_relations(self) -> bool:
        """Whether II = I + III and Goldberger's relations survive."""
        return self.chain.keeps_lead_relations

    def forward(
        self,
        batch: Tensor | Mapping[str, Any],
        lead_mask: Tensor | None = None,
        *,
        lengths: Tensor | None = None,
        generator: torch.Generator | None = None,
        n_views: int | None = None,
    ) -> list[Tensor]:
        """Make the views.

        Parameters
        ----------
        batch : (batch, lead, time), or mapping with "signal" and perhaps "lead_mask" and "length"
            As `Strips` gives it.
        lead_mask : (batch, lead) of bool, optional
            Leads present; overrides that of the mapping.
        lengths : int (batch,), optional
            Samples of each strip before its padding; overrides that of the mapping. Crops lie within them. For
            how long the views are, see `Views.lengths`.
        generator : torch.Generator, optional
        n_views : int, optional
            Instead of the number given before.

        Returns
        -------
        list of Tensor (batch, lead, time)
            ``n_views`` of them; none shares memory with the batch.
        """
        if isinstance(batch, Tensor):
            signal = batch
        else:
            signal = batch["signal"]
            lead_mask = batch.get("lead_mask") if lead_mask is None else lead_mask
            lengths = batch.get("length") if lengths is None else lengths
        lengths = where_padded(lengths, signal.shape[-1])
        count = self.n_views if n_views is None else n_views
        views = [self.chain(signal, lead_mask, generator=generator, lengths=lengths) for _ in range(count)]
        return [view.clone() if view is signal else view for view in views]

    def lengths(self, lengths: Int[Tensor, " batch"] | None, n_samples: int) -> Int[Tensor, " batch"] | None:
        """Give the samples of each view before its padding; all views of a strip have as many.

        Parameters
        ----------
        lengths : int Tensor (batch,) or None
            Samples of each strip before its padding.
        n_samples : int
            Length of the strips with their padding.

        Returns
        -------
        Tensor (batch,) or None
            None where no view has any padding.

        Examples
        --------
        >>> views = Views(crop=250)
        >>> views.lengths(torch.tensor([1000, 100]), 1000), views.lengths(torch.tensor([1000, 300]), 1000)
        (tensor([250, 100]), None)
        """
        return None if lengths is None else where_padded(*self.chain.lengths(lengths, n_samples))


def where_padded(lengths: Int[Tensor, " batch"] | None, n_samples: int) -> Int[Tensor, " batch"] | None:
    """Give the lengths if any strip is shorter than the batch, else None: no padding, nothing to mask."""
    return None if lengths is None or bool((lengths >= n_samples).all()) else lengths


def _without_padding(x: Tensor, lengths: Tensor) -> Tensor:
    """Set to zero what lies past the strips' ends, such as noise added there."""
    return x * recorded_mask(lengths, x.shape[-1], x.device)


def build_chain(
    steps: Sequence[str | Mapping[str, Any]], *, fs: float, leads: Sequence[str] = STANDARD_LEADS
) -> Compose:
    """Make a chain from names and parameters, as they stand in a recipe.

    Parameters
    ----------
    steps : sequence of str or mapping
        A name, or a mapping with ``name`` and parameters.
    fs : float
        Rate of the strips [Hz], given to all transforms that ask for it.
    leads : sequence of str
        Leads of the strips, likewise.

    Raises
    ------
    RecipeError
        If a name or parameter is unknown, missing or out of range.
    RecordError
        If a recording of noise cannot be read.

    Examples
    --------
    >>> build_chain(["gain", {"name": "emg", "p": 0.5}], fs=500.0).keeps_lead_relations
    True
    """
    transforms = []
    for number, step in enumerate(steps):
        options: dict[str, Any] = {"name": step} if isinstance(step, str) else dict(step)
        name = options.pop("name", None)
        if not isinstance(name, str):
            raise RecipeError("transforms", f"{step!r} has no name", "write {name: ..., parameter: value}")
        known = parameters_of(name)
        shared = {key: value for key, value in (("fs", fs), ("leads", leads)) if key in known}
        try:
            transforms.append(build_transform(name, **{**shared, **options}))
        except RecordError as error:
            remedy = f"{error.remedy}; in a recipe with --set views.transforms.{number}.noise=FOLDER"
            raise RecordError(error.where, error.problem, remedy) from error
    return Compose(transforms)


def build_views(
    section: Mapping[str, Any], *, fs: float, leads: Sequence[str] = STANDARD_LEADS, **options: Any
) -> Views:
    """Make views from the section of a recipe.

    Parameters
    ----------
    section : mapping
        ``transforms``, and arguments of `Views`.
    fs, leads
        As `build_chain` takes them.
    **options
        Further arguments of `Views`.

    Raises
    ------
    RecipeError
        As `build_chain`.
    """
    arguments = {**section, **options}
    chain = build_chain(arguments.pop("transforms"), fs=fs, leads=leads)
    return Views(list(chain.transforms), **arguments)  # type: ignore[arg-type]
