"""Which row of a recording is which lead of the encoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import SignalError
from ssl_ecg.leads import canonical_lead, derive_limb_leads


class LeadRows:
    """Puts the rows of a recording where an encoder expects them.

    Parameters
    ----------
    names : sequence of str
        Of the rows of the recording.
    wanted : sequence of str
        The encoder's leads. Limb leads that are missing are derived where two others are there.
    shown : sequence of str, optional
        Those of them that the encoder has been shown; all unless given.

    Raises
    ------
    SignalError
        If no row is a lead that the encoder knows.

    Examples
    --------
    >>> rows = LeadRows(["MLII", "V5", "RESP"], ["I", "II", "V5"])
    >>> rows.place(np.ones((3, 2), np.float32), np.array([True, False, True])).tolist()
    [[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]
    """

    def __init__(self, names: Sequence[str], wanted: Sequence[str], shown: Sequence[str] | None = None) -> None:
        known = [canonical_lead(name) for name in names]
        self.names, self.wanted = tuple(names), tuple(wanted)
        self.shown = self.wanted if shown is None else tuple(shown)
        self.row_of = {lead: k for k, lead in reversed(list(enumerate(known))) if lead is not None}
        if not any(self.present(np.ones(len(names), np.bool_))):
            problem = f"has none of the encoder's leads, only {', '.join(names) or 'none at all'}"
            raise SignalError("monitor", problem, "say which standard leads they are, such as II,V5")

    def present(self, usable: NDArray[np.bool_]) -> tuple[bool, ...]:
        """Tell which of the encoder's leads can be had from usable rows."""
        there: dict[str, NDArray[np.floating]] = {lead: np.zeros(1) for lead, k in self.row_of.items() if usable[k]}
        there |= derive_limb_leads(there)
        return tuple(lead in there and lead in self.shown for lead in self.wanted)

    def place(self, rows: NDArray[np.float32], usable: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Give (..., lead of the encoder, time) from (..., row, time); zero where a lead is absent or not usable.

        Parameters
        ----------
        rows : array (..., row, time) [mV]
        usable : bool array (row,)
        """
        there: dict[str, NDArray[np.floating]] = {lead: rows[..., k, :] for lead, k in self.row_of.items() if usable[k]}
        there |= derive_limb_leads(there)
        out = np.zeros((*rows.shape[:-2], len(self.wanted), rows.shape[-1]), np.float32)
        for k, lead in enumerate(self.wanted):
            if lead in there and lead in self.shown:
                out[..., k, :] = there[lead]
        return out
