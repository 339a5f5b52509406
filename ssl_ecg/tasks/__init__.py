"""Label systems, by name: which diagnostic codes mean which class."""

from __future__ import annotations

import difflib
from functools import cache
from importlib import import_module

from ssl_ecg.errors import LabelError
from ssl_ecg.tasks.task import Task

TASKS: dict[str, str] = {
    "superclass": "ssl_ecg.tasks.ptbxl:superclass",
    "subclass": "ssl_ecg.tasks.ptbxl:subclass",
    "diagnostic44": "ssl_ecg.tasks.ptbxl:diagnostic44",
    "form": "ssl_ecg.tasks.ptbxl:form",
    "rhythm": "ssl_ecg.tasks.ptbxl:rhythm",
    "ptbxl71": "ssl_ecg.tasks.ptbxl:ptbxl71",
    "cpsc9": "ssl_ecg.tasks.cpsc2018:cpsc9",
    "cinc26": "ssl_ecg.tasks.cinc2021:cinc26",
    "code6": "ssl_ecg.tasks.code15:code6",
    "quality": "ssl_ecg.tasks.cinc2011:quality",
}
"""Name -> "module:function" that makes the `Task`."""


@cache
def get_task(name: str) -> Task:
    """Give a task by its name.

    Raises
    ------
    LabelError
        If there is no such task; the nearest name is given.

    Examples
    --------
    >>> get_task("superclass").classes
    ('NORM', 'MI', 'STTC', 'CD', 'HYP')
    """
    if name not in TASKS:
        near = difflib.get_close_matches(name, TASKS, 1)
        remedy = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(TASKS)}"
        raise LabelError(f"task {name!r}", "no such task", remedy)
    module, _, function = TASKS[name].partition(":")
    task: Task = getattr(import_module(module), function)()
    return task
