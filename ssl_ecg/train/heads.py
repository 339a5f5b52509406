"""What stands on an encoder in fine-tuning: embedding, and perhaps age and sex, to logits."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from ssl_ecg.errors import RecipeError
from ssl_ecg.probing.linear import LinearProbe
from ssl_ecg.probing.ridge import RidgeProbe

N_METADATA = 4
"""Features that `metadata_features` makes."""


class Head(nn.Module):
    """Standardise, and map linearly or through one hidden layer to logits; in float32.

    Parameters
    ----------
    dim : int
        Length of an embedding.
    n_classes : int
    hidden : int
        Width of a hidden layer; 0: none.
    dropout : float in [0, 1)
        On what the last layer sees.
    metadata : bool
        Take age and sex too.
    start : {"probe", "random"}
        Where fine-tuning begins: a linear head with the library's linear probe on the encoder as it is, or at random.
    calibration : {"temperature", "isotonic", "none"}
        How probabilities are calibrated on validation records after training; see `ssl_ecg.evaluate.calibration`.
    thresholds : {"f1", "sensitivity", "evolved"}
        How the thresholds of decisions are then chosen on the same records: the best F1 of each class; the highest at
        which `sensitivity` is reached; or by evolution on the challenge score, for the task cinc26. See
        `ssl_ecg.evaluate.thresholds`.
    sensitivity : float in (0, 1]

    Examples
    --------
    >>> head = Head(16, 5, metadata=True)
    >>> head(torch.randn(3, 16), torch.tensor([[63.0, 1.0], [float("nan"), 0.0], [40.0, float("nan")]])).shape
    torch.Size([3, 5])
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        dim: int,
        n_classes: int,
        *,
        hidden: int = 0,
        dropout: float = 0.0,
        metadata: bool = False,
        start: Literal["probe", "random"] = "random",
        calibration: Literal["temperature", "isotonic", "none"] = "temperature",
        thresholds: Literal["f1", "sensitivity", "evolved"] = "f1",
        sensitivity: float = 0.9,
    ) -> None:
        super().__init__()
        if hidden < 0 or not 0 <= dropout < 1:
            raise RecipeError("head", f"hidden {hidden}, dropout {dropout}", "give 0 or more, and a share below 1")
        if start == "probe" and hidden:
            raise RecipeError("head.hidden", "a probe is linear", "set head.hidden=0 or head.start=random")
        if not 0 < sensitivity <= 1:
            raise RecipeError("head.sensitivity", f"is {sensitivity}", "give a share above 0 and at most 1")
        n_features = dim + (N_METADATA if metadata else 0)
        self.metadata = metadata
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))
        layers = [nn.Linear(n_features, hidden), nn.ReLU()] if hidden else []
        self.hidden = nn.Sequential(*layers, nn.Dropout(dropout))
        self.last = nn.Linear(hidden or n_features, n_classes)
        self.start = start
        self.calibration, self.thresholds, self.sensitivity = calibration, thresholds, sensitivity

    def features(
        self, z: Float[Tensor, "batch dim"], metadata: Float[Tensor, "batch 2"] | None = None
    ) -> Float[Tensor, "batch feature"]:
        """Give what is standardised: the embedding, and the features of age and sex if the head takes them."""
        if not self.metadata:
            return z.float()
        if metadata is None:
            metadata = torch.full((len(z), 2), torch.nan, device=z.device)
        return torch.cat([z.float(), metadata_features(metadata)], dim=1)

    def forward(
        self, z: Float[Tensor, "batch dim"], metadata: Float[Tensor, "batch 2"] | None = None
    ) -> Float[Tensor, "batch target"]:
        """Give logits, whatever the precision of the embedding."""
        with torch.autocast(z.device.type, enabled=False):
            logits: Tensor = self.last(self.hidden((self.features(z, metadata) - self.mean) / self.scale))
            return logits

    @torch.no_grad()
    def standardise(self, features: NDArray[np.floating]) -> None:
        """Set mean and scale from the features of training records."""
        deviation = features.std(axis=0)
        self.mean.copy_(torch.from_numpy(features.mean(axis=0)))
        self.scale.copy_(torch.from_numpy(np.where(deviation > 1e-6, deviation, 1.0)))

    @torch.no_grad()
    def start_from(self, probe: LinearProbe | RidgeProbe) -> None:
        """Take over a fitted linear probe: a linear head then says what the probe says."""
        self.mean.copy_(torch.from_numpy(probe.mean_))
        self.scale.copy_(torch.from_numpy(probe.scale_))
        self.last.weight.copy_(torch.from_numpy(probe.coef_))
        self.last.bias.copy_(torch.from_numpy(probe.intercept_))


def metadata_features(metadata: Float[Tensor, "batch 2"]) -> Float[Tensor, "batch 4"]:
    """Turn age [years] and sex (1 male, 0 female) into numbers near one; NaN where missing.

    Returns
    -------
    Tensor (batch, 4)
        Age in units of 20 years from 60, sex as -1 or 1, each zero where missing, and two marks of what is missing.

    Examples
    --------
    >>> metadata_features(torch.tensor([[80.0, float("nan")]])).tolist()
    [[1.0, 0.0, 0.0, 1.0]]
    """
    missing = torch.isnan(metadata)
    centre, unit = metadata.new_tensor([60.0, 0.5]), metadata.new_tensor([20.0, 0.5])
    return torch.cat([torch.where(missing, 0.0, (metadata - centre) / unit), missing.to(metadata.dtype)], dim=1)
