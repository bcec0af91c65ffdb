"""The report of an exploration, and counter-examples as readable steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import Factory, frozen
from pymongo.errors import BulkWriteError, DuplicateKeyError
from pymongo.results import DeleteResult, InsertManyResult, InsertOneResult, UpdateResult

from lazymig.testing.exploration.execution import Choice, Execution
from lazymig.testing.exploration.progress import Action
from lazymig.testing.exploration.scenario import Scenario, World
from lazymig.testing.exploration.values import Numbers


@frozen
class Violation:
    """A counter-example: the failed check, its message, and the steps that lead to the failure.

    Pass `choices` to `retell` to replay it.
    """

    scenario: str
    check: str
    message: str
    steps: tuple[str, ...]
    choices: tuple[Choice, ...]

    def __str__(self) -> str:
        lines = [f"{self.scenario}: {self.check}: {self.message}", *(f"  {step}" for step in self.steps)]
        return "\n".join(lines)


@frozen(kw_only=True)
class Report:
    """The outcome of exploring one scenario.

    - `runs`: how often the code was run from the start.
    - `states`: the distinct states that were judged.
    - `interleavings`: the complete runs that these states represent.
    - `crash_ends`: the states judged as an end in which a crashed client left a call open.
    - `ends`: the distinct states in which all calls ended.
    - `dirty_ends`: the ends that left something to heal although no client crashed.
    - `alone_steps_max`: the most statements that a call needs, from any state, while no other client moves.
    - `exhaustive`: whether every interleaving was visited. If not, `seed` repeats a random walk.
    """

    scenario: str
    runs: int
    states: int
    interleavings: int = 0
    crash_ends: int = 0
    ends: int = 0
    dirty_ends: int = 0
    dirty_interleavings: int = 0
    alone_steps_max: int = 0
    observed: Mapping[str, int] = Factory(dict)
    violations: tuple[Violation, ...] = ()
    exhaustive: bool = True
    seed: int | None = None

    @property
    def ok(self) -> bool:
        """Whether there are no violations."""
        return not self.violations

    def __str__(self) -> str:
        stopped = "stopped at a violation" if self.violations else "up to a limit"
        drawn = stopped if self.seed is None else f"random walk, seed {self.seed}"
        how = "every interleaving" if self.exhaustive else drawn
        numbers = (
            f"{self.runs} runs, {self.states} states, {self.interleavings} interleavings, {self.crash_ends} crashes"
        )
        head = f"{self.scenario}: {numbers} ({how}), {self.dirty_ends} of {self.ends} ends dirty"
        return "\n".join([head, *map(str, self.violations)])


def total(name: str, reports: Iterable[Report]) -> Report:
    """Sum several reports under one name. `alone_steps_max` is the largest of them."""
    reports = list(reports)
    sums = {
        field: sum(getattr(report, field) for report in reports)
        for field in ("runs", "states", "interleavings", "crash_ends", "ends", "dirty_ends", "dirty_interleavings")
    }
    observed: dict[str, int] = {}
    for report in reports:
        for check, count in report.observed.items():
            observed[check] = observed.get(check, 0) + count
    return Report(
        scenario=name,
        **sums,
        alone_steps_max=max((report.alone_steps_max for report in reports), default=0),
        observed=observed,
        violations=tuple(violation for report in reports for violation in report.violations),
        exhaustive=all(report.exhaustive for report in reports),
    )


def retell(scenario: Scenario, choices: Sequence[Choice]) -> tuple[str, ...]:
    """Return the steps of one run in words, one line for each."""
    execution = Execution(scenario, Numbers())
    names = list(scenario.clients)
    lines = [f"at first: {' | '.join(_contents(execution.world))}"]
    try:
        for choice in choices:
            listed, before = len(execution.events), _contents(execution.world)
            execution.take(choice)
            changed = [
                after for after, earlier in zip(_contents(execution.world), before, strict=True) if after != earlier
            ]
            for client, kind, detail in execution.events[listed:]:
                effect = f"   [{' | '.join(changed)}]" if kind == "step" and changed else ""
                lines.append(f"{names[client]}: {_DESCRIBE[kind](detail)}{effect}")
        if not execution.finished:
            lines.append("(every unfinished client crashes here)")
    finally:
        execution.close()
    return tuple(lines)


def _describe_step(detail: Any) -> str:
    action, statement = detail
    arguments = [text for text in map(_describe_argument, statement.arguments) if text]
    words = " ".join([statement.store, statement.name, *arguments])
    if action is Action.CANCEL_BEFORE:
        return f"is cancelled before {words}"
    end = ", and is cancelled" if action is Action.CANCEL_AFTER else ""
    return f"{words} → {_describe_outcome(statement.outcome)}{end}"


_DESCRIBE: Mapping[str, Callable[[Any], str]] = {
    "call": lambda call: f"calls {call}",
    "step": _describe_step,
    "return": lambda result: f"gets {result!r}",
}


def _describe_argument(argument: Any) -> str:
    if argument is None or isinstance(argument, bool):
        return ""
    return str(_without_noise(argument) if isinstance(argument, Mapping) else argument).removeprefix("{}")


def _without_noise(argument: Mapping[str, Any]) -> dict[str, Any]:
    """Return an argument without parts that do not help a reader: the id, and the time of a mark."""
    return {
        key.removeprefix("_lazymig."): _without_noise(value) if isinstance(value, Mapping) else value
        for key, value in argument.items()
        if key not in ("_id", "_lazymig.at") or isinstance(value, Mapping)
    }


def _describe_outcome(outcome: Any) -> str:
    if outcome is None:
        return "nothing"
    if isinstance(outcome, (DuplicateKeyError, BulkWriteError)):
        return "duplicate key"
    if isinstance(outcome, UpdateResult):
        return "upserted" if outcome.upserted_id is not None else "matched" if outcome.matched_count else "no match"
    if isinstance(outcome, DeleteResult):
        return "deleted" if outcome.deleted_count else "no match"
    if isinstance(outcome, list):
        return "; ".join(map(describe_document, outcome)) or "nothing"
    if isinstance(outcome, (InsertOneResult, InsertManyResult)):
        return "stored"
    return describe_document(outcome) if isinstance(outcome, Mapping) else str(outcome)


def describe_document(document: Mapping[str, Any]) -> str:
    """Describe a stored document in the terms of the protocol."""
    body = {key: value for key, value in document.items() if not key.startswith("_")}
    meta = document.get("_lazymig")
    if not isinstance(meta, Mapping):
        return f"rev {document.get('_lazymig_rev', 0)} {body}"
    rev, intent = meta.get("rev"), meta.get("intent")
    if intent is None:  # both shapes in one document
        return " ".join([f"rev {rev}", *(name for name in ("alone", "unmoved") if name in meta), str(body)])
    if meta.get("gone"):
        return f"{'placeholder' if rev == -1 else 'tombstone'} rev {rev} intent {intent}"
    return f"{'clean' if rev == intent else 'dirty'} rev {rev} intent {intent} {body}"


def _contents(world: World) -> list[str]:
    return [f"{store.name}: {_describe_documents(store.documents())}" for store in world.stores]


def _describe_documents(documents: Iterable[Mapping[str, Any]]) -> str:
    return "; ".join(f"{document['_id']} {describe_document(document)}" for document in documents) or "-"
