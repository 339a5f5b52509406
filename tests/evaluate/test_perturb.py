"""Changes of recordings: what is known of each, and archives seen through them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.prepare import prepare
from ssl_ecg.data.record import Record
from ssl_ecg.data.simulate import simulate
from ssl_ecg.data.strips import Strips
from ssl_ecg.embedding.run import embed
from ssl_ecg.errors import ArchiveError, RecipeError, SignalError
from ssl_ecg.evaluate.perturb import (
    add_noise,
    draw_places,
    invert,
    lose_leads,
    lose_samples,
    pass_rate,
    swap_electrodes,
)
from ssl_ecg.evaluate.perturbations import (
    PERTURBATIONS,
    Gain,
    Inverted,
    LostLeads,
    LostSamples,
    Noise,
    Perturbation,
    Rate,
    Recorded,
    Swapped,
    build_perturbation,
)
from ssl_ecg.evaluate.perturbed_archive import perturbed, record_generator
from ssl_ecg.leads import LIMB_LEADS, STANDARD_LEADS, limb_residual
from ssl_ecg.preprocessing import Preprocessing
from ssl_ecg.signal import bandpass


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    records = simulate(4, seed=2, fs=100, seconds=5)
    few = Record(records[0].signal[6:8], 100, ("V1", "V2"), "few")
    return prepare([*records, few], tmp_path_factory.mktemp("perturb") / "archive", progress=False, workers=1)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A record of noise in two leads at 360 Hz, slow in one and fast in the other."""
    import wfdb

    folder = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(0)
    t = np.arange(360 * 40) / 360
    rows = np.stack([np.sin(2 * np.pi * 0.1 * t) + np.sin(2 * np.pi * 3 * t), rng.normal(size=t.size)])
    wfdb.wrsamp(
        "made", fs=360, units=["mV"] * 2, sig_name=["a", "b"], p_signal=rows.T, fmt=["16"] * 2, write_dir=folder
    )
    return str(folder / "made")


def everything(noise: str) -> list[Perturbation]:
    settings = {
        "noise": {"record": noise, "snr": 6.0},
        "lost_leads": {"n": 2},
        "rate": {"rate": 250.0},
        "gain": {"factor": 2.0},
        "lost_samples": {"share": 0.2, "gaps": 3},
    }
    return [build_perturbation({"name": name, **settings.get(name, {})}) for name in PERTURBATIONS]


def recorded(leads: tuple[str, ...] = STANDARD_LEADS, band: tuple[float, float] | None = None) -> Recorded:
    return Recorded(100.0, leads, np.ones(len(leads), bool), band)


def electrodes(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=50) for name in ("LA", "RA", "LL", *(f"C{k}" for k in range(1, 7)))}


def twelve(v: dict[str, np.ndarray]) -> np.ndarray:
    """The leads from the potentials of the electrodes, by their definitions."""
    centre = (v["LA"] + v["RA"] + v["LL"]) / 3
    rows = [v["LA"] - v["RA"], v["LL"] - v["RA"], v["LL"] - v["LA"]]
    rows += [v["RA"] - (v["LA"] + v["LL"]) / 2, v["LA"] - (v["RA"] + v["LL"]) / 2, v["LL"] - (v["LA"] + v["RA"]) / 2]
    return np.stack([*rows, *(v[f"C{k}"] - centre for k in range(1, 7))]).astype(np.float32)


@pytest.mark.parametrize("pair", ["LA/RA", "LA/LL", "RA/LL"])
def test_swaps_follow_from_the_electrodes(pair: str) -> None:
    v = electrodes()
    one, other = pair.split("/")
    expected = twelve({**v, one: v[other], other: v[one]})
    np.testing.assert_allclose(swap_electrodes(twelve(v), STANDARD_LEADS, pair), expected, atol=1e-6)
    order = ("V2", "aVF", "aVR", "III", "I", "aVL", "II")
    rows = [STANDARD_LEADS.index(lead) for lead in order]
    np.testing.assert_allclose(swap_electrodes(twelve(v)[rows], order, pair), expected[rows], atol=1e-6)


def test_impossible_swaps_are_refused() -> None:
    with pytest.raises(SignalError, match="lead III is not there"):
        swap_electrodes(np.zeros((2, 9), np.float32), ("I", "II"), "LA/RA")
    with pytest.raises(SignalError, match="no pair 'LA/V1'"):
        Swapped("LA/V1")
    alone = swap_electrodes(np.ones((1, 3), np.float32), ("I",), "LA/RA")
    np.testing.assert_array_equal(alone, -1)


