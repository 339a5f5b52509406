"""What every pretraining method shares: the contract and one gate for bad batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ssl_ecg.augment.views import Views, where_padded
from ssl_ecg.errors import RecipeError, SignalError

Batch = Mapping[str, Tensor]
"""One batch of strips: "signal" (batch, lead, time), "lead_mask" (batch, lead); "row", "patient", "length" (batch,)."""


@runtime_checkable
class Method(Protocol):
    """A pretraining method: an encoder, whatever is thrown away afterwards, and a loss.

    The signal of a batch has already been scaled as `encoder.preprocessing` says. A method may also have

    - `begin_step(step, steps)`: called before the loss of every step, for teachers that follow the encoder and
      for schedules; whatever it changes must be in the `state_dict`, or follow from its arguments alone;
    - `released`: the encoder that is kept, if that is not `encoder`.
    """

    encoder: nn.Module

    def loss(self, batch: Batch) -> Tensor:
        """Give the scalar to minimise."""


def begin_step(method: object, step: int, steps: int) -> None:
    """Tell a method that step `step` of `steps` begins, if it wants to know."""
    hook = getattr(method, "begin_step", None)
    if hook is not None:
        hook(step, steps)


def released_encoder(method: nn.Module) -> nn.Module:
    """Give the encoder that a method leaves behind: a teacher's where it says so."""
    released: nn.Module = getattr(method, "released", None) or method.encoder  # type: ignore[assignment]
    return released


def check_positive(**values: float) -> None:
    """Refuse sizes, temperatures and the like that are not above zero.

    Raises
    ------
    RecipeError
        With the name of the first that is not.
    """
    for name, value in values.items():
        if not value > 0:
            raise RecipeError(f"method.{name}", f"is {value}", "give a value above zero")


def gate(batch: Batch, *, at_least: int = 1) -> Tensor:
    """Give the signal of a batch, or refuse what would train on nonsense.

    Losses of pairs misbehave at the edges without an error (a batch of one, NaN), so all methods ask here.

    Raises
    ------
    SignalError
        If the batch is too small or not finite.
    """
    signal = batch["signal"]
    if signal.ndim != 3:
        raise SignalError("batch", f"signal has shape {tuple(signal.shape)}", "give (batch, lead, time)")
    if signal.shape[0] < at_least:
        remedy = "raise the batch size or use more records"
        raise SignalError("batch", f"{signal.shape[0]} strips, the method needs {at_least}", remedy)
    if not bool(torch.isfinite(signal.sum())):
        raise SignalError("batch", "the signal has NaN or infinite samples", "read it through an archive and Strips")
    return signal


def targets_of(batch: Batch) -> tuple[Float[Tensor, "batch class"], Bool[Tensor, "batch class"]]:
    """Give the targets of a batch and which of them are known.

    Raises
    ------
    SignalError
        If it has none.
    """
    if "target" not in batch or "target_mask" not in batch:
        raise SignalError(
            "batch",
            "has no targets",
            "open the strips with a task, or with measures: data.task or data.measures in a recipe",
        )
    return batch["target"].float(), batch["target_mask"]


def make_views(
    views: Views, batch: Batch, *, n_views: int | None = None
) -> tuple[Float[Tensor, "rows lead time"], Int[Tensor, " rows"] | None]:
    """Augment a batch in float32.

    Returns
    -------
    views : Tensor (views x batch, lead, time)
        The first view of every strip, then the second and so on.
    lengths : int Tensor (views x batch,) or None
        Samples of each view before its padding, for the encoder; None if all are whole.
    """
    signal = batch["signal"]
    lengths = where_padded(batch.get("length"), signal.shape[-1])
    options: dict[str, Any] = {} if lengths is None else {"lengths": lengths}
    if n_views is not None:
        options["n_views"] = n_views
    with torch.autocast(signal.device.type, enabled=False):
        made = views(signal, batch.get("lead_mask"), **options)
    own = views.lengths(lengths, signal.shape[-1])
    return torch.cat(made), None if own is None else own.repeat(len(made))


def encode(
    encoder: nn.Module, x: Float[Tensor, "rows lead time"], lengths: Int[Tensor, " rows"] | None
) -> Float[Tensor, "rows dim"]:
    """Embed strips in the trainer's precision and give float32; lengths are passed on only where there are any."""
    embeddings: Tensor = encoder(x) if lengths is None else encoder(x, lengths)
    return embeddings.float()


def contrast(
    encoder: nn.Module,
    projector: nn.Module,
    views: Views,
    criterion: Callable[[Tensor, Tensor], Tensor],
    batch: Batch,
) -> Tensor:
    """Augment, encode and project two views, and compare them.

    Both views pass the encoder together, so that batch statistics span them. Only the encoder runs in the
    precision of the trainer: augmentation, projector and loss lose too much in bfloat16.
    """
    embeddings = encode(encoder, *make_views(views, batch, n_views=2))
    with torch.autocast(embeddings.device.type, enabled=False):
        first, second = projector(embeddings).chunk(2)
        return criterion(first, second)
