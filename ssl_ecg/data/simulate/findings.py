"""The findings: what each does to the beat, its codes, and which of them exclude each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, product
from types import MappingProxyType

import numpy as np

import ssl_ecg.data.simulate.conduction as conduction
import ssl_ecg.data.simulate.repolarisation as repolarisation
from ssl_ecg.data.simulate.dipole import Beat
from ssl_ecg.errors import LabelError

Change = Callable[[Beat, np.random.Generator], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding.

    Attributes
    ----------
    codes : tuple of str
        SCP statements as PTB-XL uses them, then SNOMED CT codes as CPSC 2018 has them in the CinC challenges.
    change : callable or None
        Changes the beat in place; None where the finding is one of rhythm alone.
    """

    codes: tuple[str, ...]
    change: Change | None = None


_STD, _STE = "429622005", "164931005"

FINDINGS: Mapping[str, Finding] = MappingProxyType(
    {
        "NORM": Finding(("NORM", "426783006")),
        "AF": Finding(("AFIB", "164889003"), conduction.no_p_wave),
        "PAC": Finding(("PAC", "284470004")),
        "PVC": Finding(("PVC", "164884008")),
        "IAVB": Finding(("1AVB", "270492004"), conduction.first_degree_block),
        "LBBB": Finding(("CLBBB", "164909002"), conduction.left_bundle_block),
        "RBBB": Finding(("CRBBB", "59118001"), conduction.right_bundle_block),
        "IRBBB": Finding(("IRBBB",), conduction.incomplete_right_block),
        "LAFB": Finding(("LAFB",), conduction.left_anterior_block),
        "STD": Finding(("STD_", "ISC_", _STD), repolarisation.st_depression),
        "STE": Finding(("STE_", "NST_", _STE), repolarisation.st_elevation),
        "NDT/low": Finding(("NDT", "LOWT"), repolarisation.low_t),
        "NDT/inverted": Finding(("NDT", "INVT"), repolarisation.inverted_t),
        "AMI/acute": Finding(("ASMI", "STE_", _STE), repolarisation.infarction("AMI", "acute")),
        "AMI/recent": Finding(("ASMI", "QWAVE", "INVT"), repolarisation.infarction("AMI", "recent")),
        "AMI/old": Finding(("ASMI", "QWAVE"), repolarisation.infarction("AMI", "old")),
        "IMI/acute": Finding(("IMI", "STE_", _STE), repolarisation.infarction("IMI", "acute")),
        "IMI/recent": Finding(("IMI", "QWAVE", "INVT"), repolarisation.infarction("IMI", "recent")),
        "IMI/old": Finding(("IMI", "QWAVE"), repolarisation.infarction("IMI", "old")),
        "LMI/recent": Finding(("LMI", "QWAVE", "INVT"), repolarisation.infarction("LMI", "recent")),
        "LMI/old": Finding(("LMI", "QWAVE"), repolarisation.infarction("LMI", "old")),
        "LVH/voltage": Finding(("LVH", "VCLVH"), conduction.left_hypertrophy),
        "LVH/strain": Finding(("LVH", "VCLVH", "STD_", "ISC_", _STD), repolarisation.left_strain),
        "RVH": Finding(("RVH",), conduction.right_hypertrophy),
    }
)
"""Every single finding. Changes are applied in this order."""

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "SNR": ("NORM",),
        "NDT": ("NDT/low", "NDT/inverted"),
        "AMI": ("AMI/acute", "AMI/recent", "AMI/old"),
        "IMI": ("IMI/acute", "IMI/recent", "IMI/old"),
        "LMI": ("LMI/recent", "LMI/old"),
        "LVH": ("LVH/voltage", "LVH/strain"),
        "MI": ("AMI", "IMI", "LMI"),
        "STTC": ("STD", "STE", "NDT"),
        "CD": ("IAVB", "LBBB", "RBBB", "IRBBB", "LAFB"),
        "HYP": ("LVH", "RVH"),
    }
)
"""Names that stand for one of several findings, of which one is drawn."""