@pytest.mark.parametrize("snr", [24.0, 6.0, 0.0, -6.0])
def test_noise_has_the_ratio_in_every_lead(snr: float) -> None:
    rng = np.random.default_rng(1)
    clean = (rng.normal(size=(4, 800)) * [[1.0], [0.1], [7.0], [0.0]] + 2).astype(np.float32)
    noise = rng.exponential(size=(4, 800)).astype(np.float32)
    clean[1, 100:300] = np.nan
    added = add_noise(clean, noise, snr) - clean
    for lead in range(3):
        known = ~np.isnan(clean[lead])
        signal_power = np.var(clean[lead][known].astype(float))
        shape = noise[lead] - noise[lead].mean()
        expected = shape * np.sqrt(signal_power / np.var(noise[lead].astype(float)) / 10 ** (snr / 10))
        np.testing.assert_allclose(added[lead][known], expected[known], atol=2e-5 * np.abs(clean[lead][known]).max())
    np.testing.assert_array_equal(added[3], 0)
    assert np.isnan(add_noise(clean, noise, snr)[1, 100:300]).all()


def test_ratio_may_be_measured_on_other_noise() -> None:
    clean = np.random.default_rng(1).normal(size=(1, 500)).astype(np.float32)
    noise = np.random.default_rng(2).normal(size=(1, 500)).astype(np.float32)
    once, half = add_noise(clean, noise, 10.0), add_noise(clean, noise, 10.0, 2 * noise)
    np.testing.assert_allclose(2 * (half - clean), once - clean, atol=1e-6)
    with pytest.raises(SignalError, match="one row a lead"):
        add_noise(clean, noise[:, :50], 6.0)


