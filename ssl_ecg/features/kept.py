"""Expert features beside the run that needs them: computed once, and read again when the run goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg._version import __version__
from ssl_ecg.data.archive import Archive
from ssl_ecg.errors import ArchiveError
from ssl_ecg.features.expert import expert_parts, feature_names
from ssl_ecg.features.table import TableFile, write_table
from ssl_ecg.files import make_folder
from ssl_ecg.holding import held
from ssl_ecg.waiting import await_result, watched


def kept_vectors(
    archive: Archive, rows: NDArray[np.integer], folder: str | Path, **options: Any
) -> NDArray[np.float32]:
    """Give what `expert_vectors` gives, from a file of the folder if it holds them.

    Parameters and errors are those of `kept_table`.
    """
    table = kept_table(archive, rows, folder, **options)
    return table.columns(0, table.shape[1])


def kept_table(
    archive: Archive,
    rows: NDArray[np.integer],
    folder: str | Path,
    *,
    leads: Sequence[str] | None = None,
    compute: bool = True,
    workers: int = 1,
    progress: bool = False,
) -> TableFile:
    """Write what `expert_vectors` gives to a file of the folder, unless it is there; memory does not grow with it.

    The file's name, ``features-FINGERPRINT.npy``, tells archive, records, leads and version apart, so that features of
    anything else are not taken for these. A call that was interrupted goes on where it was.

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
    TrainingError
        If the process that is waited for has failed or is gone.
    """
    path = Path(folder) / f"features-{_fingerprint(archive, rows, leads)}.npy"
    shape = (len(rows), len(feature_names(archive.leads)))
    if not compute:
        return await_result(path, partial(_read, path, shape))
    busy = ArchiveError(str(path), "another process computes it", "wait until it is done, or choose another folder")
    make_folder(path.parent)
    with held(path.with_suffix(".lock"), busy), watched(path):
        found = _read(path, shape)
        if found is None:
            options: dict[str, Any] = {"leads": leads, "workers": workers, "progress": progress}
            found = write_table(path, shape, lambda start: expert_parts(archive, rows, start=start, **options))
    return found


def _fingerprint(archive: Archive, rows: NDArray[np.integer], leads: Sequence[str] | None) -> str:
    words = (__version__, archive.fingerprint, ",".join(archive.leads), "all" if leads is None else ",".join(leads))
    digest = hashlib.sha256("\0".join(words).encode())
    digest.update(np.asarray(rows, "<i8").tobytes())
    return digest.hexdigest()[:16]


def _read(path: Path, shape: tuple[int, int]) -> TableFile | None:
    """Open a file; None if there is none, or a damaged one."""
    try:
        found = TableFile(path)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.shape == shape else None
