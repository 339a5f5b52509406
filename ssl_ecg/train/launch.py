"""The processes of one run: which of them this is, and starting those of one host.

On several hosts torchrun or SLURM starts the processes. On one, `launch` does: it starts them anew (not as forks,
which hang where the threads of the parent compute), and tells them their places by the variables that torchrun sets.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, Literal

import torch

from ssl_ecg.errors import RecipeError, SSLECGError, TrainingError
from ssl_ecg.train.starting import Stops, deaf_children, hear

PATIENCE = 60.0
"""How long processes may take to save and end after a stop, or after another has failed [s]."""
_GRACE = 5.0
"""After another has failed, they are asked to stop if they have not ended by themselves so soon [s]."""
_STOPS = (-signal.SIGINT, -signal.SIGTERM)


@dataclass(frozen=True)
class Place:
    """Where this process stands among those of its run.

    Attributes
    ----------
    rank : int
        Number of this process; number 0 writes the files.
    world : int
        Processes in all.
    nodes : int
        Hosts.
    launcher : {"", "torchrun", "slurm"}
        What started them; "" where nothing did.
    """

    rank: int = 0
    world: int = 1
    nodes: int = 1
    launcher: Literal["", "torchrun", "slurm"] = ""

    @property
    def devices(self) -> int:
        """Processes on each host."""
        return self.world // self.nodes


def find_place() -> Place:
    """Read from the environment what torchrun or srun says of this process.

    Raises
    ------
    RecipeError
        If hosts have different numbers of processes.
    """
    env = os.environ
    if "TORCHELASTIC_RUN_ID" in env and "WORLD_SIZE" in env:
        rank, world, here = (int(env[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"))
        nodes, launcher = world // here, "torchrun"
    elif int(env.get("SLURM_STEP_NUM_TASKS", 1)) > 1 and env.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        rank, world = int(env["SLURM_PROCID"]), int(env["SLURM_STEP_NUM_TASKS"])
        nodes, launcher = int(env.get("SLURM_STEP_NUM_NODES", 1)), "slurm"
    else:
        return Place()
    if world % nodes:
        remedy = "start the same number on each"
        raise RecipeError("devices", f"{world} processes on {nodes} hosts", remedy)
    return Place(rank, world, nodes, launcher)  # type: ignore[arg-type]


def check_devices(devices: int, place: Place) -> None:
    """Make sure that as many processes as are asked for can run here.

    Raises
    ------
    RecipeError
        If not.
    """
    if devices < 1:
        raise RecipeError("devices", f"is {devices}", "give 1 or more")
    if place.world > 1 and devices not in (1, place.devices):
        problem = f"{devices}, but {place.launcher} has started {place.devices} processes on each host"
        raise RecipeError("devices", problem, "leave it out")
    wanted, there = max(devices, place.devices), torch.cuda.device_count()
    if there and wanted > there:
        raise RecipeError("devices", f"{wanted} of {there} GPUs", f"give {there} or less, or hide the GPUs to use CPUs")


def launch(function: Callable[..., None], arguments: tuple[Any, ...], devices: int) -> None:
    """Run ``function(*arguments)`` in several new processes of this host until all of them have ended.

    If one of them fails or is killed, the others are ended. Arguments go there by pickling.

    Raises
    ------
    KeyboardInterrupt
        If the user stops the run; the processes have saved its state by then.
    TrainingError
        If a process was ended from outside, or the arguments cannot be sent.
    Exception
        What the function raised, in any of the processes.
    """
    from torch.multiprocessing.spawn import start_processes

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    threads = max(1, len(_processors()) // devices)
    pipes = [Pipe(duplex=False) for _ in range(devices)]
    sent = (function, arguments, devices, port, threads, [end for _, end in pipes])
    stopped, asked = False, set[int]()
    with Stops() as stops:
        try:
            with deaf_children():
                context: Any = start_processes(_work, sent, devices, join=False)  # type: ignore[no-untyped-call]
        except (AttributeError, TypeError, ImportError) as error:  # pickle's own words for what it cannot send
            remedy = "define classes in a module that can be imported, or start the processes with torchrun"
            raise TrainingError("devices", f"the method cannot be sent to other processes ({error})", remedy) from error
        processes = context.processes
        try:
            stops.now()
            asked = _watch(processes)
        except KeyboardInterrupt:
            stopped = True
            _stop(processes)
        finally:
            answers = [_answer(reader) for reader, _ in pipes]
            for reader, writer in pipes:
                reader.close()
                writer.close()
    _raise_first(answers, [process.exitcode for process in processes], stopped=stopped, asked=asked)


def _processors() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _work(
    rank: int,
    function: Callable[..., None],
    arguments: tuple[Any, ...],
    world: int,
    port: int,
    threads: int,
    ends: list[Connection],
) -> None:
    """Be one of the processes."""
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():  # before the system could tell
        sys.exit(1)
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world), LOCAL_WORLD_SIZE=str(world), GROUP_RANK="0",
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), TORCHELASTIC_RUN_ID="ssl_ecg",
    )  # fmt: skip
    if "OMP_NUM_THREADS" not in os.environ:
        os.environ["OMP_NUM_THREADS"] = str(threads)
        torch.set_num_threads(threads)
    answer: Any = None
    try:
        hear()
        function(*arguments)
    except KeyboardInterrupt:
        answer = "stopped"
    except Exception as error:
        answer = error if isinstance(error, SSLECGError) else RuntimeError(f"{error}\n{traceback.format_exc()}")
    with suppress(OSError):  # the parent may be gone
        ends[rank].send(answer)
    if answer == "stopped":
        sys.exit(1)
    if answer is not None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)  # what is left in torch may wait for the other processes for ever


def _watch(processes: list[Any], seconds: float = float("inf")) -> set[int]:
    """Wait until all have ended; once one has failed, the others are asked to, and after a minute killed.

    Gives the numbers of those that were asked.
    """
    end, ask = time.monotonic() + seconds, float("inf")
    asked: set[int] = set()
    while alive := [rank for rank, process in enumerate(processes) if process.is_alive()]:
        now = time.monotonic()
        if any(process.exitcode for process in processes):
            end, ask = min(end, now + PATIENCE), min(ask, now + _GRACE)
        if now >= ask and not asked:
            asked = {*alive}
            _interrupt([processes[rank] for rank in alive])
        if now >= end:
            for rank in alive:
                processes[rank].kill()
        nearest = end if asked else min(end, ask)
        left = None if nearest == float("inf") else max(nearest - now, 1.0)
        wait([processes[rank].sentinel for rank in alive], left)
    for process in processes:
        process.join()
    return asked


def _interrupt(processes: list[Any]) -> None:
    for process in processes:
        if process.is_alive():
            os.kill(process.pid, signal.SIGINT)


def _stop(processes: list[Any]) -> None:
    """Ask all to save and end; asked a second time, kill them."""
    _interrupt(processes)
    try:
        _watch(processes, PATIENCE)
    except KeyboardInterrupt:
        _watch(processes, 0.0)


def _answer(reader: Connection) -> Any:
    try:
        return reader.recv() if reader.poll() else None
    except EOFError:
        return None


def _raise_first(answers: list[Any], statuses: list[int], *, stopped: bool, asked: set[int]) -> None:
    """Raise what went wrong first: a stop, an error of ours, a process that was killed, or else any other failure.

    Those that were asked to stop because another had failed do not count as stopped.
    """
    failures = [answer for answer in answers if isinstance(answer, Exception)]
    ended = [rank for rank, status in enumerate(statuses) if status and rank not in asked]
    if stopped or any(answers[rank] == "stopped" or statuses[rank] in _STOPS for rank in ended):
        raise KeyboardInterrupt from next(iter(failures), None)
    for failure in failures:
        if isinstance(failure, SSLECGError):
            raise failure
    remedy = "run the same again: it goes on from the last saved state"
    for rank in ended:
        if answers[rank] is None:
            status = statuses[rank]
            how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
            raise TrainingError(f"process {rank} of {len(statuses)}", f"was ended with {how}", remedy)
    if failures:
        raise failures[0]
