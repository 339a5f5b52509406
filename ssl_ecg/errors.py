"""The exceptions of the library. Each says where, what is wrong, and what to do about it."""

from __future__ import annotations


class SSLECGError(Exception):
    """Base of every error that the library raises on purpose.

    Parameters
    ----------
    where : str
        The record, file, recipe key or argument concerned.
    problem : str
        What is wrong with it.
    remedy : str, optional
        What the user can do.

    Examples
    --------
    >>> print(SSLECGError("100.hea", "no such file", "check the path"))
    100.hea: no such file; check the path
    """

    def __init__(self, where: str, problem: str, remedy: str = "") -> None:
        super().__init__(where, problem, remedy)
        self.where = where
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        text = f"{self.where}: {self.problem}"
        return f"{text}; {self.remedy}" if self.remedy else text


class RecordError(SSLECGError):
    """One recording cannot be read or used; batches quarantine it and go on."""


class CorpusError(SSLECGError):
    """A corpus or folder is not what it should be (no records, missing table, unknown name)."""


class DownloadError(SSLECGError):
    """A file could not be fetched or does not match its checksum."""


class ArchiveError(SSLECGError):
    """A prepared archive is missing, damaged, of another version, or cannot be written."""


class SignalError(SSLECGError, ValueError):
    """A signal has the wrong shape, rate or values for the operation."""


class RecipeError(SSLECGError):
    """A recipe has an unknown key, a wrong type or an impossible value."""


class TrainingError(SSLECGError):
    """Training cannot go on: the loss is no longer finite."""


class CheckpointError(SSLECGError):
    """A checkpoint cannot be loaded or does not fit the data it is used with."""


class LabelError(SSLECGError, ValueError):
    """A task or its labels are unknown, empty or inconsistent."""
