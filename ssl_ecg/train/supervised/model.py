"""An encoder with a head, trained on labels: what is run in a step, and which parts learn how fast."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ssl_ecg.augment.views import Views
from ssl_ecg.errors import RecipeError
from ssl_ecg.methods.base import Batch, gate, make_views
from ssl_ecg.preprocessing import Preprocessing
from ssl_ecg.scaling import scale_strips
from ssl_ecg.train.heads import Head
from ssl_ecg.train.losses.base import SupervisedLoss
from ssl_ecg.train.optimiser import undecayed

Mode = Literal["frozen", "linear_then_full", "layerwise", "full"]
Norms = Literal["fixed", "batch"]
MODES: tuple[str, ...] = get_args(Mode)


class Supervised(nn.Module):
    """Encoder, head and loss.

    Parameters
    ----------
    encoder : nn.Module
        One that has an attribute `takes_metadata` which is true is given age and sex, ``metadata=(batch, 2)``.
    head : Head
    criterion : SupervisedLoss
    views : Views, optional
        Augmentation of one view, in training only.
    metadata : float32 Tensor (record, 2), optional
        Age [years] and sex (1 male, 0 female) of every row of the archive; NaN where missing.

    Attributes
    ----------
    frozen : bool
        The encoder neither learns nor sees batch statistics.
    fixed_norms : bool
        Batch normalisation keeps its running statistics while its weights learn.
    """

    metadata: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        head: Head,
        criterion: SupervisedLoss,
        *,
        views: Views | None = None,
        metadata: Float[Tensor, "record 2"] | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.criterion = criterion
        self.views = views
        self.register_buffer("metadata", torch.empty(0, 2) if metadata is None else metadata, persistent=False)
        self.frozen = False
        self.fixed_norms = False

    def loss(self, batch: Batch) -> Tensor:
        """Augment, and give the loss over the known labels of a batch from `Strips` with targets."""
        signal, lengths = self._scaled(batch), _lengths(batch)
        if self.views is not None:
            signal, lengths = make_views(self.views, {**batch, "signal": signal})
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            z = self._embed(signal, lengths, self._metadata(batch))
        logits = self.head(z, self._metadata(batch))
        with torch.autocast(signal.device.type, enabled=False):
            value: Tensor = self.criterion(logits, batch["target"], batch["target_mask"])
            return value

    def embed(self, batch: Batch) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch target"]]:
        """Give embeddings and logits, without augmentation."""
        metadata = self._metadata(batch)
        z = self._embed(self._scaled(batch), _lengths(batch), metadata)
        return z.float(), self.head(z, metadata)

    def features(self, batch: Batch) -> Float[Tensor, "batch feature"]:
        """Give what the head standardises, without augmentation."""
        metadata = self._metadata(batch)
        return self.head.features(self._embed(self._scaled(batch), _lengths(batch), metadata), metadata)

    def train(self, mode: bool = True) -> Supervised:
        """Switch to training, but for what is frozen."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        elif self.fixed_norms:
            for module in self.encoder.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def weights(self) -> dict[str, Tensor]:
        """Give copies of what is learnt: the states of encoder and head."""
        state = {f"encoder.{name}": value for name, value in self.encoder.state_dict().items()}
        state |= {f"head.{name}": value for name, value in self.head.state_dict().items()}
        return {name: value.detach().cpu().clone() for name, value in state.items()}

    def set_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Put back what `weights` gave; anything else is a RuntimeError of torch."""
        for part, module in (("encoder.", self.encoder), ("head.", self.head)):
            module.load_state_dict({k.removeprefix(part): v for k, v in weights.items() if k.startswith(part)})

    def _embed(self, signal: Tensor, lengths: Tensor | None, metadata: Tensor | None) -> Tensor:
        more = {"metadata": metadata} if takes_metadata(self.encoder) else {}
        z: Tensor = self.encoder(signal, lengths, **more) if lengths is not None else self.encoder(signal, **more)
        return z

    def _scaled(self, batch: Batch) -> Tensor:
        preprocessing: Preprocessing = self.encoder.preprocessing  # type: ignore[assignment]
        return scale_strips(gate(batch), preprocessing.scale, batch.get("length"))

    def _metadata(self, batch: Batch) -> Tensor | None:
        return self.metadata[batch["row"]] if len(self.metadata) else None


def takes_metadata(encoder: nn.Module) -> bool:
    """Tell whether an encoder has its own branch for age and sex."""
    return bool(getattr(encoder, "takes_metadata", False))


def _lengths(batch: Batch) -> Tensor | None:
    """Give the lengths of the strips if any is padded: without them encoders are quicker."""
    lengths = batch["length"]
    return lengths if bool((lengths < batch["signal"].shape[2]).any()) else None


def depth_units(encoder: nn.Module) -> list[list[nn.Parameter]]:
    """Give the parameters of an encoder in units from the input to the output.

    Units are the encoder's children in the order in which they were made; a stack of modules of one kind, such as
    residual blocks, counts as that many units. Parameters of the encoder itself (positions, tokens) come first.

    Examples
    --------
    >>> from ssl_ecg.models.conv1d import Conv1DEncoder
    >>> len(depth_units(Conv1DEncoder(widths=(8, 16, 32))))
    3
    """
    seen: set[int] = set()
    units = []
    for parameters in ([*encoder.parameters(recurse=False)], *map(_parameters, _units(encoder))):
        new = [p for p in parameters if id(p) not in seen]
        seen.update(map(id, new))
        if new:
            units.append(new)
    return units


def _units(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        stacked = isinstance(child, nn.Sequential | nn.ModuleList) and len({type(item) for item in child}) == 1
        if stacked and len(child) > 1:  # type: ignore[arg-type]
            yield from _units(child)
        else:
            yield child


def _parameters(module: nn.Module) -> list[nn.Parameter]:
    return list(module.parameters())


def parameter_groups(
    model: Supervised, *, mode: str, lr: float, encoder_lr: float, layer_decay: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Share the parameters out in groups with a learning rate each.

    Parameters
    ----------
    model : Supervised
    mode : {"frozen", "linear_then_full", "layerwise", "full"}
    lr : float
        Of the head.
    encoder_lr : float
        Rate of the encoder's last unit, as a factor of `lr`.
    layer_decay : float
        Factor from each unit to the one before it; of no effect in "full".
    weight_decay : float
        Of matrices; vectors (biases, norms) and what a module keeps from it have none, see `undecayed`.

    Returns
    -------
    list of dict
        Groups for torch's optimisers, each with the name of its "part": "head" or "encoder".

    Raises
    ------
    RecipeError
        If there is no such mode.

    References
    ----------
    Howard and Ruder 2018, arXiv 1801.06146, section 3.2 (rates that fall towards the input); Kumar et al. 2022,
    arXiv 2202.10054 (the head first, then all).
    """
    if mode not in MODES:
        raise RecipeError("train.mode", f"unknown {mode!r}", f"choose from {', '.join(MODES)}")
    parts = [("head", lr, list(model.head.parameters()))]
    if mode != "frozen":
        units = depth_units(model.encoder)
        decay = 1.0 if mode == "full" else layer_decay
        rates = [lr * encoder_lr * decay ** (len(units) - 1 - k) for k in range(len(units))]
        parts += [("encoder", rate, unit) for rate, unit in zip(rates, units, strict=True)]
    groups, free = [], undecayed(model)
    for part, rate, parameters in parts:
        for decayed in (True, False):
            chosen = [p for p in parameters if (id(p) not in free) == decayed]
            if chosen:
                decay_of = weight_decay if decayed else 0.0
                groups.append({"params": chosen, "lr": rate, "weight_decay": decay_of, "part": part})
    return groups
