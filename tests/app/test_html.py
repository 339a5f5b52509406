"""The page builder: escaping, structure, no outside reference, whole files."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ssl_ecg.app.html import Markup, Page, doi_link, joined, safe, strong
from ssl_ecg.errors import ArchiveError, SSLECGError
from ssl_ecg.plot.scores import plot_scores


def full_page(evil: str) -> Page:
    page = Page(evil, evil)
    page.section(evil).subsection(evil).text(evil, kind="lead").bullets([evil]).banner(evil, evil, kind="alert")
    page.tiles([(evil, evil)]).facts({evil: evil})
    page.table([evil, "n"], [[evil, 1], [2.5, evil]], caption=evil, align="lr", sortable=True)
    page.figure(plot_scores([1.0, 2.0, 3.0], 2.5, how=evil), alt=evil, caption=evil)
    page.figure(b"\x89PNG", alt=evil, kind=evil)
    page.figure(plot_scores([1.0, 2.0, 3.0], 2.5), alt="one").figure(plot_scores([1.0, 2.0, 3.0], 2.5), alt="one")
    with page.details(evil), page.card(evil):
        page.text(joined("a ", strong(evil), " b"))
    return page


def test_nothing_that_a_user_wrote_becomes_markup(evil: str, check: Callable[[str], Any]) -> None:
    text = full_page(evil).render()
    page = check(text)
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "".join(page.text).count("<script>alert('x')</script>") >= 15
    assert "\u202e" not in text
    assert "\x00" not in text


def test_only_the_script_of_the_page_may_run(evil: str) -> None:
    text = full_page(evil).render()
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "http" not in policy


def test_page_serves_screen_paper_and_dark_rooms() -> None:
    text = Page("a").render()
    for needed in (
        "prefers-color-scheme:dark",
        "@media print",
        'name="viewport"',
        'lang="en"',
        'charset="utf-8"',
    ):
        assert needed in text


def test_contents_name_the_sections_in_order() -> None:
    text = Page("t").section("One").subsection("One a").section("Two").render()
    links = re.findall(r'<a href="#(\w+)">([^<]+)</a>', text)
    assert [title for _, title in links] == ["One", "One a", "Two"]
    assert all(f'id="{name}">{title}</h' in text for name, title in links)


def test_markup_passes_and_text_does_not() -> None:
    assert safe(Markup("<b>x</b>")) == "<b>x</b>"
    assert joined(" 1 < 2 ", Markup("<i>y</i>")) == " 1 &lt; 2 <i>y</i>"
    assert "10.1038/s41597-020-0495-6" in doi_link("10.1038/s41597-020-0495-6")
    with pytest.raises(SSLECGError):
        doi_link('10.1/x" onclick="alert(1)')


def test_row_with_too_few_cells_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        Page("t").table(["a", "b"], [["1"]])


def test_page_is_written_whole_or_not_at_all(tmp_path: Path, evil: str) -> None:
    path = full_page(evil).write(tmp_path / "new" / "report.html")
    assert path.read_text(encoding="utf-8").endswith("</html>\n")
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    before = path.read_bytes()
    (tmp_path / "file").write_text("")
    with pytest.raises(ArchiveError):
        Page("t").write(tmp_path / "file" / "report.html")
    (tmp_path / "folder.html" / "inside").mkdir(parents=True)
    with pytest.raises(ArchiveError):
        Page("t").write(tmp_path / "folder.html")
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.html", "new"]
