"""What is written beside figures: versions and hardware."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest
import torch

from ssl_ecg import __version__, provenance


def test_versions_are_those_of_what_is_imported() -> None:
    found = provenance.versions()
    assert found["python"] == platform.python_version()
    assert found["ssl_ecg"] == __version__
    assert found["torch"].split("+")[0] == torch.__version__.split("+")[0]  # which may name a build


def test_a_package_that_is_not_installed_is_said_to_be_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "_PACKAGES", ("numpy", "nothing-of-this-name"))
    assert provenance.versions()["nothing-of-this-name"] == "unknown"


@pytest.mark.parametrize("text", [None, "flags : fpu\n"])
def test_a_system_that_does_not_name_its_processor(monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    def read(path: Path) -> str:
        if text is None:
            raise FileNotFoundError(path)
        return text

    monkeypatch.setattr(Path, "read_text", read)
    monkeypatch.setattr(platform, "processor", lambda: "")
    assert provenance.hardware() == f"{platform.machine()}, {os.cpu_count()} cores"


def test_the_processor_is_named_as_the_system_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "flags\t: fpu\nmodel name\t: Some: Processor\nmodel name\t: Other\n"
    monkeypatch.setattr(Path, "read_text", lambda path: text)
    assert provenance.processor() == "Some: Processor"
