"""The control room: one page on which a team follows and steers a migration. Needs `lazymig[web]`.

It reads until the host passes `authorize`. It shows ids and field paths, and nothing of the documents.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette

from lazymig.web.actions.hook import Authorize
from lazymig.web.building import build
from lazymig.web.room import Room
from lazymig.web.source import Shown

__all__ = ["Authorize", "app"]


def app(
    control: Shown | Callable[[], Shown],
    *,
    authorize: Authorize | None = None,
    soak_s: float = 3600.0,
    max_age_s: float = 86_400.0,
    refresh_s: float = 1.0,
) -> Starlette:
    """Return the page as an ASGI application, to mount in FastAPI or any other: `app.mount("/lazymig", ...)`.

    It runs in the event loop of the repositories that it shows. It looks everything up once per `refresh_s`, however
    many watch, and not at all while nobody does.

    Args:
        control: The control collection that the repositories of this process follow; or a repository, or several; or
            a function that returns one of these, which is called for each request, where they are made later.
        authorize: Called as `authorize(request, action)` before anything is changed. It returns the name under which
            the history keeps the change, or None to refuse. It may be async; if it is not, it runs in a thread. No
            answer within five seconds refuses. Without it the page only reads. The host decides by its own means who
            may see the page.
        soak_s: Seconds for which verifications must have found nothing before V2 is trusted, as in `Switch`.
        max_age_s: How old the last full verification may be then, in seconds.
        refresh_s: Seconds between two looks while somebody watches.

    Returns:
        The application.

    Raises:
        ConfigurationError: If a number cannot work.
    """
    return build(Room(control, authorize=authorize, soak_s=soak_s, max_age_s=max_age_s, refresh_s=refresh_s))
