"""Small folders in the layouts in which the corpora are published."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
Build = Callable[[Path], Path]


def write_wfdb(
    path: Path, *, fs: int = 500, comments: Sequence[str] = (), leads: Sequence[str] = LEADS, n: int = 1000
) -> np.ndarray:
    """Write a record of format 16 at 1000 adu/mV; give its samples (time, lead) [adu]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = int.from_bytes(path.name.encode()[-6:], "big")
    samples = np.random.default_rng(seed).integers(-2000, 2000, (n, len(leads))).astype("<i2")
    lines = [f"{path.name} {len(leads)} {fs} {n}"]
    for k, lead in enumerate(leads):
        total = int(samples[:, k].sum(dtype=np.int64)) & 0xFFFF
        lines.append(f"{path.name}.dat 16 1000/mV 16 0 {samples[0, k]} {total} 0 {lead}")
    lines += [f"#{comment}" for comment in comments]
    path.with_name(path.name + ".hea").write_text("\n".join(lines) + "\n")
    path.with_name(path.name + ".dat").write_bytes(samples.tobytes())
    return samples


def ptbxl(root: Path) -> Path:
    rows = ["ecg_id,patient_id,age,sex,scp_codes,strat_fold,filename_lr,filename_hr"]
    for k in range(1, 31):
        patient = 100 + k // 3
        lr, hr = f"records100/00000/{k:05d}_lr", f"records500/00000/{k:05d}_hr"
        write_wfdb(root / lr, fs=100, n=200)
        age = 300.0 if k == 1 else 40 + k
        codes = "\"{'NORM': 100.0, 'SR': 0.0}\"" if k % 2 else "\"{'IMI': 80.0, 'AFIB': 0.0}\""
        rows.append(f"{k},{patient}.0,{age},{k % 2},{codes},{patient % 10 + 1},{lr},{hr}")
    (root / "ptbxl_database.csv").write_text("\n".join(rows) + "\n")
    return root


def mimic_iv_ecg(root: Path) -> Path:
    rows = ["subject_id,study_id,file_name,ecg_time,path"]
    for k in range(30):
        subject, study = 10000032 + k // 3, 40000000 + k
        path = f"files/p{str(subject)[:4]}/p{subject}/s{study}/{study}"
        write_wfdb(root / path, n=100)
        rows.append(f"{subject},{study},{study},2180-07-23 08:44:00,{path}")
    (root / "record_list.csv").write_text("\n".join(rows) + "\n")
    return root


