"""Where the time of a document goes: `python -m benchmarks.conversions [--rounds 15]`. It needs no server.

Each step of a document's way through this process, in microseconds of processor time: the medians of rounds in which
each step has its turn, by cattrs and the driver alone, and as lazymig does it. The way of cattrs and the driver reads
each body back from BSON to compare it, which lazymig does only where the types of the values leave a doubt. Prints a
table for `README.md`.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable, Coroutine, Sequence
from decimal import Decimal
from statistics import median
from time import process_time
from typing import Any

import bson
from attrs import evolve, frozen
from bson.decimal128 import Decimal128

from benchmarks import invoices
from benchmarks.subject import MIGRATION, document, orders, ship
from lazymig import Migration, make_converter
from lazymig.shapes.codec import Codec
from lazymig.shapes.conversions import Conversions, conversions_for
from lazymig.shapes.sharing import share_document
from lazymig.stores.records import StoredV1

_DOCUMENTS = 300
#: The steps that make up what a caller or a sweep waits for; some come twice.
_SUMS = {
    "a read of V2": ("decode V2", "structure V2"),
    "a document of a sweep": ("decode V1", "structure V1", "convert", "unstructure V2", "encode V2"),
    "a first read": ("decode V1", "structure V1", "convert", "V2's body, read back as it was given", "encode V2"),
    "an update": (
        "decode V2", "structure V2", "convert back", "convert back", "unstructure V1",
        "V1's body, read back as it was given", "what changed in V1", "V2's body, read back as it was given",
        "encode V2",
    ),
}  # fmt: skip

Step = Callable[[int], object]


def _the_long_way(codec: Codec[Any]) -> Codec[Any]:
    """The codec as cattrs and the driver do it."""
    converter = make_converter(detailed_validation=False)
    converter.register_structure_hook(Decimal, lambda value, _: value.to_decimal())
    converter.register_unstructure_hook(Decimal, Decimal128)
    return evolve(codec, fast=converter, read=None, assured=None)


def _finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return ended.value
    raise AssertionError("it waits")


@frozen
class Subject:
    """A migration with documents of its V1."""

    name: str
    migration: Migration[Any, Any]
    raw: Sequence[bytes]
    change: Callable[[Any], Any]

    def steps(self) -> dict[str, tuple[Step | None, Step]]:
        """Each step the long way and lazymig's; None where both are one."""
        ours = conversions_for(self.migration, v1_aware=False, v2_aware=False)
        theirs = evolve(ours, v1=_the_long_way(ours.v1), v2=_the_long_way(ours.v2))
        long, short = self._steps(theirs), self._steps(ours)
        return {name: (long[name] if name in _TWO_WAYS else None, step) for name, step in short.items()}

    def _steps(self, conversions: Conversions[Any, Any]) -> dict[str, Step]:
        v1, v2 = conversions.v1, conversions.v2
        found = [bson.decode(one) for one in self.raw]
        stored = [StoredV1(one["_id"], 0, one) for one in found]
        old = [v1.decode(one) for one in found]
        new = [_finish(conversions.upgrade(one, None)) for one in old]
        bodies = [{"_id": one.id, **v2.encode(one)} for one in new]
        raw = [bson.encode(one) for one in bodies]
        read = [bson.decode(one) for one in raw]
        before = [v1.encode(one) for one in old]
        after = [v1.encode(_finish(conversions.downgrade(self.change(one), None))) for one in new]
        shape = share_document(evolve(self.migration, v2_within="v2"), v1, v2)
        return {
            "decode V1": lambda n: bson.decode(self.raw[n]),
            "structure V1": lambda n: conversions.v1_entity(stored[n]),
            "convert": lambda n: _finish(conversions.upgrade(old[n], None)),
            "unstructure V2": lambda n: v2.encode(new[n]),
            "encode V2": lambda n: bson.encode(bodies[n]),
            "decode V2": lambda n: bson.decode(raw[n]),
            "structure V2": lambda n: v2.decode(read[n]),
            "V2's body, read back as it was given": lambda n: conversions.v2_body(new[n]),
            "convert back": lambda n: _finish(conversions.downgrade(new[n], None)),
            "unstructure V1": lambda n: v1.encode(old[n]),
            "V1's body, read back as it was given": lambda n: conversions.v1_document(old[n]),
            "what changed in V1": lambda n: conversions.v1_changes(before[n], after[n], None),
            "in one document: the fingerprint": lambda n: shape.fingerprint(found[n]),
        }


_TWO_WAYS = frozenset(
    {
        "structure V1", "unstructure V2", "structure V2", "V2's body, read back as it was given", "unstructure V1",
        "V1's body, read back as it was given",
    }
)  # fmt: skip


def _measure(steps: dict[str, tuple[Step | None, Step]], rounds: int) -> dict[str, tuple[float, float]]:
    """Microseconds of each step, the long way and lazymig's."""
    taken: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in steps}
    for number in range(rounds):
        for name, ways in steps.items():
            for place in (0, 1) if number % 2 else (1, 0):
                step = ways[place]
                if step is not None:
                    taken[name][place].append(_time(step))
    return {name: (median(long or short), median(short)) for name, (long, short) in taken.items()}


def _time(step: Step) -> float:
    gc.collect()
    began = process_time()
    for number in range(_DOCUMENTS):
        step(number)
    return (process_time() - began) / _DOCUMENTS * 1e6


def _table(figures: dict[str, dict[str, tuple[float, float]]]) -> str:
    """Markdown."""
    names = list(next(iter(figures.values())))
    lines = [
        f"| processor µs | {' | '.join(f'{subject}, cattrs and driver | lazymig' for subject in figures)} |",
        f"| --- |{' --: | --: |' * len(figures)}",
    ]
    lines += [f"| {name} | {' | '.join(_cells(found[name]) for found in figures.values())} |" for name in names]
    for name, parts in _SUMS.items():
        sums = [tuple(sum(found[part][place] for part in parts) for place in (0, 1)) for found in figures.values()]
        lines.append(f"| **{name}** | {' | '.join(f'{long:.1f} | {short:.1f}' for long, short in sums)} |")
    return "\n".join(lines)


def _cells(figures: tuple[float, float]) -> str:
    long, short = figures
    return f"| {short:.1f}" if long == short else f"{long:.1f} | {short:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    subjects = (
        Subject("order", MIGRATION, [bson.encode(document(one)) for one in orders(_DOCUMENTS, seed=1)], ship),
        Subject(
            "invoice", invoices.MIGRATION, [bson.encode(one) for one in invoices.documents(_DOCUMENTS, seed=1)],
            lambda invoice: evolve(invoice, note="changed"),
        ),
    )  # fmt: skip
    print(_table({one.name: _measure(one.steps(), rounds) for one in subjects}))


if __name__ == "__main__":
    main()
