"""Every finding of the simulator is there by measurement, and normal records are normal.

The measurements are made on the signal alone, as on a real recording, with the R peaks of the annotations.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from numpy.typing import NDArray

from ssl_ecg.data.record import Record
from ssl_ecg.data.simulate import simulate
from ssl_ecg.data.simulate.rhythm import fibrillatory_waves
from ssl_ecg.leads import STANDARD_LEADS

Signal = NDArray[np.float64]
FS = 1000.0
EIGHT = [0, 1, *range(6, 12)]
LEAD = {lead: k for k, lead in enumerate(STANDARD_LEADS)}
BUT_AVR = [k for k, lead in enumerate(STANDARD_LEADS) if lead != "aVR"]


@lru_cache(maxsize=64)
def clean(finding: str, n: int = 24) -> tuple[Record, ...]:
    """Give noise-free records of different patients."""
    return tuple(simulate(n, seed=11, fs=FS, noise=0, findings=[finding], records_per_patient=(1, 1)))


def beats(record: Record, symbols: str = "NLR") -> list[int]:
    marks = record.annotations
    assert marks is not None
    whole = zip(marks.sample, marks.symbol, strict=True)
    return [int(k) for k, symbol in whole if symbol in symbols and 450 <= k < record.signal.shape[1] - 600]


def qrs(record: Record, peak: int, bridge: int = 40) -> tuple[int, int]:
    """Find start and end of QRS by the speed of the leads: above 18 mV/s, gaps of up to `bridge` ms bridged."""
    near = record.signal[EIGHT, peak - 120 : peak + 200].astype(np.float64)
    speed = np.sqrt((np.gradient(near, 1 / FS, axis=1) ** 2).sum(axis=0))
    fast = np.flatnonzero(speed > 18)
    runs = np.split(fast, np.flatnonzero(np.diff(fast) > bridge) + 1)
    run = min(runs, key=lambda part: np.abs(part - 120).min())
    return peak - 120 + int(run[0]), peak - 120 + int(run[-1])


def widths(finding: str, symbols: str = "NLR") -> Signal:
    """Median QRS duration of each record [ms]."""
    out = []
    for record in clean(finding):
        bridge = 60 if symbols == "V" else 40
        spans = [qrs(record, peak, bridge) for peak in beats(record, symbols)]
        out.append(np.median([end - start for start, end in spans]))
    return np.array(out)


def median_beat(record: Record) -> tuple[Signal, int, int]:
    """Give the median beat (12, 1050) from 450 ms before R, above the level before QRS, and its QRS."""
    peaks = beats(record)
    start, end = (int(k) for k in np.median([np.array(qrs(record, p)) - p + 450 for p in peaks], axis=0))
    beat = np.median([record.signal[:, p - 450 : p + 600] for p in peaks], axis=0).astype(np.float64)
    return beat - beat[:, start - 20 : start - 8].mean(axis=1, keepdims=True), start, end


def st_levels(finding: str) -> list[Signal]:
    """Level 60 ms after the end of QRS in all leads but aVR, sorted, for each record [mV]."""
    out = []
    for record in clean(finding):
        beat, _, end = median_beat(record)
        out.append(np.sort(beat[BUT_AVR, end + 60]))
    return out


def qrs_part(record: Record, lead: str, part: float = 1.0) -> Signal:
    """Give the first part of QRS in one lead."""
    beat, start, end = median_beat(record)
    return beat[LEAD[lead], start : start + max(2, int(part * (end - start)))]


def sokolow(record: Record) -> float:
    return float(-qrs_part(record, "V1").min() + qrs_part(record, "V5").max())


def t_wave(record: Record, lead: str) -> float:
    """Give the largest deflection of T [mV], with its sign."""
    beat, _, end = median_beat(record)
    part = beat[LEAD[lead], end + 90 : end + 300]
    return float(part[np.abs(part).argmax()])


def rr(record: Record, symbols: str = "NLRAV") -> Signal:
    marks = record.annotations
    assert marks is not None
    return np.diff([k for k, s in zip(marks.sample, marks.symbol, strict=True) if s in symbols]) / record.fs


class TestNormal:
    def test_qrs_duration(self) -> None:
        measured = widths("NORM")
        assert np.quantile(measured, 0.1) > 64
        assert measured.max() < 110
        assert 75 < np.median(measured) < 98

    def test_rate_and_variability(self) -> None:
        for record in clean("NORM"):
            cycles = rr(record)
            assert 50 < 60 / cycles.mean() < 100
            assert 0.001 < cycles.std() / cycles.mean() < 0.12

    def test_voltages(self) -> None:
        for record in clean("NORM"):
            assert sokolow(record) < 3.5
            assert 0.4 < qrs_part(record, "V5").max() < 3.0
            assert 0.05 < np.ptp(qrs_part(record, "II")) < 3.3
            assert qrs_part(record, "V1").min() < -0.25

    def test_r_grows_and_s_shrinks_over_the_chest(self) -> None:
        r = np.array([[qrs_part(record, f"V{k}").max() for k in range(1, 7)] for record in clean("NORM")])
        s = np.array([[-qrs_part(record, f"V{k}").min() for k in range(1, 7)] for record in clean("NORM")])
        assert (r[:, 0] < r[:, 3]).mean() > 0.9
        assert (r[:, 0] < s[:, 0]).mean() > 0.9
        assert (r[:, 5] > s[:, 5]).mean() > 0.9
        assert (np.diff(np.median(r, axis=0)[:4]) > 0).all()

    def test_frontal_axis(self) -> None:
        for record in clean("NORM"):
            one, avf = (qrs_part(record, lead).sum() for lead in ("I", "aVF"))
            assert -35 < np.degrees(np.arctan2(avf * 2 / np.sqrt(3), one)) < 100

    def test_qt_follows_the_rate(self) -> None:
        qt, cycle = [], []
        for record in clean("NORM", 60):
            beat, start, end = median_beat(record)
            size = np.abs(beat[EIGHT]).sum(axis=0)
            top = end + 90 + int(size[end + 90 : end + 290].argmax())
            last = top + int(np.flatnonzero(size[top : top + 200] < 0.15 * size[top])[0])
            qt.append((last - start) / 1000)
            cycle.append(rr(record).mean())
        corrected = np.array(qt) / np.sqrt(cycle)
        assert corrected.min() > 0.33
        assert corrected.max() < 0.47
        assert np.corrcoef(qt, cycle)[0, 1] > 0.3

    def test_pr_interval(self) -> None:
        measured = pr_intervals("NORM")
        assert measured.min() > 0.10
        assert measured.max() < 0.205

    def test_t_is_upright_where_qrs_is(self) -> None:
        for lead in ("V5", "V6", "II"):
            assert np.median([t_wave(record, lead) for record in clean("NORM")]) > 0.1
        assert all(t_wave(record, "V5") > 0 for record in clean("NORM"))

    def test_st_is_near_the_line(self) -> None:
        levels = st_levels("NORM")
        assert np.median([level[1] for level in levels]) > -0.03
        assert min(level[1] for level in levels) > -0.08
        assert np.median([level[-2] for level in levels]) < 0.1


def pr_intervals(finding: str) -> Signal:
    """Time from start of P to start of QRS [s] where a slow rate leaves a flat line before P."""
    out = []
    for record in clean(finding, 60):
        if rr(record).mean() > 0.88:
            beat, start, _ = median_beat(record)
            size = np.abs(beat[EIGHT] - beat[EIGHT, start - 380][:, None]).sum(axis=0)
            window = size[start - 380 : start - 25]
            top = int(window.argmax())
            out.append((380 - np.flatnonzero(window[:top] < 0.12 * window[top])[-1]) / 1000)
    assert len(out) >= 8
    return np.array(out)


class TestConduction:
    def test_first_degree_block(self) -> None:
        measured = pr_intervals("IAVB")
        assert measured.min() > 0.195
        assert (measured > 0.2).mean() > 0.9

    def test_left_bundle_block(self) -> None:
        assert np.quantile(widths("LBBB"), 0.1) > 118
        assert np.median(widths("LBBB")) > 130
        for record in clean("LBBB"):
            v1, v6 = qrs_part(record, "V1")[:130], qrs_part(record, "V6")[:130]
            assert -v1.min() > 2 * v1.max()
            assert v6.max() > 1.5 * -v6.min()
            assert qrs_part(record, "V6", 0.3).min() > -0.06
            assert t_wave(record, "V1") > 0
        assert np.mean([t_wave(record, "V6") < 0 for record in clean("LBBB")]) > 0.8

    def test_right_bundle_block(self) -> None:
        assert np.quantile(widths("RBBB"), 0.1) > 118
        assert np.median(widths("RBBB")) > 130
        late = []
        for record in clean("RBBB"):
            v1, v6 = qrs_part(record, "V1"), qrs_part(record, "V6")
            assert v1.max() > 0.15
            assert v6.min() < -0.08
            late.append(v1.argmax() > 0.45 * len(v1) and v6.argmin() > 0.45 * len(v6))
        assert np.mean(late) > 0.9
        assert np.mean([t_wave(record, "V1") < 0 for record in clean("RBBB")]) > 0.8

    def test_incomplete_right_block_is_narrow_with_a_late_r_in_v1(self) -> None:
        assert widths("IRBBB").max() < 122
        late = [qrs_part(record, "V1")[-35:].max() for record in clean("IRBBB")]
        usual = [qrs_part(record, "V1")[-35:].max() for record in clean("NORM")]
        assert np.median(late) > 0.1
        assert np.median(usual) < 0.06

    def test_left_anterior_block_turns_the_axis(self) -> None:
        axes = []
        for record in clean("LAFB"):
            one, avf = (qrs_part(record, lead).sum() for lead in ("I", "aVF"))
            axes.append(np.degrees(np.arctan2(avf * 2 / np.sqrt(3), one)))
        assert max(axes) < -35
        assert widths("LAFB").max() < 120

    def test_left_hypertrophy(self) -> None:
        for name in ("LVH/voltage", "LVH/strain"):
            assert min(sokolow(record) for record in clean(name)) > 3.5
        assert all(t_wave(record, "V6") < 0 for record in clean("LVH/strain"))

    def test_right_hypertrophy(self) -> None:
        for record in clean("RVH"):
            v1 = qrs_part(record, "V1")
            assert v1.max() > -v1.min()
            assert v1.max() > 0.15
            assert qrs_part(record, "I").sum() < 0
            assert -qrs_part(record, "V6").min() > 0.15


class TestRhythm:
    def test_fibrillation_is_irregular(self) -> None:
        records = simulate(20, seed=0, seconds=30, fs=100, noise=0, findings=["AF"], records_per_patient=(1, 1))
        spread = [rr(record).std() / rr(record).mean() for record in records]
        assert min(spread) > 0.12
        # Neighbours have nothing to do with each other, unlike in sinus arrhythmia.
        successive = [np.corrcoef(rr(record)[:-1], rr(record)[1:])[0, 1] for record in records]
        assert abs(np.mean(successive)) < 0.15

    def test_fibrillation_has_no_p(self) -> None:
        def p_height(record: Record) -> float:
            peaks = beats(record)
            mean = np.mean([record.signal[1, p - 300 : p - 50] for p in peaks], axis=0)
            return float(mean[100:220].max() - np.median(mean))

        fibrillation = [p_height(record) for record in clean("AF")]
        assert np.median(fibrillation) < 0.4 * np.median([p_height(record) for record in clean("NORM")])

    def test_fibrillatory_waves(self) -> None:
        for seed in range(10):
            waves = fibrillatory_waves(np.random.default_rng(seed), 5000, 500.0)
            power = np.abs(np.fft.rfft(waves[2])) ** 2
            assert 3.5 < np.fft.rfftfreq(5000, 1 / 500)[power.argmax()] < 9.5
            assert 0.01 < waves[2].std() < 0.3

    @pytest.mark.parametrize(("finding", "symbol"), [("PAC", "A"), ("PVC", "V"), ("RBBB+PAC", "A")])
    def test_premature_beats_are_early(self, finding: str, symbol: str) -> None:
        for record in clean(finding):
            marks = record.annotations
            assert marks is not None
            symbols, cycles = marks.symbol[1:], rr(record)
            early = [k for k, found in enumerate(symbols) if found == symbol]
            assert early
            usual = np.median(rr(clean("NORM")[0])) if len(early) > len(symbols) / 3 else np.median(cycles)
            for k in early:
                if 0 < k < len(symbols) - 1:
                    assert cycles[k - 1] < 0.87 * usual or cycles[k - 1] < 0.75 * cycles[k]
                    assert cycles[k] > 1.1 * cycles[k - 1]

    def test_ventricular_beats_are_wide_and_large(self) -> None:
        assert np.quantile(widths("PVC", "V"), 0.1) > 120
        assert np.median(widths("PVC", "N")) < 110
        against = []
        for record in clean("PVC"):
            for peak in beats(record, "V"):
                start, end = qrs(record, peak, 60)
                lead = EIGHT[int(np.ptp(record.signal[EIGHT, start:end], axis=1).argmax())]
                against.append(
                    record.signal[lead, start:end].sum() * record.signal[lead, end + 80 : end + 200].sum() < 0
                )
        assert np.mean(against) > 0.85

    def test_atrial_beats_keep_their_qrs(self) -> None:
        assert np.quantile(np.abs(widths("PAC", "A") - widths("PAC", "N")), 0.9) < 10

    def test_ventricular_pause_is_compensatory(self) -> None:
        for record in clean("PVC"):
            marks = record.annotations
            assert marks is not None
            cycles = rr(record)
            for k, symbol in enumerate(marks.symbol[1:]):
                if symbol == "V" and 1 < k < len(cycles) and marks.symbol[k - 1] == "N":
                    assert 0.75 < (cycles[k - 1] + cycles[k]) / (2 * cycles[k - 2]) < 1.3


class TestRepolarisation:
    @pytest.mark.parametrize("finding", ["STD", "LVH/strain", "AF+STD", "PVC+STD"])
    def test_depression_in_two_leads(self, finding: str) -> None:
        levels = np.array([level[1] for level in st_levels(finding)])
        assert (levels < -0.07).all()
        assert (levels < -0.095).mean() > 0.85

    @pytest.mark.parametrize("finding", ["STE", "AMI/acute", "IMI/acute", "RBBB+AMI/acute"])
    def test_elevation_in_two_leads(self, finding: str) -> None:
        levels = np.array([level[-2] for level in st_levels(finding)])
        assert (levels > 0.03).all()
        assert (levels > 0.095).mean() > 0.85

    def test_elevation_is_where_the_infarction_is(self) -> None:
        for finding, leads, mirror in (
            ("AMI/acute", ("V2", "V3"), "III"),
            ("IMI/acute", ("III", "aVF"), "aVL"),
        ):
            found = []
            for record in clean(finding):
                beat, _, end = median_beat(record)
                level = beat[:, end + 60]
                assert level[LEAD[mirror]] < level[LEAD[leads[0]]]
                found.append(all(level[LEAD[lead]] > 0.08 for lead in leads))
            assert np.mean(found) > 0.85

    def test_anterior_infarction_takes_r(self) -> None:
        for finding in ("AMI/old", "AMI/recent"):
            lost = [qrs_part(record, "V2", 0.5).max() for record in clean(finding)]
            assert np.quantile(lost, 0.8) < 0.12
        assert np.median([qrs_part(record, "V2", 0.5).max() for record in clean("NORM")]) > 0.3

    @pytest.mark.parametrize(("wall", "leads"), [("IMI", ("II", "III", "aVF")), ("LMI", ("I", "aVL", "V6"))])
    def test_infarction_leaves_q(self, wall: str, leads: tuple[str, ...]) -> None:
        def depth(record: Record) -> float:
            return sorted(-qrs_part(record, lead, 0.5).min() for lead in leads)[1]

        assert np.quantile([depth(record) for record in clean(f"{wall}/old")], 0.15) > 0.1
        assert np.median([depth(record) for record in clean("NORM")]) < 0.1

    @pytest.mark.parametrize(
        ("finding", "lead"),
        [("AMI/recent", "V2"), ("IMI/recent", "aVF"), ("LMI/recent", "aVL"), ("NDT/inverted", "V5")],
    )
    def test_t_is_inverted(self, finding: str, lead: str) -> None:
        assert np.mean([t_wave(record, lead) < -0.02 for record in clean(finding)]) > 0.8

    def test_t_is_low(self) -> None:
        low = np.median([abs(t_wave(record, "V5")) for record in clean("NDT/low")])
        assert low < 0.45 * np.median([abs(t_wave(record, "V5")) for record in clean("NORM")])
