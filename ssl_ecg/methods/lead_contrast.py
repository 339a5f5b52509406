"""Contrast across leads: what one part of a strip's leads shows belongs to what the others show."""

from __future__ import annotations

from torch import Tensor, nn

from ssl_ecg.augment.views import Views
from ssl_ecg.errors import RecipeError
from ssl_ecg.methods.base import Batch, check_positive, gate, make_views
from ssl_ecg.methods.lead_groups import check_leads, part_leads
from ssl_ecg.methods.positives import contrast_positives, numbers_of
from ssl_ecg.methods.projector import make_projector


class LeadContrast(nn.Module):
    """Draw together disjoint groups of leads of a strip, push those of other records away.

    The encoder takes all leads; those outside a group are zero, as absent ones are.

    Parameters
    ----------
    encoder : nn.Module
        Strips to embeddings, with `.dim`.
    views : Views
        Augments a strip before its leads are parted.
    groups : int
        Into how many groups the leads are dealt out.
    leads_each : int, optional
        Leads in a group at most; 1 contrasts single leads. All leads are dealt out unless given.
    same_window : bool
        All groups of a strip come from one view of it; otherwise each from its own crop.
    hidden_dim, out_dim : int
        Width of the projector's hidden layers and of its output.
    layers : int
        Layers of the projector.
    temperature : float
        Divides the cosines.

    Raises
    ------
    RecipeError
        If a parameter is out of range, or the encoder takes one lead.

    References
    ----------
    Kiyasseh et al. 2021, arXiv 2005.13249 (contrastive multi-lead coding; single leads there).
    """

    def __init__(
        self,
        encoder: nn.Module,
        views: Views,
        *,
        groups: int = 2,
        leads_each: int | None = None,
        same_window: bool = True,
        hidden_dim: int = 512,
        out_dim: int = 128,
        layers: int = 2,
        temperature: float = 0.1,
    ) -> None:
        super().__init__()
        check_positive(temperature=temperature)
        if groups < 2:
            raise RecipeError("method.groups", f"is {groups}", "give 2 or more")
        if leads_each is not None:
            check_positive(leads_each=leads_each)
        check_leads(encoder)
        self.encoder = encoder
        self.views = views
        self.groups = groups
        self.leads_each = leads_each
        self.same_window = same_window
        self.temperature = temperature
        self.projector = make_projector(encoder, hidden_dim=hidden_dim, out_dim=out_dim, layers=layers)

    def loss(self, batch: Batch) -> Tensor:
        """Contrast the groups of leads of every strip.

        Raises
        ------
        SignalError
            If the batch has fewer than two strips or is not finite.
        """
        n = len(gate(batch, at_least=2))
        x, lengths = make_views(self.views, batch, n_views=1 if self.same_window else self.groups)
        x = part_leads(x.view(-1, n, *x.shape[1:]), self.groups, self.leads_each)
        if lengths is not None and self.same_window:
            lengths = lengths.repeat(self.groups)
        ids = numbers_of("row", batch).repeat(self.groups)
        return contrast_positives(self.encoder, self.projector, x, lengths, ids, self.temperature)
