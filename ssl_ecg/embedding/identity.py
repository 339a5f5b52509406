"""What makes two encoders the same function: weights, structure and preprocessing."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from torch import nn

from ssl_ecg.preprocessing import Preprocessing


def encoder_identity(encoder: nn.Module) -> dict[str, Any]:
    """Describe an encoder so that another one, or another way to use its weights, is described otherwise.

    Parameters
    ----------
    encoder : nn.Module
        With `.preprocessing`.

    Returns
    -------
    dict
        Fingerprints "encoder" of the weights and "structure" of what they are used by, and "preprocessing".
    """
    preprocessing: Preprocessing = encoder.preprocessing  # type: ignore[assignment]
    return {
        "encoder": weights_fingerprint(encoder),
        "structure": structure_fingerprint(encoder),
        "preprocessing": preprocessing.to_dict(),
    }


def weights_fingerprint(encoder: nn.Module) -> str:
    """Give the SHA-256 over names and values of an encoder's weights."""
    digest = hashlib.sha256()
    for name, value in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(value.detach().cpu().float().numpy()).tobytes())
    return digest.hexdigest()


def structure_fingerprint(encoder: nn.Module) -> str:
    """Give the SHA-256 over classes and plain settings, such as strides and ways to pool, of all modules within.

    Examples
    --------
    >>> structure_fingerprint(nn.AvgPool1d(2)) == structure_fingerprint(nn.AvgPool1d(3))
    False
    """
    found = []
    for name, module in encoder.named_modules():
        settings = {key: value for key, value in vars(module).items() if _is_setting(key, value)}
        found.append((name, type(module).__qualname__, settings))
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def _is_setting(key: str, value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_setting(key, one) for one in value)
    return key != "training" and isinstance(value, bool | int | float | str)
