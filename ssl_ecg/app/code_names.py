"""Full names of diagnostic codes, for readers."""

from __future__ import annotations

from ssl_ecg.tasks.csv_table import read_table

GROUPS = {
    "NORM": "normal ECG",
    "MI": "myocardial infarction",
    "STTC": "ST/T change",
    "CD": "conduction disturbance",
    "HYP": "hypertrophy",
    "SNR": "normal sinus rhythm",
    "AF": "atrial fibrillation",
    "IAVB": "first degree AV block",
    "LBBB": "left bundle branch block",
    "RBBB": "right bundle branch block",
    "PAC": "premature atrial contraction",
    "PVC": "premature ventricular contraction",
    "STD": "ST depression",
    "STE": "ST elevation",
}
"""The five superclasses of PTB-XL and the nine classes of CPSC 2018, which stand in no table."""


def code_names() -> dict[str, str]:
    """Give code -> full name for SCP statements, SNOMED CT codes and abbreviations of the CinC challenges.

    Examples
    --------
    >>> names = code_names()
    >>> names["164889003"], names["IMI"], names["HYP"]
    ('atrial fibrillation', 'inferior myocardial infarction', 'hypertrophy')
    """
    names = dict(GROUPS)
    for row in read_table("scp_statements.csv"):
        names.setdefault(row["code"], row["description"])
    for table in ("cinc2021_dx_mapping_scored.csv", "cinc2021_dx_mapping_unscored.csv"):
        for row in read_table(table):
            names.setdefault(row["SNOMEDCTCode"], row["Dx"])
            names.setdefault(row["Abbreviation"], row["Dx"])
    return names


def full_name(code: str, names: dict[str, str]) -> str:
    """Give the full name of a code or of merged codes ("CLBBB|LBBB"), or nothing where it is not known.

    Examples
    --------
    >>> full_name("A|B", {"A": "one", "B": "two"}), full_name("C", {})
    ('one / two', '')
    """
    if code in names:
        return names[code] if names[code] != code else ""
    parts = [names.get(part, part) for part in code.split("|")]
    return " / ".join(dict.fromkeys(parts)) if len(parts) > 1 else ""
