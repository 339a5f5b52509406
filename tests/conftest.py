"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # so it is in the background of a shell, and what tests start would inherit it and be deaf to Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real data sets (ptbxl, ptbxl_zscored, cinc2011, cinc2021, mitdb, nstdb)."""
    folder = os.environ.get("SSL_ECG_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("real data not found: set SSL_ECG_TEST_DATA to the folder that holds ptbxl, cinc2011 ...")
    return Path(folder)


_HOLD = """
import sys, time
from pathlib import Path
from ssl_ecg.errors import ArchiveError
from ssl_ecg.holding import held
with held(Path(sys.argv[1]), ArchiveError("x", "busy", "wait")):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="session")
def held_elsewhere() -> Callable[[Path], AbstractContextManager[None]]:
    """Hold a file in another process, which is killed in the end."""
    pytest.importorskip("fcntl")

    @contextmanager
    def hold(path: Path) -> Iterator[None]:
        process = subprocess.Popen([sys.executable, "-c", _HOLD, str(path)], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield
        finally:
            process.kill()
            process.communicate()

    return hold
