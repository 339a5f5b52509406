"""The simulator's interface: determinism, lead relations, noise, patients, codes, errors."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import find_peaks, welch

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.prepare import prepare
from ssl_ecg.data.record import Record
from ssl_ecg.data.simulate import SimulatedCorpus, simulate, simulate_records
from ssl_ecg.data.simulate.findings import FINDINGS, GROUPS, MIXTURE, choices
from ssl_ecg.data.simulate.noise import draw_noise
from ssl_ecg.errors import LabelError, RecordError, SignalError, SSLECGError
from ssl_ecg.leads import STANDARD_LEADS, limb_residual


def same(first: Record, second: Record) -> bool:
    ours, theirs = first.annotations, second.annotations
    assert ours is not None
    assert theirs is not None
    return (
        np.array_equal(first.signal, second.signal)
        and np.array_equal(ours.sample, theirs.sample)
        and (first.record_id, first.patient_id, first.age, first.sex, first.codes, ours.symbol)
        == (second.record_id, second.patient_id, second.age, second.sex, second.codes, theirs.symbol)
    )


class TestDeterminism:
    def test_same_seed_same_records(self) -> None:
        assert all(map(same, simulate(8, seed=4), simulate(8, seed=4)))

    def test_other_seed_other_records(self) -> None:
        for one, two in zip(simulate(8, seed=4), simulate(8, seed=5), strict=True):
            assert not np.array_equal(one.signal, two.signal)

    def test_first_records_do_not_depend_on_their_number(self) -> None:
        assert all(map(same, simulate(3, seed=1), simulate(9, seed=1)))

    def test_records_do_not_depend_on_the_order_or_the_process(self) -> None:
        corpus = SimulatedCorpus(6, seed=2)
        listed = simulate(6, seed=2)
        copy = pickle.loads(pickle.dumps(corpus))
        for entry in reversed(list(copy.entries())):
            assert same(copy.read(entry), listed[int(entry.location.partition("#")[2])])

    def test_all_records_differ(self) -> None:
        starts = [record.signal[:, :200].tobytes() for record in simulate(60, seed=0, noise=0)]
        assert len(set(starts)) == 60

    def test_the_beats_are_the_same_at_every_rate(self) -> None:
        for fast, slow in zip(simulate(4, seed=3, noise=0), simulate(4, seed=3, noise=0, fs=250), strict=True):
            np.testing.assert_allclose(fast.signal[:, ::2], slow.signal, atol=2e-3)

    def test_stream_is_lazy(self) -> None:
        stream = simulate_records(10**12, seed=0)
        assert [record.record_id for record in itertools.islice(stream, 2)] == ["sim-000001", "sim-000002"]


class TestSignal:
    @pytest.mark.parametrize("noise", [0.0, 1.0, 5.0])
    def test_limb_leads_follow_from_two(self, noise: float) -> None:
        for record in simulate(10, seed=0, noise=noise):
            assert record.leads == STANDARD_LEADS
            assert record.signal.dtype == np.float32
            one, two, three, avr, avl, avf = record.signal[:6].astype(np.float64)
            for derived, expected in (
                (three, two - one),
                (avr, -(one + two) / 2),
                (avl, one - two / 2),
                (avf, two - one / 2),
            ):
                assert np.abs(derived - expected).max() < 1e-6 * max(1.0, np.abs(expected).max())
            assert limb_residual(record.signal, record.leads) < 1e-6

    def test_chest_leads_are_independent_of_the_limbs_through_noise_alone(self) -> None:
        clean, noisy = (simulate(1, seed=0, noise=noise)[0].signal[[0, 1, *range(6, 12)]] for noise in (0, 1))
        values = np.linalg.svd(clean.astype(np.float64), compute_uv=False)
        assert values[3] < 1e-5 * values[0]
        assert np.linalg.svd(noisy.astype(np.float64), compute_uv=False)[7] > 1e-3 * values[0]

    def test_without_noise_a_beat_starts_from_the_zero_line(self) -> None:
        for record in simulate(10, seed=0, noise=0, findings=["NORM"]):
            quiet = np.abs(record.signal).max(axis=0)
            assert np.quantile(quiet, 0.1) < 0.01
            high = record.signal - np.apply_along_axis(np.convolve, 1, record.signal, np.ones(5) / 5, "same")
            assert np.abs(high[:, quiet < 0.02]).max() < 0.01

    def test_noise_scales(self) -> None:
        clean, usual, strong = (simulate(3, seed=6, noise=noise) for noise in (0, 1, 3))
        for base, one, three in zip(clean, usual, strong, strict=True):
            difference = one.signal - base.signal
            assert 0.002 < np.median(np.abs(difference)) < 0.2
            np.testing.assert_allclose(three.signal - base.signal, 3 * difference, atol=1e-5)

    def test_noise_has_mains_muscle_and_wander(self) -> None:
        power = np.zeros(2001)
        for seed in range(20):
            rng = np.random.default_rng(seed)
            noise = draw_noise(rng, 20_000, 500.0, level=1, mains=60, breathing=0.25)
            frequency, density = welch(noise, 500.0, nperseg=4000, axis=1)
            power += np.median(density, axis=0)
        bands = {
            name: power[(frequency >= low) & (frequency < high)].mean()
            for name, low, high in (
                ("wander", 0.1, 0.5), ("gap", 3, 12), ("muscle", 20, 55), ("mains", 59.6, 60.4),
                ("high", 170, 250),
            )
        }  # fmt: skip
        assert bands["wander"] > 100 * bands["gap"]
        assert bands["muscle"] > 3 * bands["gap"]
        assert bands["mains"] > 2 * bands["muscle"]
        assert bands["high"] < 0.1 * bands["muscle"]

    @pytest.mark.parametrize(("seconds", "fs"), [(2, 50), (2.5, 100), (7.3, 360), (61, 128)])
    def test_lengths_and_rates(self, seconds: float, fs: float) -> None:
        for record in simulate(6, seed=0, seconds=seconds, fs=fs, findings=["PVC", "AF+PVC", "PAC", "LBBB"]):
            assert record.signal.shape == (12, round(seconds * fs))
            assert record.fs == fs
            assert np.isfinite(record.signal).all()

    def test_annotations_mark_the_r_peaks(self) -> None:
        for record in simulate(20, seed=1, noise=0, findings=["NORM", "AF", "LAFB", "IMI/old"]):
            eight = record.signal[[0, 1, *range(6, 12)]].astype(np.float64)
            slope = np.abs(np.gradient(eight, axis=1)).sum(axis=0)
            energy = np.convolve(slope, np.hanning(50), "same")
            found, _ = find_peaks(energy, height=0.4 * np.quantile(energy, 0.985), distance=140)
            assert record.annotations is not None
            marked = record.annotations.sample[1:]
            inside = marked[(marked > 100) & (marked < 4900)]
            assert len(inside) >= 7
            assert all(np.abs(found - sample).min() <= 20 for sample in inside)
            assert len(found) <= len(marked) + 2

    def test_annotations_start_with_the_rhythm(self) -> None:
        for name, note in (("NORM", "(N"), ("AF", "(AFIB")):
            annotations = simulate(1, seed=0, findings=[name])[0].annotations
            assert annotations is not None
            assert (annotations.sample[0], annotations.symbol[0], annotations.note[0]) == (0, "+", note)
            assert len(annotations.sample) == len(annotations.symbol) == len(annotations.note)
            assert (np.diff(annotations.sample) >= 0).all()


class TestPatients:
    def test_ids_and_number_of_records(self) -> None:
        records = simulate(400, seed=0, seconds=2, fs=50, noise=0)
        assert [record.record_id for record in records] == [f"sim-{k:06d}" for k in range(1, 401)]
        ids = [record.patient_id for record in records]
        sizes = [len(list(group)) for _, group in itertools.groupby(ids)]
        assert len(sizes) == len(set(ids))
        assert set(sizes[:-1]) == {1, 2, 3}
        assert 1.7 < np.mean(sizes) < 2.3

    def test_a_patient_stays_the_same(self) -> None:
        for _, group in itertools.groupby(simulate(60, seed=0), lambda record: record.patient_id):
            first, *others = group
            for other in others:
                assert (other.age, other.sex) == (first.age, first.sex)
                assert not np.array_equal(other.signal, first.signal)

    def test_records_of_a_patient_look_alike(self) -> None:
        records = simulate(60, seed=1, noise=0, findings=["NORM", "MI", "HYP"], records_per_patient=(2, 2))
        shapes = np.stack([r.signal.max(axis=1) - r.signal.min(axis=1) for r in records])
        within = np.abs(shapes[::2] - shapes[1::2]).mean()
        between = np.abs(shapes[::2] - np.roll(shapes[1::2], 1, axis=0)).mean()
        assert within < 0.4 * between

    def test_age_and_sex(self) -> None:
        records = list(SimulatedCorpus(300, seed=0).entries())
        ages = np.array([record.age for record in records])
        assert ages.min() >= 18
        assert ages.max() <= 95
        assert 50 < ages.mean() < 70
        assert {record.sex for record in records} == {"male", "female"}


class TestFindingsAndCodes:
    def test_every_superclass_and_cpsc_class_occurs_often_enough(self) -> None:
        entries = list(SimulatedCorpus(1200, seed=0).entries())
        for code in ("NORM", "164889003", "270492004", "164909002", "59118001", "284470004", "164884008"):
            assert sum(code in entry.codes for entry in entries) > 25
        for codes in (
            {"ASMI", "IMI", "LMI"},
            {"NDT", "ISC_", "NST_"},
            {"LVH", "RVH"},
            {"429622005"},
            {"164931005"},
        ):
            assert sum(bool(codes & set(entry.codes)) for entry in entries) > 60

    def test_tasks_read_the_codes(self) -> None:
        from ssl_ecg.tasks import get_task

        expected = {
            "NORM": ("NORM", "SNR"), "AF": (None, "AF"), "IAVB": ("CD", "IAVB"), "LBBB": ("CD", "LBBB"),
            "RBBB": ("CD", "RBBB"), "IRBBB": ("CD", None), "LAFB": ("CD", None), "PAC": (None, "PAC"),
            "PVC": (None, "PVC"), "STD": ("STTC", "STD"), "STE": ("STTC", "STE"), "NDT": ("STTC", None),
            "AMI/acute": ("MI", "STE"), "AMI/old": ("MI", None), "IMI/recent": ("MI", None),
            "LMI": ("MI", None), "LVH/voltage": ("HYP", None), "RVH": ("HYP", None),
        }  # fmt: skip
        for name, classes in expected.items():
            record = simulate(1, seed=0, findings=[name], seconds=2, fs=50)[0]
            for task, wanted in zip((get_task("superclass"), get_task("cpsc9")), classes, strict=True):
                labels, known = task.labels([record.codes])
                present = [task.classes[k] for k in np.flatnonzero(labels[0])]
                assert present == ([wanted] if wanted else [])
                assert bool(known[0]) is (wanted is not None)

    def test_combinations_carry_the_codes_of_both(self) -> None:
        record = simulate(1, seed=0, findings=["AF+PVC"])[0]
        assert {"AFIB", "164889003", "PVC", "164884008"} <= set(record.codes)
        assert "SR" not in record.codes

    def test_rhythm_code_follows_the_rate(self) -> None:
        records = simulate(120, seed=0, seconds=20, fs=50, noise=0, findings=["LVH", "IAVB"])
        for record in records:
            assert record.annotations is not None
            rate = 60 * 50 / np.diff(record.annotations.sample[1:]).mean()
            code = next(code for code in record.codes if code in {"SR", "SBRAD", "STACH"})
            assert {"SBRAD": rate < 64, "SR": 55 < rate < 106, "STACH": rate > 95}[code]
        assert {"SR", "SBRAD", "STACH"} <= {code for record in records for code in record.codes}

    def test_mixture_and_groups_are_possible(self) -> None:
        assert abs(sum(MIXTURE.values()) - 1) < 0.15
        for text in [*MIXTURE, *GROUPS, *FINDINGS]:
            assert choices(text)
        assert {part for text in MIXTURE for part in text.split("+")} <= {*FINDINGS, *GROUPS}

    def test_shares_are_kept(self) -> None:
        corpus = SimulatedCorpus(600, seed=0, findings={"NORM": 3, "LBBB": 1, "RBBB": 0})
        codes = [entry.codes for entry in corpus.entries()]
        assert 0.68 < np.mean(["NORM" in record for record in codes]) < 0.82
        assert not any("CRBBB" in record for record in codes)

    def test_every_pair_is_simulated_or_refused(self) -> None:
        for first, second in itertools.combinations(FINDINGS, 2):
            text = f"{first}+{second}"
            try:
                allowed = choices(text)
            except LabelError:
                continue
            record = simulate(1, seed=0, findings=[text], seconds=2, fs=100)[0]
            assert set(allowed[0]) == {first, second}
            assert {*FINDINGS[first].codes, *FINDINGS[second].codes} <= set(record.codes)
            assert np.isfinite(record.signal).all()
            assert np.abs(record.signal).max() < 12


class TestCorpus:
    def test_folds_are_patient_disjoint(self) -> None:
        entries = list(SimulatedCorpus(500, seed=0).entries())
        folds: dict[str | None, set[int | None]] = {}
        for entry in entries:
            folds.setdefault(entry.patient_id, set()).add(entry.fold)
        assert all(len(fold) == 1 for fold in folds.values())
        assert {entry.fold for entry in entries} == set(range(1, 11))

    def test_entry_and_record_agree(self) -> None:
        corpus = SimulatedCorpus(12, seed=3)
        for entry in corpus.entries():
            record = corpus.read(entry)
            assert (record.record_id, record.patient_id, record.age, record.sex, record.codes) == (
                entry.record_id,
                entry.patient_id,
                entry.age,
                entry.sex,
                entry.codes,
            )

    def test_patients_of_other_seeds_are_others(self) -> None:
        one, two = SimulatedCorpus(1, seed=1), SimulatedCorpus(1, seed=2)
        assert one.patient_key(next(one.entries())) != two.patient_key(next(two.entries()))

    def test_foreign_entry_is_refused(self) -> None:
        entry = next(SimulatedCorpus(1, seed=1).entries())
        with pytest.raises(RecordError, match="not in the simulated corpus"):
            SimulatedCorpus(5, seed=2).read(entry)

    def test_prepare_gives_the_same_archive_with_any_number_of_workers(self, tmp_path: Path) -> None:
        archives: list[Archive] = [
            prepare(SimulatedCorpus(24, seed=0, seconds=4), tmp_path / str(k), workers=k, progress=False)
            for k in (1, 2)
        ]
        assert archives[0].fingerprint == archives[1].fingerprint
        assert len(archives[0]) == 24
        assert all(len(quality) == 0 for quality in archives[0].index["quality"])
        again = prepare(SimulatedCorpus(24, seed=0, seconds=4), tmp_path / "1", progress=False)
        assert again.fingerprint == archives[0].fingerprint
        with pytest.raises(SSLECGError):
            prepare(SimulatedCorpus(24, seed=0, seconds=4, noise=0), tmp_path / "1", progress=False)


class TestErrors:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"seed": -1}, {"seed": 1.5}, {"seed": None}, {"seconds": 1}, {"seconds": np.nan},
            {"seconds": "10"}, {"fs": 0}, {"fs": 49}, {"fs": np.inf}, {"fs": True}, {"noise": -0.1},
            {"noise": np.nan},
            {"records_per_patient": (0, 3)}, {"records_per_patient": (3, 2)}, {"records_per_patient": 2},
            {"records_per_patient": (1, 2, 3)}, {"records_per_patient": (1, 2.5)},
        ],
    )  # fmt: skip
    def test_numbers_out_of_range(self, wrong: dict[str, object]) -> None:
        (name,) = wrong
        with pytest.raises(SignalError, match=name):
            simulate(1, **{"seed": 0, **wrong})  # type: ignore[arg-type]

    @pytest.mark.parametrize("n", [-1, 1.5, None, True, "3"])
    def test_number_of_records(self, n: object) -> None:
        with pytest.raises(SignalError, match=r"^n:"):
            simulate_records(n, seed=0)  # type: ignore[arg-type]
        with pytest.raises(SignalError, match=r"^n:"):
            SimulatedCorpus(n, seed=0)  # type: ignore[arg-type]

    def test_no_records(self) -> None:
        assert simulate(0, seed=0) == []

    @pytest.mark.parametrize(
        "findings",
        [
            [], ["FLUTTER"], ["AF+"], [""], ["AF+AF"], ["NORM+PVC"], ["AF+PAC"], ["LBBB+RBBB"], ["STD+STE"],
            [3], ["LVH/strain+STE"], ["MI+LBBB"], {"AF": -1}, {"AF": 0}, {"AF": np.nan}, {"AF": "much"},
            ["AMI+IMI"],
        ],
    )  # fmt: skip
    def test_findings(self, findings: object) -> None:
        with pytest.raises(LabelError, match="findings"):
            simulate(1, seed=0, findings=findings)  # type: ignore[arg-type]

    @given(st.text(alphabet="AFNORMLBSTDE+/ acute", max_size=20))
    def test_nothing_else_escapes_for_any_name(self, text: str) -> None:
        try:
            drawn = choices(text)
        except LabelError:
            return
        assert all(name in FINDINGS for names in drawn for name in names)
