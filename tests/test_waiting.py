"""Waiting for another process: for its result, or until it has failed or is gone."""

from __future__ import annotations

import multiprocessing
import threading
import time
from pathlib import Path

import pytest

import ssl_ecg.waiting as waiting
from ssl_ecg.errors import TrainingError
from ssl_ecg.waiting import await_result, watched


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK", 0.01)
    monkeypatch.setattr(waiting, "BEAT", 0.05)


def there(path: Path) -> str | None:
    return (path.read_text() or None) if path.exists() else None  # written in two steps: made, then filled


def in_background(path: Path, outcome: list, patience: float = 60.0) -> threading.Thread:
    def wait() -> None:
        try:
            outcome.append(await_result(path, lambda: there(path), patience=patience))
        except TrainingError as error:
            outcome.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def fail_slowly(path: Path) -> None:
    with watched(path):
        time.sleep(0.2)
        raise ValueError("disk on fire")


def test_the_result_comes_and_no_sign_is_left(tmp_path: Path) -> None:
    path, outcome = tmp_path / "run" / "result", []
    thread = in_background(path, outcome)
    with watched(path):
        time.sleep(0.2)
        path.write_text("done")
    thread.join(60)
    assert outcome == ["done"]
    assert [file.name for file in path.parent.iterdir()] == ["result"]


def test_as_long_as_the_other_lives_patience_does_not_end(tmp_path: Path) -> None:
    path, outcome = tmp_path / "result", []
    with watched(path):
        thread = in_background(path, outcome, patience=2.0)
        time.sleep(4)
        assert not outcome
        path.write_text("done")
        thread.join(60)
    assert outcome == ["done"]


def test_a_failure_is_told_at_once(tmp_path: Path) -> None:
    path, outcome = tmp_path / "result", []
    thread = in_background(path, outcome)
    with pytest.raises(ValueError, match="disk on fire"):
        fail_slowly(path)
    thread.join(60)
    assert "ValueError disk on fire" in str(outcome[0])


def test_an_old_failure_does_not_count(tmp_path: Path) -> None:
    path, outcome = tmp_path / "result", []
    with pytest.raises(KeyboardInterrupt), watched(path):
        raise KeyboardInterrupt
    thread = in_background(path, outcome)
    time.sleep(0.1)
    assert not outcome
    with watched(path):
        path.write_text("done")
    thread.join(60)
    assert outcome == ["done"]


def _hang(path: Path) -> None:
    with watched(path):
        time.sleep(600)


def test_a_killed_process_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "result"
    process = multiprocessing.get_context("spawn").Process(target=_hang, args=(path,))
    process.start()
    while not list(tmp_path.iterdir()):
        assert process.is_alive(), "the process ended before it began to write"
        time.sleep(0.01)
    process.kill()
    process.join()
    with pytest.raises(TrainingError, match="no sign for 0 s"):
        await_result(path, lambda: there(path), patience=0.3)
