"""Many explorations at once, on two processes, with their numbers, and the check of every mutant."""

from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from site import addsitedir
from unittest import mock

from attrs import evolve, frozen

from lazymig.protocol import bodies
from lazymig.testing.explore import explore, total, walk
from tests.interleaving.subject import scenario

PROCESSES = 2
#: What this session explored, and the mutants that it killed.
EXPLORED = []
KILLED = []
#: Where a spawned process finds these tests, behind everything that is installed.
ROOT = Path(__file__).parents[2]


@frozen
class Task:
    """One scenario, by values that a process can be sent.

    `walks`: 0 to visit all, else the number of random runs. `state_limit`: where a visit gives up.
    """

    state: str
    clients: tuple[tuple[str, ...], ...]
    cancellations: int = 0
    heal_at_once: bool = False
    walks: int = 0
    seed: int = 0
    state_limit: int = 100_000

    def scenario(self):
        """The scenario itself."""
        return scenario(self.state, self.clients, cancellations=self.cancellations)


def explored(task):
    """The report of one task."""
    made = task.scenario()
    # Readers heal a mark once it is some seconds old, and no clock moves here: so they do it always, or for old marks.
    after = timedelta(0) if task.heal_at_once else bodies.HEAL_AFTER
    with mock.patch.object(bodies, "HEAL_AFTER", after):
        if task.walks:
            return walk(made, runs=task.walks, seed=task.seed)
        return explore(made, state_limit=task.state_limit)


def explore_all(name, tasks):
    """All reports and their sum; prints the sum, with the first counter-examples."""
    tasks = list(tasks)
    # Spawned, since a fork would take the test session's threads along.
    spawned = {"mp_context": get_context("spawn"), "initializer": addsitedir, "initargs": (str(ROOT),)}
    with ProcessPoolExecutor(PROCESSES, **spawned) as pool:
        reports = list(pool.map(explored, tasks, chunksize=8))
    summed = total(f"{name}, {len(tasks)} scenarios", reports)
    EXPLORED.append(summed)
    print(evolve(summed, violations=summed.violations[:3]))
    return reports, summed


def visited(name, scenarios):
    """The sum of these explorations, which found nothing and left nothing out."""
    report = total(name, [explore(scenario) for scenario in scenarios])
    EXPLORED.append(report)
    print(report)
    assert not report.violations, report.violations[0]
    assert report.exhaustive
    return report


def check_killed(mutant, monkeypatch):
    """The scenario is sound as it stands, and has a counter-example once the guard is taken away."""
    assert explore(mutant.scenario()).ok
    mutant.spoil(monkeypatch)
    report = explore(mutant.scenario())
    print(f"{mutant.name}\n{report}")
    assert report.violations, f"survived: {mutant.name}"
    assert report.violations[0].steps
    KILLED.append(mutant.name)


def check_shown(mutant):
    """What the guard prevents, which is taken away, is wrong answers: clients see them, whatever the invariants say."""
    assert explore(evolve(mutant.scenario(), invariants={})).violations
