"""Waiting for what another process of the run computes, and hearing of it if that process fails or is gone.

Processes that srun starts do not end with each other. So the one that computes writes a file every few seconds,
and whoever waits looks whether it still changes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from ssl_ecg.errors import TrainingError
from ssl_ecg.files import make_folder

T = TypeVar("T")

LOOK = 1.0
"""How often it is looked whether the result is there [s]."""
BEAT = 10.0
"""How often the process that computes says that it is alive [s]."""
PATIENCE = 600.0
"""How long it may be silent; a shared disk may show a change a minute late [s]."""
_FAILED = "failed: "


@contextmanager
def watched(result: Path) -> Iterator[None]:
    """Let other processes know, while this one computes `result`, that it lives, and why it failed if it does.

    Parameters
    ----------
    result : Path
        What is being made; the signs are in a hidden file beside it, which is gone when all went well.
    """
    sign, over = _sign(result), threading.Event()
    make_folder(sign.parent)

    def beat() -> None:
        while True:
            _write(sign, f"alive: {time.time_ns()}")
            if over.wait(BEAT):
                return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    except BaseException as error:
        over.set()
        thread.join()
        _write(sign, f"{_FAILED}{type(error).__name__} {error} ({time.time_ns()})")
        raise
    over.set()
    thread.join()
    with suppress(OSError):
        sign.unlink(missing_ok=True)


def await_result(result: Path, look: Callable[[], T | None], *, patience: float = PATIENCE) -> T:
    """Wait until `look` gives something, as another process has made `result` under `watched`.

    Parameters
    ----------
    result : Path
    look : callable
        Gives None as long as there is nothing.
    patience : float
        How long the other process may give no sign [s]; also before its first, as it may start later.

    Raises
    ------
    TrainingError
        If the other process has failed or gives no sign.

    Examples
    --------
    >>> await_result(Path("x.npy"), lambda: 5)
    5
    """
    before = sign = _read(result)  # of an earlier run, perhaps
    since = time.monotonic()
    while (found := look()) is None:
        seen = _read(result)
        if seen != sign:
            sign, since = seen, time.monotonic()
        remedy = "see what the first process says, then run the same again"
        if sign != before and sign.startswith(_FAILED):
            raise TrainingError(str(result), f"was not made by the process that was to ({sign})", remedy)
        if time.monotonic() - since > patience:
            problem = f"the process that was to make it has given no sign for {patience:.0f} s"
            raise TrainingError(str(result), problem, remedy)
        time.sleep(LOOK)
    return found


def _sign(result: Path) -> Path:
    return result.with_name(f".{result.name}.sign")


def _write(sign: Path, text: str) -> None:
    with suppress(OSError):  # a full disk is told of by what is computed
        sign.write_text(text, "utf-8")


def _read(result: Path) -> str:
    try:
        return _sign(result).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
