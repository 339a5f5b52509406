"""Expert features beside the run that needs them: computed once, and read again when the run goes on."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssl_ecg._version import __version__
from ssl_ecg.data.archive import Archive
from ssl_ecg.features.expert import expert_vectors, feature_names
from ssl_ecg.files import write_whole

_LOOK = 1.0  # how often it is looked whether another process has finished [s]


def kept_vectors(
    archive: Archive,
    rows: NDArray[np.integer],
    folder: str | Path,
    *,
    leads: Sequence[str] | None = None,
    compute: bool = True,
    workers: int = 1,
    progress: bool = False,
) -> NDArray[np.float32]:
    """Give what `expert_vectors` gives, from a file of the folder if it holds them.

    The file's name, ``features-FINGERPRINT.npy``, tells archive, records, leads and version apart, so that features of
    anything else are not taken for these.

    Parameters
    ----------
    archive, rows, leads, workers, progress
        As `expert_vectors` takes them.
    folder : path
        Of the run.
    compute : bool
        Of several processes one computes, and the others wait for its file.

    Raises
    ------
    SignalError
        If PyWavelets is not installed.
    ArchiveError
        If a worker process dies or the file cannot be written.
    """
    path = Path(folder) / f"features-{_fingerprint(archive, rows, leads)}.npy"
    shape = (len(rows), len(feature_names(archive.leads)))
    found = _read(path, shape)
    if found is None and compute:
        made = found = expert_vectors(archive, rows, leads=leads, workers=workers, progress=progress)
        write_whole(path, lambda file: np.save(file, made))
    while found is None:
        time.sleep(_LOOK)
        found = _read(path, shape)
    return found


def _fingerprint(archive: Archive, rows: NDArray[np.integer], leads: Sequence[str] | None) -> str:
    words = (__version__, archive.fingerprint, ",".join(archive.leads), "all" if leads is None else ",".join(leads))
    digest = hashlib.sha256("\0".join(words).encode())
    digest.update(np.asarray(rows, "<i8").tobytes())
    return digest.hexdigest()[:16]


def _read(path: Path, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """Read a file; None if there is none, or a damaged one."""
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.shape == shape and found.dtype == np.float32 else None
