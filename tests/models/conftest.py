"""Slow reference layers for strips of different length: each strip is a tensor of its own, so none has padding."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

Strips = list[Tensor]


class Ragged:
    """Walks through the convolutions and norms of a model in the order of definition and applies plain ones."""

    def __init__(self, model: nn.Module) -> None:
        self.training = model.training
        leaves = [m for m in model.modules() if isinstance(m, nn.Conv1d | nn.BatchNorm1d)]
        # copies, since the model under test may change its running statistics in between
        self.leaves: Iterator[tuple[type, dict[str, Tensor]]] = iter(
            [(type(m), {k: v.clone() for k, v in m.state_dict().items()}) for m in leaves]
        )

    def conv(self, strips: Strips, n_out: int, kernel: int, stride: int = 1) -> Strips:
        kind, state = next(self.leaves)
        assert issubclass(kind, nn.Conv1d)
        assert state["weight"].shape == (n_out, strips[0].shape[0], kernel)
        pad = (kernel - 1) // 2
        return [F.conv1d(s[None], state["weight"], state.get("bias"), stride, pad)[0] for s in strips]

    def norm(self, strips: Strips) -> Strips:
        """All strips laid end to end are one long strip to the plain normalisation."""
        kind, state = next(self.leaves)
        assert issubclass(kind, nn.BatchNorm1d)
        plain = nn.BatchNorm1d(len(strips[0])).train(self.training)
        plain.load_state_dict(state)
        joined = plain(torch.cat(strips, dim=1)[None])[0]
        return list(torch.split(joined, [s.shape[1] for s in strips], dim=1))

    def relu(self, strips: Strips) -> Strips:
        return [s.clamp(min=0) for s in strips]

    def done(self) -> bool:
        return next(self.leaves, None) is None

    @staticmethod
    def add(one: Strips, other: Strips) -> Strips:
        return [a + b for a, b in zip(one, other, strict=True)]

    @staticmethod
    def windows(strips: Strips, reduce: Callable[[Tensor], Tensor], before: int, after: int) -> Strips:
        """Reduce, at every other step, what a strip has from `before` steps earlier to `after` steps later."""
        return [
            torch.stack([reduce(s[:, max(0, t - before) : t + after + 1]) for t in range(0, s.shape[1], 2)], dim=1)
            for s in strips
        ]

    @staticmethod
    def mean_and_max(strips: Strips) -> Tensor:
        return torch.stack([torch.cat([s.mean(dim=1), s.amax(dim=1)]) for s in strips])


@pytest.fixture
def ragged() -> type[Ragged]:
    return Ragged


@pytest.fixture
def strips() -> Strips:
    """Strips of odd, even and very small length."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(12, n, generator=generator) for n in (333, 190, 250, 17)]


def _pad(strips: Strips) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([s.shape[1] for s in strips])
    return nn.utils.rnn.pad_sequence([s.T for s in strips], batch_first=True).mT.contiguous(), lengths


def _unsettle(model: nn.Module) -> None:
    """Give normalisation other weights and statistics than the ones it starts with."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.weight, 0.3, 1.0)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)


@pytest.fixture
def pad() -> Callable[[Strips], tuple[Tensor, Tensor]]:
    return _pad


@pytest.fixture
def unsettle() -> Callable[[nn.Module], None]:
    return _unsettle


def _silent_in_steps(encoder: nn.Module, steps: int) -> list[list[str]]:
    """Train for some steps; give, for each, the names of the parameters that got no gradient."""
    signal, silent = torch.randn(4, 12, 256), []
    for _ in range(steps):
        encoder.zero_grad()
        encoder(signal).square().mean().backward()
        silent.append([k for k, p in encoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0])
        with torch.no_grad():
            for p in encoder.parameters():
                p -= 0.1 * p.grad
    return silent


@pytest.fixture
def silent_in_steps() -> Callable[[nn.Module, int], list[list[str]]]:
    return _silent_in_steps
