"""`lazymig doctor`: what would go wrong with a migration, before it begins. Changes nothing."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from lazymig.cli.findings import show_diagnosis
from lazymig.cli.loading import opened
from lazymig.cli.options import App, Debug, Flag, Json
from lazymig.cli.progress import Standing, reporter
from lazymig.doctor import Doctor

Sample = Annotated[int, Parameter(validator=Number(gte=0))]


async def doctor(
    *,
    app: App,
    sample: Sample = 1000,
    all: Flag = False,
    verbose: Flag = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Find what would go wrong with a migration: servers, collections, indexes, documents and conversions.

    Changes nothing; the role read is enough for most checks. Documents are converted there and back in this process.
    The exit code is 3 when a finding blocks the migration.

    Args:
        sample: Documents of V1 to examine, chosen at random; 0 for none.
        all: Examine all documents.
        verbose: Show the checks that found nothing as well.
    """
    async with opened(app, in_json=json) as repository:
        with reporter("doctor", as_json=json) as shown:
            diagnosis = await Doctor(
                repository,
                sample=None if all else sample,
                on_progress=lambda done, total: shown.update(Standing(done, total)),
            ).run()
    return show_diagnosis(diagnosis, in_json=json, verbose=verbose)
