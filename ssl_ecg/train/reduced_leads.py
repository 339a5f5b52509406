"""Strips as a device with fewer leads would have recorded them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.strips import Strips
from ssl_ecg.errors import SignalError
from ssl_ecg.leads import parse_leads


def choose_leads(leads: str | Sequence[str], of: Sequence[str]) -> tuple[str, ...]:
    """Give the leads asked for in the order of those that are there.

    Raises
    ------
    SignalError
        If a name is unknown, given twice, or not there.

    Examples
    --------
    >>> choose_leads("v1, ii", ("I", "II", "V1"))
    ('II', 'V1')
    """
    wanted = parse_leads(leads)
    absent = [lead for lead in wanted if lead not in of]
    if absent:
        raise SignalError("leads", f"{', '.join(absent)} not among {', '.join(of)}", "choose from those")
    return tuple(lead for lead in of if lead in wanted)


def with_leads(archive: Archive, leads: Sequence[str] | None) -> NDArray[np.bool_]:
    """Tell which records of an archive have any of some leads; all, where no leads are named."""
    if leads is None:
        return np.ones(len(archive), bool)
    columns = [k for k, lead in enumerate(archive.leads) if lead in leads]
    return np.asarray(archive.lead_masks[:, columns].any(axis=1))


class ReducedStrips(Strips):
    """Strips in which all but some leads are zero and marked as absent, in partners too; scaling knows nothing of them.

    Parameters
    ----------
    archive : Archive
    seconds : float
    leads : sequence of str
        Leads that are kept.
    **options
        Of `Strips`.
    """

    def __init__(self, archive: Archive, seconds: float, *, leads: Sequence[str], **options: Any) -> None:
        super().__init__(archive, seconds, **options)
        self.kept = torch.tensor([lead in choose_leads(leads, archive.leads) for lead in archive.leads])

    def __getitems__(self, items: Sequence[int]) -> dict[str, Tensor]:
        """Give a whole batch; see `Strips.__getitems__`."""
        batch = super().__getitems__(items)
        for strips, mask in (("signal", "lead_mask"), ("partner", "partner_mask")):
            if strips in batch:
                batch[strips][:, ~self.kept] = 0.0
                batch[mask] &= self.kept
        return batch
