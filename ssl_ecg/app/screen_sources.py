"""What is screened and what it is compared with: embeddings, or archives that are embedded first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.layout import HEAD, ORDER
from ssl_ecg.embedding.vectors import Embeddings, load_embeddings
from ssl_ecg.errors import ArchiveError, CheckpointError, SignalError

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

FIRST = "first:"


@dataclass(frozen=True, slots=True)
class Selection:
    """Some records of an archive; empty: all.

    Attributes
    ----------
    folds : tuple of int
        In one of these folds.
    codes : tuple of str
        With one of these codes; "first:NORM" asks for records whose first code is NORM.
    """

    folds: tuple[int, ...] = ()
    codes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.folds or self.codes)

    def rows(self, index: pd.DataFrame) -> NDArray[np.bool_]:
        """Say which records of an index belong to it.

        Examples
        --------
        >>> import pandas as pd
        >>> index = pd.DataFrame({"fold": [1, 1, 2], "codes": [("NORM", "SR"), ("MI", "NORM"), ("NORM",)]})
        >>> Selection((1,), ("NORM",)).rows(index).tolist(), Selection((), ("first:NORM",)).rows(index).tolist()
        ([True, True, False], [True, False, True])
        """
        chosen = np.ones(len(index), bool)
        if self.folds:
            chosen &= index["fold"].isin(self.folds).to_numpy(bool)
        if self.codes:
            chosen &= np.array([self._has(tuple(codes)) for codes in index["codes"]], bool)
        return chosen

    def _has(self, codes: Sequence[str]) -> bool:
        return any(
            bool(codes) and codes[0] == wanted[len(FIRST) :] if wanted.startswith(FIRST) else wanted in codes
            for wanted in self.codes
        )

    def __str__(self) -> str:
        parts = [f"folds {', '.join(_spans(self.folds))}"] if self.folds else []
        if self.codes:
            first = [code[len(FIRST) :] for code in self.codes if code.startswith(FIRST)]
            rest = [code for code in self.codes if not code.startswith(FIRST)]
            said = ([f"the first code {' or '.join(first)}"] if first else []) + (
                [f"the code {' or '.join(rest)}"] if rest else []
            )
            parts.append("with " + " or ".join(said))
        return " ".join(parts)


def _spans(numbers: Sequence[int]) -> list[str]:
    """Write 4, 5, 6, 9 as 4-6, 9."""
    spans: list[list[int]] = []
    for number in sorted(set(numbers)):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return [str(first) if first == last else f"{first}-{last}" for first, last in spans]


@dataclass(slots=True)
class Source:
    """Embeddings, the folder that holds them, and the archive that they come from, if it is known."""

    records: Embeddings
    folder: Path
    archive: Archive | None


def open_source(
    path: str | Path,
    embedded: Path,
    *,
    encoder: nn.Module | None = None,
    checkpoint: str = "",
    archive: str | Path | None = None,
    progress: bool = False,
) -> Source:
    """Open embeddings, or embed an archive.

    Parameters
    ----------
    path : path
        A folder of embeddings or an archive.
    embedded : Path
        Where the embeddings of an archive go; finished ones are not computed again.
    encoder : nn.Module, optional
        Needed for an archive.
    checkpoint : str
        Its name, kept with the embeddings.
    archive : path, optional
        What the embeddings were made from, to draw its records.
    progress : bool

    Raises
    ------
    ArchiveError
        If the path is neither, holds no records, or `archive` does not belong to it.
    CheckpointError
        If there is no encoder, or it does not fit.
    """
    path = Path(path).expanduser()
    if _is_archive(path):
        opened = Archive(path)
        if encoder is None:
            remedy = "give --checkpoint, or embeddings made by ssl-ecg embed"
            raise CheckpointError(str(path), "is an archive, and no encoder was named", remedy)
        if not len(opened):
            raise ArchiveError(str(path), "holds no recordings that can be used", "see Archive(path).failed")
        from ssl_ecg.embedding.run import embed

        records = embed(encoder, opened, out=embedded, progress=progress, card={"checkpoint": checkpoint})
        return Source(records, embedded, opened)
    if not (path / "embeddings.npy").is_file():
        remedy = "give a folder written by ssl-ecg embed, or an archive written by ssl-ecg prepare"
        raise ArchiveError(str(path), "no embeddings.npy in it, and it is no archive", remedy)
    records = load_embeddings(path, mmap=True)
    if not len(records):
        raise ArchiveError(str(path), "holds no embeddings", "embed an archive with recordings")
    drawn = Archive(archive) if archive is not None else None
    if drawn is not None:
        check_same_records(records, drawn)
    if encoder is not None:
        _check_encoder(records, path, encoder)
    return Source(records, path, drawn)


def _is_archive(path: Path) -> bool:
    return any((path / name).is_file() for name in (HEAD, ORDER))


def _check_encoder(records: Embeddings, path: Path, encoder: nn.Module) -> None:
    from ssl_ecg.embedding.identity import weights_fingerprint

    known = records.card.get("encoder")
    if (known is not None and known != weights_fingerprint(encoder)) or records.dim != encoder.dim:
        remedy = "give the checkpoint that embedded them, or the archive itself"
        raise CheckpointError(str(path), "was embedded by another encoder than --checkpoint", remedy)


def check_same_encoder(screened: Source, reference: Source) -> None:
    """Make sure that two sets of embeddings can be compared.

    Raises
    ------
    SignalError
        If they come from different encoders.
    """
    ours, theirs = screened.records, reference.records
    names = [str(item.card.get("encoder")) for item in (ours, theirs) if item.card.get("encoder")]
    if ours.dim != theirs.dim or len(set(names)) > 1:
        problem = f"was embedded by another encoder than {screened.folder}"
        if ours.dim != theirs.dim:
            problem += f" ({theirs.dim} numbers a record, not {ours.dim})"
        raise SignalError(str(reference.folder), problem, "embed both with the same checkpoint")


def check_same_records(records: Embeddings, archive: Archive) -> None:
    """Make sure that the embeddings are those of the archive's records.

    Raises
    ------
    ArchiveError
        If they are not.
    """
    rows = records.index["row"].to_numpy()
    names = archive.index["record_id"].astype(str).to_numpy()
    inside = len(rows) <= len(names) and bool((rows >= 0).all() and (rows < len(names)).all())
    if not (inside and bool((records.index["record_id"].astype(str).to_numpy() == names[rows]).all())):
        remedy = "give the archive that was embedded"
        raise ArchiveError(str(archive.path), "does not hold the records of the embeddings", remedy)


def divide(source: Source, out: Path, screened: Selection, usual: Selection | None) -> tuple[Source, Source | None]:
    """Divide the records of one source into those that are screened and the reference, which is not.

    Raises
    ------
    SignalError
        If none is left on one side.
    """
    chosen = screened.rows(source.records.index)
    if usual is None:
        return _part(source, chosen, out / "screened", str(screened), "to screen"), None
    reference = usual.rows(source.records.index)
    rest = f"{screened} and not in the reference".removeprefix(" and ")
    return (
        _part(source, chosen & ~reference, out / "screened", rest, "to screen"),
        _part(source, reference, out / "reference", str(usual), "as reference"),
    )


def narrow(source: Source, out: Path, chosen: Selection) -> Source:
    """Keep some records of a source that is only a reference."""
    if not chosen:
        return source
    return _part(source, chosen.rows(source.records.index), out / "reference", str(chosen), "as reference")


def _part(source: Source, rows: NDArray[np.bool_], folder: Path, wanted: str, purpose: str) -> Source:
    if rows.all():
        return source
    if not rows.any():
        problem = f"none of {len(rows):,} records is left {purpose} ({wanted})"
        raise SignalError(str(source.folder), problem, "choose other folds or codes")
    part = source.records.select(rows)
    card: dict[str, Any] = {**part.card, "selected": wanted}
    card.pop("fingerprint", None)
    selected = Embeddings(np.asarray(part.vectors), part.index, card)
    selected.save(folder)
    return Source(selected, folder, source.archive)
