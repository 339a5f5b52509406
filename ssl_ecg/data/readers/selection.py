"""What of a recording to read: which leads, which stretch of time, and the factor to millivolts."""

from __future__ import annotations

from collections.abc import Sequence

from ssl_ecg.errors import RecordError
from ssl_ecg.leads import canonical_lead

_PER_MILLIVOLT = {
    "mv": 1.0, "millivolt": 1.0, "millivolts": 1.0,
    "uv": 1e3, "µv": 1e3, "μv": 1e3, "microvolt": 1e3, "microvolts": 1e3,
    "nv": 1e6, "nanovolt": 1e6, "nanovolts": 1e6,
    "v": 1e-3, "volt": 1e-3, "volts": 1e-3,
}  # fmt: skip


def units_per_millivolt(units: str, lead: str, where: str) -> float:
    """Give how many of a physical unit make one millivolt.

    Raises
    ------
    RecordError
        If the unit is not one of voltage.

    Examples
    --------
    >>> units_per_millivolt("uV", "II", "100")
    1000.0
    """
    factor = _PER_MILLIVOLT.get(units) or _PER_MILLIVOLT.get(units.strip().lower())
    if factor is None:
        problem = f"lead {lead} is in {units[:20]!r}, which is no unit of voltage"
        raise RecordError(where, problem, "choose the ECG leads with leads=[...], or correct the unit")
    return factor


def choose_leads(names: Sequence[str], wanted: Sequence[str] | None, where: str) -> list[int]:
    """Find the rows of the wanted leads, in the order wanted; all rows if ``wanted`` is None.

    A lead is found by its name as in the file, or else by the standard lead that it means.

    Raises
    ------
    RecordError
        If a wanted lead is not there.

    Examples
    --------
    >>> choose_leads(["MLII", "V5", "RESP"], ["V5", "II"], "100")
    [1, 0]
    """
    if wanted is None:
        return list(range(len(names)))
    standard = [canonical_lead(name) for name in names]
    rows = []
    for lead in wanted:
        meant = canonical_lead(lead)
        if lead in names:
            rows.append(list(names).index(lead))
        elif meant is not None and meant in standard:
            rows.append(standard.index(meant))
        else:
            raise RecordError(where, f"has no lead {lead!r}", f"choose from {', '.join(names)}"[:300])
    return rows


def choose_window(start: int, stop: int | None, n_samples: int, where: str) -> tuple[int, int]:
    """Check a window of samples against the length of the recording; a late end is cut to it.

    Raises
    ------
    RecordError
        If the recording or the window holds no sample.

    Examples
    --------
    >>> choose_window(100, None, 250, "a"), choose_window(0, 999, 250, "a")
    ((100, 250), (0, 250))
    """
    if n_samples <= 0:
        raise RecordError(where, "has no samples", "leave it out, or fetch its files again")
    end = n_samples if stop is None else min(stop, n_samples)
    if not 0 <= start < end:
        problem = f"samples {start} to {stop} are outside its {n_samples} samples"
        raise RecordError(where, problem, "choose 0 <= start < stop")
    return start, end
