"""What `lazymig serve` and `lazymig report` say where a package of their extra is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lazymig.errors import LazymigError

#: What `lazymig[web]` and `lazymig[serve]` install beside `lazymig[cli]`.
_NEEDED = {"jinja2", "markupsafe", "sse_starlette", "starlette", "uvicorn"}


class Missing(LazymigError):
    """A package is not installed."""


@contextmanager
def needing(extra: str, what: str) -> Iterator[None]:
    """Raise `Missing` where an import in here fails because a package of the extra is not installed.

    Args:
        extra: The extras that bring it, such as "cli,web".
        what: What needs it, such as "the page".
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in _NEEDED:
            raise
        raise Missing(f"{what} needs {name} and a few more packages: pip install 'lazymig[{extra}]'") from None
