"""Which recordings are unlike those that a classifier was trained on, and why, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.archive import Archive
from ssl_ecg.prediction.members import Member

if TYPE_CHECKING:
    from ssl_ecg.train.signal_reference import Look, SignalReference

FloatArray = NDArray[np.float64]
FLAT = "flat in all leads"
"""Why a recording without any signal has no answer."""


@dataclass(frozen=True)
class Compared:
    """Some records beside those of training.

    Attributes
    ----------
    silent : bool array (record,)
        No lead has a signal in any window.
    distance : float64 array (record,)
        Of the signal, see `SignalReference`; mean over the members, NaN where one has none.
    why : list of list of str
        What is unlike the training data, but for embeddings.
    """

    silent: NDArray[np.bool_]
    distance: FloatArray
    why: list[list[str]]


def compare(
    archive: Archive, members: Sequence[Member], rows: NDArray[np.int64], leads: Sequence[str] | None, quantile: float
) -> Compared:
    """Compare the signals of records with those of training.

    Parameters
    ----------
    archive : Archive
    members : sequence of Member
        That are shown the same leads.
    rows : int64 array
    leads : sequence of str, optional
        Those asked for.
    quantile : float
        Share of the validation records that counts as usual.
    """
    looks = {_form(member): _look(archive, member, rows, leads) for member in _of_each_form(members)}
    references = [None if member.reference is None else member.reference.signal for member in members]
    each = [
        np.full(len(rows), np.nan) if one is None else one.distance(looks[_form(member)].traits, quantile)
        for member, one in zip(members, references, strict=True)
    ]
    distance = np.mean(each, axis=0)
    look, shown = looks[_form(members[0])], members[0].shown(leads)
    of = np.array([shown is None or lead in shown for lead in archive.leads])
    first = next((one for one in references if one is not None), None)
    why = [_reasons(archive.leads, look, k, of, distance[k], first, quantile) for k in range(len(rows))]
    silent = np.asarray(~look.moves[:, of].any(axis=1), np.bool_)
    return Compared(silent, distance, why)


def far_embedding(distance: float) -> str:
    """Say that an embedding is far away.

    Examples
    --------
    >>> far_embedding(1.26)
    'embedding 1.3 times as far as usual'
    """
    return f"embedding {_times(distance)} as far as usual"


def _form(member: Member) -> tuple[float, float]:
    windows = member.card["windows"]
    return float(windows["seconds"]), float(windows["stride"])


def _of_each_form(members: Sequence[Member]) -> list[Member]:
    """Give the first member for each form of windows."""
    return list({_form(member): member for member in reversed(members)}.values())[::-1]


def _look(archive: Archive, member: Member, rows: NDArray[np.int64], leads: Sequence[str] | None) -> Look:
    from ssl_ecg.train.signal_reference import look_at
    from ssl_ecg.train.supervised.data import open_windows

    return look_at(open_windows(archive, rows, *_form(member), leads=member.shown(leads)))


def _reasons(
    names: Sequence[str],
    look: Look,
    k: int,
    shown: NDArray[np.bool_],
    distance: float,
    reference: SignalReference | None,
    quantile: float,
) -> list[str]:
    """Say what is odd about one record."""
    if reference is None:
        return []
    found = []
    absent = shown & ~look.present[k]
    if absent.sum() > reference.most_absent(shown, quantile):
        found.append(f"without {_listed(names, absent)}")
    if distance > 1:
        flat = shown & look.present[k] & ~look.moves[k]
        oddest = f"flat in {_listed(names, flat)}" if flat.any() else reference.oddest(look.traits[k])
        found.append(f"signal {_times(distance)} as far as usual{f' ({oddest})' if oddest else ''}")
    return found


def _listed(names: Sequence[str], which: NDArray[np.bool_]) -> str:
    return ", ".join(name for name, given in zip(names, which, strict=True) if given)


def _times(distance: float) -> str:
    return f"{distance:.1f} times" if distance >= 1.05 else f"{distance:.3f} times"
