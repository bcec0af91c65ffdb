"""The operator of a service: commands, and the same steps from Python where a test makes many of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import pytest
from attrs import frozen

from lazymig import Control, Phase, PhaseError, Repository, Sweeper, Switch, Verifier
from lazymig.control import Standing, parts_of
from tests.phases.layouts import Layout
from tests.phases.services import SCRIPT, environment

NAME = "customers"
APP = "examples.service.app:repository"
_ORDER = list(Phase)
_SEAL = ("phase", "advance", "--why", "V1 may go", "--soak", "0", "--accept", "outside-writes", "--yes")


@frozen
class Ran:
    """A command that ended: its exit code, and what it printed on both streams."""

    code: int
    output: str


@frozen
class Operator:
    """The operator, who moves the fleet and is no process of it."""

    database: Any
    control: Control
    repository: Repository[Any, Any]
    switch: Switch[Any, Any]
    layout: Layout
    variables: Mapping[str, str]
    #: Where commands run.
    folder: Path

    @classmethod
    def over(cls, database: Any, layout: Layout, variables: Mapping[str, str], folder: Path) -> Self:
        """The operator of the service that has this database and these environment variables."""
        control = Control(database["lazymig_control"])
        repository = layout.open(database, control)
        return cls(database, control, repository, Switch(repository), layout, variables, folder)

    async def lazymig(self, *words: str, code: int = 0) -> Ran:
        """Run a command as a person does; its exit code must be this one."""
        ran = await self.run(*words)
        assert ran.code == code, f"lazymig {' '.join(words)}: exit code {ran.code}\n{ran.output}"
        return ran

    async def run(self, *words: str) -> Ran:
        """Run a command, whatever comes of it."""
        process = await asyncio.create_subprocess_exec(
            SCRIPT, *words, cwd=self.folder, env=environment({**self.variables, "LAZYMIG_APP": APP}),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
        return Ran(process.returncode or 0, output.decode())

    async def standing(self) -> Standing:
        """Where the migration stands."""
        found = await parts_of(self.control).phases(NAME).find()
        assert found is not None
        return found

    async def find_announced(self) -> set[tuple[str, int]]:
        """Find writes that are announced in V2 and not in V1."""
        v1, v2 = self.repository.collections
        intents = {one["_id"]: one["_lazymig"]["intent"] async for one in v2.find({}, {"_lazymig": 1})}
        revs = {one["_id"]: one.get("_lazymig_rev", 0) async for one in v1.find({}, {"_lazymig_rev": 1})}
        return {(str(id), intents[id]) for id, rev in revs.items() if intents.get(id, 0) > rev}

    async def move(self, to: Phase) -> None:
        """Move the fleet one phase on or back. Where what clients left behind refuses it, a sweep comes first."""
        back = _ORDER.index(to) < _ORDER.index((await self.standing()).phase)
        while (await self.standing()).phase is not to:
            try:
                if back:
                    await self.switch.rollback(by="the walk", why="to see the way back")
                else:
                    await self.switch.advance(by="the walk", why="the next step", accept=["soak"])
            except PhaseError as error:
                if not any(gate in str(error) for gate in self.layout.swept):
                    raise
                await self.sweep()

    async def fill(self) -> None:
        """Move everything to V2 and verify it. Without that, the next step is refused."""
        before = await self.standing()
        with pytest.raises(PhaseError, match="verification: "):
            await self.switch.advance(by="the walk", why="too early", confirm=NAME, accept=["soak", "outside-writes"])
        assert await self.standing() == before
        if before.phase is Phase.COEXIST or self.layout.outsiders:  # who may have inserted something since
            await self.sweep()
        report = await Verifier(self.repository, control=self.control).run()
        assert report.agrees, report

    async def sweep(self) -> None:
        """Move everything to V2."""
        assert (await Sweeper(self.repository, control=self.control).run()).dead == 0

    async def try_to_seal_by_mistake(self) -> None:
        """Another name than the migration's is no confirmation."""
        await self.lazymig(*_SEAL, "--confirm", "customer", code=1)
        assert (await self.standing()).phase is Phase.V2_PRIMARY

    async def seal(self) -> None:
        """Go to V2 alone. With two collections, writes of a dead or paused process refuse it, and a sweep ends them."""
        while (ran := await self.run(*_SEAL, "--confirm", NAME)).code == 3 and "open-writes" in ran.output:
            await self.sweep()
        assert ran.code == 0, ran.output
        assert (await self.standing()).phase is Phase.V2_ONLY

    async def try_what_is_over(self) -> None:
        """In V2 alone there is no way back, and nothing runs that would need V1."""
        before = await self.standing()
        await self.lazymig("phase", "rollback", "--why", "to see the way back", "--yes", code=1)
        await self.lazymig("sweep", code=1)
        with pytest.raises(PhaseError, match=self.layout.over):
            await Verifier(self.repository, control=self.control).run()
        assert await self.standing() == before