_EXCLUSIVE: tuple[tuple[set[str], set[str]], ...] = (
    ({"NORM"}, {name.partition("/")[0] for name in FINDINGS} - {"NORM"}),
    ({"AF"}, {"IAVB", "PAC"}),
    ({"LBBB"}, {"RBBB", "IRBBB", "LAFB", "AMI", "IMI", "LMI", "LVH", "RVH"}),
    ({"RBBB"}, {"IRBBB", "RVH"}),
    ({"IRBBB"}, {"LAFB"}),
    ({"LAFB"}, {"IMI", "LMI", "RVH"}),
    ({"LVH"}, {"RVH"}),
    ({"AMI"}, {"IMI", "LMI"}),
    ({"IMI"}, {"LMI"}),
    ({"STD", "STE", "NDT"}, {"STD", "STE", "NDT"}),
    ({"STD", "STE"}, {"AMI", "IMI", "LMI"}),
    ({"STE"}, {"LVH"}),
)

MIXTURE: Mapping[str, float] = MappingProxyType(
    {
        "NORM": 0.30,
        "AF": 0.05, "AF+PVC": 0.01, "AF+LVH": 0.01, "AF+STD": 0.01,
        "IAVB": 0.05, "IAVB+RBBB": 0.01, "IAVB+LVH": 0.005, "IAVB+IMI": 0.01,
        "LBBB": 0.03, "LBBB+AF": 0.01, "LBBB+IAVB": 0.005, "LBBB+STD": 0.005, "LBBB+PVC": 0.005,
        "RBBB": 0.045, "RBBB+LAFB": 0.01, "RBBB+AF": 0.005, "RBBB+AMI": 0.005, "RBBB+PAC": 0.005,
        "IRBBB": 0.03, "LAFB": 0.03, "LAFB+LVH": 0.005,
        "PAC": 0.04, "PVC": 0.04,
        "STD": 0.04, "STE": 0.04, "NDT": 0.04, "NDT+PAC": 0.005, "STD+PVC": 0.005,
        "AMI": 0.045, "AMI+PVC": 0.01, "IMI": 0.05, "IMI+NDT": 0.005, "IMI+PAC": 0.005, "LMI": 0.02,
        "LVH": 0.055, "LVH+PVC": 0.005, "LVH+IMI": 0.005, "RVH": 0.02,
    }
)  # fmt: skip
"""Share of patients by combination of findings, where the caller asks for none."""


@lru_cache(maxsize=256)
def choices(text: str) -> tuple[tuple[str, ...], ...]:
    """Give every set of single findings that ``"AF+PVC"`` may stand for, each in the order of `FINDINGS`.

    Raises
    ------
    LabelError
        If a name is unknown or given twice, or the findings exclude each other.

    Examples
    --------
    >>> choices("LBBB+AF"), len(choices("MI+PVC"))
    ((('AF', 'LBBB'),), 8)
    """
    names = [name.strip() for name in text.split("+")]
    for name in names:
        if name not in FINDINGS and name not in GROUPS:
            known = ", ".join([*FINDINGS, *GROUPS])
            raise LabelError("findings", f"unknown finding {name!r}", f"join with + from {known}")
    fitting = [drawn for drawn in product(*(_members(name) for name in names)) if not _conflict(drawn)]
    if not fitting:
        clash = " and ".join(_conflict(next(product(*(_members(name) for name in names)))))
        raise LabelError("findings", f"{text!r} joins {clash}, which exclude each other", "leave one out")
    return tuple(tuple(name for name in FINDINGS if name in drawn) for drawn in fitting)


def codes_of(findings: Iterable[str], rate: float) -> tuple[str, ...]:
    """Give the codes of a record, each once; sinus rhythm is named by its rate [beats/min].

    Examples
    --------
    >>> codes_of(["NORM"], 70.0)
    ('NORM', '426783006', 'SR')
    """
    findings = tuple(findings)
    codes = [code for name in findings for code in FINDINGS[name].codes]
    if "AF" not in findings:
        codes.append("SBRAD" if rate < 60 else "STACH" if rate > 100 else "SR")
    return tuple(dict.fromkeys(codes))


def _members(name: str) -> tuple[str, ...]:
    """Give the single findings that a name stands for."""
    if name in FINDINGS:
        return (name,)
    return tuple(single for member in GROUPS[name] for single in _members(member))


def _conflict(drawn: Sequence[str]) -> tuple[str, ...]:
    """Give the first two findings that exclude each other, or nothing."""
    for first, second in combinations([name.partition("/")[0] for name in drawn], 2):
        for left, right in _EXCLUSIVE:
            if first == second or (first in left and second in right) or (second in left and first in right):
                return first, second
    return ()
