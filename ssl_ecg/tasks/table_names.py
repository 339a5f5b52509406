"""Tables named in one text, as on the command line: the file, and behind it what it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssl_ecg.errors import LabelError
from ssl_ecg.tasks.table import TableTask, table_task

_END = ".csv"
_KEYS = {"kind": "kind", "columns": "columns", "id": "id_column", "name": "name"}


def is_table(task: str) -> bool:
    """Tell whether the name of a task is that of a table.

    Examples
    --------
    >>> is_table("ages.csv"), is_table("my.csv:kind=continuous"), is_table("superclass")
    (True, True, False)
    """
    return task.lower().endswith(_END) or f"{_END}:" in task.lower()


def named_table(task: str) -> TableTask:
    """Make the task of a table that is named as ``FILE.csv`` or ``FILE.csv:KEY=VALUE,KEY=VALUE``.

    Parameters
    ----------
    task : str
        Keys are ``kind``, ``columns``, ``id`` (the column of record ids) and ``name``, as `table_task` takes them;
        several columns stand one after the other, as in ``my.csv:kind=multilabel,columns=MI,AF,id=ecg``. A column
        whose name holds a comma or an equals sign can be named in Python only.

    Raises
    ------
    LabelError
        If a key is unknown or given twice, or as `table_task`.
    """
    end = task.lower().rfind(f"{_END}:")
    if end < 0 or Path(task).is_file():
        return table_task(task)
    path, told = task[: end + len(_END)], task[end + len(_END) + 1 :]
    options: dict[str, Any] = {}
    for part in told.split(","):
        key, equals, value = (word.strip() for word in part.partition("="))
        if not equals and options and list(options)[-1] == "columns":
            options["columns"].append(key)
        elif key not in _KEYS or not value or _KEYS[key] in options:
            problem = f"{part!r} behind the file is no new one of {', '.join(_KEYS)} with a value"
            raise LabelError(task, problem, f"write it as {path}:kind=multiclass,columns=NAME")
        else:
            options[_KEYS[key]] = [value] if key == "columns" else value
    return table_task(path, **options)
