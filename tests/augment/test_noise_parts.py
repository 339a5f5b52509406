"""Noise of one half of a recording for training and of the other for testing; the recipe that trains with noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import wfdb

from ssl_ecg import prepare, pretrain
from ssl_ecg.augment.noise_parts import part_of, records_in
from ssl_ecg.augment.noise_records import read_noise
from ssl_ecg.augment.transforms_real_noise import RealNoise
from ssl_ecg.data.record import Record
from ssl_ecg.errors import RecipeError, RecordError
from ssl_ecg.evaluate.perturbations import Noise, Recorded, build_perturbation
from ssl_ecg.evaluate.perturbed_archive import record_generator
from ssl_ecg.evaluate.protocol import Protocol
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.recipes import load_recipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records like those of nstdb: in the first half 5 Hz, in the second 11 Hz; and an ECG that is no noise."""
    out = tmp_path_factory.mktemp("nstdb")
    t = np.arange(360 * 40) / 360
    for k, name in enumerate(("bw", "em", "ma", "118e06")):
        tone = np.where(t < 20, np.sin(2 * np.pi * 5 * t), np.sin(2 * np.pi * 11 * t)) * (1 + k)
        signal = np.stack([tone, -0.5 * tone], axis=1)
        wfdb.wrsamp(name, 360, ["mV"] * 2, ["noise1", "noise2"], signal, fmt=["16"] * 2, write_dir=str(out))
    return out


def loudest(x: np.ndarray, fs: float) -> set[float]:
    """Frequencies that hold more than a tenth of a row's power."""
    power = np.abs(np.fft.rfft(x - x.mean(axis=-1, keepdims=True))) ** 2
    share = (power / power.sum(axis=-1, keepdims=True)).max(axis=0)
    return {round(float(f)) for f in np.fft.rfftfreq(x.shape[-1], 1 / fs)[share > 0.1]}


def test_halves_make_the_whole() -> None:
    x = np.arange(21.0).reshape(3, 7)
    parts = [part_of(x, part) for part in ("first", "second")]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), x)
    np.testing.assert_array_equal(part_of(x, "all"), x)
    with pytest.raises(RecipeError, match="choose from all, first, second"):
        part_of(x, "third")


def test_folders_stand_for_their_records(folder: Path, tmp_path: Path) -> None:
    assert [path.name for path in records_in(folder)] == ["bw", "em", "ma"]
    assert records_in(folder / "em.hea") == [folder / "em.hea"]
    (tmp_path / "own.hea").write_text("")
    assert records_in(tmp_path) == [tmp_path / "own"]
    assert read_noise(folder, 100.0).shape == (6, 4000)
    for missing in (tmp_path / "gone", "FOLDER"):
        with pytest.raises(RecordError, match=r"no such record or folder; .* 'noise' of the transform"):
            read_noise(missing, 100.0)


@pytest.mark.parametrize(("part", "tones"), [("first", {5}), ("second", {11}), ("all", {5, 11})])
def test_training_and_testing_take_the_half_they_are_told(folder: Path, part: str, tones: set[int]) -> None:
    assert loudest(read_noise(folder / "ma", 100.0, part=part).numpy(), 100.0) == tones
    x = torch.zeros(60, 12, 300) + 1e-3 * torch.randn(60, 12, 300, generator=torch.Generator().manual_seed(0))
    noisy = RealNoise(folder, fs=100.0, snr=(-60.0, -60.0), part=part)(x, generator=torch.Generator().manual_seed(1))
    assert loudest(noisy.reshape(-1, 300).numpy(), 100.0) >= tones
    assert len(tones) == 2 or loudest(noisy.reshape(-1, 300).numpy(), 100.0) == tones
    change = Noise(str(folder / "em"), -60.0, part=part)
    of = Recorded(100.0, tuple(STANDARD_LEADS), np.ones(12, bool))
    tested = [change.apply(x[0].numpy(), of, record_generator(0, k)) for k in range(20)]
    assert set().union(*(loudest(signal, 100.0) for signal in tested)) == tones
    half = "" if part == "all" else f", {part} half"
    assert change.label == f"em -60 dB{half}"


def test_noise_is_filtered_as_the_archive_is(folder: Path) -> None:
    assert loudest(read_noise(folder / "ma", 100.0, band=(8.0, 40.0)).numpy(), 100.0) == {11}


def test_protocol_names_the_half(folder: Path) -> None:
    changes = Protocol(noise=str(folder), snr=[6.0], noise_part="second").changes()
    assert [change.label for change in changes] == [f"{name} 6 dB, second half" for name in ("bw", "em", "ma")]
    assert load_recipe("evaluate/robustness", ["protocol.noise_part=first"])["protocol"]["noise_part"] == "first"
    for wrong in (lambda: load_recipe("evaluate/robustness", ["protocol.noise_part=third"]),
                  lambda: build_perturbation({"name": "noise", "record": "x", "snr": 6, "part": "third"})):  # fmt: skip
        with pytest.raises(RecipeError):
            wrong()


def test_recipe_trains_with_the_users_noise(folder: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    records = [
        Record(rng.normal(size=(12, 500)).astype(np.float32), 100.0, STANDARD_LEADS, f"r{k}", patient_id=f"p{k}")
        for k in range(10)
    ]
    archive = prepare(records, tmp_path / "archive", progress=False)
    small = ["encoder.widths=[4,8]", "train.steps=2", "train.batch_size=4", "data.seconds=5", "method.hidden_dim=8"]
    small += ["method.out_dim=4", "train.precision=float32"]
    with pytest.raises(RecordError, match=r"FOLDER: .* --set views\.transforms\.4\.noise=FOLDER"):
        pretrain("simclr_noise", archive, tmp_path / "a", overrides=small, progress=False)
    assert not (tmp_path / "a").exists()
    overrides = [*small, f"views.transforms.4.noise={folder}"]
    run = pretrain("pretrain/simclr_noise", archive, tmp_path / "a", overrides=overrides, progress=False)
    assert (run / "encoder" / "card.json").is_file()
    plain = load_recipe("simclr")
    noisy = load_recipe("simclr_noise")
    steps = noisy["views"]["transforms"]
    assert [step for step in steps if step["name"] != "real_noise"] == plain["views"]["transforms"]
    assert {**noisy, "views": 0, "about": 0} == {**plain, "views": 0, "about": 0}
