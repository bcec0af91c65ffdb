"""What the walk's clients record, and what their histories give away."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from lazymig.testing.linearizability import Operation, Outcome, Verdict
from tests.phases.clients import History, Request, Value, judge, value_of

OLD, NEW = ("old", "Ada King"), ("new", "Ada King")


def answered(name: str, result: Any, at: float, argument: Any = None, *, client: str = "c") -> Operation:
    """An operation on one entity that took half a second."""
    return Operation(client, name, argument, result, at, at + 0.5, "1")


def update(result: Any, at: float) -> Operation:
    """An update of the e-mail address."""
    return answered("update", result, at, lambda value: ("new", value[1]))


@pytest.mark.parametrize(
    ("operations", "is_wrong"),
    [
        ([update(NEW, 1), answered("get", NEW, 2)], False),
        ([update(NEW, 1), answered("get", OLD, 2)], True),  # stale
        ([update(Outcome.NOT_FOUND, 1)], True),  # lost
        ([answered("delete", Outcome.DONE, 1), answered("get", OLD, 2)], True),  # resurrected
        ([answered("get", NEW, 1)], True),  # a refused write, which is not recorded, was made after all
        ([update(NEW, 1.2), answered("get", NEW, 1.0)], False),  # side by side
    ],
)
def test_wrong_answers_are_noticed(operations: list[Operation], is_wrong: bool) -> None:
    """A lost, stale or resurrected read, and a write that was refused and made, leave a history without an order."""
    history = History({"1": OLD})
    history.operations += operations
    assert history.problems() == ({"1": Verdict.ILLEGAL} if is_wrong else {})


@pytest.mark.parametrize(
    ("result", "read", "is_wrong"),
    [
        (("new", "Eve King"), ("new", "Eve King"), False),
        (("new", "Ada King"), ("new", "Eve King"), False),  # computed beside the name that the other program changed
        (("new", "Ada King"), ("new", "Ada King"), True),  # the other program's change is lost
        (("new", "Eve King"), ("old", "Eve King"), True),  # the client's change is lost
        (("old", "Eve King"), ("new", "Eve King"), True),  # the client does not see its own change
    ],
)
def test_each_field_has_an_order_beside_other_programs(result: Value, read: Value, is_wrong: bool) -> None:
    """A write may return another field as it was before another program changed it; nothing of either may be lost."""
    history = History({"1": OLD}, by_field=True)
    renamed = Operation("o", "update", lambda value: (value[0], "Eve King"), ("old", "Eve King"), 1.1, 1.2, "1")
    history.operations += [renamed, update(result, 1), answered("get", read, 2)]
    assert bool(history.problems()) == is_wrong
    whole = History({"1": OLD})
    whole.operations += history.operations
    assert bool(whole.problems()) == (is_wrong or result == ("new", "Ada King"))


def test_a_write_in_flight_explains_what_others_read() -> None:
    """Before its answer is here, a write may have happened or not; afterwards what it says counts."""
    history = History({"1": OLD})
    history.operations.append(answered("get", NEW, 2))
    key = history.begin(Operation("d", "update", lambda value: ("new", value[1]), Outcome.UNCERTAIN, 1, None, "1"))
    assert history.problems() == {}
    history.end(key)
    assert history.problems() == {"1": Verdict.ILLEGAL}


def answer(status: int, body: Any = None) -> httpx.Response:
    """A response of the service."""
    return httpx.Response(status, json=body)


CUSTOMER = {"email": "a", "name": {"title": "Dr.", "first": "Ada", "last": "King", "suffix": None}}


@pytest.mark.parametrize(
    ("verb", "response", "result"),
    [
        ("get", answer(200, {"email": "a", "name": "Dr. Ada King"}), ("a", "Dr. Ada King")),
        ("get", answer(200, CUSTOMER), ("a", "Dr. Ada King")),
        ("get", answer(404, {}), None),
        ("update", answer(404, {}), Outcome.NOT_FOUND),
        ("delete", answer(204), Outcome.DONE),
        ("insert", answer(409, {}), Outcome.ALREADY_EXISTS),
        ("update", answer(503, {"detail": ["it may or may not have happened"]}), Outcome.UNCERTAIN),
        ("list", answer(200, {"customers": [{"id": "1", **CUSTOMER}]}), {"1": value_of(CUSTOMER)}),
    ],
)
def test_answers_are_understood(verb: str, response: httpx.Response, result: Any) -> None:
    """Each status means what the service's README says, and both versions give one value."""
    history = History({})
    assert judge(Request(verb, "", ""), "1", response, history) == result
    assert history.faults == []


def test_other_answers_are_faults() -> None:
    """An answer that the service never gives is kept, and fails the walk."""
    history = History({})
    judge(Request("get", "GET", "/v1/customers/1"), "1", answer(500, {"detail": "x"}), history)
    assert len(history.faults) == 1
