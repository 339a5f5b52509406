"""Number formats for training: bfloat16 where the processor computes in it, float32 elsewhere."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["auto", "float32", "bfloat16"]


def pays_bfloat16(device_type: str) -> bool:
    """Tell whether bfloat16 is computed in hardware (emulated, it is slower than float32)."""
    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device_type == "cpu":
        return any(
            bool(getattr(torch.cpu, name, bool)()) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        )
    return False


def resolve_precision(precision: Precision, device_type: str) -> Literal["float32", "bfloat16"]:
    """Choose for "auto"; give what was asked for otherwise."""
    if precision == "auto":
        return "bfloat16" if pays_bfloat16(device_type) else "float32"
    return precision
