"""Ctrl-C and SIGTERM while processes are being started."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any


class Stops:
    """Takes SIGTERM for a Ctrl-C, as all processes are to save; while they are being started, both wait.

    A process that is started in the midst of a stop would never hear of it.
    """

    def __init__(self) -> None:
        self.waits, self.asked = True, False
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Stops:
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def now(self) -> None:
        """Stop from now on at once, if it was asked for also before."""
        self.waits = False
        if self.asked:
            raise KeyboardInterrupt

    def _ask(self, number: int, frame: Any) -> None:
        self.asked = True
        if not self.waits:
            raise KeyboardInterrupt

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)


@contextmanager
def deaf_children() -> Iterator[None]:
    """Let processes that are started here keep a Ctrl-C for later: while they import it would end in a traceback."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # it would unblock the signal when it is started
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def hear() -> None:
    """Take the Ctrl-C that came meanwhile, and those to come."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
