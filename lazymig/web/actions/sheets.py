"""What a page says about an action before it is done: what would happen, and what there is to fill in."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

from lazymig.retirement import Condition
from lazymig.switch import Plan


@frozen
class Choice:
    """One of several values of a field."""

    value: str
    label: str
    note: str = ""


@frozen(kw_only=True)
class Field:
    """One field of a form.

    Attributes:
        name: Its name in the form.
        label: What a person reads.
        kind: A line of text, one of several choices, any of them, or yes and no.
        hint: What else to know.
        value: What stands in it before anything was typed; the chosen values, where there are choices.
        choices: What can be chosen.
    """

    name: str
    label: str
    kind: Literal["text", "one", "any", "flag"] = "text"
    hint: str = ""
    value: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()


@frozen(kw_only=True)
class Sheet:
    """What a page says about one action now.

    Attributes:
        title: What it is.
        text: What it does, in sentences.
        button: What the button says; empty where it cannot be done now.
        why_not: Why not, where that is so.
        seen: What was looked at, as a text that changes with it: the form carries it.
        fields: What to fill in.
        options: What to look again with.
        plan: The step and its gates, where it is one.
        conditions: What must hold.
        facts: What is known, by names.
        lists: Further lines, by their titles.
        grave: Whether nothing leads back.
    """

    title: str
    text: tuple[str, ...] = ()
    button: str = ""
    why_not: str = ""
    seen: str = ""
    fields: tuple[Field, ...] = ()
    options: tuple[Field, ...] = ()
    plan: Plan | None = None
    conditions: tuple[Condition, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    lists: tuple[tuple[str, tuple[str, ...]], ...] = field(default=())
    grave: bool = False


WHY = Field(name="why", label="Reason", hint="For what reason. The history keeps it.")


def ask_name(migration: str) -> Field:
    """Return the field into which the migration's name is typed, where nothing leads back."""
    hint = f"Nothing leads back from here. Type the migration's name, {migration}, to go on."
    return Field(name="confirm", label="The migration's name", hint=hint)
