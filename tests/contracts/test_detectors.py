"""What every detector in the registry must do; a new one is tested by being registered."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from ssl_ecg.errors import ArchiveError, SignalError
from ssl_ecg.screen.conformal import conformal_p_values, conformal_threshold
from ssl_ecg.screen.detectors import DETECTORS, load_detector

pytestmark = pytest.mark.parametrize("name", list(DETECTORS))

QUICK = {"isolation": {"n_trees": 40}, "ensemble": {"options": {"isolation": {"n_trees": 40}}}}


def _usual(n=400, dim=12, seed=0):
    """Three kinds of usual recordings, correlated dimensions of unequal scale."""
    rng = np.random.default_rng(seed)
    world = np.random.default_rng(99)
    centres, mixing = 3 * world.normal(size=(3, dim)), world.normal(size=(dim, dim)) / dim**0.5
    Z = centres[rng.integers(0, 3, n)] + rng.normal(size=(n, dim)) @ mixing
    return (Z * np.geomspace(1, 5, dim)).astype(np.float32)


def _strange(n=20, dim=12, seed=1):
    """Recordings far away from all of them, each in a direction of its own."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=(n, dim))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return (14 * direction * np.geomspace(1, 5, dim)).astype(np.float32)


def _new(name):
    """A detector by its defaults, with fewer trees than usual to be quick."""
    return DETECTORS[name]().set_params(**QUICK.get(name, {}))


@cache
def _fitted(name):
    """A detector for tests that do not change it."""
    return _new(name).fit(_usual())


def test_shapes_of_seen_and_unseen(name):
    detector = _new(name)
    assert detector.fit(_usual()) is detector
    unseen = _usual(50, seed=5)
    scores = detector.anomaly_score(unseen)
    assert scores.shape == (50,)
    assert np.isfinite(scores).all()
    assert detector.predict(unseen).dtype == bool
    clusters = detector.cluster(unseen)
    assert clusters.shape == (50,)
    assert np.issubdtype(clusters.dtype, np.integer)
    assert clusters.min() >= -1
    assert detector.anomaly_score(unseen[:1])[0] == pytest.approx(scores[0], rel=1e-4, abs=1e-6)


def test_unseen_outliers_score_higher(name):
    detector = _fitted(name)
    Z = np.vstack([_usual(200, seed=7), _strange()])
    truth = np.arange(220) >= 200
    assert roc_auc_score(truth, detector.anomaly_score(Z)) > 0.95
    assert detector.predict(Z)[truth].mean() > 0.5
    assert detector.predict(Z)[~truth].mean() < 0.1


def test_outliers_among_the_fitted_score_higher(name):
    Z = np.vstack([_usual(), _strange(12)])
    scores = _new(name).fit_score(Z)
    assert roc_auc_score(np.arange(412) >= 400, scores) > 0.9


def test_alert_rate_is_met_on_the_fitted(name):
    Z = _usual()
    detector = _new(name).set_params(alert_rate=0.05)
    scores = detector.fit_score(Z)
    assert (scores > detector.threshold_).mean() == pytest.approx(0.05, abs=0.006)
    assert detector.percentile(scores).max() == pytest.approx(100 * 399 / 400)
    assert detector.percentile([scores.min() - 1, scores.max() + 1]).tolist() == [0, 100]


@pytest.mark.parametrize("share", [0.05, 0.1])
def test_trimming_tells_strange_records_in_a_contaminated_reference(name, share):
    """Many strange records of one kind: left out, so that others of their kind are flagged."""
    n = round(400 * share)
    centre = 9 * np.random.default_rng(5).normal(size=12) * np.geomspace(1, 5, 12)
    rng = np.random.default_rng(6)
    strange = [(centre + 2 * rng.normal(size=(size, 12))).astype(np.float32) for size in (n, 20)]
    Z = np.vstack([_usual(400 - n), strange[0]])
    detector = _new(name).set_params(trim=share + 0.02)
    scores = detector.fit_score(Z)
    assert detector.kept_.sum() == 400 - int((share + 0.02) * 400) == len(detector.reference_scores_)
    assert detector.kept_[400 - n :].mean() < 0.1
    assert roc_auc_score(~detector.kept_, scores) > 0.98
    assert detector.predict(strange[1]).mean() > 0.9
    assert detector.predict(_usual(200, seed=7)).mean() < 0.15


def test_nothing_is_left_out_unless_asked_for(name):
    assert _fitted(name).kept_.all()
    detector = _new(name)
    with pytest.raises(SignalError, match=r"trim is 0\.5"):
        detector.set_params(trim=0.5).fit(_usual())
    with pytest.raises(SignalError, match="records after trimming"):
        detector.set_params(trim=0.4).fit(_usual(detector._minimum() + 1))


def test_p_values_are_counts_of_calibration_scores(name):
    detector = _new(name).fit(_usual())
    assert np.isnan(detector.p_value([1.0, 2.0])).all()
    held, unseen = _usual(90, seed=11), np.vstack([_usual(30, seed=12), _strange(5)])
    scores, usual = detector.anomaly_score(unseen), detector.calibrate(held).anomaly_score(held)
    expected = [(1 + sum(u >= s for u in usual)) / 91 for s in scores]
    np.testing.assert_allclose(detector.p_value(scores), expected)
    detector.fit(_usual())
    assert np.isnan(detector.p_value([1.0])).all()


