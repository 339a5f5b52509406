"""Work on many hosts through Dask: a scheduler hands the parts to its workers, and again if one is lost.

Workers see the same files as this process, under the same names: the sources are read, and an archive is written,
on a file system that all hosts share. Scheduler and workers need the same version of this library.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from typing import Any

from ssl_ecg._version import __version__
from ssl_ecg.data.engine_base import Engine, Part, Result, Shared
from ssl_ecg.errors import ArchiveError, SSLECGError

CONNECT = 10.0
"""How long to wait for a scheduler to answer [s]."""
PATIENCE = 60.0
"""How long to wait for workers when there are none [s]."""
_LOOK = 2.0  # between two looks at whether the cluster is still there [s]
_START = "start one with 'dask scheduler' and, on every host, 'dask worker HOST:PORT --nthreads 1 --nworkers N'"


class DaskEngine(Engine):
    """The workers of a Dask cluster that is running.

    Each worker process does one part at a time, so start as many processes as there are processors.

    Parameters
    ----------
    address : str
        ``"HOST:PORT"`` of the scheduler.
    patience : float, optional
        How long to wait for workers when there are none [s]; a minute unless given.

    Raises
    ------
    ArchiveError
        If Dask is not installed, no scheduler answers, or it has no workers.
    """

    def __init__(self, address: str, *, patience: float | None = None) -> None:
        self.name, self.patience = f"dask://{address}", PATIENCE if patience is None else patience
        self._distributed = _imported(self.name)
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # its errors come as exceptions as well
        try:
            self._client = self._distributed.Client(f"tcp://{address}", timeout=CONNECT, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise ArchiveError(self.name, "no Dask scheduler answers there", _START) from error
        self._wait_for_workers()

    def map(
        self, work: Callable[[Shared, Part], Result], shared: Shared, parts: Iterable[Part]
    ) -> Generator[Result, None, None]:
        """Give the results in order; parts of lost workers are done anew by others."""
        client, dumps = self._client, self._distributed.protocol.pickle.dumps
        # as bytes, so that the scheduler, which keeps them in case a worker is lost, need not know what they hold
        held = client.submit(_load, dumps((work, shared)), pure=False)
        waiting: deque[Any] = deque()
        try:
            for part in parts:
                waiting.append(client.submit(_do, held, dumps(part), __version__, pure=False))
                while len(waiting) > self._most():
                    yield self._result(waiting.popleft())
            while waiting:
                yield self._result(waiting.popleft())
        finally:
            with suppress(Exception):
                client.cancel([held, *waiting])

    def close(self) -> None:
        """End the connection; the cluster goes on."""
        with suppress(Exception):
            self._client.close(timeout=CONNECT)

    def _wait_for_workers(self) -> None:
        try:
            self._client.wait_for_workers(1, timeout=self.patience)
        except Exception as error:
            self.close()
            raise ArchiveError(self.name, "the scheduler has no workers", _START) from error

    def _most(self) -> int:
        """Give the number of parts that may be on the way."""
        return 2 * self._workers() + 2

    def _workers(self) -> int:
        try:
            return len(self._client.nthreads())
        except Exception as error:
            raise self._lost() from error

    def _result(self, future: Any) -> Any:
        """Wait for a part, and make sure that somebody is left to do it."""
        alone_since: float | None = None
        while True:
            try:
                return future.result(timeout=_LOOK)
            except Exception as error:
                waited = isinstance(error, TimeoutError | self._distributed.TimeoutError) and future.status != "error"
                if not waited:
                    raise self._explained(error) from None
            if self._client.status != "running":
                raise self._lost()
            # a result may also have been lost with the worker that held it, and is then computed anew
            alone_since = None if self._workers() else alone_since or time.monotonic()
            if alone_since is not None and time.monotonic() - alone_since > self.patience:
                problem = f"has had no workers for {self.patience:g} s"
                raise ArchiveError(self.name, problem, "start some and run it again: it resumes")

    def _explained(self, error: Exception) -> Exception:
        """Turn what went wrong in a worker into an error that says what to do."""
        if isinstance(error, SSLECGError):
            return error
        if isinstance(error, self._distributed.scheduler.KilledWorker):
            remedy = "most likely their memory ran out: give them more and run it again, it resumes"
            return ArchiveError(self.name, "several workers died of the same part", remedy)
        if self._client.status != "running":
            return self._lost()
        problem = f"a worker failed ({type(error).__name__}: {str(error)[:200]})"
        remedy = f"see that scheduler and workers have ssl_ecg {__version__}, then run it again: it resumes"
        return ArchiveError(self.name, problem, remedy)

    def _lost(self) -> ArchiveError:
        return ArchiveError(self.name, "the scheduler is gone", "start it and run the same again: it resumes")


def _imported(name: str) -> Any:
    try:
        import distributed
    except ImportError as error:
        raise ArchiveError(name, "needs Dask", "pip install 'ssl_ecg[dask]', here and on the workers") from error
    return distributed


_one_at_a_time = threading.Lock()


def _load(content: bytes) -> Any:
    """Unpack what all parts have in common, once in each worker."""
    from distributed.protocol.pickle import loads

    return loads(content)


def _do(held: tuple[Callable[[Any, Any], Result], Any], content: bytes, version: str) -> Result:
    """Do a part in a worker; one at a time, as readers of files need not be safe in threads."""
    if version != __version__:
        problem = f"a worker has ssl_ecg {__version__}, not {version}"
        raise ArchiveError("dask", problem, "install the same version everywhere")
    work, shared = held
    with _one_at_a_time:
        return work(shared, _load(content))
