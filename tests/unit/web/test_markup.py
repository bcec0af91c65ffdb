"""The reader of HTML itself: it finds what is wrong, and nothing else."""

from __future__ import annotations

import pytest

from tests.markup import find_unnamed, find_unsafe, find_wrong, read

TABLE = "<table><caption>c</caption><thead><tr><th scope='col'>a</th></tr></thead><tbody><tr>{}</tr></tbody></table>"


@pytest.mark.parametrize(
    ("html", "wrong"),
    [
        ("<p>a &amp; b</p><ul><li>c</li></ul>", []),
        ("<p>a & b</p>", ["& without a name: '& b</p>'"]),
        ("<p>a", ["p is not closed"]),
        ("<p><b>a</p></b>", ["</p> closes b", "p is not closed"]),
        ("<blink>a</blink>", ["there is no element blink here"]),
        ("<p><div>a</div></p>", ["div in a line of text"]),
        ("<ul><p>a</p></ul>", ["p in ul"]),
        ("<ul>a<li>b</li></ul>", ["text in ul"]),
        ("<p id='a'>a</p><p id='a'>b</p>", ["the id a is there twice"]),
        ("<p id='a b'>a</p>", ["the id 'a b' has a blank"]),
        ("<p id='a' class='b' id='c'>a</p>", ["an attribute of p is there twice"]),
        ("<p aria-labelledby='b'>a</p>", ["p refers to b, which is not there"]),
        ("<a href='#b'>a</a>", ["a refers to b, which is not there"]),
        ("<p>\x1b</p>", ["a character that a browser obeys: '\\x1b'"]),
        ("<p>\u202e</p>", ["a character that a browser obeys: '\\u202e'"]),
        ("<span/>", ["span closes itself outside of SVG"]),
        ("<svg><path d='M0 0'/></svg>", []),
    ],
)
def test_what_is_not_well_formed(html: str, wrong: list[str]) -> None:
    """Each mistake is named, and what is right is not."""
    found = find_wrong(html)
    assert set(wrong) <= set(found) if wrong else found == []


@pytest.mark.parametrize(
    ("html", "wrong"),
    [
        ("<script src='a.js'></script>", []),
        ("<script>a()</script>", ["a script stands in the page"]),
        ("<p style='color: red'>a</p>", ["p has style"]),
        ("<p onclick='a()'>a</p>", ["p has onclick"]),
        ("<a href='JavaScript:a()'>a</a>", ["a leads to a script"]),
        ("<style>a</style>", ["a style stands in the page"]),
    ],
)
def test_what_a_policy_forbids(html: str, wrong: list[str]) -> None:
    """Scripts and styles stand in files of their own."""
    assert find_unsafe(html) == wrong


@pytest.mark.parametrize(
    ("html", "wrong"),
    [
        ("<h2>a</h2><h3>b</h3><h2>c</h2>", []),
        ("<h2>a</h2><h4>b</h4>", ["h4 follows h2"]),
        ("<section><p>a</p></section>", ["a section without a name"]),
        ("<svg role='img'></svg>", ["a drawing without a name"]),
        (TABLE.format("<th scope='row'>b</th>"), []),
        (TABLE.format("<th>b</th>"), ["a head without a scope"]),
        (TABLE.format("<td>b</td>"), ["a row that does not fit the heads"]),
        (TABLE.format("<th scope='row'>b</th><td>c</td>"), ["a row that does not fit the heads"]),
        (TABLE.format("<th scope='row'>b</th>").replace("<caption>c</caption>", ""), ["a table without a caption"]),
    ],
)
def test_what_nobody_hears(html: str, wrong: list[str]) -> None:
    """Headings come in their order; parts, drawings and tables have names."""
    assert find_unnamed(html) == wrong


def test_parts_are_found() -> None:
    """Elements are found by tag and attributes, with their text."""
    root = read("<section id='a' aria-label='x'><p class='b'>c <strong>d</strong></p></section>")
    assert root.one("section", id="a").one("p", class_="b").text == "c d"
