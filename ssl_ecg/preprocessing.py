"""What an encoder expects of its input; saved with the weights and checked before use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from ssl_ecg.errors import CheckpointError
from ssl_ecg.leads import STANDARD_LEADS

if TYPE_CHECKING:
    from ssl_ecg.data.archive import Archive

Scale = Literal["none", "record", "lead"]


@dataclass(frozen=True)
class Preprocessing:
    """Rate, leads, filter, scaling and window of the strips that an encoder was trained on.

    Attributes
    ----------
    fs : float
        Sampling rate [Hz].
    leads : tuple of str
        Canonical names in the order of the rows.
    band : (float, float) or None
        Pass band of the zero-phase filter that `prepare` applied [Hz]; None: unfiltered.
    scale : {"none", "record", "lead"}
        What a strip is divided by: nothing (stays in mV), the root mean square over its leads, or each
        lead's own standard deviation after its mean is taken away.
    seconds : float
        Length of the strips in pretraining [s]; the encoder takes other lengths too.
    shown : tuple of str or None
        Of the leads, the only ones that the encoder has been shown; the others count as absent in all that it is given.
        None: all.

    Examples
    --------
    >>> Preprocessing(fs=100, band=(0.5, 40.0)).to_dict()["scale"]
    'record'
    """

    fs: float = 100.0
    leads: tuple[str, ...] = STANDARD_LEADS
    band: tuple[float, float] | None = (0.5, 40.0)
    scale: Scale = "record"
    seconds: float = 10.0
    shown: tuple[str, ...] | None = None

    def check(self, *, fs: float, leads: Sequence[str], band: Sequence[float] | None, where: str) -> None:
        """Compare with the data at hand.

        Raises
        ------
        CheckpointError
            If rate, leads or filter differ, with the command that mends it.
        """
        if float(fs) != float(self.fs):
            remedy = f"prepare the recordings with --fs {self.fs:g}"
            raise CheckpointError(where, f"has {fs:g} Hz, the encoder was trained at {self.fs:g} Hz", remedy)
        if tuple(leads) != tuple(self.leads):
            have, want = ",".join(leads), ",".join(self.leads)
            remedy = f"prepare the recordings with --leads {want} (absent ones are marked and zero)"
            raise CheckpointError(where, f"has the leads {have}, the encoder was trained on {want}", remedy)
        mine, theirs = _band_text(self.band), _band_text(band)
        if mine != theirs:
            remedy = f"prepare the recordings with --band {mine}"
            raise CheckpointError(where, f"was filtered with band {theirs}, the encoder expects {mine}", remedy)

    def check_archive(self, archive: Archive) -> None:
        """Compare with an archive; raises `CheckpointError` as `check` does."""
        self.check(fs=archive.fs, leads=archive.leads, band=archive.band, where=str(archive.path))

    def is_shown(self) -> tuple[bool, ...]:
        """Tell of each lead whether the encoder has been shown it.

        Examples
        --------
        >>> Preprocessing(leads=("I", "II"), shown=("II",)).is_shown()
        (False, True)
        """
        return tuple(self.shown is None or lead in self.shown for lead in self.leads)

    def to_dict(self) -> dict[str, Any]:
        """Give the fields as plain JSON types."""
        fields = asdict(self)
        fields["leads"] = list(self.leads)
        fields["shown"] = None if self.shown is None else list(self.shown)
        fields["band"] = list(self.band) if self.band else None
        return fields

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Preprocessing:
        """Read what `to_dict` gave.

        Raises
        ------
        CheckpointError
            If a field is unknown or missing.
        """
        try:
            band = fields["band"]
            return cls(
                fs=float(fields["fs"]),
                leads=tuple(fields["leads"]),
                band=(float(band[0]), float(band[1])) if band else None,
                scale=fields["scale"],
                seconds=float(fields["seconds"]),
                shown=None if fields.get("shown") is None else tuple(fields["shown"]),
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise CheckpointError(
                "card", f"preprocessing is damaged ({error!r})", "fetch the checkpoint again"
            ) from None


def _band_text(band: Sequence[float] | None) -> str:
    return f"{band[0]:g} {band[1]:g}" if band else "none"
