"""What is attached to a control collection in this process: a page that is given the control finds it here."""

from __future__ import annotations

from weakref import WeakKeyDictionary, WeakValueDictionary

_ATTACHED: WeakKeyDictionary[object, WeakValueDictionary[str, object]] = WeakKeyDictionary()


def attached_to(control: object) -> WeakValueDictionary[str, object]:
    """Return what follows the phase of this `Control` in this process, by migration: of each the last one made."""
    return _ATTACHED.setdefault(control, WeakValueDictionary())
