"""The six classes of the CODE data sets.

References
----------
Ribeiro et al. 2020, doi 10.1038/s41467-020-15432-4.
"""

from __future__ import annotations

from ssl_ecg.tasks.task import Task

NONE_OF_SIX = "none-of-six"
"""Code of a record of CODE-15 % that has none of the six classes."""

_CODES = {
    "1dAVb": ("1AVB", "270492004"),
    "RBBB": ("CRBBB", "59118001", "713427006"),
    "LBBB": ("CLBBB", "164909002", "733534002"),
    "SB": ("SBRAD", "426177001"),
    "AF": ("AFIB", "164889003"),
    "ST": ("STACH", "427084000"),
}


def code6() -> Task:
    """Give the six classes in the order of the CODE publications; SCP and SNOMED CT codes count too.

    PTB-XL's sub-class "_AVB" does not say whether the block is of the first degree: a record with it is not known.
    """
    mapping = {code: (name,) for name, codes in _CODES.items() for code in (name, *codes)}
    negatives = frozenset({NONE_OF_SIX, "normal_ecg"})
    coarse = frozenset({"_AVB", "AVB"})
    return Task("code6", tuple(_CODES), "six findings of the CODE data sets", mapping, negatives, coarse)
