"""Label systems: classes and their order, codes of equal meaning, and what is not known."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from ssl_ecg.errors import LabelError
from ssl_ecg.tasks import TASKS, get_task
from ssl_ecg.tasks.cinc2021 import challenge_weights
from ssl_ecg.tasks.cpsc2018 import NUMBERS
from ssl_ecg.tasks.task import Task

ORDERS = {
    "superclass": "NORM MI STTC CD HYP",
    "cpsc9": "SNR AF IAVB LBBB RBBB PAC PVC STD STE",
    "cinc26": "AF AFL BBB Brady CLBBB|LBBB CRBBB|RBBB IAVB IRBBB LAD LAnFB LPR LQRSV LQT NSIVCB NSR PAC|SVPB PR PRWP "
    "PVC|VPB QAb RAD SA SB STach TAb TInv",
    "code6": "1dAVb RBBB LBBB SB AF ST",
    "quality": "unacceptable",
    "subclass": "STTC NST_ NORM IMI AMI LVH LAFB/LPFB ISC_ IRBBB _AVB IVCD ISCA CRBBB CLBBB LAO/LAE ISCI LMI RVH "
    "RAO/RAE WPW ILBBB SEHYP PMI",
    "form": "NDT NST_ DIG LNGQT ABQRS PVC STD_ VCLVH QWAVE LOWT NT_ PAC LPR INVT LVOLT HVOLT TAB_ STE_ PRC(S)",
    "rhythm": "SR AFIB STACH SARRH SBRAD PACE SVARR BIGU AFLT SVTAC PSVT TRIGU",
}
SIZES = {"superclass": 5, "subclass": 23, "diagnostic44": 44, "form": 19, "rhythm": 12, "ptbxl71": 71} | {
    "cpsc9": 9,
    "cinc26": 26,
    "code6": 6,
    "quality": 1,
}
# Reference: SNOMED CT codes of the nine classes as the CPSC2018 systems use them.
CPSC = {
    "SNR": ("426783006",),
    "AF": ("164889003",),
    "IAVB": ("270492004",),
    "LBBB": ("164909002",),
    "RBBB": ("713427006", "59118001"),
    "PAC": ("284470004", "63593006"),
    "PVC": ("164884008",),
    "STD": ("429622005",),
    "STE": ("164931005",),
}


def present(task: str, *codes: str) -> set[str]:
    labels, _ = get_task(task).labels([codes])
    return {name for name, value in zip(get_task(task).classes, labels[0], strict=True) if value}


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_complete(name: str) -> None:
    task = get_task(name)
    assert task.name == name
    assert task.description
    assert len(task.classes) == SIZES[name]
    assert {found for classes in task.mapping.values() for found in classes} == set(task.classes)
    assert not set(task.mapping) & task.negatives
    copy = pickle.loads(pickle.dumps(task))
    assert copy == task
    assert hash(copy) == hash(task)
    labels, known = task.labels([])
    assert labels.shape == (0, SIZES[name])
    assert known.shape == (0,)


@pytest.mark.parametrize("name", ORDERS)
def test_order_of_classes(name: str) -> None:
    assert get_task(name).classes == tuple(ORDERS[name].split())


def test_order_of_all_statements_is_that_of_the_table() -> None:
    diagnostic, form, rhythm = (get_task(name).classes for name in ("diagnostic44", "form", "rhythm"))
    assert get_task("ptbxl71").classes == tuple(dict.fromkeys(diagnostic + form + rhythm))
    assert set(diagnostic) & set(form) == {"NDT", "NST_", "DIG", "LNGQT"}


def test_superclass_counts_statements_subclasses_and_superclasses() -> None:
    assert present("superclass", "IMI", "LVH", "SR") == {"MI", "HYP"}
    assert present("superclass", "CD", "STTC") == {"CD", "STTC"}
    assert present("superclass", "LAFB/LPFB", "AVB", "ISC", "NST") == {"CD", "STTC"}
    assert present("superclass", "NORM") == {"NORM"}


def test_records_without_a_code_of_the_task_are_not_known() -> None:
    labels, known = get_task("superclass").labels([["SR", "LOWT"], [], None, ["AMI"], np.array(["NORM", "SR"])])
    assert known.tolist() == [False, False, False, True, True]
    assert labels.dtype == np.float32
    assert labels.sum(axis=1).tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("name", ["subclass", "diagnostic44", "ptbxl71"])
def test_superclasses_alone_are_too_coarse(name: str) -> None:
    labels, known = get_task(name).labels([["MI", "SR", "PVC"], ["HYP", "LVH"], ["IMI"], ["NORM"]])
    assert known.tolist() == [False, False, True, True]
    assert not labels[:2].any()


def test_rhythm_and_form_are_known_beside_coarse_diagnoses() -> None:
    assert present("rhythm", "MI", "AFIB") == {"AFIB"}
    assert present("form", "MI", "STD", "NST_") == {"STD_", "NST_"}


def test_subclasses() -> None:
    assert present("subclass", "ASMI", "3AVB", "LPFB") == {"AMI", "_AVB", "LAFB/LPFB"}
    assert present("subclass", "AVB", "ISCA") == {"_AVB", "ISCA"}
    assert present("subclass", "NDT") == {"STTC"}


def test_cpsc_codes() -> None:
    for name, codes in CPSC.items():
        for code in codes:
            assert present("cpsc9", code) == {name}
    names = [present("cpsc9", NUMBERS[number]) for number in range(1, 10)]
    assert names == [{name} for name in get_task("cpsc9").classes]


def test_cpsc_equivalents_of_other_corpora() -> None:
    scp = {"NORM": "SNR", "AFIB": "AF", "1AVB": "IAVB", "CLBBB": "LBBB", "CRBBB": "RBBB", "STD_": "STD", "STE_": "STE"}
    for code, name in scp.items():
        assert present("cpsc9", code) == {name}
    assert present("cpsc9", "733534002", "427172004", "17338001") == {"LBBB", "PVC"}
    assert present("cpsc9", "PAC", "PVC") == {"PAC", "PVC"}
    assert present("cpsc9", "SR", "IRBBB", "ILBBB", "426177001") == set()  # not equal


def test_cinc_equivalents_are_one_class() -> None:
    for first, second in (
        ("713427006", "59118001"),
        ("733534002", "164909002"),
        ("284470004", "63593006"),
        ("427172004", "17338001"),
    ):
        assert present("cinc26", first) == present("cinc26", second)
        assert len(present("cinc26", first, second)) == 1
    assert len(get_task("cinc26").mapping) == 30


def test_cinc_records_with_unscored_codes_alone_are_known_and_negative() -> None:
    labels, known = get_task("cinc26").labels([["164884008", "429622005"], ["IRBBB"], ["1234"], ["426783006"]])
    assert known.tolist() == [True, False, False, True]
    assert labels.sum(axis=1).tolist() == [0, 0, 0, 1]


def test_reward_matrix_has_the_order_of_the_classes() -> None:
    weights = challenge_weights()
    classes = get_task("cinc26").classes
    assert weights.shape == (26, 26)
    np.testing.assert_array_equal(weights, weights.T)
    np.testing.assert_array_equal(np.diag(weights), 1.0)
    # Read off the published matrix by abbreviation.
    assert weights[classes.index("NSR"), classes.index("AF")] == 0.25
    assert weights[classes.index("AF"), classes.index("TInv")] == 0.5
    assert weights[classes.index("CRBBB|RBBB"), classes.index("AF")] == 0.4


def test_code6_and_quality() -> None:
    assert present("code6", "1dAVb", "CLBBB", "426177001") == {"1dAVb", "LBBB", "SB"}
    assert get_task("code6").labels([["normal_ecg"], ["none-of-six"], []])[1].tolist() == [True, True, False]
    labels, known = get_task("quality").labels([["unacceptable"], ["acceptable"], ["indeterminate"]])
    assert labels[:, 0].tolist() == [1, 0, 0]
    assert known.tolist() == [True, True, False]


def test_codes_of_a_data_frame() -> None:
    frame = pd.DataFrame({"codes": [np.array(["NORM"], object), np.array([], object)]})
    assert get_task("superclass").labels(frame["codes"])[1].tolist() == [True, False]


def test_wrong_names_and_codes() -> None:
    with pytest.raises(LabelError, match="did you mean 'superclass'"):
        get_task("superclas")
    with pytest.raises(LabelError, match="choose from superclass"):
        get_task("???")
    with pytest.raises(LabelError, match="give a list of codes for each record"):
        get_task("superclass").labels(["NORM", "MI"])
    with pytest.raises(LabelError, match="no class"):
        Task("x", ("A",), "", {"a": ("B",)})
    with pytest.raises(LabelError, match="named twice"):
        Task("x", ("A", "A"), "", {})


def test_tasks_need_no_heavy_import() -> None:
    code = (
        "import sys, ssl_ecg.tasks as t; [t.get_task(n) for n in t.TASKS]; "
        "print([m for m in ('torch', 'pandas', 'scipy', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.real
def test_shipped_statements_are_those_of_ptbxl(real_data) -> None:  # type: ignore[no-untyped-def]
    table = pd.read_csv(real_data / "ptbxl" / "scp_statements.csv", index_col=0)
    for name, column in (("diagnostic44", "diagnostic"), ("form", "form"), ("rhythm", "rhythm")):
        assert get_task(name).classes == tuple(table.index[table[column] == 1])
    for code, row in table[table["diagnostic"] == 1].iterrows():
        assert present("superclass", str(code)) == {row["diagnostic_class"]}
        assert present("subclass", str(code)) == {row["diagnostic_subclass"]}


def test_superclasses_alone_say_nothing_of_the_71_statements() -> None:
    codes = {
        "five": [["NORM"], ["MI", "CD"], ["STTC"], ["NORM"]],
        "lists": [["NORM", "SR"], ["MI", "IMI", "SR"], ["NORM"], ["NORM", "LVOLT"]],
        "ptbxl": [["NORM"], ["IMI", "SR"], ["NORM", "SR"], ["NDT", "rebuilt from sub-classes"]],
        "normal": [["NORM"], None, [], ["NORM", "SR"]],
    }
    index = pd.DataFrame([{"corpus": name, "codes": one} for name, four in codes.items() for one in four])
    index = index.sample(frac=1, random_state=1)
    labels, known = get_task("ptbxl71").labels_of(index)
    found = {name: known[index["corpus"] == name][np.argsort(index.index[index["corpus"] == name])] for name in codes}
    assert {name: found[name].tolist() for name in codes} == {
        "five": [False, False, False, False],
        "lists": [True, False, True, True],
        "ptbxl": [True, True, True, False],
        "normal": [True, False, False, True],
    }
    np.testing.assert_array_equal(labels, get_task("ptbxl71").labels(index["codes"])[0])
    for name, expected in (("superclass", True), ("subclass", True), ("diagnostic44", True), ("form", False)):
        _, known = get_task(name).labels_of(pd.DataFrame({"corpus": "five", "codes": codes["five"]}))
        assert known[0] == expected, name
