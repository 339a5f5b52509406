"""The 26 scored classes of the PhysioNet/CinC Challenge 2021 and their reward matrix.

References
----------
Reyna et al. 2021, doi 10.23919/CinC53138.2021.9662687.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.tasks.csv_table import read_rows, read_table
from ssl_ecg.tasks.task import Task


def cinc26() -> Task:
    """Give the 26 classes in the order of the reward matrix, equivalent diagnoses merged ("PAC|SVPB").

    A record that has only unscored codes is known and has none of the classes, as in the challenge. Codes
    are SNOMED CT codes alone: abbreviations mean different things in other corpora.
    """
    names = {row["SNOMEDCTCode"]: row["Abbreviation"] for row in read_table("cinc2021_dx_mapping_scored.csv")}
    unscored = {row["SNOMEDCTCode"] for row in read_table("cinc2021_dx_mapping_unscored.csv")}
    groups = [cell.split("|") for cell in read_rows("cinc2021_weights.csv")[0][1:]]
    classes = tuple("|".join(names[code] for code in group) for group in groups)
    mapping = {code: (name,) for name, group in zip(classes, groups, strict=True) for code in group}
    return Task("cinc26", classes, "PhysioNet/CinC Challenge 2021", mapping, negatives=frozenset(unscored))


def challenge_weights() -> NDArray[np.float64]:
    """Give the reward matrix (class, class) of the challenge, in the order of `cinc26`.

    Examples
    --------
    >>> challenge_weights().shape, float(challenge_weights()[0, 1])
    ((26, 26), 0.5)
    """
    rows = read_rows("cinc2021_weights.csv")[1:]
    return np.array([[float(cell) for cell in row[1:]] for row in rows])
