"""Cards of the clusters: how large, how wide, what its most central recording looks like, what is known of it."""

# ruff: noqa: N803 - matrices are upper case, as in the equations

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

import ssl_ecg.plot.style as style
from ssl_ecg.app.html import Markup, Page, joined, strong
from ssl_ecg.app.inputs import Recording
from ssl_ecg.plot.thumbnail import choose_leads, thumbnail_svg

_LABELS = 4  # named on a card
MOST_CARDS = 24


@dataclass(frozen=True, slots=True)
class ClusterCard:
    """What is known of a cluster.

    Attributes
    ----------
    number : int
    size : int
        Recordings.
    share : float
        Of all recordings.
    n_flagged : int
    median_score : float
    spread : float
        Root mean square distance to the cluster's centre, relative to that over all clusters.
    prototype : int
        Row of the recording nearest to the centre.
    labels : sequence of (label, share within the cluster, share among all)
        Those that are most over-represented first.
    recording : Recording or None
        The prototype, to be drawn.
    """

    number: int
    size: int
    share: float
    n_flagged: int
    median_score: float
    spread: float
    prototype: int
    labels: Sequence[tuple[str, float, float]] = ()
    recording: Recording | None = field(default=None, repr=False)


def describe_clusters(
    Z: ArrayLike, clusters: ArrayLike, scores: ArrayLike, flagged: ArrayLike, codes: Sequence[Sequence[str]]
) -> list[ClusterCard]:
    """Describe clusters, the largest first.

    Parameters
    ----------
    Z : array (record, dim)
        In the space in which distances count.
    clusters : int array (record,)
        Negative: in none.
    scores : array (record,)
    flagged : bool array (record,)
    codes : sequence of sequences of str
        Of each record.
    """
    space, member = np.asarray(Z, np.float64), np.asarray(clusters)
    values, marked = np.asarray(scores, np.float64), np.asarray(flagged, bool)
    overall = Counter(code for item in codes for code in set(item))
    rows_of = {int(k): np.flatnonzero(member == k) for k in np.unique(member[member >= 0])}
    square = {k: ((space[rows] - space[rows].mean(axis=0)) ** 2).sum(axis=1) for k, rows in rows_of.items()}
    usual = float(np.mean(np.concatenate(list(square.values())))) if square else 0.0
    cards = [
        ClusterCard(
            number,
            len(rows),
            len(rows) / max(1, len(member)),
            int(marked[rows].sum()),
            float(np.nanmedian(values[rows])),
            float(np.sqrt(square[number].mean() / usual)) if usual > 0 else 1.0,
            int(rows[square[number].argmin()]),
            _labels(rows, codes, overall),
        )
        for number, rows in rows_of.items()
    ]
    return sorted(cards, key=lambda card: (-card.size, card.number))


def _labels(
    rows: NDArray[np.int64], codes: Sequence[Sequence[str]], overall: Counter[str]
) -> list[tuple[str, float, float]]:
    """Give the labels that a cluster has most of beyond what chance would give it."""
    inside = Counter(code for row in rows for code in set(codes[row]))
    shares = [(code, count / len(rows), overall[code] / len(codes)) for code, count in inside.items()]
    shares.sort(key=lambda item: (item[2] - item[1], item[0]))
    return [item for item in shares if item[1] > item[2]][:_LABELS]


def add_clusters(page: Page, cards: Sequence[ClusterCard], colours: dict[int, str], remark: str = "") -> None:
    """Add a card for each cluster."""
    page.section("Clusters")
    more = f" The {MOST_CARDS} largest of {len(cards):,} are shown." if len(cards) > MOST_CARDS else ""
    page.text(
        f"{remark}Each card shows the first seconds of the recording nearest to the cluster's centre. "
        "Spread compares the distances to the centre with those in all clusters: below 1 the recordings are "
        f"more alike than usual. Labels are those that stand out against all recordings.{more}"
    )
    with page.block("cards"):
        for card in cards[:MOST_CARDS]:
            with page.block("card dotted", style=f"--dot:{colours.get(card.number, style.BASELINE)}"):
                _add_card(page, card)


def _add_card(page: Page, card: ClusterCard) -> None:
    page.label(f"Cluster {card.number}")
    flagged = f"{card.n_flagged:,} flagged" if card.n_flagged else "none flagged"
    page.text(joined(strong(f"{card.size:,}"), f" recordings ({card.share:.1%}), {flagged}"))
    page.text(f"Spread {card.spread:.2f}, median score {card.median_score:.3g}")
    if card.labels:
        page.text("; ".join(f"{code} {inside:.0%} (of all {outside:.0%})" for code, inside, outside in card.labels))
    if card.recording is not None:
        record = card.recording
        rows = choose_leads(record.leads)
        leads = [record.leads[k] for k in rows]
        svg = thumbnail_svg(np.asarray(record.signal)[rows], record.fs, leads, f"Prototype {record.record_id}")
        page.figure(Markup(svg), alt="", caption=f"Prototype: {record.record_id}")
