"""Expert features against plain formulas, and what they may not depend on."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import pywt

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.prepare import prepare
from ssl_ecg.data.record import Record
from ssl_ecg.data.simulate import simulate
from ssl_ecg.errors import ArchiveError, SignalError
from ssl_ecg.features.beats import AMPLITUDES, FINE, beat_features, delineate
from ssl_ecg.features.expert import expert_embeddings, expert_features, feature_names, fill_unknown, medians
from ssl_ecg.features.qrs import r_peaks
from ssl_ecg.features.rhythm import RHYTHM, rhythm_features
from ssl_ecg.features.statistics import SIGNALS, STATISTICS, entropy, lead_statistics
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.probing.linear import LinearProbe


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    records = simulate(5, seed=2, fs=250, seconds=6)
    short = Record(records[0].signal[:, :150], 250, STANDARD_LEADS, "short")
    few = Record(records[1].signal[:2], 250, STANDARD_LEADS[:2], "few")
    folder = tmp_path_factory.mktemp("expert") / "archive"
    return prepare([*records, short, few], folder, progress=False, workers=1)


def slow_entropy(values: np.ndarray) -> float:
    counts: dict[int, int] = {}
    for value in values:
        z = (value - np.mean(values)) / np.std(values)
        k = min(31, max(0, int(np.floor((z + 4) / 0.25))))
        counts[k] = counts.get(k, 0) + 1
    n = len(values)
    plain = -sum(c / n * np.log(c / n) for c in counts.values())
    return min(1.0, (plain + (len(counts) - 1) / (2 * n)) / np.log(32))


def test_entropy_against_a_loop() -> None:
    rng = np.random.default_rng(0)
    for values in (rng.normal(size=700), rng.exponential(size=300), np.sin(np.arange(500))):
        assert entropy(values) == pytest.approx(slow_entropy(values), abs=1e-9)


def test_entropy_says_something_and_not_the_length() -> None:
    rng = np.random.default_rng(0)
    long = rng.laplace(size=40000)
    assert entropy(long[:1000]) == pytest.approx(entropy(long), abs=0.02)
    assert entropy(1000 * long + 3) == pytest.approx(entropy(long), abs=1e-9)
    uniform, peaked = entropy(rng.uniform(size=5000)), entropy(rng.normal(size=5000) ** 9)
    assert uniform == pytest.approx(np.log(2 * np.sqrt(3) / 0.25) / np.log(32), abs=0.02)
    assert peaked < 0.3


def test_statistics_against_plain_formulas() -> None:
    signal = np.random.default_rng(1).normal(size=(2, 1000)).cumsum(axis=1) / 30
    found = lead_statistics(signal)
    assert found.shape == (2, len(SIGNALS), len(STATISTICS))
    for lead in range(2):
        bands = [signal[lead], *pywt.wavedec(signal[lead], "db10", level=4)]
        for k, band in enumerate(bands):
            percentiles = [np.percentile(band, q) for q in (5, 25, 50, 75, 95)]
            expected = [*percentiles, np.mean(band), np.std(band), np.var(band), slow_entropy(band)]
            np.testing.assert_allclose(found[lead, k], expected, atol=1e-9)


def test_rhythm_against_plain_formulas() -> None:
    peaks = np.array([50, 300, 560, 800, 1250])
    rr = [1.0, 1.04, 0.96, 1.8]
    steps = [0.04, -0.08, 0.84]
    found = dict(zip(RHYTHM, rhythm_features(peaks, 250), strict=True))
    assert found["heart_rate"] == pytest.approx(60 / 1.02)
    assert found["rr_sd"] == pytest.approx(np.sqrt(sum((x - 1.2) ** 2 for x in rr) / 4))
    assert found["rr_rmssd"] == pytest.approx(np.sqrt(sum(x * x for x in steps) / 3))
    assert (found["rr_min"], found["rr_max"], found["rr_irregular"]) == (0.96, 1.8, 0.25)
    assert np.isnan(rhythm_features(peaks[:2], 250)).all()


def made_beats(fs: float) -> tuple[np.ndarray, np.ndarray]:
    """Ten beats in two leads out of parabolas and a triangle: QRS 96 ms, T ends 400 ms after its onset."""
    t = np.arange(round(11 * fs)) / fs
    leads, peaks = np.zeros((2, t.size)), []
    for k in range(1, 11):
        onset = k - 0.04
        for centre, width, high in ((onset + 0.04, 0.08, 1.2), (onset + 0.078, 0.036, -0.4)):
            bump = np.maximum(0, 1 - ((t - centre) / (width / 2)) ** 2)
            leads += np.array([[high], [0.5 * high]]) * bump
        leads += np.array([[0.3], [-0.2]]) * np.maximum(0, 1 - np.abs(t - onset - 0.3) / 0.1)
        leads += np.array([[0.15], [0.1]]) * np.maximum(0, 1 - ((t - onset + 0.1) / 0.04) ** 2)
        peaks.append(round((onset + 0.04) * fs))
    return leads, np.array(peaks)


@pytest.mark.parametrize("fs", [250.0, 500.0])
def test_beats_of_known_shape(fs: float) -> None:
    signal, peaks = made_beats(fs)
    (qrs, qt, qtc, p_to_qrs), amplitudes = beat_features(signal, peaks, fs)
    assert qrs == pytest.approx(0.096, abs=0.016)
    assert qt == pytest.approx(0.4, abs=0.02)
    assert qtc == pytest.approx(qt)  # at an interval of one second
    assert p_to_qrs == pytest.approx(0.1, abs=0.012)
    first = dict(zip(AMPLITUDES, amplitudes[0], strict=True))
    assert first["r"] == pytest.approx(1.2, abs=0.06)
    assert first["s"] == pytest.approx(-0.4, abs=0.1)
    assert first["t"] == pytest.approx(0.3, abs=0.03)
    assert first["p"] == pytest.approx(0.15, abs=0.02)
    assert abs(first["q"]) < 0.05
    second = dict(zip(AMPLITUDES, amplitudes[1], strict=True))
    assert second["r"] == pytest.approx(0.6, abs=0.04)
    assert second["t"] == pytest.approx(-0.2, abs=0.03)
    assert first["qrs_area"] == pytest.approx(1.2 * 0.08 * 2 / 3 - 0.4 * 0.036 * 2 / 3, abs=0.006)


def test_waves_that_are_not_there_are_unknown() -> None:
    beat = np.zeros((1, round(0.9 * FINE) + 1))
    beat[0, 140:161] = np.hanning(21)
    marks = delineate(beat, 1.0)
    assert (marks.p, marks.t, marks.t_end) == (None, None, None)
    assert 0.02 <= (marks.offset - marks.onset) / FINE <= 0.06
    intervals, amplitudes = beat_features(np.zeros((2, 1000)), np.array([100]), 100)
    assert np.isnan(intervals).all()
    assert np.isnan(amplitudes).all()


def test_bundle_branch_block_is_wide() -> None:
    def width(finding: str) -> float:
        records = simulate(2, seed=4, findings=[finding], fs=250, seconds=6)
        return float(np.median([beat_features(r.signal, r_peaks(r.signal, r.fs), r.fs)[0][0] for r in records]))

    assert width("NORM") < 0.11 < width("LBBB")


def test_names_belong_to_values() -> None:
    record = simulate(1, seed=3)[0]
    names, values = expert_features(record.signal, record.fs, record.leads)
    assert len(names) == len(set(names)) == len(values)
    assert values.dtype == np.float32
    v1 = record.signal[STANDARD_LEADS.index("V1")]
    assert values[names.index("V1/raw/p75")] == pytest.approx(np.percentile(v1, 75), abs=1e-5)
    assert values[names.index("V1/d2/variance")] == pytest.approx(
        np.var(pywt.wavedec(v1, "db10", level=4)[-2]), rel=1e-3
    )
    cos, sin = values[names.index("qrs_axis_cos")], values[names.index("qrs_axis_sin")]
    assert cos**2 + sin**2 == pytest.approx(1, abs=1e-5)
    assert not {"qrs_axis_cos"} & {*feature_names(("II", "V1"))}


def test_length_does_not_matter() -> None:
    record = simulate(1, seed=6, seconds=40, findings=["NORM"])[0]
    names, long = expert_features(record.signal, record.fs, record.leads)
    _, short = expert_features(record.signal[:, :5000], record.fs, record.leads)
    sd = np.array([values[[n.endswith("/sd") for n in names]] for values in (long, short)])
    np.testing.assert_allclose(sd[1], sd[0], rtol=0.35)
    for name in ("heart_rate", "qrs_width", "qt", "V5/r", "II/raw/entropy", "V2/t"):
        assert short[names.index(name)] == pytest.approx(long[names.index(name)], rel=0.15)


def test_missing_leads_and_samples() -> None:
    record = simulate(1, seed=7)[0]
    signal = record.signal.copy()
    signal[3], signal[4], signal[5, 100:160] = 0.0, np.nan, np.nan
    names, values = expert_features(signal, record.fs, record.leads)
    unknown = {name.split("/")[0] for name, value in zip(names, values, strict=True) if np.isnan(value) and "/" in name}
    assert unknown == {"aVR", "aVL"}
    _, nothing = expert_features(np.zeros((12, 5000)), 500, record.leads)
    assert np.isnan(nothing).all()
    with pytest.raises(SignalError, match="at least 1 s"):
        expert_features(signal[:, :400], 500, record.leads)
    with pytest.raises(SignalError, match="leads"):
        expert_features(signal, 500, ("I", "II"))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pywt", None)
    with pytest.raises(SignalError, match="pip install PyWavelets"):
        lead_statistics(np.zeros((1, 500)))


def test_embeddings_of_an_archive(archive: Archive) -> None:
    whole = expert_embeddings(archive)
    assert whole.vectors.shape == (7, len(feature_names(archive.leads)))
    assert np.isfinite(whole.vectors).all()
    assert whole.index["record_id"].tolist() == archive.index["record_id"].tolist()
    raw = expert_embeddings(archive, impute=False).vectors
    for row in range(7):
        if archive.n_samples[row] >= archive.fs:
            expected = expert_features(archive.read(row), archive.fs, archive.leads)[1]
        else:
            expected = np.full(raw.shape[1], np.nan)
        np.testing.assert_array_equal(raw[row], expected)
    known = np.isfinite(raw)
    np.testing.assert_array_equal(whole.vectors[known], raw[known])
    column = int(np.argmax((~known).sum(axis=0) * known.any(axis=0)))
    filled = whole.vectors[~known[:, column], column]
    np.testing.assert_allclose(filled, np.median(raw[known[:, column], column]), rtol=1e-6)
    LinearProbe().fit(whole.vectors, np.arange(7) % 2)


@pytest.mark.slow
def test_processes_give_the_same(archive: Archive) -> None:
    alone, together = (expert_embeddings(archive, impute=False, workers=n).vectors for n in (1, 2))
    np.testing.assert_array_equal(alone, together)


def test_workers_are_checked(archive: Archive) -> None:
    with pytest.raises(ArchiveError, match="at least 1"):
        expert_embeddings(archive, workers=0)


def test_medians_of_what_is_known() -> None:
    vectors = np.array([[1.0, np.nan, np.nan], [3.0, 5.0, np.nan], [8.0, 7.0, np.nan]])
    np.testing.assert_array_equal(medians(vectors), [3, 6, 0])
    np.testing.assert_array_equal(fill_unknown(vectors, medians(vectors))[0], [1, 6, 0])


@pytest.mark.real
def test_real_records_have_plausible_intervals(real_data: Path, tmp_path: Path) -> None:
    from ssl_ecg.data.readers import read_record

    paths = sorted((real_data / "ptbxl" / "records100").rglob("*.hea"))[:12]
    rows = []
    for path in paths:
        record = read_record(path)
        names, values = expert_features(record.signal, record.fs, record.leads)
        rows.append(values)
    middle = dict(zip(names, np.nanmedian(rows, axis=0), strict=True))
    assert 0.06 < middle["qrs_width"] < 0.13
    assert 0.3 < middle["qtc"] < 0.48
    assert 40 < middle["heart_rate"] < 110
