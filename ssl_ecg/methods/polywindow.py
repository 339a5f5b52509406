"""Several windows of one record at once: more positives for each strip, with fewer strips."""

from __future__ import annotations

from typing import get_args

from torch import Tensor, nn

from ssl_ecg.augment.views import Views
from ssl_ecg.errors import RecipeError
from ssl_ecg.methods.base import Batch, check_positive, gate, make_views
from ssl_ecg.methods.positives import Against, contrast_positives, numbers_of
from ssl_ecg.methods.projector import make_projector


class PolyWindow(nn.Module):
    """Draw together all windows of a record, push those of other records away.

    Parameters
    ----------
    encoder : nn.Module
        Strips to embeddings, with `.dim`.
    views : Views
        Crops and augments each window.
    windows : int
        Of each strip.
    against : {"geometric", "arithmetic", "all"}
        How a window's positives are weighed against the rest; see `multi_positive_loss`. The first two are the
        poly-view losses, the third is SupCon's with the record as class.
    hidden_dim, out_dim : int
        Width of the projector's hidden layers and of its output.
    layers : int
        Layers of the projector.
    temperature : float
        Divides the cosines.

    References
    ----------
    Shidani et al. 2024, arXiv 2403.05490 (poly-view contrast). Khosla et al. 2020, arXiv 2004.11362, eq. 2.
    Yuan et al. 2025, arXiv 2508.15225 (windows of an ECG as the views).
    """

    def __init__(
        self,
        encoder: nn.Module,
        views: Views,
        *,
        windows: int = 4,
        against: Against = "geometric",
        hidden_dim: int = 512,
        out_dim: int = 128,
        layers: int = 2,
        temperature: float = 0.1,
    ) -> None:
        super().__init__()
        check_positive(temperature=temperature)
        if windows < 2:
            raise RecipeError("method.windows", f"is {windows}", "give 2 or more")
        if against not in get_args(Against):
            raise RecipeError("method.against", f"is {against!r}", f"choose from {', '.join(get_args(Against))}")
        self.encoder = encoder
        self.views = views
        self.windows = windows
        self.against: Against = against
        self.temperature = temperature
        self.projector = make_projector(encoder, hidden_dim=hidden_dim, out_dim=out_dim, layers=layers)

    def loss(self, batch: Batch) -> Tensor:
        """Contrast several windows of every strip.

        Raises
        ------
        SignalError
            If the batch has fewer than two strips or is not finite.
        """
        gate(batch, at_least=2)
        x, lengths = make_views(self.views, batch, n_views=self.windows)
        ids = numbers_of("row", batch).repeat(self.windows)
        return contrast_positives(self.encoder, self.projector, x, lengths, ids, self.temperature, against=self.against)
