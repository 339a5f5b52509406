"""One of two processes that train each method for some steps on their halves of a batch.

``python two_processes.py OUT METHOD ...`` in an environment as torchrun makes it. The first process also trains
each method alone on the whole batches, and writes all that is to be compared to the folder OUT.

The draws of a step are those of the whole batch, and a process takes its half of each: so both ways see the same views
and masks, which in a real run they do not, as every process has a seed of its own.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.overrides import TorchFunctionMode

STRIPS = 22
"""In a batch. No other size in the models is a multiple of half of it."""
STEPS = 4
APART = "simclr-apart"
"""Does it wrong, to see that the comparison finds that."""
LIKE = {torch.rand_like: torch.rand, torch.randn_like: torch.randn}


class Halved(TorchFunctionMode):
    """Draw for the whole batch and give a process its part, along the first axis that is a multiple of it."""

    def __init__(self, rank: int, world: int) -> None:
        super().__init__()
        self.rank, self.world, self.local = rank, world, STRIPS // world

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in LIKE:
            like = args[0]
            return self.part(lambda size: LIKE[func](size, dtype=like.dtype), tuple(like.shape))
        if func in (torch.rand, torch.randn):
            size = kwargs.pop("size", args[0] if args and not isinstance(args[0], int) else args)
            return self.part(lambda size: func(size, **kwargs), tuple(size))
        if func in (torch.bernoulli, torch.multinomial, torch.randint) or getattr(func, "__name__", "") in (
            "dropout", "uniform_", "normal_", "bernoulli_", "exponential_", "random_",
        ):  # fmt: skip
            raise NotImplementedError(f"{func}: teach this test how to draw it in parts")
        return func(*args, **kwargs)

    def part(self, draw: Any, size: tuple[int, ...]) -> torch.Tensor:
        axis = next((k for k, n in enumerate(size) if n and n % self.local == 0), None)
        if axis is None or self.world == 1:
            return draw(size)
        before, n, after = size[:axis], size[axis], size[axis + 1 :]
        whole = draw((*before, n * self.world, *after))
        return whole.reshape(*before, -1, self.world, self.local, *after).select(axis + 1, self.rank).reshape(size)


def sure_of_everything(method: nn.Module) -> None:
    """Let FixMatch's untrained classifier give pseudo-labels."""
    method.positive.fill_(0.51)
    method.negative.fill_(0.49)
    method.align = True


def apart(method: nn.Module) -> None:
    """Contrast each half of a batch alone."""
    method.criterion.gather_distributed = False


def moved(part: str, seed: int) -> Callable[[Any], None]:
    """Move a part one of whose values lies within rounding of where a gradient or a choice jumps.

    That is where a value of ReLU is zero, or two neighbours are equally near: there a change of the weights by 1e-7
    changes the losses of one process alone by as much as is compared here.
    """

    def move(method: nn.Module) -> None:
        generator = torch.Generator().manual_seed(seed)
        for parameter in method.get_submodule(part).parameters():
            parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)

    return move


TWEAKS: dict[str, Callable[[Any], None]] = {
    "autoencoder": moved("decoder", 1),
    "nnclr": moved("encoder", 2),
    "fixmatch": sure_of_everything,
    APART: apart,
}


class Step(nn.Module):
    """A method as the trainer calls it."""

    def __init__(self, method: nn.Module) -> None:
        super().__init__()
        self.method = method

    def forward(self, batch: dict[str, torch.Tensor], step: int) -> torch.Tensor:
        from ssl_ecg.methods.base import begin_step

        begin_step(self.method, step, STEPS)
        return self.method.loss(batch)


def train(name: str, rank: int = 0, world: int = 1) -> dict[str, Any]:
    """Give the losses, the first gradients, and the state after the last step."""
    from test_methods import batch, build

    from ssl_ecg.models.norm import synchronise_norms
    from ssl_ecg.train.optimiser import decay_groups

    method = build(name.removesuffix("-apart"))
    TWEAKS.get(name, lambda method: None)(method)
    for module in method.modules():
        for transform in getattr(getattr(module, "views", None), "transforms", ()):
            transform.p = 1.0  # of those that act on some strips, draws are made for these alone
    step_of: nn.Module = Step(method)
    if world > 1:
        synchronise_norms(method)
        step_of = DistributedDataParallel(step_of, broadcast_buffers=False)
    optimizer = torch.optim.SGD(decay_groups(method, 1e-3), lr=1e-2, momentum=0.9)
    losses, first = [], {}
    for step in range(STEPS):
        whole = batch(STRIPS, seed=step)
        whole["lead_mask"][: STRIPS // 3, 3:6] = False  # halves of unequal weight
        whole["length"][1:5] = 130
        whole["signal"][~whole["lead_mask"]] = 0
        whole["signal"][1:5, :, 130:] = 0
        whole["target_mask"][-5:] = False
        half = slice(rank * STRIPS // world, (rank + 1) * STRIPS // world)
        torch.manual_seed(step)
        with Halved(rank, world):
            loss = step_of({key: value[half] for key, value in whole.items()}, step)
        optimizer.zero_grad()
        loss.backward()
        first = first or {key: p.grad.clone() for key, p in method.named_parameters() if p.grad is not None}
        optimizer.step()
        losses.append(loss.detach())
    found = torch.stack(losses)
    if world > 1:
        torch.distributed.all_reduce(found)
    return {"losses": found / world, "gradients": first, "state": method.state_dict()}


@contextmanager
def noted(file: Path) -> Iterator[None]:
    """Write down what a method raises, and go on with the next."""
    try:
        yield
    except Exception:
        file.write_text(traceback.format_exc())


def main(out: Path, names: list[str]) -> None:
    rank = int(os.environ["RANK"])
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=60))
    for name in names:
        with noted(out / f"{name}.{rank}.txt"):
            torch.save(train(name, rank, 2), out / f"{name}.{rank}.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    if rank == 0:
        for name in names:
            with noted(out / f"{name}.alone.txt"):
                torch.save(train(name), out / f"{name}.alone.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
