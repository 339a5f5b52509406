"""The parts of a report that show embedding space and anomaly scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ssl_ecg.app.anomaly_sections import coded_text
from ssl_ecg.app.html import Page
from ssl_ecg.app.inputs import Anomaly, MapPoints, Scores
from ssl_ecg.app.map_data import pack
from ssl_ecg.app.sections import ROWS
from ssl_ecg.errors import SSLECGError
from ssl_ecg.plot.map import plot_map
from ssl_ecg.plot.scores import plot_scores


def add_map(page: Page, points: MapPoints, anomalies: Sequence[Anomaly]) -> None:
    """Add the map of the embedding space, or pictures of it where the points have no record ids."""
    page.section("Map of the recordings")
    page.text(
        f"Each dot is a recording, placed by {points.how} so that similar embeddings lie close together. "
        "Neighbourhood has a meaning; axes, sizes of groups and distances between groups have none."
    )
    if len(points.record_ids):
        page.atlas(pack(points, anomalies), alt="Map of the recordings by embedding", caption=_shown(points, anomalies))
    else:
        _add_pictures(page, points, anomalies)


def _shown(points: MapPoints, anomalies: Sequence[Anomaly]) -> str:
    """Say what the map holds and what it leaves out."""
    n = len(points.record_ids)
    total = points.total or n
    if n < total:
        text = f"The map shows a sample of {n:,} of {total:,} recordings, in it all that are flagged."
        if points.flagged is not None and np.asarray(points.flagged, bool).all():
            text = f"The map shows {n:,} of {total:,} recordings: the strangest of those flagged."
    else:
        text = f"The map shows all {n:,} recordings."
    pictures = points.thumbnails
    if pictures is not None and len(pictures.values) < n:
        text += f" To keep the page small it holds the ECG of {len(pictures.values):,} of them, flagged ones first."
    if anomalies:
        text += f" The numbers 1 to {len(anomalies)} are those drawn below."
    return text


def _add_pictures(page: Page, points: MapPoints, anomalies: Sequence[Anomaly]) -> None:
    """Add a picture for each colouring given."""
    marked = [item.row for item in anomalies if item.row is not None][:20]
    if points.labels is not None:
        caption = "By label; a recording with several is drawn in its most important or rarest one."
        figure = plot_map(points.xy, labels=points.labels, order=points.order)
        page.figure(figure, alt="Map of embeddings coloured by label", caption=caption)
    if points.clusters is not None:
        figure = plot_map(points.xy, clusters=points.clusters)
        page.figure(figure, alt="Map of embeddings coloured by cluster", caption="By cluster.")
    if points.scores is not None:
        caption = "By anomaly score." + (" The ringed recordings are drawn below." if marked else "")
        figure = plot_map(points.xy, scores=points.scores, marked=marked)
        page.figure(figure, alt="Map of embeddings coloured by anomaly score", caption=caption)
    if points.labels is None and points.clusters is None and points.scores is None:
        page.figure(plot_map(points.xy), alt="Map of embeddings")


def add_scores(page: Page, scores: Scores, names: dict[str, str]) -> None:
    """Add the distribution of anomaly scores, the operating point, and the list of those flagged."""
    page.section("Anomaly scores")
    about = [f"Computed by {scores.detector}." if scores.detector else ""]
    about.append(f"Typical means: {scores.reference}." if scores.reference else "")
    if scores.threshold is None:
        about.append("No threshold was set: the order counts, no recording is flagged.")
    else:
        how = f" ({scores.how})" if scores.how else ""
        share = scores.n_flagged / max(1, scores.array.size)
        about.append(
            f"The operating point is a score of {scores.threshold:.4g}{how}; "
            f"{scores.n_flagged:,} of {scores.array.size:,} recordings ({share:.1%}) are flagged."
        )
    page.text(" ".join(part for part in about if part))
    try:
        figure = plot_scores(scores.values, scores.threshold, how=scores.how)
        page.figure(figure, alt="Histogram of anomaly scores with the threshold")
    except SSLECGError as error:
        page.banner("The scores could not be drawn", str(error), kind="warn")
    if len(scores.record_ids) == scores.array.size and scores.array.size:
        _add_score_list(page, scores, names)


def _add_score_list(page: Page, scores: Scores, names: dict[str, str]) -> None:
    order = np.argsort(-np.nan_to_num(scores.array, nan=-np.inf), kind="stable").tolist()
    chosen = scores.flagged
    flagged = [k for k in order if np.isfinite(scores.array[k]) and (scores.threshold is None or chosen[k])]
    coded, judged = len(scores.codes) == len(order), len(scores.p_values) == len(order)
    explained = len(scores.reasons) == len(order) and any(scores.reasons)
    listed = flagged[:ROWS]
    columns: dict[str, tuple[str, list[object]]] = {
        "rank": ("r", list(range(1, len(listed) + 1))),
        "recording": ("l", [scores.record_ids[k] for k in listed]),
        "score": ("r", [f"{scores.array[k]:.4g}" for k in listed]),
    }
    if judged:
        columns["p-value"] = ("r", [f"{scores.p_values[k]:.3g}" for k in listed])
    if explained:
        columns["deviates in"] = ("l", [scores.reasons[k] for k in listed])
    if coded:
        columns["codes"] = ("l", [coded_text(scores.codes[k], names) for k in listed])
    rows = list(zip(*(cells for _, cells in columns.values()), strict=True))
    more = f" The first {ROWS} are listed; scores.parquet has all." if len(flagged) > ROWS else ""
    title = "All recordings by score" if scores.threshold is None else f"Flagged recordings ({len(flagged):,})"
    align = "".join(letter for letter, _ in columns.values())
    with page.details(title, unfolded=len(listed) <= 50):
        page.table(list(columns), rows, align=align, caption=more, sortable=True)
