"""Where a page and its actions are, wherever the application is mounted."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from attrs import frozen
from starlette.requests import Request


@frozen
class Places:
    """The paths of one migration."""

    index: str
    page: str
    dead_letters: str
    #: The path of actions, without the name of one.
    do: str

    @classmethod
    def of(cls, request: Request) -> Places:
        """Return the paths, as this request's application is mounted."""
        migration = request.path_params["migration"]

        def find(name: str, **parts: str) -> str:
            return request.url_for(name, **parts).path

        some = find("do", migration=migration, action="begin")
        return cls(
            find("index"), find("page", migration=migration), find("dead-letters", migration=migration),
            some.removesuffix("begin"),
        )  # fmt: skip

    def action(self, name: str, **query: str) -> str:
        """Return the path of an action."""
        return f"{self.do}{name}{_make_query(query)}"

    def letters(self, **query: str | int) -> str:
        """Return the path of a part of the dead letters; what is empty is left out."""
        return f"{self.dead_letters}{_make_query({name: str(one) for name, one in query.items() if one})}"


def _make_query(query: Mapping[str, str]) -> str:
    return f"?{urlencode(query)}" if query else ""
