"""The style sheet: every colour is named once per scheme, and each pair that can meet has WCAG's contrast."""

from __future__ import annotations

import re
from itertools import product

import pytest

from tests.house import ROOT

STATIC = ROOT / "lazymig" / "web" / "static"
CSS = re.sub(r"/\*.*?\*/", "", (STATIC / "lazymig.css").read_text("utf-8"), flags=re.DOTALL)
ROOTS = re.findall(r":root\s*{(.*?)}", CSS, re.DOTALL)
RULES = re.sub(r":root\s*{.*?}", "", CSS, flags=re.DOTALL)
#: What WCAG's level AA asks for: of text, and of what is drawn.
TEXT, DRAWN = 4.5, 3.0
LITERAL = re.compile(
    r"#[0-9a-f]{3,8}\b|\b(?:rgb|hsl|oklch|color-mix)a?\(|:\s*(?:white|black|red|green|blue|gr[ae]y)\b", re.I
)


def colours(scheme: str) -> dict[str, str]:
    """The colours of a scheme by their names; the dark one stands inside of a condition."""
    light, dark = ROOTS
    return dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6});", light if scheme == "light" else dark))


def luminance(colour: str) -> float:
    """The relative luminance as WCAG defines it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """The ratio of two colours, from 1 to 21."""
    darker, lighter = sorted([luminance(one), luminance(other)])
    return (lighter + 0.05) / (darker + 0.05)


def too_close(named: dict[str, str]) -> list[str]:
    """The pairs of what is in front and what is behind that are too close to each other."""
    behind = {name: colour for name, colour in named.items() if name.startswith("surface-")}
    found = []
    for (name, colour), (ground, other) in product(named.items(), behind.items()):
        least = TEXT if name.startswith("ink-") else DRAWN if name.startswith("graphic-") else 0.0
        if contrast(colour, other) < least:
            found.append(f"{name} on {ground}: {contrast(colour, other):.2f}, and {least} is the least")
    return found


def declarations(*properties: str) -> list[tuple[str, str]]:
    """What the rules say of these properties."""
    return [(name, value.strip()) for name, value in re.findall(r"([\w-]+):\s*([^;{}]+);", RULES) if name in properties]


def test_contrast_is_computed_as_wcag_says() -> None:
    """White on black is 21, a colour on itself is 1, and the grey that just suffices on white is known."""
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#123456", "#123456") == 1
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_pair_has_enough_contrast(scheme: str) -> None:
    """Each colour of text and of what is drawn, on each colour that lies behind them."""
    assert too_close(colours(scheme)) == []


def test_a_pale_colour_is_found() -> None:
    """The check bites: text that is too pale on one of the grounds is named."""
    assert too_close(colours("light") | {"ink-quiet": "#8a93a0"})
    assert too_close(colours("dark") | {"graphic-read": "#2a4365"})


def test_both_schemes_name_the_same_colours() -> None:
    """A colour that the dark scheme forgets would keep its light value there."""
    assert colours("light").keys() == colours("dark").keys()
    assert len(ROOTS) == 2


def test_colours_are_used_for_what_they_are_checked_for() -> None:
    """Text has an ink, what lies behind has a surface; borders and drawings have what is drawn; nothing is literal."""
    assert not LITERAL.search(RULES)
    assert declarations("color")
    assert all(re.fullmatch(r"var\(--ink-\w+\)", value) for _, value in declarations("color"))
    behind = declarations("background", "background-color")
    assert all(re.fullmatch(r"var\(--(surface|graphic)-\w+\)", value) for _, value in behind)
    drawn = declarations("fill", "stroke", "border", "border-left", "border-top", "border-color", "outline")
    named = [name for _, value in drawn for name in re.findall(r"var\(--([\w-]+)\)", value)]
    assert all(re.match(r"graphic-|surface-|hairline|ink-", name) for name in named)
    used = set(re.findall(r"var\(--([\w-]+)\)", RULES))
    assert used == colours("light").keys()


def test_nothing_is_loaded_from_elsewhere() -> None:
    """The style sheet names no other file: it stands in the report as it is."""
    assert not re.search(r"url\(|@import|@font-face|</", CSS)


def test_the_script_makes_no_html_of_text() -> None:
    """What the server sends to the script becomes text and attributes of known elements, and is never run."""
    script = (STATIC / "lazymig.js").read_text("utf-8")
    banned = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|setAttribute\(\"on"
    assert not re.search(banned, script)
    assert "textContent" in script


def test_motion_is_only_for_those_who_want_it() -> None:
    """Transitions and animations stand under the condition that nobody asked for less."""
    for block in re.finditer(r"(?:transition|animation)[\w-]*:", CSS):
        before = CSS[: block.start()]
        assert "prefers-reduced-motion: no-preference" in before.rpartition("@media")[2]
