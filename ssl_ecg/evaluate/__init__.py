"""Metrics and protocols; called as a function, the package is `ssl_ecg.evaluation.run.evaluate`."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Package(ModuleType):
    """Lets ``ssl_ecg.evaluate(protocol, encoder, archive)`` be the function although the package bears its name."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return import_module("ssl_ecg.evaluation.run").evaluate(*arguments, **options)


sys.modules[__name__].__class__ = _Package
