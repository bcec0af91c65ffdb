"""The edit of several callers with one guard taken away, and where that shows."""

from lazymig.loop.rounds import Again
from lazymig.protocol import joining
from lazymig.protocol.joining import Joined
from tests.interleaving.joined import Saw, beside, beside_in_place
from tests.interleaving.mutants import Mutant


def base_for_all(monkeypatch):
    """Each update starts from what was stored, and not from what the one before it has made of that."""
    monkeypatch.setattr(joining, "follow", lambda _conversions, base, _total: base)


def dropped_change_kept(monkeypatch):
    """What one has made that dropped out is stored all the same."""
    in_context, divide, dropped = joining._in_context, Joined.divide, {}

    def forgiving(member):
        edit = in_context(member)

        def change(entity):
            try:
                return edit.change(entity)
            except Saw as error:
                dropped[id(member)] = error
                return joining.evolve(entity, tally=entity.tally + 1000)

        return joining.evolve(edit, change=change)

    def divided(joined, error):
        outcomes = zip(joined._members, divide(joined, error), strict=True)
        return [dropped.get(id(member), outcome) for member, outcome in outcomes]

    monkeypatch.setattr(joining, "_in_context", forgiving)
    monkeypatch.setattr(Joined, "divide", divided)


def last_change_stored(monkeypatch):
    """V1 gets what the last update has changed, without what the others have."""

    def only_last(conversions, base, total, change):
        found = conversions.v1_changes(change.v1_before, change.v1_after, base.truth)
        return joining.Change.of(found, change.v2_body, change.entity, change.v1_before, change.v1_after)

    monkeypatch.setattr(joining, "add", only_last)


def remembering(monkeypatch, remember):
    """Outcomes are kept in spite of a lost race: `remember(first, last)` gives them."""
    decide_each, divide = Joined._decide_each, Joined.divide

    async def noting(joined, *arguments):
        try:
            return await decide_each(joined, *arguments)
        finally:
            FIRST.setdefault(id(joined), (joined, list(joined._outcomes)))

    def recalled(joined, error):
        last = divide(joined, error)
        _, first = FIRST.pop(id(joined), (joined, last))
        return remember(first, last)

    monkeypatch.setattr(Joined, "_decide_each", noting)
    monkeypatch.setattr(Joined, "divide", recalled)


FIRST = {}


def early_outcomes(monkeypatch):
    """Each caller gets what was decided first, before any compare-and-set was won."""
    remembering(monkeypatch, lambda first, last: first if Again.TOGETHER not in first else last)


def early_errors(monkeypatch):
    """One that raises is over at once: it raised over what others had not stored yet."""
    remembering(
        monkeypatch,
        lambda first, last: [
            one if isinstance(one, Exception) else other for one, other in zip(first, last, strict=True)
        ],
    )


def last_alone_again(monkeypatch):
    """After a lost race only the last update is decided again; the others count as made."""
    decide_each = Joined._decide_each

    async def skipping(joined, *arguments):
        seats = joined._members[:-1] if getattr(joined, "_outcomes", None) and joined._refused is None else ()
        before = [(seat, seat.left) for seat in seats]
        kept = list(joined._outcomes)
        for seat, _ in before:
            seat.left = True
        try:
            return await decide_each(joined, *arguments)
        finally:
            for place, (seat, left) in enumerate(before):
                seat.left = left
                joined._outcomes[place] = kept[place]
            joined._refused = None

    monkeypatch.setattr(Joined, "_decide_each", skipping)


def outcomes_of_a_failed_write(monkeypatch):
    """Where the write fails, each caller gets what was decided for it."""
    monkeypatch.setattr(Joined, "divide", lambda joined, _error: joined._outcomes)


def shown(name, *others, state="both clean"):
    """A call of several members beside a client."""
    return lambda: beside(name, state, others).scenario()


MUTANTS = (
    Mutant("joined: each starts from what was stored", base_for_all, shown("two", "get")),
    Mutant(
        "joined in place: each starts from what was stored", base_for_all,
        lambda: beside_in_place("two", "both current", ("get",)).scenario(),
    ),
    Mutant("joined: what dropped out is stored", dropped_change_kept, shown("second raises", "get")),
    Mutant("joined: V1 gets the last change alone", last_change_stored, shown("two fields", "get")),
    Mutant("joined: outcomes before the race is won", early_outcomes, shown("two", "update")),
    Mutant("joined: an error before the race is won", early_errors, shown("second raises", "update")),
    Mutant("joined: only the last decides again", last_alone_again, shown("two", "update")),
    Mutant("joined: outcomes of a write that failed", outcomes_of_a_failed_write, shown("two", "update", "delete")),
)  # fmt: skip
