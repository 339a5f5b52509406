"""Signal quality after the PhysioNet/CinC Challenge 2011."""

from __future__ import annotations

from ssl_ecg.tasks.task import Task


def quality() -> Task:
    """Give the one class "unacceptable"; records of "indeterminate" quality are not known."""
    mapping = {"unacceptable": ("unacceptable",)}
    description = "unacceptable signal quality, PhysioNet/CinC Challenge 2011"
    return Task("quality", ("unacceptable",), description, mapping, negatives=frozenset({"acceptable"}))
