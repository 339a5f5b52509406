"""What a figure depends on beside data, recipe and seed: versions of packages, and the machine."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("ssl_ecg", "torch", "lightly", "numpy", "scipy", "scikit-learn", "faiss-cpu")


def versions() -> dict[str, str]:
    """Give the version of Python and of each package, "unknown" for one that is not installed."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def processor() -> str:
    """Name the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def hardware() -> str:
    """Name the processor, and how many cores the system has."""
    return f"{processor()}, {os.cpu_count()} cores"
