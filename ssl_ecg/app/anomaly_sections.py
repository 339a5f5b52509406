"""The part of a report that draws the strangest recordings, each beside what it should resemble."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ssl_ecg.app.code_names import full_name
from ssl_ecg.app.html import Markup, Page, joined, strong
from ssl_ecg.app.inputs import Anomaly, Recording, Scores, Summary
from ssl_ecg.errors import SignalError
from ssl_ecg.plot.ecg import Gain, ecg_svg
from ssl_ecg.plot.paper import suggest_gain, suggest_layout
from ssl_ecg.plot.reasons import highlights, reasons_svg
from ssl_ecg.plot.sheet import Highlight

HOW = {
    "occlusion": "by how much the score falls when a piece is silenced",
    "reconstruction": "by how badly a piece is reconstructed",
}


def add_anomalies(
    page: Page,
    anomalies: Sequence[Anomaly],
    scores: Scores | None,
    summary: Summary,
    names: dict[str, str],
) -> None:
    """Draw the strangest recordings, each with the most similar typical one beside it."""
    page.section("The strangest recordings")
    text = (
        "Drawn on millimetre paper at 25 mm/s and 10 mm/mV unless the line under a drawing says otherwise; "
        "printed at 100% they are of true size, save those too high for a page, which are shrunk. Beside or "
        "below each is the most similar of the typical recordings."
    )
    how = next((item.reasons.how for item in anomalies if item.reasons is not None), None)
    if how is not None:
        text += (
            " What is tinted made the recording strange to the encoder, the more strongly the more; the small "
            f"picture has all leads and seconds. It was found {HOW.get(how, how)}; it says where to look first, "
            "not what is wrong."
        )
    page.text(text)
    for place, item in enumerate(anomalies, start=1):
        with page.card(f"anomaly-{place}"):
            page.subsection(f"{place}. {item.recording.record_id}")
            _add_why(page, item, scores, names)
            gain = _common_gain(item)
            with page.block("pair"):
                with page.block("strange"):
                    page.label(f"Strange: {item.recording.record_id}")
                    tints = highlights(item.reasons) if item.reasons is not None else []
                    _draw(page, item.recording, summary, names, f"score {item.score:.4g}", gain, tints)
                if item.typical is not None:
                    far = f", at distance {item.distance:.3g}" if item.distance is not None else ""
                    with page.block("typical"):
                        page.label(f"{item.kind}: {item.typical.record_id}{far}")
                        _draw(page, item.typical, summary, names, "typical", gain)
                        page.text(_described(item.typical, names), kind="note")


def _add_why(page: Page, item: Anomaly, scores: Scores | None, names: dict[str, str]) -> None:
    if item.reasons is None:
        page.text(_about(item, scores, names))
        return
    with page.block("why"):
        with page.block("words"):
            page.text(_about(item, scores, names))
            page.text(joined("Deviates in ", strong(item.reasons.text()), "."))
        alt = f"Leads against time, dark where {item.recording.record_id} is strange: {item.reasons.text()}"
        page.figure(Markup(reasons_svg(item.reasons, alt)), alt="")


def _about(item: Anomaly, scores: Scores | None, names: dict[str, str]) -> Markup:
    parts = [joined("Score ", strong(f"{item.score:.4g}"))]
    if scores is not None:
        parts.append(joined(f", above {scores.share_below(item.score):.1%} of the recordings"))
        if item.p_value is not None:
            parts.append(joined(f", p = {item.p_value:.3g}"))
        if scores.threshold is not None:
            known = item.row is not None and len(scores.marks) > item.row
            flagged = scores.marks[item.row] if known else item.score >= scores.threshold  # type: ignore[index]
            parts.append(joined(", flagged" if flagged else ", not flagged"))
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


def _draw(
    page: Page,
    record: Recording,
    summary: Summary,
    names: dict[str, str],
    remark: str,
    gain: Gain,
    tints: Sequence[Highlight] = (),
) -> None:
    person, codes = _person(record), ", ".join(_short(code, names) for code in record.codes)
    try:
        svg = ecg_svg(
            record.signal,
            record.fs,
            record.leads,
            layout=suggest_layout(record.leads, record.lead_mask),
            title=record.record_id,
            subtitle=" · ".join(part for part in (person, codes, remark) if part),
            gain=gain,
            band=summary.band,
            lead_mask=record.lead_mask,
            highlight=tints,
        )
    except SignalError as error:
        page.banner("This recording could not be drawn", str(error), kind="warn")
        return
    page.figure(Markup(svg), alt="", kind="paper")


def _common_gain(item: Anomaly) -> Gain:
    """Choose the gain at which both recordings fit, so that they can be compared."""
    pair = [item.recording, *([item.typical] if item.typical is not None else [])]
    signals = [np.asarray(record.signal, np.float64) for record in pair]
    return min(map(suggest_gain, signals)) if all(signal.ndim == 2 and signal.size for signal in signals) else "auto"


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
