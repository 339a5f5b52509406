"""A file that one process at a time may hold."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import pytest

from ssl_ecg import holding
from ssl_ecg.errors import ArchiveError
from ssl_ecg.holding import held

BUSY = ArchiveError("x", "busy", "wait")


def test_others_are_refused_until_it_ends_even_by_kill(tmp_path: Path, held_elsewhere) -> None:
    path = tmp_path / "x.lock"
    with held_elsewhere(path):
        for _ in range(3):  # a refusal leaves the lock where it is
            with pytest.raises(ArchiveError, match="busy"), held(path, BUSY):
                pass
            assert path.exists()
    assert path.exists()
    with held(path, BUSY):
        assert path.exists()
    assert not path.exists()


def test_a_file_that_its_holder_removes_meanwhile_is_not_held(
    tmp_path: Path, held_elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locked after it was removed, it would be seen by nobody else."""
    path, taken, seen = tmp_path / "x.lock", holding._taken, []

    def late(of: Path) -> IO[str] | None:
        file = taken(of)
        seen.append(file)
        if len(seen) == 1:
            of.unlink()
        return file

    monkeypatch.setattr(holding, "_taken", late)
    with held(path, BUSY), pytest.raises(AssertionError), held_elsewhere(path):
        pass  # the other process is refused
    assert len(seen) == 2
    assert seen[0].closed


def test_an_error_inside_frees_it(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with pytest.raises(ZeroDivisionError), held(path, BUSY):
        raise ZeroDivisionError
    with held(path, BUSY):
        pass
