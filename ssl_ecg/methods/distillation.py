"""Distillation: what a teacher sees in the whole recording is told from a view, perhaps of one lead."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_ecg.augment.views import Views
from ssl_ecg.methods.base import Batch, check_positive, encode, gate, make_views, targets_of
from ssl_ecg.methods.guide import guide_error, make_guide


class Distillation(nn.Module):
    """Regression of a teacher's embedding of the whole recording.

    The teacher (`data.teacher` in a recipe) is a pretrained encoder that sees all leads for as long as the recording
    lasts; its embeddings are computed once. The student sees views, and with `data.leads` only these leads, and so
    learns to find in them what goes along with what the others would show.

    Parameters
    ----------
    encoder : nn.Module
        Strips to embeddings, with `.dim`: the student.
    views : Views
        Augments a batch; one view is made.
    n_targets : int
        Width of the teacher's embedding; given by the teacher in a recipe.
    hidden_dim : int
        Width of the hidden layer between student and target, which is thrown away afterwards.

    References
    ----------
    Hinton et al. 2015, arXiv 1503.02531; Romero et al. 2015, arXiv 1412.6550, eq. 3 (regression of what a teacher's
    layer says).
    """

    def __init__(self, encoder: nn.Module, views: Views, *, n_targets: int, hidden_dim: int = 512) -> None:
        super().__init__()
        check_positive(n_targets=n_targets, hidden_dim=hidden_dim)
        self.encoder = encoder
        self.views = views
        self.guide = make_guide(encoder, hidden_dim, n_targets)

    def loss(self, batch: Batch) -> Tensor:
        """Give the mean squared error of the teacher's embeddings, each dimension on its own scale.

        Raises
        ------
        SignalError
            If the batch has fewer than two strips, is not finite or has no targets.
        """
        gate(batch, at_least=2)
        target, known = targets_of(batch)
        embeddings = encode(self.encoder, *make_views(self.views, batch, n_views=1))
        with torch.autocast(embeddings.device.type, enabled=False):
            return guide_error(self.guide, embeddings, target, known)
