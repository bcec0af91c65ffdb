"""What follows a control collection in this process: a page that is given the control finds it here."""

from __future__ import annotations

from weakref import WeakKeyDictionary, WeakValueDictionary

_FOLLOWERS: WeakKeyDictionary[object, WeakValueDictionary[str, object]] = WeakKeyDictionary()


def followers_of(control: object) -> WeakValueDictionary[str, object]:
    """Return what follows this `Control` in this process, by the migration's name: of each the last one made."""
    return _FOLLOWERS.setdefault(control, WeakValueDictionary())