@pytest.mark.parametrize("level", [0.05, 0.2])
def test_false_alarms_are_no_more_than_promised(name, level):
    """Exchangeable records: over many draws of calibration and new records, at most the level is flagged."""
    rng = np.random.default_rng(8)
    scores = _fitted(name).anomaly_score(_usual(4000, seed=13))
    shares = []
    for _ in range(300):
        drawn = rng.choice(scores, 79, replace=False)
        threshold = conformal_threshold(drawn[:39], level)
        p = conformal_p_values(drawn[:39], drawn[39:])
        np.testing.assert_array_equal(p <= level, drawn[39:] > threshold)
        shares.append((p <= level).mean())
    error = np.std(shares) / len(shares) ** 0.5
    assert np.mean(shares) < level + 3 * error
    if len(np.unique(scores)) > 3900:  # without ties the promise is kept exactly
        assert np.mean(shares) > level - 3 * error


def test_order_of_records_does_not_matter(name):
    Z, unseen = _usual(), np.vstack([_usual(30, seed=4), _strange(5)])
    order = np.random.default_rng(3).permutation(len(Z))
    first, second = _new(name), _new(name)
    scores, shuffled = first.fit_score(Z), second.fit_score(Z[order])
    np.testing.assert_array_equal(scores[order], shuffled)
    np.testing.assert_array_equal(first.anomaly_score(unseen), second.anomaly_score(unseen))


def test_same_seed_same_scores(name):
    Z = _usual()
    again = _new(name).set_params(seed=0).fit(Z)
    np.testing.assert_array_equal(again.anomaly_score(Z), _fitted(name).anomaly_score(Z))


def test_scale_of_the_embeddings_does_not_matter(name):
    Z, unseen = _usual(), np.vstack([_usual(60, seed=4), _strange(5)])
    plain = _fitted(name).anomaly_score(unseen)
    scaled = _new(name).fit(1000 * Z + 50).anomaly_score(1000 * unseen + 50)
    assert np.corrcoef(plain, scaled)[0, 1] > 0.999


def test_save_and_load(name, tmp_path):
    unseen = np.vstack([_usual(30, seed=4), _strange(5)])
    detector = _fitted(name)
    detector.save(tmp_path / "d")
    loaded = load_detector(tmp_path / "d")
    assert type(loaded) is type(detector)
    assert json.loads(json.dumps(loaded.get_params())) == json.loads(json.dumps(detector.get_params()))
    np.testing.assert_array_equal(loaded.anomaly_score(unseen), detector.anomaly_score(unseen))
    np.testing.assert_array_equal(loaded.predict(unseen), detector.predict(unseen))
    np.testing.assert_array_equal(loaded.cluster(unseen), detector.cluster(unseen))
    np.testing.assert_array_equal(loaded.percentile([0.5, 1, 2]), detector.percentile([0.5, 1, 2]))
    assert loaded.choice_ == detector.choice_
    chosen = ["choice.json"] if detector.choice_ else []
    assert sorted(p.name for p in (tmp_path / "d").iterdir()) == [*chosen, "detector.json", "detector.npz"]


def test_damaged_detector_is_refused(name, tmp_path):
    folder = _fitted(name).save(tmp_path / "d")
    card = json.loads((folder / "detector.json").read_text())
    for change in ({"format": 99}, {"class": "Unknown"}, {"params": {"no": 1}}, {"fitted": 3}):
        (folder / "detector.json").write_text(json.dumps({**card, **change}))
        with pytest.raises(ArchiveError, match="detector"):
            load_detector(folder)
    (folder / "detector.json").write_text(json.dumps(card))
    (folder / "detector.npz").write_bytes((folder / "detector.npz").read_bytes()[:100])
    with pytest.raises(ArchiveError, match="detector"):
        load_detector(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(name, value):
    Z = _usual()
    bad = Z.copy()
    bad[7, 2] = value
    with pytest.raises(SignalError, match=r"1 of 400 .* first in row 7"):
        _new(name).fit(bad)
    with pytest.raises(SignalError, match="first in row 7"):
        _fitted(name).anomaly_score(bad)


@pytest.mark.parametrize("n", [0, 1, 5])
def test_too_few_records(name, n):
    with pytest.raises(SignalError, match=f"{n} records, at least"):
        _new(name).fit(_usual()[:n])


def test_fewest_records_that_are_allowed(name):
    detector = _new(name)
    Z = _usual(detector._minimum())
    assert np.isfinite(detector.fit(Z).anomaly_score(_usual(3, seed=8))).all()


def test_collapsed_embeddings_are_refused(name):
    with pytest.raises(SignalError, match="all 100 embeddings are equal"):
        _new(name).fit(np.full((100, 8), 3.7, np.float32))


def test_repeated_records_and_one_dimension_work(name):
    Z = np.repeat(_usual(60), 5, axis=0)
    assert np.isfinite(_new(name).fit_score(Z)).all()
    line = np.random.default_rng(0).normal(size=(200, 1))
    scores = _new(name).fit(line).anomaly_score([[0.0], [30.0]])
    assert scores[1] > scores[0]


def test_wrong_use(name):
    with pytest.raises(SignalError, match="not fitted"):
        _new(name).anomaly_score(_usual())
    with pytest.raises(SignalError, match="3 dimensions, 12 were fitted"):
        _fitted(name).anomaly_score(_usual()[:, :3])
    with pytest.raises(SignalError, match="no parameter 'depth'"):
        _new(name).set_params(depth=2)
    with pytest.raises(SignalError, match="alert_rate"):
        _new(name).set_params(alert_rate=1.5).fit(_usual())


def test_parameters_survive_clone_and_input_is_left_alone(name):
    detector = _new(name).set_params(n_components=4)
    Z = _usual()
    before = Z.copy()
    copy = clone(detector).fit(Z)
    assert copy.get_params() == detector.get_params()
    assert not hasattr(detector, "threshold_")
    assert (before == Z).all()
    assert copy.transform(Z).shape == (400, 4)
