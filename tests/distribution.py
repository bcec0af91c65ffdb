"""What the built sdist and wheel hold: `python tests/distribution.py dist [TAG]` looks at them and says what is wrong.

Needs nothing but Python, so that it also runs where nothing is installed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
#: Tracked files that no user of the sdist needs.
LEFT_OUT = {".gitignore"}
#: In the wheel beside the package: where the build puts the example that `lazymig demo` runs.
EXAMPLE, EXAMPLE_HOME = "examples/customers/", "lazymig/cli/customers/"


def tracked(root: Path = ROOT) -> set[str]:
    """The files that git tracks; in a copy without a repository, all that .gitignore does not name."""
    listed = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=False)
    if (root / ".git").exists() and not listed.returncode:
        return {name for name in listed.stdout.splitlines() if (root / name).is_file()}
    ignored = [line.rstrip("/") for line in (root / ".gitignore").read_text("utf-8").splitlines()]
    names = [file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file()]
    return {name for name in names if not _is_ignored(name, [*ignored, ".git"])}


def _is_ignored(name: str, patterns: list[str]) -> bool:
    """Whether a pattern names the file or a folder that it is in, alone or by its path."""
    folders = [name, *(str(folder) for folder in PurePosixPath(name).parents)]
    return any(fnmatch(part, pattern) for pattern in patterns for part in (*folders, *name.split("/")))


def wrong_sdist(held: Iterable[str], files: set[str]) -> list[str]:
    """What an sdist lacks of the repository, and what it holds beyond it."""
    names = set(held) - {"PKG-INFO", ".gitignore"}
    wanted = files - LEFT_OUT
    return _differences("sdist", names, wanted)


def wrong_wheel(held: Iterable[str], files: set[str]) -> list[str]:
    """What a wheel lacks of the package and its example, and what it holds beyond them."""
    names = {name for name in held if ".dist-info/" not in name}
    wanted = {name for name in files if name.startswith("lazymig/")}
    wanted |= {EXAMPLE_HOME + name.removeprefix(EXAMPLE) for name in files if name.startswith(EXAMPLE)}
    return _differences("wheel", names, wanted)


def _differences(kind: str, names: set[str], wanted: set[str]) -> list[str]:
    lacking = [f"the {kind} lacks {name}" for name in sorted(wanted - names)]
    return lacking + [f"the {kind} holds {name}, which it should not" for name in sorted(names - wanted)]


def wrong_release(tag: str, version: str, changelog: str) -> list[str]:
    """What does not fit between a tag, the version of the project, and the topmost entry of the changelog."""
    found = [] if tag == f"v{version}" else [f"the tag {tag} is not v{version}"]
    entry = re.search(r"^## \[(.+?)\] - (.+)$", changelog, re.MULTILINE)
    if entry is None or entry[1] != version:
        return [*found, f"the changelog does not begin with version {version}"]
    dated = re.fullmatch(r"\d{4}-\d{2}-\d{2}", entry[2])
    return found if dated else [*found, f"the changelog dates {version} {entry[2]!r}; write the day of the release"]


def wrong(folder: Path, tag: str = "") -> list[str]:
    """Everything that is wrong with the distributions in a folder."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    sdist, wheel = folder / f"lazymig-{version}.tar.gz", folder / f"lazymig-{version}-py3-none-any.whl"
    if {file.name for file in folder.iterdir() if file.name[0] != "."} != {sdist.name, wheel.name}:
        return [f"{folder} does not hold exactly {sdist.name} and {wheel.name}"]
    with tarfile.open(sdist) as archive:
        in_sdist = [member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()]
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = archive.namelist()
    files = tracked()
    found = wrong_sdist(in_sdist, files) + wrong_wheel(in_wheel, files)
    if tag:
        found += wrong_release(tag, version, (ROOT / "CHANGELOG.md").read_text("utf-8"))
    return found


def main(arguments: list[str]) -> int:
    """The exit code: 0 where nothing is wrong."""
    found = wrong(Path(arguments[0]), *arguments[1:2])
    print(*found or ["the distributions hold what they should"], sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
