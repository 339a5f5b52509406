"""Noise recordings as rows of a tensor at the rate of the strips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ssl_ecg.augment.noise_parts import Part, part_of, records_in
from ssl_ecg.errors import RecordError, SignalError
from ssl_ecg.signal import resample_band


def read_noise(
    noise: Tensor | str | Path | Sequence[str | Path],
    fs: float,
    *,
    part: Part = "all",
    band: tuple[float, float] | None = None,
) -> Tensor:
    """Give recorded noise as rows of zero mean and unit variance.

    Parameters
    ----------
    noise : Tensor (row, time), or path or paths of WFDB records
        A tensor is at the rate ``fs`` already, and filtered. Of several records, each row is cut to the shortest. A
        folder stands for the records in it; of the Noise Stress Test Database, for its three of noise.
    fs : float
        Rate of the strips [Hz].
    part : {"all", "first", "second"}
        Which half of each recording.
    band : (float, float), optional
        Pass band of the strips [Hz], by which records are filtered too.

    Returns
    -------
    Tensor (row, time) of float32

    Raises
    ------
    SignalError
        If the noise is no (row, time), or has no row that varies.
    RecordError
        If a record cannot be read, or there is none.
    RecipeError
        If there is no such part.

    Examples
    --------
    >>> rows = read_noise(torch.arange(8.0).view(1, 8), 100.0)
    >>> abs(rows.mean().item()) < 1e-6, round(rows.square().mean().item(), 6)
    (True, 1.0)
    """
    if isinstance(noise, Tensor):
        rows = torch.from_numpy(part_of(noise.detach().cpu().double().numpy(), part))
    else:
        paths = [noise] if isinstance(noise, str | Path) else list(noise)
        records = [record for path in paths for record in records_in(Path(path).expanduser())]
        pieces = [_read_record(record, fs, part, band) for record in records]
        shortest = min((piece.shape[1] for piece in pieces), default=0)
        rows = torch.cat([piece[:, :shortest] for piece in pieces]) if pieces else torch.zeros(0, 0)
    if rows.ndim != 2:
        raise SignalError("noise", f"got shape {tuple(rows.shape)}", "give it as (row, time)")
    if rows.shape[1] > 0:
        rows = torch.nan_to_num(rows, nan=0.0, posinf=0.0, neginf=0.0)
        rows = rows - rows.mean(1, keepdim=True)
        rows = rows[rows.square().mean(1) > 0]
    if rows.numel() == 0:
        raise SignalError("noise", "no row varies", "give a noise record that is not flat or empty")
    return (rows / rows.square().mean(1, keepdim=True).sqrt()).float()


def _read_record(path: Path, fs: float, part: Part, band: tuple[float, float] | None) -> Tensor:
    """Read a WFDB record, take a part, and bring it to ``fs`` [Hz] and a pass band."""
    import wfdb  # late: it takes a second to import

    path = path.with_suffix("") if path.suffix in (".hea", ".dat") else path
    if not path.with_name(path.name + ".hea").is_file():
        remedy = "give the path of a WFDB record of noise, or of a folder of such records, as 'noise' of the transform"
        raise RecordError(str(path), "there is no such record or folder", remedy)
    try:
        record = wfdb.rdrecord(str(path))
        signal, rate = record.p_signal.T, float(record.fs)
    except Exception as error:  # wfdb raises whatever its parser stumbles over
        problem = f"cannot be read as a WFDB record ({type(error).__name__}: {error})"
        raise RecordError(str(path), problem, "give the path of the record without extension") from error
    cut = np.ascontiguousarray(part_of(np.nan_to_num(signal), part))
    return torch.from_numpy(np.ascontiguousarray(resample_band(cut, rate, fs, band))).double()
