"""The files of a new project: their texts from the templates, and how they are written."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Final

from attrs import frozen

from lazymig.cli.failures import Unusable
from lazymig.cli.init.classes import Inference, Shape, declared

#: The parts of each library that templates name.
LIBRARIES: Final[Mapping[str, Mapping[str, str]]] = {
    "attrs": {
        "class_import": "from attrs import frozen",
        "standard_import": "",
        "change_import": "from attrs import evolve\n",
        "change": 'evolve(v2, last="Lovelace")',
    },
    "dataclasses": {
        "class_import": "from dataclasses import dataclass",
        "standard_import": "\nfrom dataclasses import replace\n",
        "change_import": "",
        "change": 'replace(v2, last="Lovelace")',
    },
    "pydantic": {
        "class_import": "from pydantic import BaseModel, ConfigDict",
        "standard_import": "",
        "change_import": "",
        "change": 'v2.model_copy(update={"last": "Lovelace"})',
    },
}


@frozen
class Project:
    """What a new project is called and where its documents are."""

    package: str
    entity: str
    library: str
    #: The name of V1's collection, and that of its database.
    v1_name: str
    v1_database: str

    @property
    def words(self) -> dict[str, str]:
        """What the names in the templates stand for."""
        extras = "cli,testing,pydantic" if self.library == "pydantic" else "cli,testing"
        return {
            "package": self.package,
            "entity": self.entity,
            # In text; in code it is a literal.
            "collection": self.v1_name if _is_plain(self.v1_name) else self.package,
            "name": literal(self.v1_name),
            "v1_collection": literal(self.v1_name),
            "v2_collection": literal(f"{self.v1_name}_v2"),
            "database": literal(self.v1_database),
            # For a shell and a crontab, where a line break would begin another entry.
            "database_word": shlex.quote(self.v1_database) if _is_plain(self.v1_database) else "DATABASE",
            "requirements": f"'lazymig[{extras}]'",
            "python": shlex.quote(sys.executable).replace("%", r"\%"),
            **LIBRARIES[self.library],
        }


def example(project: Project, folder: Path) -> dict[str, str]:
    """The texts of a project that splits a name in two, by the names of their files."""
    words = {**project.words, "folder": _for_cron(folder)}
    return {**_common(words),
        "entities.py": _filled(f"example/entities.{project.library}.py", words),
        "migration.py": _filled("example/migration.py", words),
        "test_migration.py": _filled("example/test_migration.py", words)
    }  # fmt: skip


def derived(project: Project, folder: Path, v1: Shape, inference: Inference, sample: int) -> dict[str, str]:
    """The texts of a project whose classes hold what was seen in `sample` documents."""
    same = "\n".join(f"        {member.name}={{side}}.{member.name}," for member in v1.members)
    words = {
        **project.words,
        "folder": _for_cron(folder),
        "source": f"{project.v1_database}.{project.v1_name}" if _is_plain(project.v1_name) else project.package,
        "sample": f"{sample:,}",
        "imports": "\n".join(_imports(project, v1, inference)),
        "classes": "\n\n\n".join(_classes(project, v1, inference)),
        "upgraded": same.replace("{side}", "v1"),
        "downgraded": same.replace("{side}", "v2"),
    }
    return {**_common(words), **{
        name: _filled(f"sampled/{name}", words) for name in ("entities.py", "migration.py", "test_migration.py")
    }}  # fmt: skip


def _common(words: Mapping[str, str]) -> dict[str, str]:
    return {name: _filled(f"all/{name}", words) for name in ("__init__.py", "storage.py", "README.md", "crontab")}


def write(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write the files, none of which may be there.

    Raises:
        Unusable: Some of them are; nothing was written.
    """
    targets = {folder / name: text for name, text in texts.items()}
    there = [str(path) for path in targets if path.exists() or path.is_symlink()]
    if there:
        raise Unusable(f"these files are there already: {', '.join(there)}; choose another directory or --name")
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in targets.items():
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    return list(targets)


def _classes(project: Project, v1: Shape, inference: Inference) -> list[str]:
    template = _template(f"sampled/class.{project.library}")
    sides = {
        f"{project.entity}V1": "An entity as the collection holds it; `id` is stored as `_id`.",
        f"{project.entity}V2": "An entity as you want it: change these fields.",
    }
    inner = [(shape, shape.name, "A part of an entity.") for shape in inference.shapes]
    texts = []
    for shape, name, description in [*inner, *((v1, name, text) for name, text in sides.items())]:
        fields = "\n".join(f"    {member.name}: {declared(member)}" for member in shape.members)
        texts.append(template.substitute(name=name, description=description, fields=fields or "    pass").rstrip("\n"))
        if shape.renamed:
            texts.append(_renaming(name, shape.renamed))
    return texts


def _renaming(name: str, renamed: Mapping[str, str]) -> str:
    lines = [f"    {python}={literal(stored)}," for python, stored in renamed.items()]
    return "\n".join(["rename(", f"    {name},", *lines, ")"])


def _imports(project: Project, v1: Shape, inference: Inference) -> list[str]:
    renamed = any(shape.renamed for shape in (v1, *inference.shapes))
    standard = [line for line in inference.imports if line.split()[1] in {"datetime", "decimal", "typing", "uuid"}]
    others = [line for line in inference.imports if line not in standard]
    # One import of several names from one package.
    names = sorted(line.rpartition(" ")[2] for line in others)
    others = [f"from bson import {', '.join(names)}"] if names else []
    own = LIBRARIES[project.library]["class_import"]
    standard += [own] if project.library == "dataclasses" else []
    others += [own] if project.library != "dataclasses" else []
    others += ["from lazymig import rename"] if renamed else []
    standard.sort(key=_import_order)
    others.sort(key=_import_order)
    return [*standard, *([""] if standard and others else []), *others]


def _import_order(line: str) -> tuple[bool, str]:
    return line.startswith("from"), line


def literal(text: str) -> str:
    """The text as a literal of Python, in printable characters."""
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"' if text.isprintable() else ascii(text)


def _is_plain(text: str) -> bool:
    """Whether the text may stand in a docstring or a page as it is."""
    return text.isprintable() and not set(text) & set("\\\"'`|<>")


def _for_cron(folder: Path) -> str:
    # In a crontab a percent sign ends the command.
    return shlex.quote(str(folder.resolve())).replace("%", r"\%")


def _template(name: str) -> Template:
    return Template(files(__package__).joinpath("templates", f"{name}.tmpl").read_text("utf-8"))


def _filled(name: str, words: Mapping[str, str]) -> str:
    return _template(name).substitute(words)
