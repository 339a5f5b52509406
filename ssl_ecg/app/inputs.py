"""What a report is made from: plain values, arrays and these small classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from ssl_ecg.explain.reasons import Reasons


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording to be drawn.

    Attributes
    ----------
    record_id : str
    signal : array (lead, time) [mV]
    fs : float
        [Hz]
    leads : sequence of str
    codes : sequence of str
        As published.
    lead_mask : bool array (lead,) or None
        False marks leads that were not recorded.
    age : float or None
        [years]
    sex : str or None
    quality : sequence of str
        Flags such as "flat:V1".
    corpus : str
    """

    record_id: str
    signal: ArrayLike = field(repr=False)
    fs: float
    leads: Sequence[str]
    codes: Sequence[str] = ()
    lead_mask: ArrayLike | None = field(default=None, repr=False)
    age: float | None = None
    sex: str | None = None
    quality: Sequence[str] = ()
    corpus: str = ""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A recording that the screen found strange.

    Attributes
    ----------
    recording : Recording
    score : float
        Higher is stranger.
    typical : Recording or None
        The nearest recording among those not flagged, drawn for comparison.
    distance : float or None
        To it, in embedding space.
    neighbours : sequence of (record id, codes)
        Nearest recordings of any kind, nearest first.
    row : int or None
        Row among all recordings, to mark it on the map.
    reasons : Reasons or None
        Which leads and seconds make it strange.
    p_value : float or None
        Chance of so high a score for a recording of the reference.
    kind : str
        What `typical` is, in words.
    """

    recording: Recording
    score: float
    typical: Recording | None = None
    distance: float | None = None
    neighbours: Sequence[tuple[str, Sequence[str]]] = ()
    row: int | None = None
    reasons: Reasons | None = field(default=None, repr=False)
    p_value: float | None = None
    kind: str = "Nearest typical recording"


@dataclass(frozen=True, slots=True)
class Scores:
    """The anomaly scores of all recordings screened.

    Attributes
    ----------
    values : array (record,)
        Higher is stranger.
    threshold : float or None
        The operating point; recordings at or above it are flagged.
    how : str
        Where the threshold comes from, such as "95th percentile of the reference recordings".
    detector : str
        What computed the scores, in words.
    reference : str
        The recordings that define what is typical, in words.
    record_ids : sequence of str
        One for each value; with them the report lists the flagged recordings.
    codes : sequence of sequences of str
        One for each value, or empty.
    p_values : sequence of float
        One for each value, or empty.
    reasons : sequence of str
        One for each value, such as "V1, V2; 3.2-4.8 s", or empty.
    marks : sequence of bool
        Which recordings are flagged, where the threshold alone does not tell: a budget may end among equal scores.
    """

    values: ArrayLike = field(repr=False)
    threshold: float | None = None
    how: str = ""
    detector: str = ""
    reference: str = ""
    record_ids: Sequence[str] = field(default=(), repr=False)
    codes: Sequence[Sequence[str]] = field(default=(), repr=False)
    p_values: Sequence[float] = field(default=(), repr=False)
    reasons: Sequence[str] = field(default=(), repr=False)
    marks: Sequence[bool] = field(default=(), repr=False)

    @property
    def array(self) -> NDArray[np.float64]:
        """The values as float64."""
        return np.asarray(self.values, dtype=np.float64).ravel()

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """Which recordings are flagged: those marked, or those at or above the threshold."""
        if self.threshold is None:
            return np.zeros(self.array.size, bool)
        return np.asarray(self.marks, bool) if len(self.marks) else self.array >= self.threshold

    @property
    def n_flagged(self) -> int:
        """Number of recordings flagged."""
        return int(self.flagged.sum())

    def share_below(self, score: float) -> float:
        """Share of the recordings with a lower score."""
        values = self.array[np.isfinite(self.array)]
        return float((values < score).mean()) if values.size else float("nan")


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """Small ECGs of some points of a map, as `ssl_ecg.plot.thumbnail.shrink` makes them.

    Attributes
    ----------
    values : int8 array (thumbnail, lead, point)
    scales : float array (thumbnail,)
        [mV] a step.
    points : int array (thumbnail,)
        The point of the map that each belongs to.
    leads : sequence of str
    seconds : float
        [s]
    """

    values: NDArray[np.int8] = field(repr=False)
    scales: ArrayLike = field(repr=False)
    points: ArrayLike = field(repr=False)
    leads: Sequence[str]
    seconds: float


@dataclass(frozen=True, slots=True)
class MapPoints:
    """Embeddings reduced to two dimensions.

    Attributes
    ----------
    xy : array (record, 2)
    labels : sequence or None
        Labels of each record: a tuple of codes, one code, or None.
    clusters : int array (record,) or None
        -1 is noise.
    scores : array (record,) or None
        Anomaly scores.
    order : sequence of str
        Preferred labels: a record with several is drawn in the first of them that it has.
    how : str
        How the reduction was done, such as "UMAP, 15 neighbours, cosine".
    record_ids : sequence of str
        With them the map of the report answers to the pointer; without, it is a picture.
    rows : int array (record,) or None
        Row of each point among all recordings; the points are all recordings if None.
    total : int or None
        Recordings of which the points are a sample.
    flagged : bool array (record,) or None
    ranks : int array (record,) or None
        Place by score among all recordings, 1 for the strangest, 0 for those without score.
    thumbnails : Thumbnails or None
    texts : sequence of str
        What is known of each record, in words; its labels if empty.
    """

    xy: ArrayLike = field(repr=False)
    labels: Sequence[Sequence[str] | str | None] | None = field(default=None, repr=False)
    clusters: ArrayLike | None = field(default=None, repr=False)
    scores: ArrayLike | None = field(default=None, repr=False)
    order: Sequence[str] = ()
    how: str = "UMAP"
    record_ids: Sequence[str] = field(default=(), repr=False)
    rows: ArrayLike | None = field(default=None, repr=False)
    total: int | None = None
    flagged: ArrayLike | None = field(default=None, repr=False)
    ranks: ArrayLike | None = field(default=None, repr=False)
    thumbnails: Thumbnails | None = None
    texts: Sequence[str] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Summary:
    """What was done, for the opening of the report; whatever is None is left out.

    Attributes
    ----------
    records, patients : int or None
        In the archive.
    corpora : sequence of str
        Where the recordings come from.
    simulated : bool
        True puts a loud banner on the report: no clinical claim.
    n_leads : int or None
    seconds : float or None
        Length of the strip that the encoder sees [s].
    fs : float or None
        Rate that the encoder sees [Hz].
    band : (float, float) or None
        Filter applied by prepare [Hz]; written under every ECG.
    method, encoder : str
        Such as "SimCLR" and "conv1d".
    parameters : int or None
        Of the encoder.
    dim : int or None
        Numbers in an embedding.
    pretrained_on : int or None
        Recordings used for pretraining.
    pretraining_seconds : float or None
        Wall time of it [s].
    remarks : sequence of str
        Further sentences for the reader.
    """

    records: int | None = None
    patients: int | None = None
    corpora: Sequence[str] = ()
    simulated: bool = False
    n_leads: int | None = 12
    seconds: float | None = None
    fs: float | None = None
    band: tuple[float, float] | None = None
    method: str = ""
    encoder: str = ""
    parameters: int | None = None
    dim: int | None = None
    pretrained_on: int | None = None
    pretraining_seconds: float | None = None
    remarks: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Quality:
    """Recordings that could not be used, and flags on those that could.

    Attributes
    ----------
    quarantined : sequence of (record id, reason)
    flags : mapping of record id -> flags
        Such as {"17": ("flat:V1", "nan:V3")}; records without flags may be left out.
    without_score : sequence of str
        Records whose embedding is not finite.
    """

    quarantined: Sequence[tuple[str, str]] = ()
    flags: Mapping[str, Sequence[str]] = field(default_factory=dict)
    without_score: Sequence[str] = ()
