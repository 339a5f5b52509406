"""Diagonal state spaces: long convolutions from a few parameters."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ssl_ecg.errors import SignalError


class StateSpace(nn.Module):
    """One state space per feature map, S4D, run over time in one direction or in both.

    ``x' = A x + B u``, ``y = Re(C x) + D u`` with diagonal complex A and B = 1, discretised by zero-order hold:
    ``x_k = exp(step A) x_(k-1) + (exp(step A) - 1) / A u_k``. As only real parts count, one of every conjugate pair of
    states is kept and counts twice. The second direction starts at the end of the strip, has its own C, and is added.

    Parameters
    ----------
    width : int
        Feature maps.
    state : even int
        States per feature map, conjugates included.
    bidirectional : bool
    init : {"lin", "inv"}
        How the frequencies start: evenly spaced, or denser where they are low.
    steps : (float, float)
        Range of the time steps at the start, log-uniform.

    Attributes
    ----------
    without_decay : tuple of str
        Parameters that weight decay would pull to poles at -1 and frequencies of zero: step and poles have none.

    References
    ----------
    Gu et al. 2022, On the parameterization and initialization of diagonal state space models, arXiv 2206.11893:
    kernel in section 3.2, S4D-Inv and S4D-Lin in section 4; no weight decay on step and A, as there.

    Examples
    --------
    >>> StateSpace(4, 8)(torch.zeros(2, 50, 4)).shape
    torch.Size([2, 50, 4])
    """

    without_decay: ClassVar[tuple[str, ...]] = ("log_step", "log_decay", "frequency")

    def __init__(
        self,
        width: int,
        state: int,
        *,
        bidirectional: bool = True,
        init: Literal["lin", "inv"] = "lin",
        steps: tuple[float, float] = (0.001, 0.1),
    ) -> None:
        super().__init__()
        if init not in ("lin", "inv"):
            raise SignalError("state space", f"unknown init {init!r}", "choose lin or inv")
        if state < 2 or state % 2 or not 0 < steps[0] <= steps[1]:
            remedy = "give an even number of states and a positive, increasing range of steps"
            raise SignalError("state space", f"{state} states and time steps {steps}", remedy)
        n = torch.arange(state // 2)
        frequency = math.pi * n if init == "lin" else state / math.pi * (state / (2 * n + 1) - 1)
        span = math.log(steps[1] / steps[0])
        self.log_step = nn.Parameter(math.log(steps[0]) + span * torch.rand(width))
        self.log_decay = nn.Parameter(torch.full((width, state // 2), math.log(0.5)))
        self.frequency = nn.Parameter(frequency.repeat(width, 1))
        # real pairs rather than complex numbers, which not every optimiser and file format knows
        self.output = nn.Parameter(math.sqrt(0.5) * torch.randn(2 if bidirectional else 1, width, state // 2, 2))
        self.skip = nn.Parameter(torch.randn(width))

    def discrete(self) -> tuple[Complex[Tensor, "width half"], Complex[Tensor, "direction width half"]]:
        """Give the exponents ``step A`` and the weights ``C (exp(step A) - 1) / A`` of the discrete system."""
        pole = torch.complex(-self.log_decay.exp(), self.frequency)
        exponent = self.log_step.exp()[:, None] * pole
        return exponent, torch.view_as_complex(self.output) * torch.expm1(exponent) / pole

    def kernel(self, length: int) -> Float[Tensor, "direction width length"]:
        """Give the impulse responses ``2 Re(sum_n weight_n exp(exponent_n k))`` for k up to `length`."""
        exponent, weight = self.discrete()
        # k = coarse * block + fine makes of the Vandermonde product one of two small matrices per feature map
        block = max(1, math.isqrt(length))
        ticks = torch.arange(-(-length // block), device=exponent.device)
        coarse = weight[..., None, :] * torch.exp(exponent[:, None] * (block * ticks)[:, None])
        fine = torch.exp(exponent[..., None] * torch.arange(block, device=exponent.device))
        left = torch.cat([coarse.real, -coarse.imag], dim=-1)
        terms: Tensor = left @ torch.cat([fine.real, fine.imag], dim=-2)
        return 2 * terms.flatten(2)[..., :length]

    def forward(self, u: Float[Tensor, "batch step width"]) -> Float[Tensor, "batch step width"]:
        """Filter feature maps that are zero past the end of a strip, in the parameters' precision."""
        with torch.autocast(u.device.type, enabled=False):
            u = u.to(self.skip.dtype)
            length = u.shape[1]
            kernel = self.kernel(length)
            size = -(-2 * length // 64) * 64  # no wrapping around, and a product of small primes
            ring = F.pad(kernel[0], (0, size - length))
            if len(kernel) == 2:  # looks ahead: its response to the sample k steps later stands k from the end
                ring = ring + F.pad(kernel[1], (0, size - length)).flip(-1).roll(1, -1)
            filtered: Tensor = RingConvolution.apply(u, ring)
            return filtered + self.skip * u


class RingConvolution(torch.autograd.Function):
    """Circular convolution of every feature map, by Fourier transforms, cut to the length of the input.

    A function of its own because its gradients are transforms of real numbers too, which is half the work of what
    automatic differentiation makes of them.
    """

    @staticmethod
    def forward(
        ctx: Any, u: Float[Tensor, "batch step width"], ring: Float[Tensor, "width size"]
    ) -> Float[Tensor, "batch step width"]:
        """Convolve; `ring` holds the kernel for 0, 1, ... steps back and, from its end, for 1, 2, ... ahead."""
        signal, response = torch.fft.rfft(u.transpose(1, 2), n=ring.shape[-1]), torch.fft.rfft(ring)
        ctx.save_for_backward(signal, response)
        ctx.size = ring.shape[-1]
        y: Tensor = torch.fft.irfft(signal * response, n=ctx.size)[..., : u.shape[1]]
        return y.transpose(1, 2).contiguous()  # what follows is many times slower on turned memory

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad: Float[Tensor, "batch step width"]
    ) -> tuple[Float[Tensor, "batch step width"], Float[Tensor, "width size"]]:
        """Correlate with the kernel, and with the signal."""
        signal, response = ctx.saved_tensors
        spectrum = torch.fft.rfft(grad.transpose(1, 2), n=ctx.size)
        to_ring = torch.fft.irfft((signal.conj() * spectrum).sum(dim=0), n=ctx.size)
        to_u = torch.fft.irfft(spectrum.mul_(response.conj()), n=ctx.size)[..., : grad.shape[1]]
        return to_u.transpose(1, 2).contiguous(), to_ring
