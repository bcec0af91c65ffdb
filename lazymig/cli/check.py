"""`lazymig check`: for CI. Whether a release's conversions and classes keep their promises. Changes nothing."""

from __future__ import annotations

import asyncio
from typing import Annotated

from attrs import frozen
from cyclopts import Parameter
from cyclopts.validators import Number

from lazymig.cli.failures import Unusable
from lazymig.cli.findings import show_diagnosis
from lazymig.cli.laws import check_laws, find_entities
from lazymig.cli.loading import opened
from lazymig.cli.options import App, Debug, Flag, Json
from lazymig.cli.progress import Standing, reporter
from lazymig.diagnosis.findings import Diagnosis, Finding, sort_findings
from lazymig.diagnosis.releases import Checked, check_conversions, check_release
from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.repository import Repository, calls_of
from lazymig.shapes.migration import Migration
from lazymig.stores.opening import are_tz_aware

Text = Annotated[str | None, Parameter(show_default=False)]
Count = Annotated[int, Parameter(validator=Number(gte=0))]


def check(
    *,
    app: App,
    examples: Count = 100,
    v1: Text = None,
    v2: Text = None,
    sample: Count = 0,
    offline: Flag = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Check a release, as in CI: the laws of its conversions, and whether its classes changed without a new revision.

    Changes nothing. The laws are checked on random entities, which needs lazymig[testing]. The exit code is 3 when a
    law is broken, or when the classes changed since the last sweep and Migration(revision=...) did not.

    Args:
        examples: Random entities of each class to check the laws on; 0 to leave the laws out.
        v1: module:attribute, a Hypothesis strategy for V1's entities or documents, or a function that returns one.
            Without it, entities are made from the class.
        v2: A strategy for V2's entities, likewise.
        sample: Documents of V1 to convert there and back, chosen at random.
        offline: Check the laws only, without a server.
    """
    if offline and sample:
        raise Unusable("--offline reads no documents; leave out --sample")
    entities = find_entities(examples, v1, v2)
    began_s = SYSTEM_CLOCK.monotonic()
    release = asyncio.run(_look(app, sample, offline=offline, in_json=json))
    laws = check_laws(release.migration, entities, tz_aware=release.tz_aware) if examples else []
    checked = release.checked
    findings = sort_findings([*laws, *release.findings, *checked.findings])
    elapsed_s = SYSTEM_CLOCK.monotonic() - began_s
    diagnosis = Diagnosis(release.migration.name, findings, checked.documents, checked.examined, elapsed_s)
    return show_diagnosis(diagnosis, in_json=json, verbose=True)


@frozen
class _Release:
    """What the checks of a release need of its repository, and what those found that need a server."""

    migration: Migration[object, object]
    tz_aware: bool
    findings: list[Finding]
    checked: Checked


async def _look(app: str, sample: int, *, offline: bool, in_json: bool) -> _Release:
    async with opened(app, in_json=in_json, reaching=not offline) as repository:
        aware = any(are_tz_aware(repository.collections))
        if offline:
            return _Release(repository.migration, aware, [], Checked((), 0, 0))
        calls = calls_of(repository)
        findings = list(await check_release(calls.ground, calls.choose_control()))
        checked = await _convert(repository, sample, in_json=in_json) if sample else Checked((), 0, 0)
        return _Release(repository.migration, aware, findings, checked)


async def _convert(repository: Repository[object, object], sample: int, *, in_json: bool) -> Checked:
    with reporter("check", as_json=in_json) as shown:
        return await check_conversions(
            calls_of(repository).ground, sample, lambda done, total: shown.update(Standing(done, total))
        )
