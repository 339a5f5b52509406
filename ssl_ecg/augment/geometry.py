"""Lead space: electrodes, lead relations and the heart's dipole as matrices.

A recording of the twelve leads lives in an eight-dimensional space (I, II, V1-V6); the other four are
differences and means of these. Whatever is done through the matrices below stays in that space, so that
II = I + III and Goldberger's relations still hold afterwards.

References
----------
Dower et al. 1980, doi:10.1002/clc.4960030202 (lead vectors of the twelve leads in Frank's space).
Edenbrandt and Pahlm 1988, doi:10.1016/0022-0736(88)90113-6 (inverse of that matrix).
Gopal et al. 2021, arXiv:2106.04452 (3KG: rotation and scaling of the dipole as augmentation).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ssl_ecg.errors import SignalError
from ssl_ecg.leads import LEAD_SETS, LIMB_LEADS, STANDARD_LEADS, parse_leads

INDEPENDENT_LEADS = LEAD_SETS[8]
ELECTRODES = ("RA", "LA", "LL", "C1", "C2", "C3", "C4", "C5", "C6")

# Row: limb lead; columns: coefficients of (I, II).
_LIMB_FROM_I_II = ((1.0, 0.0), (0.0, 1.0), (-1.0, 1.0), (-0.5, -0.5), (1.0, -0.5), (-0.5, 1.0))

# Row: independent lead; columns: X (to the left), Y (to the feet), Z (to the back).
_DOWER = (
    (0.632, -0.235, 0.059),
    (0.235, 1.066, -0.132),
    (-0.515, 0.157, -0.917),
    (0.044, 0.164, -1.387),
    (0.882, 0.098, -1.277),
    (1.213, 0.127, -0.601),
    (1.125, 0.127, -0.086),
    (0.831, 0.076, 0.230),
)

Residual = Literal["keep", "scale", "drop"]


def relation_matrix(leads: Sequence[str] = STANDARD_LEADS) -> Float[Tensor, "lead 8"]:
    """Give the matrix that makes the leads out of the independent ones I, II, V1-V6.

    Raises
    ------
    SignalError
        If a lead is unknown or given twice.

    Examples
    --------
    >>> relation_matrix(("III", "aVR"))[:, :2].tolist()
    [[-1.0, 1.0], [-0.5, -0.5]]
    """
    matrix = torch.zeros(len(leads), 8)
    for row, lead in enumerate(parse_leads(leads)):
        if lead in LIMB_LEADS:
            matrix[row, :2] = torch.tensor(_LIMB_FROM_I_II[LIMB_LEADS.index(lead)])
        else:
            matrix[row, INDEPENDENT_LEADS.index(lead)] = 1.0
    return matrix


def relation_projection(leads: Sequence[str] = STANDARD_LEADS) -> Float[Tensor, "lead lead"]:
    """Give the orthogonal projection onto the signals that obey the lead relations."""
    matrix = relation_matrix(leads).double()
    projection: Tensor = matrix @ torch.linalg.pinv(matrix)
    return projection.float()


def electrode_matrix(leads: Sequence[str] = STANDARD_LEADS) -> Float[Tensor, "lead 9"]:
    """Give the matrix that makes the leads out of the potentials at the nine electrodes.

    Noise that arises at an electrode (skin, muscle, cable) shows in the leads through this matrix.
    The columns are RA, LA, LL, C1-C6; the chest leads are taken against Wilson's central terminal.

    Raises
    ------
    SignalError
        If a lead is unknown or given twice.

    Examples
    --------
    >>> electrode_matrix(("I", "II"))[:, :3].tolist()
    [[-1.0, 1.0, 0.0], [-1.0, 0.0, 1.0]]
    """
    independent = torch.zeros(8, 9)
    independent[0, :2] = torch.tensor([-1.0, 1.0])
    independent[1, :3] = torch.tensor([-1.0, 0.0, 1.0])
    independent[2:, :3] = -1.0 / 3.0
    independent[2:, 3:] = torch.eye(6)
    return relation_matrix(leads) @ independent


def dower_matrix(leads: Sequence[str] = STANDARD_LEADS) -> Float[Tensor, "lead 3"]:
    """Give Dower's matrix from the dipole (X left, Y down, Z back) to the leads.

    The limb leads other than I and II follow from these, so the relations hold exactly.
    """
    return relation_matrix(leads) @ torch.tensor(_DOWER)


def inverse_dower_matrix(leads: Sequence[str] = STANDARD_LEADS) -> Float[Tensor, "3 lead"]:
    """Give the inverse Dower matrix from the leads to the dipole; derived leads have zero columns.

    It is the pseudo-inverse of Dower's eight independent rows, which Edenbrandt and Pahlm published
    rounded to three places.

    Raises
    ------
    SignalError
        If one of I, II, V1-V6 is not among the leads.
    """
    inverse: Tensor = torch.linalg.pinv(torch.tensor(_DOWER, dtype=torch.float64))
    return inverse.float() @ independent_selection(leads)


def independent_selection(leads: Sequence[str] = STANDARD_LEADS) -> Float[Tensor, "8 lead"]:
    """Give the matrix that picks I, II, V1-V6 out of the leads.

    Raises
    ------
    SignalError
        If one of the eight is not among the leads.
    """
    names = parse_leads(leads)
    missing = [lead for lead in INDEPENDENT_LEADS if lead not in names]
    if missing:
        problem = f"the dipole cannot be told without {', '.join(missing)}"
        raise SignalError("leads", problem, "give all twelve leads, or at least I, II and V1-V6")
    selection = torch.zeros(8, len(names))
    for row, lead in enumerate(INDEPENDENT_LEADS):
        selection[row, names.index(lead)] = 1.0
    return selection


def dipole_projection(leads: Sequence[str] = STANDARD_LEADS) -> Float[Tensor, "lead lead"]:
    """Give the part of the leads that a dipole explains, as a projection matrix."""
    return dower_matrix(leads) @ inverse_dower_matrix(leads)


def rotation_matrix(angles: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch 3 3"]:
    """Give the rotations about X, then Y, then Z by the angles [rad].

    Examples
    --------
    >>> quarter = rotation_matrix(torch.tensor([[0.0, 0.0, torch.pi / 2]]))
    >>> (quarter[0] @ torch.tensor([1.0, 0.0, 0.0])).round().abs().tolist()
    [0.0, 1.0, 0.0]
    """
    (cx, cy, cz), (sx, sy, sz) = angles.cos().unbind(1), angles.sin().unbind(1)
    entries = [
        cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx,
        sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx,
        -sy, cy * sx, cy * cx,
    ]  # fmt: skip
    return torch.stack(entries, 1).view(-1, 3, 3)


def dipole_map(
    dipole: Float[Tensor, "batch 3 3"],
    leads: Sequence[str] = STANDARD_LEADS,
    *,
    residual: Residual = "keep",
) -> Float[Tensor, "batch lead lead"]:
    """Give the lead-space matrices that apply linear maps to the dipole.

    The eight independent leads are split into the dipole's part and the rest; the map acts on the
    former, and all leads are made again from the eight, so the lead relations hold exactly.

    Parameters
    ----------
    dipole : (batch, 3, 3)
        Rotation, scaling or any other map of the dipole.
    leads : sequence of str
        Leads of the signal; must hold I, II, V1-V6.
    residual : {"keep", "scale", "drop"}
        What becomes of the part that no dipole explains: left as it is, multiplied by the map's mean
        stretch (the cube root of its determinant), or dropped as in 3KG.

    Raises
    ------
    SignalError
        If one of I, II, V1-V6 is not among the leads.

    References
    ----------
    Gopal et al. 2021, arXiv:2106.04452.

    Examples
    --------
    >>> dipole_map(torch.eye(3)[None]).shape
    torch.Size([1, 12, 12])
    """
    forward, backward, rest = _dipole_split(tuple(leads))
    maps: Tensor = forward @ dipole.float().cpu() @ backward
    if residual == "scale":
        stretch: Tensor = torch.linalg.det(dipole.float().cpu()).abs() ** (1.0 / 3.0)
        return maps + stretch.view(-1, 1, 1) * rest
    return maps + rest if residual == "keep" else maps


@lru_cache(maxsize=32)
def _dipole_split(leads: tuple[str, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Give dipole to leads, leads to dipole, and the map that leaves the part no dipole explains."""
    backward = inverse_dower_matrix(leads)
    consistent = relation_matrix(leads) @ independent_selection(leads)
    forward = dower_matrix(leads)
    return forward, backward, consistent - forward @ backward
