"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import signal
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