def test_pieces_are_pieces() -> None:
    bank = np.arange(2000).reshape(2, 1000)
    rng = np.random.default_rng(0)
    pieces = bank[draw_places((2, 1000), 40, 30, rng)]
    assert (np.diff(pieces) == 1).all()
    assert len(np.unique(pieces[:, 0])) > 30
    assert {int(row) for row in pieces[:, 0] // 1000} == {0, 1}
    long = bank[draw_places((2, 1000), 3, 1500, rng)]
    assert ((np.diff(long) == 1) | (np.diff(long) == -999)).all()


def test_noise_is_measured_in_the_band_or_before(noise: str) -> None:
    """Wander that the filter removes counts to the ratio before it only."""
    t = np.arange(1500) / 100
    clean = np.tile(np.sin(2 * np.pi * 7 * t), (6, 1)).astype(np.float32)
    for in_band, band in ((True, (0.5, 40.0)), (False, None), (True, None)):
        added = Noise(noise, 6.0, in_band).apply(clean, recorded(LIMB_LEADS, band), record_generator(0, 0)) - clean
        np.testing.assert_allclose(added.var(axis=1), 0.5 / 10**0.6, rtol=1e-3)
    raw, filtered = (
        Noise(noise, 6.0, False).apply(clean, recorded(LIMB_LEADS, band), record_generator(0, 0)) - clean
        for band in (None, (0.5, 40.0))
    )
    inner = slice(300, 1200)
    np.testing.assert_allclose(bandpass(raw, 100, 0.5, 40)[:, inner], filtered[:, inner], atol=0.05)
    assert (filtered.var(axis=1) < 0.95 * raw.var(axis=1)).any()


@pytest.mark.parametrize("rate", [250.0, 360.0, 1000.0])
def test_other_rates_change_little(rate: float) -> None:
    record = simulate(1, seed=3, fs=100)[0]
    signal = bandpass(record.signal, 100, 0.5, 40)
    changed = pass_rate(signal, 100, rate)
    assert changed.shape == signal.shape
    assert np.abs(changed - signal)[:, 50:-50].max() < 0.02


def test_a_lower_rate_loses_detail() -> None:
    t = np.arange(1000) / 100
    slow, fast = np.sin(2 * np.pi * 3 * t), np.sin(2 * np.pi * 30 * t)
    changed = pass_rate(np.stack([slow, fast]).astype(np.float32), 100, 40)
    assert np.abs(changed[0] - slow)[100:-100].max() < 0.01
    assert np.abs(changed[1])[100:-100].max() < 0.01


def test_gaps_have_their_length() -> None:
    signal = np.ones((2, 500), np.float32)
    for n_missing, n_gaps, seed in ((100, 1, 0), (99, 4, 1), (3, 8, 2), (500, 2, 3), (700, 1, 4), (0, 1, 5)):
        missing = np.isnan(lose_samples(signal, n_missing, n_gaps, np.random.default_rng(seed)))
        assert (missing[0] == missing[1]).all()
        assert missing[0].sum() == min(n_missing, 500)
        runs = np.flatnonzero(np.diff(missing[0].astype(int), prepend=0) == 1)
        assert len(runs) <= max(n_gaps, 1)


def test_leads_and_signs() -> None:
    signal = np.arange(36, dtype=np.float32).reshape(12, 3) + 1
    np.testing.assert_array_equal(invert(signal, STANDARD_LEADS), -signal)
    one = invert(signal, STANDARD_LEADS, ["V1"])
    np.testing.assert_array_equal(one[6], -signal[6])
    np.testing.assert_array_equal(np.delete(one, 6, 0), np.delete(signal, 6, 0))
    assert not lose_leads(signal, STANDARD_LEADS, ["I", "V6"])[[0, 11]].any()
    with pytest.raises(SignalError, match="lead V7 is not there"):
        lose_leads(signal, STANDARD_LEADS, ["V7"])


def test_settings_are_checked() -> None:
    with pytest.raises(RecipeError, match="no 'shake'"):
        build_perturbation({"name": "shake"})
    with pytest.raises(RecipeError, match="speed"):
        build_perturbation({"name": "gain", "speed": 2})
    assert build_perturbation({"name": "lost_leads", "leads": ["I"]}) == LostLeads(("I",))


def test_every_view_agrees_with_the_change_itself(archive: Archive, noise: str) -> None:
    for change in everything(noise):
        view = perturbed(archive, change, seed=4)
        assert view.fingerprint != archive.fingerprint
        assert view.index["record_id"].tolist() == archive.index["record_id"].tolist()
        for i in range(4):
            of = Recorded(100.0, archive.leads, archive.lead_mask(i), archive.band)
            expected = change.apply(archive.read(i), of, record_generator(4, i))
            np.testing.assert_allclose(view.read(i), expected, atol=0.51 * float(view.scales[i]) + 1e-6)
            np.testing.assert_array_equal(view.read_window(i, 100, 50), view.read(i)[:, 100:150])
        again = pickle.loads(pickle.dumps(view))
        np.testing.assert_array_equal(again.read(2), view.read(2))
        np.testing.assert_array_equal(perturbed(archive, change, seed=4).read(0), view.read(0))


def test_seeds_and_records_differ(archive: Archive, noise: str) -> None:
    one, other = (perturbed(archive, Noise(noise, 0.0), seed=seed) for seed in (0, 1))
    assert one.fingerprint != other.fingerprint
    added = [view.read(i) - archive.read(i) for view in (one, other) for i in (0, 1)]
    for a in range(4):
        for b in range(a):
            assert abs(np.corrcoef(added[a].ravel(), added[b].ravel())[0, 1]) < 0.5
    assert not np.allclose(added[0][0] / added[0][0].std(), added[0][1] / added[0][1].std(), atol=0.1)


def test_absent_leads_are_marked_and_stay_zero(archive: Archive, noise: str) -> None:
    few = 4
    assert archive.lead_mask(few).sum() == 2
    view = perturbed(archive, LostLeads(n=2), seed=1)
    assert [int(view.lead_mask(i).sum()) for i in range(5)] == [10, 10, 10, 10, 0]
    for i in range(4):
        np.testing.assert_array_equal(view.read(i).any(axis=1), view.lead_mask(i))
    noisy = perturbed(archive, Noise(noise, 0.0))
    np.testing.assert_array_equal(noisy.read(few).any(axis=1), archive.lead_mask(few))
    swapped = perturbed(archive, Swapped("LA/RA"))
    np.testing.assert_array_equal(swapped.lead_masks, archive.lead_masks)
    assert limb_residual(swapped.read(0), archive.leads) < 0.01


def test_large_recordings_are_not_cut(archive: Archive) -> None:
    view = perturbed(archive, Gain(30.0))
    np.testing.assert_allclose(view.read(0), 30 * archive.read(0), atol=0.02)


def test_views_compose(archive: Archive) -> None:
    twice = perturbed(perturbed(archive, Inverted()), Inverted())
    np.testing.assert_allclose(twice.read(1), archive.read(1), atol=1e-6)
    both = perturbed(perturbed(archive, LostLeads(("I",))), LostLeads(("V1",)))
    assert [lead for lead, there in zip(archive.leads, both.lead_mask(0), strict=True) if not there] == ["I", "V1"]


class Sums(nn.Module):
    """An encoder that can be checked by hand."""

    dim = 12
    preprocessing = Preprocessing(scale="none")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.square().sum(dim=-1)


def test_embed_and_strips_take_views(archive: Archive) -> None:
    for change in (Gain(2.0), LostSamples(0.3), LostLeads(("V3",)), Rate(250.0)):
        view = perturbed(archive, change)
        vectors = embed(Sums(), view).vectors
        expected = [np.square(np.nan_to_num(view.read(i))).sum(axis=1) for i in range(len(view))]
        np.testing.assert_allclose(vectors, expected, rtol=1e-4, atol=1e-4)
        batch = Strips(view, 2.0, crop="center").__getitems__([0, 4])
        np.testing.assert_allclose(batch["signal"][0], np.nan_to_num(view.read_window(0, 150, 200)), atol=1e-6)
        np.testing.assert_array_equal(batch["lead_mask"], view.lead_masks[[0, 4]])
    with pytest.raises(ArchiveError, match="0 or more"):
        perturbed(archive, Gain(2.0), seed=-1)


@pytest.mark.real
@pytest.mark.parametrize("name", ["bw", "em", "ma"])
def test_noise_of_nstdb(name: str, real_data: Path, archive: Archive) -> None:
    view = perturbed(archive, Noise(str(real_data / "nstdb" / name), 6.0))
    clean, added = archive.read(0), view.read(0) - archive.read(0)
    ratio = 10 * np.log10(clean.var(axis=1) / added.var(axis=1))
    np.testing.assert_allclose(ratio, 6.0, atol=0.1)
