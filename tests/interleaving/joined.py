"""Updates of several callers as one edit, beside another process: each caller is judged by itself.

A member that raises is judged as a read of what it raised over. One that leaves does so while others decide, so its
update may or may not be made.
"""

from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any

from attrs import evolve, frozen

from lazymig import Phase
from lazymig.errors import NotFound
from lazymig.protocol.edits import Change, UpdateV1, UpdateV2
from lazymig.protocol.joining import Joined
from lazymig.repository import calls_of
from lazymig.testing.explore import Call
from lazymig.testing.linearizability import Operation, Outcome
from tests.interleaving.in_place import clients as in_place_clients
from tests.interleaving.in_place.people import value_of
from tests.interleaving.in_place.scenarios import InPlaceTask
from tests.interleaving.phases_side_by_side import PhasesTask, on_side
from tests.interleaving.subject import CLOCK, ID, Count, common


class Saw(Exception):
    """What a member raises: what it got."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


@frozen(eq=False)
class Member:
    """One caller: whether it stores, raises or leaves, and its change, of entities and of values."""

    kind: str
    change: Callable
    argument: Any


@frozen(eq=False)
class Members:
    """The callers of one edit, as the argument of its call."""

    members: tuple[Member, ...]


class Seat:
    """A member's place in the edit, as `loop.rounds.Member` without an event loop."""

    def __init__(self, work):
        self.work = work
        self.left = False
        self.context = copy_context()


def deciding(seats, place, member, observe):
    """The change of one member, which lets those go that leave once they have decided."""

    def change(entity):
        for seat, earlier in seats[:place]:
            seat.left |= earlier.kind == "leaves"
        if member.kind == "raises":
            raise Saw(observe(entity))
        return member.change(entity)

    return change


async def write_joined(repository, kind, members, observe):
    """Make one edit of these members; return what each gets."""
    calls, seats = calls_of(repository), []
    for place, member in enumerate(members):
        seats.append((Seat(kind(calls.conversions, deciding(seats, place, member, observe))), member))
    joined = Joined([seat for seat, _ in seats], CLOCK, patient=True)
    error = None
    try:
        await calls.route.write(ID, joined)
    except Exception as raised:
        error = raised
    return tuple(_result(outcome, observe) for outcome in joined.divide(error))


def _result(outcome, observe):
    if isinstance(outcome, Change):
        return observe(outcome.entity)
    if isinstance(outcome, Saw):
        return outcome.value
    if isinstance(outcome, NotFound):
        return Outcome.NOT_FOUND
    if isinstance(outcome, Exception):
        raise outcome
    return Outcome.UNCERTAIN  # it has left before it decided


def split(operation: Operation) -> Iterator[Operation]:
    """What each member did; another call is what it is."""
    if not isinstance(operation.argument, Members):
        yield operation
        return
    members = operation.argument.members
    results = operation.result if isinstance(operation.result, tuple) else [operation.result] * len(members)
    for member, result in zip(members, results, strict=True):
        one = evolve(operation, argument=member.argument, result=result)
        if member.kind == "raises":
            if result is not Outcome.UNCERTAIN:
                yield evolve(one, name="get", result=None if result is Outcome.NOT_FOUND else result)
        elif member.kind == "leaves":
            yield evolve(one, result=Outcome.UNCERTAIN, returned_at=None)
        else:
            yield one


#: What the members of an edit do, by the name of its call.
MIXES = {
    "two": ("stores", "stores"),
    "second raises": ("stores", "raises"),
    "first raises": ("raises", "stores"),
    "first leaves": ("leaves", "stores"),
    "between": ("stores", "raises", "stores"),
}


def mixed(kinds, amount, change, argument):
    """Members of these kinds, each with an amount of its own."""
    amounts = [amount * (place + 1) for place in range(len(kinds))]
    return tuple(Member(kind, change(one), argument(one)) for kind, one in zip(kinds, amounts, strict=True))


def joined_call(repository_of, kind, members, observe):
    """One call for all members."""
    return Call("update", lambda s: write_joined(repository_of(s), kind, members, observe), ID, Members(members))


# ---- two collections ------------------------------------------------------------------------------------------------


def calls(amount):
    """The calls of several members in two collections, by the name of their mix, through either door."""

    def on_value(one):
        return lambda value: (value[0], value[1] + one)

    made = {
        door + name: joined_call(lambda s: s.repository, kind, mixed(kinds, amount, change, on_value), common)
        for name, kinds in MIXES.items()
        for door, kind, change in (("", UpdateV2, raise_tally), ("V1 ", UpdateV1, raise_count))
    }
    renaming = Member(
        "stores", lambda entity: evolve(entity, first=f"Re{amount}", last="Named"),
        lambda value: (f"Re{amount} Named", value[1]),
    )  # fmt: skip
    both = (renaming, Member("stores", raise_tally(amount), on_value(amount)))
    return made | {"two fields": joined_call(lambda s: s.repository, UpdateV2, both, common)}


def raise_tally(amount):
    """A change of a V2 entity."""
    return lambda entity: evolve(entity, tally=entity.tally + amount)


def raise_count(amount):
    """A change of a V1 entity."""
    return lambda entity: evolve(entity, count=Count(entity.count.tally + amount))


NAMES = tuple(calls(1))


@frozen
class JoinedTask(PhasesTask):
    """A call of several members in the first phase, beside a client in the second."""

    name: str = "two"

    def scenario(self):
        """The scenario itself."""
        made = super().scenario()
        first, *others = made.clients
        clients = {first: [on_side(calls(1)[self.name], 0)], **{name: made.clients[name] for name in others}}
        return evolve(made, name=f"{self.name}: {made.name}", clients=clients, split=split)


def beside(name, state, others, phases=(Phase.COEXIST, Phase.COEXIST), **changes):
    """A call of several members, from one state, beside a client that makes these calls."""
    # What stands in the first place is replaced.
    return JoinedTask(state, (("get",), tuple(others)), phases=phases, name=name, **changes)


# ---- one document ---------------------------------------------------------------------------------------------------


def calls_in_place(amount):
    """The calls of several members in one document."""

    def fields(one):
        return in_place_clients.fields(tally=lambda value: value + one)

    return {
        door + name: joined_call(lambda s: s.sides[0], kind, mixed(kinds, amount, change, fields), value_of)
        for name, kinds in MIXES.items()
        for door, kind, change in (("", UpdateV2, raise_tally), ("V1 ", UpdateV1, raise_count))
    }


def split_in_place(operation):
    """What each member did to each field."""
    return [part for one in split(operation) for part in in_place_clients.split(one)]


@frozen
class JoinedInPlaceTask(InPlaceTask):
    """The same in one document."""

    name: str = "two"

    def scenario(self):
        """The scenario itself."""
        made = super().scenario()
        first, *others = made.clients
        clients = {first: [calls_in_place(1)[self.name]], **{name: made.clients[name] for name in others}}
        return evolve(made, name=f"{self.name}: {made.name}", clients=clients, split=split_in_place)


def beside_in_place(name, state, others, phases=(Phase.COEXIST, Phase.COEXIST), **changes):
    """The same in one document."""
    return JoinedInPlaceTask(state, (("get",), tuple(others)), phases=phases, name=name, **changes)
