"""The data of the interactive map: which points, and that the page's script gets back what went in."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from ssl_ecg.app.cluster_cards import describe_clusters
from ssl_ecg.app.inputs import Anomaly, MapPoints, Recording, Thumbnails
from ssl_ecg.app.map_data import choose_points, cluster_colours, pack
from ssl_ecg.errors import SSLECGError


def unpack(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def packed(**changes: Any) -> dict[str, Any]:
    n = 30
    rng = np.random.default_rng(0)
    given: dict[str, Any] = {
        "xy": rng.normal(size=(n, 2)) * (3, 1),
        "labels": [("NORM",) if k % 3 else ("MI", "SR") for k in range(n)],
        "clusters": np.arange(n) % 4 - 1,
        "scores": np.arange(n, dtype=float),
        "record_ids": [f"r{k}" for k in range(n)],
        "rows": np.arange(n) * 10,
        "total": 300,
        "flagged": np.arange(n) > 27,
        "ranks": np.arange(n)[::-1] + 1,
    }
    text = pack(MapPoints(**{**given, **changes}), [Anomaly(Recording("a", [[0.0]], 1.0, ["I"]), 9.0, row=290)])
    assert "<" not in text
    return json.loads(text)


def test_what_goes_in_comes_out() -> None:
    found = packed()
    assert (found["n"], found["total"], found["drawn"]) == (30, 300, {"29": 1})
    np.testing.assert_array_equal(unpack(found["score"], "<f4"), np.arange(30))
    np.testing.assert_array_equal(unpack(found["rank"], "<i4"), np.arange(30)[::-1] + 1)
    np.testing.assert_array_equal(np.flatnonzero(unpack(found["flagged"], "u1")), [28, 29])
    groups = found["colours"]["label"]
    names = np.array(groups["names"])[unpack(groups["of"], "u1")]
    assert names.tolist() == ["NORM" if k % 3 else "MI" for k in range(30)]
    assert np.array(found["texts"])[unpack(found["text"], "<u4")][0] == "MI, SR"
    clusters = np.array(found["colours"]["cluster"]["names"])[unpack(found["colours"]["cluster"]["of"], "u1")]
    assert clusters[:4].tolist() == ["noise", "cluster 0", "cluster 1", "cluster 2"]
    xy = np.random.default_rng(0).normal(size=(30, 2)) * (3, 1)
    back = unpack(found["xy"], "<u2").reshape(-1, 2) / 65535 * np.ptp(xy, axis=0).max() + xy.min(axis=0)
    np.testing.assert_allclose(back, xy, atol=1e-3)


def test_rare_groups_share_a_colour_and_cards_have_those_of_the_map() -> None:
    clusters = np.repeat(np.arange(20), np.arange(20, 0, -1))
    n = len(clusters)
    empty = {"labels": None, "rows": None, "total": None, "flagged": None, "ranks": None}
    more = {"xy": np.zeros((n, 2)), "scores": np.zeros(n), "record_ids": ["r"] * n}
    found = packed(clusters=clusters, **empty, **more)["colours"]["cluster"]
    assert found["names"] == [*(f"cluster {k}" for k in range(8)), "other"]
    assert sum(found["counts"]) == n
    colours = cluster_colours(clusters)
    assert [colours[k] for k in range(8)] == found["colours"][:8]
    assert {colours[k] for k in range(8, 20)} == {found["colours"][8]}


def test_scores_that_are_missing_and_names_that_would_do_harm(evil: str) -> None:
    scores = np.full(30, np.nan)
    found = packed(scores=scores, record_ids=[evil] * 30, labels=[(evil,)] * 30)
    assert np.isnan(unpack(found["score"], "<f4")).all()
    assert "\u202e" not in found["ids"][0]


def test_thumbnails_know_their_points() -> None:
    values = np.arange(2 * 3 * 5, dtype=np.int8).reshape(2, 3, 5)
    found = packed(thumbnails=Thumbnails(values, [0.1, 0.2], [7, 3], ("II", "V2", "V5"), 5.0))["ecg"]
    where = unpack(found["of"], "<i4")
    assert (where[7], where[3], (where >= 0).sum()) == (0, 1, 2)
    np.testing.assert_array_equal(unpack(found["values"], "i1").reshape(2, 3, 5)[where[3]], values[1])


@pytest.mark.parametrize("name", ["labels", "clusters", "scores", "record_ids"])
def test_arrays_that_do_not_fit_are_refused(name: str) -> None:
    with pytest.raises(SSLECGError, match="do not fit 30 points"):
        packed(**{name: [1] * 29})


def test_the_sample_holds_the_flagged_or_the_strangest_of_them() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=5000)
    scores[::7] = np.nan
    flagged = np.nan_to_num(scores, nan=-9) > 1.5
    rows = choose_points(scores, flagged, 1000)
    assert len(np.unique(rows)) == 1000
    assert set(np.flatnonzero(flagged)) <= set(rows.tolist())
    np.testing.assert_array_equal(rows, choose_points(scores, flagged, 1000))
    few = choose_points(scores, flagged, 20)
    assert set(few.tolist()) == set(np.argsort(-np.nan_to_num(scores, nan=-9))[:20].tolist())
    np.testing.assert_array_equal(choose_points(scores, flagged, 5000), np.arange(5000))


def test_clusters_are_described_as_a_loop_would() -> None:
    rng = np.random.default_rng(0)
    space = rng.normal(size=(60, 3)) * rng.uniform(1, 3, size=(60, 1))
    clusters = np.arange(60) % 3 - 1
    scores, flagged = rng.normal(size=60), rng.random(60) > 0.7
    codes = [("A", "B") if k % 2 else ("A", "C") for k in range(60)]
    cards = describe_clusters(space, clusters, scores, flagged, codes)
    assert [card.number for card in cards] == [0, 1]
    squares = {}
    for number in (0, 1):
        rows = [k for k in range(60) if clusters[k] == number]
        centre = sum(space[k] for k in rows) / len(rows)
        squares[number] = {k: float(((space[k] - centre) ** 2).sum()) for k in rows}
    usual = np.mean([value for group in squares.values() for value in group.values()])
    for card in cards:
        distances = squares[card.number]
        assert (card.size, card.share) == (20, pytest.approx(1 / 3))
        assert card.prototype == min(distances, key=distances.get)
        assert card.spread == pytest.approx(np.sqrt(np.mean(list(distances.values())) / usual))
        assert card.n_flagged == sum(bool(flagged[k]) for k in distances)
        assert card.median_score == pytest.approx(np.median([scores[k] for k in distances]))
        for label, inside, outside in card.labels:
            assert inside == pytest.approx(sum(label in codes[k] for k in distances) / 20)
            assert inside > outside == pytest.approx(sum(label in item for item in codes) / 60)