def code15(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    rows = [
        "exam_id,age,is_male,nn_predicted_age,1dAVb,RBBB,LBBB,SB,ST,AF,patient_id,death,timey,normal_ecg,trace_file"
    ]
    rng = np.random.default_rng(0)
    for part in range(2):
        ids, tracings = [], np.zeros((16, 4096, 12), np.float32)
        for row in range(15):
            exam = 1_169_160 - 31 * (part * 15 + row)
            length = 2800 if row % 2 else 4000
            start = (4096 - length) // 2
            tracings[row, start : start + length] = rng.normal(0.0, 0.3, (length, 12))
            found = ["True" if row == k else "False" for k in range(6)]
            patient = 700 + (part * 15 + row) // 3
            name = f"exams_part{part}.hdf5"
            start_of_row = f"{exam},{38 + row},{row % 2 == 0},40.1,{','.join(found)}"
            rows.append(f"{start_of_row},{patient},False,2.1,{row == 7},{name}")
            ids.append(exam)
        with h5py.File(root / f"exams_part{part}.hdf5", "w") as file:
            file["exam_id"], file["tracings"] = np.array([*ids, 0]), tracings
    (root / "exams.csv").write_text("\n".join(rows) + "\n")
    return root


def cinc2011(root: Path) -> Path:
    names = [str(1002603 + 7 * k) for k in range(20)]
    for name in names:
        write_wfdb(root / "set-a" / name, n=100)
    for file, listed in (("", names), ("-acceptable", names[:12]), ("-unacceptable", names[12:19])):
        (root / "set-a" / f"RECORDS{file}").write_text("\n".join(listed) + "\n")
    return root


def cpsc2018(root: Path) -> Path:
    """Give the original layout."""
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    rows = ["Recording,First_label,Second_label,Third_label"]
    for k in range(1, 19):
        ecg = {
            "sex": ("Male", "Female")[k % 2],
            "age": float(30 + k),
            "data": rng.normal(0, 0.3, (12, 900 + k)),
        }
        folder = root / f"TrainingSet{k % 3 + 1}"
        folder.mkdir(exist_ok=True)
        savemat(folder / f"A{k:04d}.mat", {"ECG": ecg})
        second = "" if k % 4 else str((k + 1) % 9 + 1)
        rows.append(f"A{k:04d},{(k - 1) % 9 + 1},{second},")
    (root / "REFERENCE.csv").write_text("\n".join(rows) + "\n")
    return root


def challenge(root: Path, sets: dict[str, Sequence[str]]) -> Path:
    for source, names in sets.items():
        for k, name in enumerate(names):
            comments = (f"Age: {50 + k}", "Sex: Female", "Dx: 426783006,164889003", "Rx: Unknown")
            write_wfdb(root / "training" / source / f"g{k // 2 + 1}" / name, comments=comments, n=100)
    return root


SETS_2020 = {
    "cpsc_2018": ("A0001", "A0002", "A0003"),
    "cpsc_2018_extra": ("Q0001", "Q0002"),
    "st_petersburg_incart": ("I0001",),
    "ptb": ("S0001",),
    "ptb-xl": ("HR00001", "HR00002", "HR00003"),
    "georgia": ("E00001",),
}
SETS_2021 = SETS_2020 | {
    "chapman_shaoxing": ("JS00001", "JS10646"),
    "ningbo": ("JS10647", "JS45551"),
}


def mitdb(root: Path) -> Path:
    for name in ("100", "201", "202", "234"):
        write_wfdb(root / name, fs=360, leads=("MLII", "V1"), comments=(" 69 M 1085 1629 x1",))
        # One normal beat at sample 18, then the end, in annot(5)'s MIT format.
        (root / f"{name}.atr").write_bytes(bytes([18, 1 << 2, 0, 0]))
    return root


def arrays(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    np.save(root / "signals_250hz.npy", rng.normal(0, 1, (24, 500, 12)).astype(np.float32))
    rows = ["record_id,patient_id,fold,age,sex,NORM,MI,rhythm,remark"]
    for k in range(24):
        rows.append(f"r{k},p{k // 2},{k // 2 % 10 + 1},{40 + k},{'MF'[k % 2]},{k % 2}.0,{1 - k % 2}.0,\"['SR']\",x")
    (root / "records.csv").write_text("\n".join(rows) + "\n")
    return root


def folder(root: Path) -> Path:
    for k in range(6):
        write_wfdb(root / f"ward{k % 2}" / f"r{k}", comments=("Age: 60", "Sex: Male", "Dx: 164889003"), n=100)
    return root


LAYOUTS: dict[str, Build] = {
    "ptbxl": ptbxl,
    "mimic_iv_ecg": mimic_iv_ecg,
    "code15": code15,
    "cinc2011": cinc2011,
    "cpsc2018": cpsc2018,
    "cinc2021": lambda root: challenge(root, SETS_2021),
    "cinc2020": lambda root: challenge(root, SETS_2020),
    "mitdb": mitdb,
    "arrays": arrays,
    "folder": folder,
}


@pytest.fixture(scope="session")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folder of each corpus; not to be changed by tests."""
    return {name: build(tmp_path_factory.mktemp(name)) for name, build in LAYOUTS.items()}


@pytest.fixture
def build(tmp_path: Path) -> Callable[[str], Path]:
    """Make a corpus anew, to be damaged."""
    return lambda name: LAYOUTS[name](tmp_path / name)


@pytest.fixture(scope="session")
def record_writer() -> Callable[..., np.ndarray]:
    """Give `write_wfdb`."""
    return write_wfdb
