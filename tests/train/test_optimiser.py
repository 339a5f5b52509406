"""The optimiser of every run against the equation."""

from __future__ import annotations

import torch
from torch import nn

from ssl_ecg.train.optimiser import adamw, decay_groups


def test_a_run_is_stepped_by_adamw_with_decay_of_matrices_alone():
    torch.manual_seed(0)
    layer = nn.Linear(5, 3)
    optimiser = adamw(decay_groups(layer, 0.1), lr=0.01)
    expected = {name: p.detach().double() for name, p in layer.named_parameters()}
    first = {name: torch.zeros_like(p) for name, p in expected.items()}
    second = {name: torch.zeros_like(p) for name, p in expected.items()}
    for step in range(1, 6):
        for p in layer.parameters():
            p.grad = torch.randn_like(p)
        optimiser.step()
        for name, p in layer.named_parameters():
            grad, decay = p.grad.double(), 0.1 if name == "weight" else 0.0
            first[name] = 0.9 * first[name] + 0.1 * grad
            second[name] = 0.999 * second[name] + 0.001 * grad**2
            update = first[name] / (1 - 0.9**step) / ((second[name] / (1 - 0.999**step)).sqrt() + 1e-8)
            expected[name] = expected[name] * (1 - 0.01 * decay) - 0.01 * update
    for name, p in layer.named_parameters():
        torch.testing.assert_close(p.detach().double(), expected[name], rtol=0, atol=1e-6)
