"""Where work that falls into parts is done: in processes of this machine, or in workers on many hosts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from ssl_ecg.data.engine_base import Engine, Part, Result, Shared
from ssl_ecg.errors import ArchiveError

PROCESSES = "processes"
_DASK = "dask://"


class Processes(Engine):
    """Processes of this machine, started anew.

    Parameters
    ----------
    workers : int
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def map(
        self, work: Callable[[Shared, Part], Result], shared: Shared, parts: Iterable[Part]
    ) -> Generator[Result, None, None]:
        """Give the results in order."""
        context = get_context("spawn")  # a fork would inherit the threads' locks of torch
        pool = ProcessPoolExecutor(self.workers, context, initializer=_start, initargs=(work, shared))
        waiting: deque[Future[Any]] = deque()
        try:
            for part in parts:
                waiting.append(pool.submit(_do, part))
                if len(waiting) > 2 * self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            remedy = "most likely memory ran out: run it again with fewer workers, it resumes"
            raise ArchiveError("engine processes", "a worker process died", remedy) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def open_engine(engine: str, workers: int) -> Engine:
    """Open an engine by its name; use it as a context.

    Parameters
    ----------
    engine : str
        "processes", or ``"dask://HOST:PORT"``, the address of a running Dask scheduler.
    workers : int
        Number of processes; a Dask cluster has its own.

    Raises
    ------
    ArchiveError
        If there is no such engine, its package is not installed, no scheduler answers, or it has no workers.

    Examples
    --------
    >>> with open_engine("processes", 4) as engine:
    ...     engine.workers
    4
    """
    if engine == PROCESSES:
        return Processes(workers)
    address = engine.removeprefix(_DASK)
    host, colon, port = address.rpartition(":")
    if engine.startswith(_DASK) and host and colon and port.isdigit():
        from ssl_ecg.data.engine_dask import DaskEngine

        return DaskEngine(address)
    raise ArchiveError("engine", f"{engine!r} is none", "give dask://HOST:PORT, such as dask://10.0.0.5:8786")


_doing: tuple[Callable[[Any, Any], Any], Any] | None = None


def _start(work: Callable[[Any, Any], Any], shared: Any) -> None:
    global _doing
    _doing = (work, shared)


def _do(part: Any) -> Any:
    if _doing is None:
        raise RuntimeError("the worker was not started")
    work, shared = _doing
    return work(shared, part)
