"""A strict reader of HTML: finds what is not well formed, what a page's policy forbids, and what nobody hears."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from typing import Self

from attrs import define, field

_VOID = {"meta", "link", "input", "br", "hr", "img"}
_BLOCKS = {
    "address", "article", "div", "dl", "fieldset", "figure", "footer", "form", "h1", "h2", "h3", "header", "main",
    "nav", "ol", "p", "section", "table", "ul",
}  # fmt: skip
_INLINE = {
    "a", "b", "body", "button", "caption", "code", "dd", "dt", "figcaption", "head", "html", "input", "label", "legend",
    "li", "link", "meta", "noscript", "option", "script", "select", "span", "strong", "style", "tbody", "td",
    "textarea", "th", "thead", "time", "title", "tr",
}  # fmt: skip
#: What does not part words.
_IN_LINE = {"a", "b", "code", "span", "strong", "time"}
_SVG = {"svg", "path", "rect", "line", "text", "title"}
#: What may stand in these, and nothing else.
_CHILDREN = {
    "ul": {"li"}, "ol": {"li"}, "dl": {"div", "dt", "dd"}, "table": {"caption", "thead", "tbody"}, "thead": {"tr"},
    "tbody": {"tr"}, "tr": {"th", "td"}, "html": {"head", "body"},
}  # fmt: skip
_REFERENCES = ("aria-labelledby", "aria-describedby", "for", "aria-controls")
_LOOSE = re.compile(r"&(?!(?:amp|lt|gt|quot|#\d+|#x[0-9a-fA-F]+);)")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@define(eq=False)
class Element:
    """An element with what stands in it."""

    tag: str
    attributes: dict[str, str]
    parts: list[Element | str] = field(factory=list)

    def all(self, tag: str = "", **attributes: str) -> Iterator[Element]:
        """The elements in it, whatever the depth, with this tag and these attributes."""
        for part in self.parts:
            if isinstance(part, Element):
                wanted = {name.strip("_").replace("_", "-"): value for name, value in attributes.items()}
                if tag in ("", part.tag) and wanted.items() <= part.attributes.items():
                    yield part
                yield from part.all(tag, **attributes)

    def one(self, tag: str = "", **attributes: str) -> Element:
        """The only such element."""
        (found,) = self.all(tag, **attributes)
        return found

    @property
    def text(self) -> str:
        """All text in it, with single blanks."""
        return " ".join("".join(self._pieces()).split())

    def _pieces(self) -> Iterator[str]:
        for part in self.parts:
            if isinstance(part, str):
                yield part
            else:
                yield from part._pieces() if part.tag in _IN_LINE else [" ", *part._pieces(), " "]


class Reader(HTMLParser):
    """Reads HTML, and notes what is wrong."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.wrong: list[str] = []
        self._open = [self.root]

    @classmethod
    def read(cls, html: str) -> Self:
        """Read a page or a part of one."""
        reader = cls()
        reader.feed(html)
        reader.close()
        reader.wrong += [f"{one.tag} is not closed" for one in reader._open[1:]]
        return reader

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self._begin(tag, attrs)
        if tag not in _VOID:
            self._open.append(self._open[-1].parts[-1])  # type: ignore[arg-type]

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if not self._in_svg:
            self.wrong.append(f"{tag} closes itself outside of SVG")
        self._begin(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._open[-1].tag != tag:
            self.wrong.append(f"</{tag}> closes {self._open[-1].tag or 'nothing'}")
        else:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if data.strip() and self._open[-1].tag in _CHILDREN:
            self.wrong.append(f"text in {self._open[-1].tag}")
        self._open[-1].parts.append(data)

    @property
    def _in_svg(self) -> bool:
        return any(one.tag == "svg" for one in self._open)

    def _begin(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        inside = self._open[-1].tag
        known = _SVG if self._in_svg or tag == "svg" else _BLOCKS | _INLINE
        if tag not in known:
            self.wrong.append(f"there is no element {tag} here")
        if inside in _CHILDREN and tag not in _CHILDREN[inside]:
            self.wrong.append(f"{tag} in {inside}")
        if tag in _BLOCKS and any(one.tag in {"p", "h1", "h2", "h3", "span", "a"} for one in self._open):
            self.wrong.append(f"{tag} in a line of text")
        names = [name for name, _ in attrs]
        if len(names) != len(set(names)):
            self.wrong.append(f"an attribute of {tag} is there twice")
        self._open[-1].parts.append(Element(tag, {name: value or "" for name, value in attrs}))


def read(html: str) -> Element:
    """Return what a page or a part of one holds. Fails where it is not well formed."""
    assert find_wrong(html) == []
    return Reader.read(html).root


def find_wrong(html: str) -> list[str]:
    """What is not well formed, refers to nothing, or is no text."""
    reader = Reader.read(html)
    source = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    wrong = [*reader.wrong, *(f"& without a name: {source[one.start() :][:12]!r}" for one in _LOOSE.finditer(source))]
    wrong += [f"a character that a browser obeys: {one[0]!r}" for one in _CONTROL.finditer(html)]
    ids = [one.attributes["id"] for one in reader.root.all() if "id" in one.attributes]
    wrong += [f"the id {one} is there twice" for one in sorted({one for one in ids if ids.count(one) > 1})]
    wrong += [f"the id {one!r} has a blank" for one in ids if not one or set(one) & set(" \t\n")]
    for one in reader.root.all():
        named = [id for name in _REFERENCES for id in one.attributes.get(name, "").split()]
        link = one.attributes.get("href", "")
        named += [link[1:]] if link.startswith("#") else []
        wrong += [f"{one.tag} refers to {id}, which is not there" for id in named if id not in ids]
    return wrong


def find_unsafe(html: str, *, style: bool = False) -> list[str]:
    """What a policy forbids that lets in files of this server only; with `style`, the styles of the page itself too."""
    wrong = []
    for one in Reader.read(html).root.all():
        wrong += [f"{one.tag} has {name}" for name in one.attributes if name == "style" or name.startswith("on")]
        wrong += [f"{one.tag} leads to a script" for value in one.attributes.values() if "javascript:" in value.lower()]
        if one.tag == "script" and (one.parts or "src" not in one.attributes):
            wrong.append("a script stands in the page")
        if one.tag == "style" and not style:
            wrong.append("a style stands in the page")
    return wrong


def find_unnamed(html: str) -> list[str]:
    """What somebody misses who reads by ear: an order of headings, names of parts, captions, and heads of tables."""
    root, wrong = Reader.read(html).root, []
    levels = [int(one.tag[1]) for one in root.all() if re.fullmatch(r"h[1-6]", one.tag)]
    steps = zip([0 if html.lstrip().startswith("<!") else 1, *levels], levels, strict=False)
    wrong += [f"h{after} follows h{before}" for before, after in steps if after > before + 1]
    for one in root.all():
        named = one.attributes.keys() & {"aria-label", "aria-labelledby"}
        if one.tag in {"section", "nav"} and not named:
            wrong.append(f"a {one.tag} without a name")
        if one.tag == "svg" and not (
            one.attributes.get("aria-hidden") == "true" or (named and "role" in one.attributes)
        ):
            wrong.append("a drawing without a name")
        if one.tag == "table":
            wrong += _find_unnamed_cells(one)
    return wrong


def _find_unnamed_cells(table: Element) -> Iterator[str]:
    if not any(table.all("caption")):
        yield "a table without a caption"
    heads = list(next(table.all("thead")).all("th"))
    yield from ("a head without a scope" for one in table.all("th") if "scope" not in one.attributes)
    for row in next(table.all("tbody")).all("tr"):
        cells = [*row.all("th"), *row.all("td")]
        if len(cells) != len(heads) or [one.tag for one in cells].count("th") != 1:
            yield "a row that does not fit the heads"
