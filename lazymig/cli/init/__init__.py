"""`lazymig init`: write a first migration that runs, with storage, tests and a crontab."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated, Literal

from attrs import frozen
from cyclopts import Parameter
from cyclopts.validators import Number
from pymongo.errors import InvalidName, InvalidURI

from lazymig.cli.failures import Unusable
from lazymig.cli.init.classes import Inference, Shape
from lazymig.cli.init.naming import class_name, module_name, singular
from lazymig.cli.init.observing import observed
from lazymig.cli.init.writing import Project, derived, example, literal, write
from lazymig.cli.options import Debug, Exit, Json
from lazymig.cli.output import complain, say, section, show_json
from lazymig.cli.reaching import reach
from lazymig.stores.clients import connect
from lazymig.stores.sampling import sample_documents

Library = Literal["attrs", "dataclasses", "pydantic"]
_Text = Annotated[str | None, Parameter(show_default=False)]


@frozen(kw_only=True)
class Source:
    """A collection whose documents show what V1's class must hold.

    Args:
        sampled: DATABASE.COLLECTION. Derive the classes from documents of this collection, instead of an example.
            Only names and types go into the files, no values.
        uri: The MongoDB server of the collection. The files name no server: they read MONGODB_URI.
        sample: How many documents to look at, taken at random.
    """

    sampled: Annotated[str | None, Parameter(name="--collection", show_default=False)] = None
    uri: Annotated[str, Parameter(env_var="MONGODB_URI")] = "mongodb://localhost:27017/"
    sample: Annotated[int, Parameter(validator=Number(gte=1))] = 1000


async def init(
    directory: Path = Path(),
    /,
    *,
    library: Library = "attrs",
    name: _Text = None,
    source: Annotated[Source, Parameter(name="*")] = Source(),
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Write a first migration that runs: two classes, two conversions, storage, tests and a crontab.

    The files are a package named NAME_migration, with a README.md that lists the next commands. Files that are there
    already are never overwritten.

    Args:
        directory: The folder to write the package into; by default this one.
        library: What the classes are made with.
        name: What is migrated, such as customers. By default the name of the collection, or people.
    """
    project = _project(name, library, source)
    folder = directory / project.package
    if source.sampled is None:
        texts, left_out = example(project, directory), []
    else:
        v1, inference, count = await _looked_at(project, source, in_json=json)
        texts, left_out = derived(project, directory, v1, inference, count), inference.left_out
    written = write(folder, texts)
    _show(project, directory, [str(path) for path in written], left_out, in_json=json)
    return Exit.DONE


def _project(name: str | None, library: str, source: Source) -> Project:
    database, dot, collection = (source.sampled or "test.people").partition(".")
    if not (database and dot and collection):
        raise Unusable("--collection: name it as DATABASE.COLLECTION, such as shop.customers")
    if name is not None and not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise Unusable("--name: use small letters, digits and _, beginning with a letter, such as customers")
    stem = name or module_name(collection) or "entities"
    if source.sampled is None:
        collection = stem
    return Project(f"{stem}_migration", class_name(singular(stem)), library, collection, database)


async def _looked_at(project: Project, source: Source, *, in_json: bool) -> tuple[Shape, Inference, int]:
    """The shape of V1's documents, the classes inside it, and how many documents were looked at."""
    try:
        async with connect(source.uri) as client:
            await reach(client, in_json=in_json)
            documents = await sample_documents(client, project.v1_database, project.v1_name, source.sample)
    except InvalidURI as error:
        raise Unusable(f"--uri: {error}") from None
    except InvalidName as error:
        raise Unusable(f"--collection {source.sampled}: {error}") from None
    if not documents:
        raise Unusable(f"--collection {source.sampled}: it holds no documents; check the names and --uri")
    inference = Inference(of_models=project.library == "pydantic")
    try:
        v1 = inference.entity(observed(documents), project.entity)
    except ValueError as error:
        raise Unusable(f"--collection {source.sampled}: {error}") from None
    return v1, inference, len(documents)


def _show(project: Project, directory: Path, written: list[str], left_out: list[str], *, in_json: bool) -> None:
    app = f"{project.package}:repository"
    commands = [
        f"python -m pytest {project.package}",
        f"lazymig sweep --app {app} --dry-run",
        f"lazymig status --app {app}",
    ]
    if directory.resolve() != Path.cwd():
        commands.insert(0, f"cd {shlex.quote(str(directory))}")
    if in_json:
        show_json({"written": written, "left_out": left_out, "next": commands})
        return
    say("Written:")
    for path in written:
        say(f"  {path}")
    if left_out:
        names = ", ".join(map(literal, left_out))
        complain(f"these fields have names that no class can declare; they stay as they are in V1: {names}")
    section("Next")
    for command in commands:
        say(f"  {command}")
    say("The last two need a MongoDB: set MONGODB_URI, or run one on localhost:27017.")
    say(f"They look into the database {literal(project.v1_database)}, or the one in MONGODB_DATABASE.")
