"""The source sets of the PhysioNet/CinC Challenge 2020: 43,101 recordings with SNOMED CT codes."""

from __future__ import annotations

from typing import ClassVar

from ssl_ecg.data.corpora.challenge_sets import IN_BOTH
from ssl_ecg.data.corpora.cinc2021 import CinC2021


class CinC2020(CinC2021):
    """The public source sets of the PhysioNet/CinC Challenge 2020.

    They are those of 2021 without Chapman-Shaoxing and Ningbo; see `CinC2021` for the parameters.

    References
    ----------
    Perez Alday et al. 2020, doi 10.1088/1361-6579/abc960.
    """

    name = "cinc2020"
    title = "PhysioNet/CinC Challenge 2020"
    doi = "10.13026/f4ab-0814"
    url = "https://physionet.org/files/challenge-2020/1.0.2/"
    shared_with = ("cinc2021", "cpsc2018", "ptbxl")
    sets: ClassVar[tuple[str, ...]] = IN_BOTH
    _others: ClassVar[tuple[str, ...]] = ("cinc2021",)
    _typical: ClassVar[tuple[str, ...]] = tuple(name for name in IN_BOTH if name != "cpsc2018")
