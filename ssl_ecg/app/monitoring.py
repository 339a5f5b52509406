"""Watching a recording with a report: tables, annotations, overview, and the episodes on ECG paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ssl_ecg.app.html import Markup, Page
from ssl_ecg.data.readers.long import LongRecording
from ssl_ecg.leads import canonical_lead
from ssl_ecg.monitor.settings import LEVEL, MonitorSettings
from ssl_ecg.plot.ecg import ecg_svg
from ssl_ecg.plot.sheet import Highlight
from ssl_ecg.plot.style import save_figure
from ssl_ecg.plot.timeline import plot_timeline
from ssl_ecg.signal import resample_band

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from ssl_ecg.embedding.vectors import Embeddings
    from ssl_ecg.monitor.tables import Tables

STRIP = 10.0
"""Length of the strips drawn [s]."""
_AROUND, _FS, _BAND = 5.0, 250.0, (0.5, 40.0)
_STATE_NAMES = {
    "normal": "usual", "anomaly": "unusual", "noise": "noise", "lead_off": "lead off", "gap": "no samples",
    "unknown": "not judged",
}  # fmt: skip


def monitor_with_report(
    source: str | Path,
    out: str | Path,
    checkpoint: str | Path,
    *,
    reference: str | Path | None = None,
    settings: MonitorSettings | None = None,
    leads_as: Sequence[str] | None = None,
    options: dict[str, Any] | None = None,
    top: int = 12,
    progress: bool = False,
) -> dict[str, Any]:
    """Watch a recording and write tables (CSV, Parquet), a WFDB annotation file, pictures and `report.html`.

    Parameters
    ----------
    source : path
        A recording as `read_record` takes it.
    out : path
    checkpoint : path or name
        Encoder.
    reference : path, optional
        Embeddings of what counts as usual for windows; by default the first minutes of the recording itself.
    settings : MonitorSettings, optional
    leads_as : sequence of str, optional
        Standard leads that the rows are, if their names do not say so.
    options : dict, optional
        `fs`, `leads`, `axes`, `scale`, as `LongRecording` takes them.
    top : int
        Episodes drawn, the strangest first.
    progress : bool

    Returns
    -------
    dict
        As `monitor_recording` gives it.

    Raises
    ------
    SSLECGError
        As recording, checkpoint or reference demand.
    """
    from ssl_ecg.embedding.vectors import load_embeddings
    from ssl_ecg.errors import SignalError
    from ssl_ecg.monitor.recording import monitor_recording
    from ssl_ecg.monitor.tables import read_tables, write_annotations, write_parquet
    from ssl_ecg.train.checkpoint import load_encoder

    recording = LongRecording(source, **(options or {}))
    names = tuple(leads_as) if leads_as else recording.leads
    if len(names) != len(recording.leads):
        problem = f"{len(names)} names for {len(recording.leads)} leads ({', '.join(recording.leads)})"
        raise SignalError("leads", problem, "name each lead of the recording")
    encoder = load_encoder(checkpoint)
    vectors = None if reference is None else _usual(load_embeddings(reference), encoder)
    card = monitor_recording(
        recording,
        out,
        encoder,
        leads=names,
        settings=settings,
        reference=vectors,
        progress=progress,
    )
    tables = read_tables(out)
    write_parquet(tables, out)
    annotations = write_annotations(tables, out, Path(source).stem, recording.fs)
    _write_report(Path(out), recording, names, tables, card, annotations.name, top, reference is not None)
    return card


def _usual(reference: Embeddings, encoder: nn.Module) -> NDArray[np.floating]:
    """Give the vectors of a reference; those of another encoder may have as many numbers and mean nothing here."""
    from ssl_ecg.embedding.identity import weights_fingerprint
    from ssl_ecg.errors import SignalError

    made_by = (reference.card or {}).get("encoder")
    if isinstance(made_by, str) and made_by != weights_fingerprint(encoder):
        raise SignalError("reference", "is of another encoder", "embed it with the same --checkpoint")
    return reference.vectors


def _write_report(
    out: Path,
    recording: LongRecording,
    names: tuple[str, ...],
    tables: Tables,
    card: dict[str, Any],
    annotations: str,
    top: int,
    foreign: bool,
) -> None:
    settings = card["origin"]["settings"]
    figure = _overview(tables, settings, card["recording"])
    save_figure(figure, out / "overview")
    hours = card["seconds"] / 3600
    page = Page(f"Recording {card['recording']}", f"{hours:.2f} h, {', '.join(names)}, {card['fs']:g} Hz")
    page.banner(
        "Not a medical device",
        "What differs from the patient's usual is shown, not what it is. Slow changes that the baseline shares, and "
        "ventricular fibrillation, which may be taken for noise, are not found reliably.",
        kind="warn",
    )
    page.section("Summary")
    unusual = card["beats"].get("unusual", 0)
    page.tiles(
        [
            (card["episodes"], "episodes"),
            (f"{unusual:,}", f"unusual beats of {sum(card['beats'].values()):,}"),
            *((f"{seconds / 60:.1f} min", _STATE_NAMES[state]) for state, seconds in card["seconds_by_state"].items()),
        ]
    )
    usual = "given embeddings (windows) and the first minutes (beats)" if foreign else "the recording's first minutes"
    page.text(
        f"The usual was learned from {usual}. Beats above {settings['beat_threshold']:g} and windows above "
        f"{settings['window_threshold']:g} are unusual; what lies within {settings['merge']:g} s is one episode.",
        kind="note",
    )
    page.section("Course").figure(figure, alt="Scores, states and heart rate against time")
    _add_episodes(page, recording, names, tables, top, out, own=not foreign)
    page.section("Files").bullets(
        [
            "timeline, beats, episodes: .csv and .parquet",
            f"{annotations}: WFDB annotations; beats are Q, unusual ones with a note, episodes are comments",
            "overview.png, overview.svg; strips in the folder strips",
        ]
    )
    page.write(out / "report.html")


def _overview(tables: Tables, settings: dict[str, Any], name: str) -> Any:
    line = tables.timeline
    return plot_timeline(
        line["start"],
        line["end"],
        line["state"].tolist(),
        line["beat_score"],
        line["score"],
        line["heart_rate"],
        thresholds=(settings["beat_threshold"], settings["window_threshold"]),
        episodes=list(zip(tables.episodes["start"], tables.episodes["end"], strict=True)),
        baseline=settings["baseline"],
        title=f"Recording {name}",
    )


def _add_episodes(
    page: Page, recording: LongRecording, names: tuple[str, ...], tables: Tables, top: int, out: Path, *, own: bool
) -> None:
    page.section("Episodes")
    episodes, unusual = tables.episodes, tables.beats[tables.beats["label"] == "unusual"]["time"].to_numpy()
    if episodes.empty:
        page.text("Nothing unusual was found.")
        return
    order = episodes["score"].to_numpy().argsort(kind="stable")[::-1]
    columns = ["no.", "start", "end", "lasts [s]", "score above threshold", "unusual beats", "unusual windows"]
    records: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in episodes.to_dict("records")]
    rows = [_episode_row(k, records[k]) for k in order[:200].tolist()]
    page.table(columns, rows, align="rrrrrrr", sortable=True, caption=_caption(len(episodes)))
    for k in order[:top].tolist():
        episode = records[k]
        page.subsection(f"Episode {k + 1} at {clock(episode['peak'])}")
        peak = float(episode["peak"])
        beats = unusual[np.abs(unusual - peak) < STRIP]
        spans = [(float(beat) + LEVEL[0], float(beat) + LEVEL[1]) for beat in beats]
        drawing = draw_strip(recording, names, peak, spans or [(float(episode["start"]), float(episode["end"]))])
        (out / "strips").mkdir(exist_ok=True)
        (out / "strips" / f"episode_{k + 1:04d}.svg").write_text(drawing, encoding="utf-8")
        page.figure(Markup(drawing), alt=f"Episode {k + 1}", kind="paper")
        nearest = [float(start) for start in str(episode["nearest"]).split()]
        if nearest and not own:
            page.text(f"Most similar in the reference: rows {', '.join(f'{row:.0f}' for row in nearest)}.", kind="note")
            continue
        if nearest and nearest[0] + STRIP <= recording.n_samples / recording.fs:
            usual = draw_strip(recording, names, nearest[0] + STRIP / 2, [])
            page.figure(
                Markup(usual),
                alt="The most similar window of the baseline",
                caption=f"The most similar window of the baseline, at {clock(nearest[0])}.",
                kind="paper",
            )


def _episode_row(number: int, episode: dict[str, Any]) -> list[object]:
    start, end = episode["start"], episode["end"]
    lasts, score = f"{end - start:.1f}", f"{episode['score']:.1f}"
    return [number + 1, clock(start), clock(end), lasts, score, episode["beats"], episode["windows"]]


def _caption(count: int) -> str:
    return "The strangest first." if count <= 200 else f"The strangest 200 of {count:,}; all are in episodes.csv."


def draw_strip(
    recording: LongRecording, names: Sequence[str], centre: float, spans: Sequence[tuple[float, float]]
) -> str:
    """Draw ten seconds around a time on ECG paper as SVG, filtered as the monitor sees them.

    Parameters
    ----------
    recording : LongRecording
    names : sequence of str
        Leads.
    centre : float
        [s]
    spans : sequence of (start, end)
        To be tinted [s].
    """
    fs = recording.fs
    length = recording.n_samples / fs
    start = min(max(0.0, centre - STRIP / 2), max(0.0, length - STRIP))
    begin = max(0, round((start - _AROUND) * fs))
    signal = recording.read(begin, round((start + STRIP + _AROUND) * fs))
    fine = resample_band(signal, fs, _FS, _BAND)
    skip = round((start - begin / fs) * _FS)
    strip = fine[:, skip : skip + round(STRIP * _FS)]
    end = strip.shape[1] / _FS
    inside = [(max(first - start, 0.0), min(last - start, end)) for first, last in spans]
    highlight = [Highlight(first, last) for first, last in inside if last > first]
    known = [canonical_lead(name) or name for name in names]
    twelve = len(set(known)) == 12
    title = f"{clock(start)} to {clock(start + strip.shape[1] / _FS)}"
    layout = "3x4+1" if twelve else "rows"
    return ecg_svg(strip, _FS, known, layout=layout, title=title, band=_BAND, gain="auto", highlight=highlight)


def clock(seconds: float) -> str:
    """Write a time as hours, minutes and seconds.

    Examples
    --------
    >>> clock(3725.25)
    '1:02:05.2'
    """
    tenths = int(np.floor(round(seconds, 3) * 10))
    return f"{tenths // 36000}:{tenths // 600 % 60:02d}:{tenths // 10 % 60:02d}.{tenths % 10}"
