"""The options of `lazymig verify`, in groups, and which of them exclude each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeAlias, TypeVar

from attrs import frozen
from cyclopts import Group, Parameter

from lazymig.cli.failures import Unusable
from lazymig.cli.loading import find_attribute
from lazymig.cli.options import Flag
from lazymig.cli.sweep_options import Count, Positive, Seconds, Text, parse_filter, parse_shard, parse_workers
from lazymig.comparing.equivalences import resolved
from lazymig.errors import ConfigurationError
from lazymig.repository import Repository
from lazymig.verifier import Verifier

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Keywords of a `Verifier`.
Keywords: TypeAlias = dict[str, Any]

CHECKS, PACE = Group("Checks"), Group("Pace and processes")


@frozen(kw_only=True)
class What:
    """Which entities are compared, and what happens then.

    Args:
        sample: Compare only so many entities of each side, drawn at random. The report says what that can exclude.
        where: A MongoDB filter on V1 as extended JSON: compare only the entities that it finds.
        repair: Bring V2 to what V1 holds wherever they do not agree, and compare again.
        continuous: Begin again after each pass, until stopped. Needs --rate.
        min_age: Seconds for which a mismatch must stand unchanged before it counts. Must exceed the time that a write
            takes.
        show_values: Show the values that differ. Without it, nothing of the documents is shown.
    """

    sample: Annotated[int | None, Parameter(show_default=False)] = None
    where: Text = None
    repair: Flag = False
    continuous: Flag = False
    min_age: Seconds = 10.0
    show_values: Flag = False


@frozen(kw_only=True)
class Opinions:
    """What is checked besides both conversions.

    Args:
        expected: module:function, an f(v1) or f(v1, stored_v2) that returns what V2 should hold, written by somebody
            else.
        invariants: module:attribute, a mapping of names to functions f(v1, v2) -> bool, or one such function.
        accept: A difference that counts as agreement, such as missing-null, or missing-null:address.zip for one field.
            Give it once for each.
        ordered: The order of the keys of documents counts, too.
    """

    expected: Text = None
    invariants: Text = None
    accept: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = ()
    ordered: Flag = False

    def load(self) -> Keywords:
        """Return the keywords of a `Verifier`. Raises `Unusable` for a name that leads nowhere."""
        try:
            resolved(self.accept)
        except ConfigurationError as error:
            raise Unusable(f"--{error}") from None
        return {
            "expected": None if self.expected is None else _function("--expected", self.expected),
            "invariants": {} if self.invariants is None else _functions(self.invariants),
            "accept": self.accept,
            "ordered": self.ordered,
        }


@frozen(kw_only=True)
class Pace:
    """How fast, and by which processes.

    Args:
        batch_size: Documents per statement.
        concurrency: Batches in flight at the same time.
        rate: Entities per second at most, in each process. Without it there is no limit.
        max_time: Seconds after which it stops, as by Ctrl-C.
        workers: Processes on this machine, or auto: three of four processors, and no more than the partitions that are
            left.
        shard: I/N: only every N-th partition, starting at the I-th (0 to N - 1), as for a Kubernetes Indexed Job.
    """

    batch_size: Count = 1000
    concurrency: Count = 2
    rate: Positive = None
    max_time: Positive = None
    workers: str = "1"
    shard: Text = None


def check(what: What, pace: Pace) -> None:
    """Raise `Unusable` for options that exclude each other."""
    one_process = parse_workers(pace.workers) == 1
    if what.sample is not None and what.sample < 1:
        raise Unusable("--sample: pass 1 or more")
    if what.sample is not None and (not one_process or pace.shard):
        raise Unusable("--sample runs in one process; leave out --workers and --shard")
    if what.continuous and (what.sample is not None or not one_process or pace.max_time is not None):
        raise Unusable("--continuous verifies everything in one process until stopped; leave out --sample, --workers "
                       "and --max-time")  # fmt: skip
    if what.continuous and pace.rate is None:
        raise Unusable("--continuous: pass --rate, such as --rate 100, because it never ends")


def keywords_of(what: What, pace: Pace) -> Keywords:
    """Return the keywords of a `Verifier` besides the checks. All can be sent to a process."""
    return {
        "where": None if what.where is None else parse_filter(what.where),
        "min_age_s": what.min_age,
        "repair": what.repair,
        "show_values": what.show_values,
        "batch_size": pace.batch_size,
        "concurrency": pace.concurrency,
        "rate_limit": pace.rate,
        "max_time_s": pace.max_time,
        "shard": parse_shard(pace.shard),
    }


def make_verifier(repository: Repository[V1, V2], *, opinions: Opinions, **options: Any) -> Verifier[V1, V2]:
    """Make a verifier whose checks are found by their names, in any process."""
    return Verifier(repository, **opinions.load(), **options)


def _function(option: str, text: str) -> Callable[..., object]:
    found = find_attribute(text, option, "shop.checks:expected")
    if not callable(found):
        raise Unusable(f"{option} {text}: found {type(found).__name__}; name a function")
    return found  # type: ignore[no-any-return]


def _functions(text: str) -> Mapping[str, Callable[..., object]]:
    found = find_attribute(text, "--invariants", "shop.checks:invariants")
    if isinstance(found, Mapping):
        return found
    if not callable(found):
        raise Unusable(f"--invariants {text}: found {type(found).__name__}; name a mapping of functions, or a function")
    return {getattr(found, "__name__", text): found}
