"""Names as parts of paths, mounts that cut paths off, and the hosts to which a server on this machine answers."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazymig.web.hosts import is_loopback, read_host
from lazymig.web.paths import Paths, restore_path, slug


@given(st.text(min_size=1))
def test_a_name_is_one_part_of_a_path(name: str) -> None:
    """Whatever the name, neither a browser nor a server changes its part of a path, or takes it for several."""
    part = slug(name)
    assert part.isascii()
    assert part not in {"", ".", ".."}
    assert unquote(part) == part
    assert urlsplit(Paths("/x", part).page).path == f"/x/m/{part}/"


@given(st.lists(st.text(min_size=1), min_size=2, max_size=2, unique=True))
def test_two_names_have_two_parts(names: list[str]) -> None:
    """No two names share a part of a path."""
    one, other = names
    assert slug(one) != slug(other)


@pytest.mark.parametrize("name", ["people", "orders-2026", "a_b.c", "X"])
def test_usual_names_stay_as_they_are(name: str) -> None:
    """Letters, digits and the usual signs are not changed, so that people can type an address."""
    assert slug(name) == name


@pytest.mark.parametrize(
    ("given", "path", "root"),
    [
        # Whole, as ASGI says.
        ({"path": "/m/x/", "raw_path": b"/m/x/", "root_path": ""}, "/m/x/", ""),
        ({"path": "/lazymig/m/x/", "raw_path": b"/lazymig/m/x/", "root_path": "/lazymig"}, "/lazymig/m/x/", "/lazymig"),
        ({"path": "/m/x y/", "raw_path": b"/m/x%20y/", "root_path": ""}, "/m/x y/", ""),
        # Cut, with and without a slash that was added.
        ({"path": "/m/x/", "raw_path": b"/a/b/m/x/", "root_path": ""}, "/a/b/m/x/", "/a/b"),
        ({"path": "/m/x/status.json/", "raw_path": b"/a/m/x/status.json", "root_path": ""}, "/a/m/x/status.json", "/a"),
        ({"path": "/", "raw_path": b"/a", "root_path": ""}, "/a", "/a"),
        ({"path": "/", "raw_path": b"/a/", "root_path": ""}, "/a/", "/a"),
        ({"path": "/m/x/", "raw_path": b"/proxy/a/m/x/", "root_path": "/proxy"}, "/proxy/a/m/x/", "/proxy/a"),
        # Without what was sent there is nothing to restore.
        ({"path": "/m/x/", "root_path": "/a"}, "/m/x/", "/a"),
        ({"path": "/m/x/", "raw_path": None, "root_path": "/a"}, "/m/x/", "/a"),
        # The server knows of a path that a proxy has taken away.
        ({"path": "/api/m/x/", "raw_path": b"/m/x/", "root_path": "/api"}, "/api/m/x/", "/api"),
    ],
)  # fmt: skip
def test_the_whole_path_is_restored(given: dict[str, Any], path: str, root: str) -> None:
    """A path that a framework has cut is what the client sent again, and what was cut off is the mount."""
    found = restore_path({"type": "http", **given})
    assert (found["path"], found["root_path"]) == (path, root)


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("127.0.0.1:8800", "127.0.0.1"), ("127.0.0.1", "127.0.0.1"), ("LocalHost:1", "localhost"),
        ("[::1]:8800", "::1"), ("[::1]", "::1"), ("", ""), ("127.0.0.1.evil.example:80", "127.0.0.1.evil.example"),
        ("evil.example@127.0.0.1:80", "evil.example@127.0.0.1"), ("::1", ":"), ("127.0.0.1:80:90", "127.0.0.1:80"),
    ],
)  # fmt: skip
def test_the_host_of_a_request(header: str, host: str) -> None:
    """The host is what stands before the port, and what is no host of this machine is none of its names."""
    assert read_host(header) == host


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
        ("192.168.1.1", False), ("localhost.example", False), ("", False),
    ],
)  # fmt: skip
def test_what_only_this_machine_reaches(host: str, own: bool) -> None:
    """Loopback addresses and their name are this machine's own; an address of every interface is not."""
    assert is_loopback(host) == own
