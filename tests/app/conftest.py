"""Shared by the tests of pages and reports."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

import pytest

EVIL = "<script>alert('x')</script><img src=x onerror=\"alert(2)\">&amp;' \u202e\x00\ud800"
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Outline(HTMLParser):
    """Collects elements and checks that every one is closed in turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def check_page(text: str) -> Outline:
    """Assert what must hold for every page that the library writes."""
    page = Outline(text)
    names = [tag for tag, _ in page.elements]
    scripts = [attrs.get("type") for tag, attrs in page.elements if tag == "script"]
    assert scripts.count(None) == 1
    assert set(scripts) <= {None, "application/json"}  # data, which no browser runs
    assert not {"iframe", "object", "embed", "link", "base", "form"} & set(names)
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    for tag, attrs in page.elements:
        assert not any(name.startswith("on") for name in attrs), attrs
        for name in ("src", "href", "xlink:href"):
            target = attrs.get(name) or ""
            allowed = target.startswith(("#", "data:image/png;base64,", "https://doi.org/10.")) or not target
            assert allowed, target[:80]
            if target.startswith("#"):
                assert target[1:] in ids
        if tag == "img":
            assert attrs.get("alt")
        if tag == "svg":
            assert attrs.get("role") == "img"
            assert attrs.get("aria-label") or attrs.get("aria-labelledby") in ids
    assert not re.search(r"@import|url\((?!#|&quot;#)", text)
    return page


@pytest.fixture(scope="session")
def evil() -> str:
    """Text that would do harm as markup, and breaks encodings."""
    return EVIL


@pytest.fixture(scope="session")
def check() -> Callable[[str], Outline]:
    """Parser that asserts what must hold for every page that the library writes."""
    return check_page


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium of this machine; skips without one, unless SSL_ECG_BROWSER=required."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        reason = f"no browser on this machine: install one of {', '.join(BROWSERS)} (Debian: chromium)"
        if os.environ.get("SSL_ECG_BROWSER") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])  # root needs it
        yield started
        started.close()
