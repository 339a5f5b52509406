"""Builds one self-contained HTML page that fetches nothing and takes nothing a user wrote as markup."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ssl_ecg.app.map_script import MAP_CSS, MAP_SCRIPT
from ssl_ecg.app.page_style import CSS, SCRIPT
from ssl_ecg.errors import SSLECGError
from ssl_ecg.files import write_whole
from ssl_ecg.plot.sheet import printable
from ssl_ecg.plot.style import inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ID = re.compile(r'(\bid="|url\(#|href="#|aria-labelledby=")')
_TEXT_LIMIT = 4000  # characters kept of one piece of text


class Markup(str):
    """Text that is HTML already; everything else is escaped."""

    __slots__ = ()


def safe(text: object) -> Markup:
    """Escape text for HTML, in elements and attributes; `Markup` passes unchanged.

    Examples
    --------
    >>> safe('<img src=x onerror="alert(1)">')
    '&lt;img src=x onerror=&quot;alert(1)&quot;&gt;'
    """
    return text if isinstance(text, Markup) else Markup(escape(printable(text, _TEXT_LIMIT), quote=True))


def strong(text: object) -> Markup:
    """Set text in bold."""
    return Markup(f"<strong>{safe(text)}</strong>")


def joined(*parts: object) -> Markup:
    """Join pieces, escaping those that are not `Markup`."""
    return Markup("".join(_keeping_edges(part) for part in parts))


def doi_link(doi: str) -> Markup:
    """Give a link to a DOI.

    Raises
    ------
    SSLECGError
        If it is no DOI.
    """
    if not re.fullmatch(r"10\.\d{4,9}/[\w.()/:;-]+", doi):
        raise SSLECGError("doi", f"{doi!r} is no DOI", "give it as 10.1234/abc")
    return Markup(f'<a href="https://doi.org/{safe(doi)}" rel="noreferrer">doi:{safe(doi)}</a>')


class Page:
    """An HTML page that grows from top to bottom.

    Parameters
    ----------
    title, subtitle : str

    Examples
    --------
    >>> page = Page("Report")
    >>> page.section("Results").text("1 < 2").table(["class", "AUROC"], [["MI", "0.87"]])
    Page('Report')
    >>> "1 &lt; 2" in page.render()
    True
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title = title
        self.subtitle = subtitle
        self._parts: list[str] = []
        self._contents: list[tuple[str, str, int]] = []
        self._in_section = False
        self._ids: set[str] = set()
        self._style, self._script = CSS, SCRIPT

    def __repr__(self) -> str:
        return f"Page({self.title!r})"

    def section(self, title: str) -> Page:
        """Begin a section, named in the table of contents."""
        if self._in_section:
            self._parts.append("</section>")
        self._parts.append("<section>")
        self._in_section = True
        return self._heading(title, 2)

    def subsection(self, title: str) -> Page:
        """Begin a part of a section."""
        return self._heading(title, 3)

    def label(self, text: object) -> Page:
        """Name what follows, without a place in the table of contents."""
        return self._add(f"<h4>{safe(text)}</h4>")

    def text(self, *paragraphs: object, kind: Literal["", "lead", "note"] = "") -> Page:
        """Add paragraphs."""
        attribute = f' class="{kind}"' if kind else ""
        return self._add(*(f"<p{attribute}>{safe(text)}</p>" for text in paragraphs))

    def bullets(self, items: Iterable[object]) -> Page:
        """Add a list."""
        return self._add("<ul>", *(f"<li>{safe(item)}</li>" for item in items), "</ul>")

    def banner(self, heading: str, text: object = "", *, kind: Literal["alert", "warn", "info"] = "info") -> Page:
        """Add a notice that cannot be overlooked."""
        body = f"<p>{safe(text)}</p>" if text else ""
        return self._add(f'<div class="banner {kind}" role="note"><p><b>{safe(heading)}</b></p>{body}</div>')

    def tiles(self, items: Iterable[tuple[object, object]]) -> Page:
        """Add the key figures: (figure, what it counts)."""
        tiles = (f"<div><b>{safe(number)}</b><span>{safe(name)}</span></div>" for number, name in items)
        return self._add('<div class="tiles">', *tiles, "</div>")

    def facts(self, items: Mapping[str, object]) -> Page:
        """Add names and values."""
        rows = (f"<dt>{safe(name)}</dt><dd>{safe(value)}</dd>" for name, value in items.items())
        return self._add("<dl>", *rows, "</dl>")

    def table(
        self,
        headers: Sequence[object],
        rows: Iterable[Sequence[object]],
        *,
        caption: object = "",
        align: str = "",
        sortable: bool = False,
    ) -> Page:
        """Add a table.

        Parameters
        ----------
        headers : sequence
        rows : iterable of sequences
            A cell for each header.
        caption : object
        align : str
            A letter for each column: "l" or "r" (numbers); the last letter holds for the rest.
        sortable : bool
            Let the reader sort by a column.
        """
        align = (align or "l").ljust(len(headers), (align or "l")[-1])
        classes = ["n" if letter == "r" else "" for letter in align]
        head = "".join(f'<th scope="col" class="{c}">{safe(h)}</th>' for h, c in zip(headers, classes, strict=True))
        self._add(f'<div class="scroll"><table{" data-sort" if sortable else ""}>')
        self._add(f"<caption>{safe(caption)}</caption>" if caption else "", f"<thead><tr>{head}</tr></thead><tbody>")
        for row in rows:
            cells = (f'<td class="{c}">{safe(cell)}</td>' for cell, c in zip(row, classes, strict=True))
            self._add("<tr>", *cells, "</tr>")
        return self._add("</tbody></table></div>")

    def figure(self, content: Figure | Markup | bytes, *, alt: str, caption: object = "", kind: str = "") -> Page:
        """Add a picture: a matplotlib figure (as inline SVG), SVG markup, or the bytes of a PNG.

        Parameters
        ----------
        content : Figure, Markup or bytes
        alt : str
            What it shows, for those who do not see it.
        caption : object
        kind : str
            CSS class of the frame, such as "paper".
        """
        if isinstance(content, bytes):
            data = base64.b64encode(content).decode()
            picture = f'<img alt="{safe(alt)}" src="data:image/png;base64,{data}">'
        else:
            picture = content if isinstance(content, Markup) else inline_svg(content, safe(alt))
        picture = self._with_own_ids(picture)
        text = f"<figcaption>{safe(caption)}</figcaption>" if caption else ""
        attribute = f' class="{safe(kind)}"' if kind else ""
        return self._add(f"<figure{attribute}>{picture}{text}</figure>")

    def atlas(self, data: str, *, alt: str, caption: object = "") -> Page:
        """Add a map that answers to the pointer.

        Parameters
        ----------
        data : str
            As `ssl_ecg.app.map_data.pack` gives it.
        alt : str
            What it shows, for those who do not see it.
        caption : object
        """
        if MAP_SCRIPT not in self._script:
            self._style, self._script = CSS + MAP_CSS, SCRIPT + MAP_SCRIPT
        text = f"<figcaption>{safe(caption)}</figcaption>" if caption else ""
        missing = "<noscript><p>The map needs JavaScript, which is switched off here.</p></noscript>"
        content = f'<script type="application/json">{data}</script>{missing}{text}'
        return self._add(f'<figure class="atlas" data-alt="{safe(alt)}">{content}</figure>')

    @contextmanager
    def block(self, kind: str, *, style: str = "") -> Iterator[Page]:
        """Put what is added inside the block into a box of a CSS class such as "pair" (side by side if it fits)."""
        look = f' style="{safe(style)}"' if style else ""
        self._add(f'<div class="{safe(kind)}"{look}>')
        yield self
        self._add("</div>")

    @contextmanager
    def details(self, summary: object, *, unfolded: bool = False) -> Iterator[Page]:
        """Put what is added inside the block under a heading that the reader can fold."""
        self._add(f"<details{' open' if unfolded else ''}><summary>{safe(summary)}</summary>")
        yield self
        self._add("</details>")

    @contextmanager
    def card(self, anchor: str = "") -> Iterator[Page]:
        """Put a frame around what is added inside the block; links may lead to `anchor` (a-z, 0-9, "-")."""
        name = re.sub(r"[^a-z0-9-]", "", anchor.lower())
        self._add(f'<article id="{name}">' if name else "<article>")
        yield self
        self._add("</article>")

    def render(self) -> str:
        """Give the page as HTML."""
        digest = base64.b64encode(hashlib.sha256(self._script.encode()).digest()).decode()
        policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
        contents = "".join(
            f'<li class="l{level}"><a href="#{name}">{title}</a></li>' for name, title, level in self._contents
        )
        subtitle = f'<p class="subtitle">{safe(self.subtitle)}</p>' if self.subtitle else ""
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            f"<title>{safe(self.title)}</title>\n<style>{self._style}</style></head>\n<body>\n"
            f'<nav aria-label="Contents"><b>Contents</b><ol>{contents}</ol></nav>\n'
            f"<main>\n<header><h1>{safe(self.title)}</h1>{subtitle}</header>\n"
            + "\n".join(self._parts)
            + ("\n</section>" if self._in_section else "")
            + f"\n</main>\n<script>{self._script}</script>\n</body></html>\n"
        )

    def write(self, path: str | Path) -> Path:
        """Write the page, whole or not at all.

        Raises
        ------
        ArchiveError
            If it cannot be written.
        """
        content = self.render().encode("utf-8", "replace")
        return write_whole(path, lambda file: file.write(content))

    def _with_own_ids(self, picture: str) -> str:
        """Rename the ids inside a picture where an equal picture has used them before."""
        ids = set(re.findall(r'\bid="([^"]+)"', picture))
        if ids & self._ids:
            picture = _ID.sub(rf"\g<1>p{len(self._parts)}-", picture)
            ids = {f"p{len(self._parts)}-{name}" for name in ids}
        self._ids |= ids
        return picture

    def _heading(self, title: str, level: int) -> Page:
        name = f"s{len(self._contents) + 1}"
        self._contents.append((name, safe(title), level))
        return self._add(f'<h{level} id="{name}">{safe(title)}</h{level}>')

    def _add(self, *parts: str) -> Page:
        self._parts += [part for part in parts if part]
        return self


def _keeping_edges(part: object) -> str:
    if isinstance(part, Markup):
        return part
    text = str(part)
    before, after = " " * (text[:1] == " "), " " * (len(text) > 1 and text[-1:] == " ")
    return f"{before}{safe(text)}{after}"
