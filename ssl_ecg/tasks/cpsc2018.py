"""The nine classes of the China Physiological Signal Challenge 2018.

References
----------
Liu et al. 2018, doi 10.1166/jmihi.2018.2442. SNOMED CT codes as in the PhysioNet/CinC Challenges 2020 and
2021, which published the recordings again.
"""

from __future__ import annotations

from types import MappingProxyType

from ssl_ecg.tasks.task import Task

NUMBERS = MappingProxyType(
    {
        1: "426783006",
        2: "164889003",
        3: "270492004",
        4: "164909002",
        5: "59118001",
        6: "284470004",
        7: "164884008",
        8: "429622005",
        9: "164931005",
    }
)
"""Number of a class in the original REFERENCE.csv -> SNOMED CT code in the WFDB version."""

_CODES = {
    "SNR": ("426783006", "NORM", "normal_ecg"),
    "AF": ("164889003", "AFIB"),
    "IAVB": ("270492004", "1AVB", "1dAVb"),
    "LBBB": ("164909002", "733534002", "CLBBB"),
    "RBBB": ("59118001", "713427006", "CRBBB"),
    "PAC": ("284470004", "63593006"),
    "PVC": ("164884008", "427172004", "17338001"),
    "STD": ("429622005", "STD_"),
    "STE": ("164931005", "STE_"),
}


def cpsc9() -> Task:
    """Give the nine classes in the order of their numbers.

    SNOMED CT codes of equal meaning are merged (complete bundle branch blocks, supraventricular and
    ventricular premature beats), and the SCP codes of PTB-XL and the labels of CODE-15 % of equal meaning
    count. Class 1 of the challenge is a normal ECG, so that "NORM" stands for it and sinus rhythm, "SR",
    which PTB-XL also states of abnormal recordings, does not. PTB-XL's sub-class "_AVB" does not say whether
    the block is of the first degree: a record with it is not known.
    """
    mapping = {code: (name,) for name, codes in _CODES.items() for code in (name, *codes)}
    description = "China Physiological Signal Challenge 2018"
    return Task("cpsc9", tuple(_CODES), description, mapping, coarse=frozenset({"_AVB", "AVB"}))
