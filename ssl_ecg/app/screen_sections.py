"""The parts of a report that show embedding space, anomaly scores, and the strangest recordings."""

from __future__ import annotations

from collections.abc import Sequence

from ssl_ecg.app.code_names import full_name
from ssl_ecg.app.html import Markup, Page, joined, strong
from ssl_ecg.app.inputs import Anomaly, MapPoints, Recording, Scores, Summary
from ssl_ecg.app.sections import ROWS
from ssl_ecg.errors import SignalError, SSLECGError
from ssl_ecg.plot.ecg import ecg_svg
from ssl_ecg.plot.map import plot_map
from ssl_ecg.plot.paper import suggest_layout
from ssl_ecg.plot.scores import plot_scores


def add_map(page: Page, points: MapPoints, anomalies: Sequence[Anomaly]) -> None:
    """Add pictures of the embedding space, one for each colouring given."""
    page.section("Map of the recordings")
    page.text(
        f"Each dot is a recording, placed by {points.how} so that similar embeddings lie close together. "
        "Neighbourhood has a meaning; axes, sizes of groups and distances between groups have none."
    )
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
            f"{scores.n_flagged:,} of {scores.array.size:,} recordings ({share:.1%}) reach it."
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
    order = scores.array.argsort(kind="stable")[::-1].tolist()
    flagged = [k for k in order if scores.threshold is None or scores.array[k] >= scores.threshold]
    coded = len(scores.codes) == len(order)
    rows = [
        [
            place,
            scores.record_ids[k],
            f"{scores.array[k]:.4g}",
            coded_text(scores.codes[k], names) if coded else "",
        ]
        for place, k in enumerate(flagged[:ROWS], start=1)
    ]
    more = f" The first {ROWS} are listed." if len(flagged) > ROWS else ""
    title = "All recordings by score" if scores.threshold is None else f"Flagged recordings ({len(flagged):,})"
    with page.details(title):
        width = 4 if coded else 3
        headers = ["rank", "recording", "score", "codes"][:width]
        page.table(headers, [row[:width] for row in rows], align="rlrl"[:width], caption=more, sortable=True)


def add_anomalies(
    page: Page,
    anomalies: Sequence[Anomaly],
    scores: Scores | None,
    summary: Summary,
    names: dict[str, str],
) -> None:
    """Draw the strangest recordings, each with the most similar typical one."""
    page.section("The strangest recordings")
    page.text(
        "Drawn on millimetre paper at 25 mm/s and 10 mm/mV unless the line under a drawing says otherwise; "
        "printed at 100% they are of true size, save those too high for a page, which are shrunk. Folded "
        "under each is the most similar of the typical recordings."
    )
    for place, item in enumerate(anomalies, start=1):
        record = item.recording
        with page.card(f"anomaly-{place}"):
            page.subsection(f"{place}. {record.record_id}")
            page.text(_about(item, scores, names))
            _draw(page, record, summary, names, f"score {item.score:.4g}")
            if item.typical is not None:
                far = f", at distance {item.distance:.3g}" if item.distance is not None else ""
                with page.details(f"Nearest typical recording: {item.typical.record_id}{far}"):
                    page.text(_described(item.typical, names))
                    _draw(page, item.typical, summary, names, "typical")


def _about(item: Anomaly, scores: Scores | None, names: dict[str, str]) -> Markup:
    parts = [joined("Score ", strong(f"{item.score:.4g}"))]
    if scores is not None:
        parts.append(joined(f", above {scores.share_below(item.score):.1%} of the recordings"))
        if scores.threshold is not None:
            parts.append(joined(", flagged" if item.score >= scores.threshold else ", below the threshold"))
    parts.append(joined(". ", _described(item.recording, names)))
    if item.neighbours:
        near = "; ".join(
            f"{record_id} ({coded_text(codes, names)})" if len(codes) else str(record_id)
            for record_id, codes in list(item.neighbours)[:5]
        )
        parts.append(joined(" Nearest of all: ", near, "."))
    return joined(*parts)


def _described(record: Recording, names: dict[str, str]) -> str:
    text = f"Labels: {coded_text(record.codes, names) if len(record.codes) else 'none'}."
    if len(record.quality):
        text += f" Quality flags: {', '.join(record.quality)}."
    return text


def _draw(page: Page, record: Recording, summary: Summary, names: dict[str, str], remark: str) -> None:
    person, codes = _person(record), ", ".join(_short(code, names) for code in record.codes)
    try:
        svg = ecg_svg(
            record.signal,
            record.fs,
            record.leads,
            layout=suggest_layout(record.leads, record.lead_mask),
            title=record.record_id,
            subtitle=" · ".join(part for part in (person, codes, remark) if part),
            gain="auto",
            band=summary.band,
            lead_mask=record.lead_mask,
        )
    except SignalError as error:
        page.banner("This recording could not be drawn", str(error), kind="warn")
        return
    page.figure(Markup(svg), alt="", kind="paper")


def _person(record: Recording) -> str:
    age = f"{record.age:.0f} y" if record.age is not None and record.age == record.age else ""
    return " ".join(part for part in (age, record.sex or "", f"({record.corpus})" if record.corpus else "") if part)


def coded_text(codes: Sequence[str], names: dict[str, str]) -> str:
    """Write codes with their full names where they are known.

    Examples
    --------
    >>> coded_text(["MI", "X1"], {"MI": "myocardial infarction"})
    'MI myocardial infarction, X1'
    """
    return ", ".join(f"{code} {full_name(code, names)}".rstrip() for code in codes)


def _short(code: str, names: dict[str, str]) -> str:
    """Give a code as it is, or its name where the code is a mere number (SNOMED CT)."""
    return names.get(code, code) if str(code).isdigit() else code
