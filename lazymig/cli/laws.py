"""The laws of a migration on random entities, as findings. They show generated values, never those of a document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from attrs import frozen

from lazymig.cli.failures import Unusable
from lazymig.cli.loading import find_attribute
from lazymig.diagnosis.findings import Finding, blocks, passes
from lazymig.errors import ConfigurationError
from lazymig.shapes.migration import Migration

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


_CHECK = "laws"
_EXAMPLE = "tests.strategies:people"


@frozen
class Entities:
    """How many random entities of each class to check, and strategies for them where the classes do not say enough."""

    examples: int
    v1: SearchStrategy[object] | None
    v2: SearchStrategy[object] | None


def find_entities(examples: int, v1: str | None, v2: str | None) -> Entities:
    """Find the strategies that these options name. Raises `Unusable`, also where Hypothesis is not installed."""
    if not examples:
        if v1 or v2:
            raise Unusable("--examples 0 leaves the laws out, so leave out --v1 and --v2 as well")
        return Entities(0, None, None)
    if find_spec("hypothesis") is None:
        raise Unusable(
            "the laws are checked on random entities, which needs hypothesis: pip install 'lazymig[testing]', or pass "
            "--examples 0 to leave the laws out"
        )
    return Entities(examples, _find_strategy("--v1", v1), _find_strategy("--v2", v2))


def _find_strategy(option: str, text: str | None) -> SearchStrategy[object] | None:
    from hypothesis.strategies import SearchStrategy

    if text is None:
        return None
    found = find_attribute(text, option, _EXAMPLE)
    if callable(found) and not isinstance(found, SearchStrategy):
        found = found()
    if not isinstance(found, SearchStrategy):
        raise Unusable(
            f"{option} {text}: found {type(found).__name__}; name a Hypothesis strategy, or a function of one"
        )
    return found


def check_laws(migration: Migration[object, object], given: Entities, *, tz_aware: bool) -> Sequence[Finding]:
    """Check the laws on random entities. Call it without a running event loop."""
    from lazymig.testing import LawBroken, assert_laws

    try:
        with _leaving_nothing():
            assert_laws(migration, v1=given.v1, v2=given.v2, tz_aware=tz_aware, examples=given.examples)
    except LawBroken as broken:
        detail = " ".join(str(broken).split("\n", 2)[-1].split())
        where = f"at field {broken.path}" if broken.path else "for the whole entity"
        return [
            blocks(
                _CHECK, f'"{broken.law}" does not hold {where}. A random entity shows it: {detail}',
                "correct the conversion or the class; where your documents are narrower than their types, name "
                "Hypothesis strategies for them with --v1 and --v2",
            )
        ]  # fmt: skip
    except ConfigurationError as error:
        advice = "name a Hypothesis strategy with --v1 or --v2, or leave the laws out with --examples 0"
        return [blocks(_CHECK, f"not checked: {error}", advice)]
    return [passes(_CHECK, f"{given.examples:,} random entities of each class keep all laws")]


@contextmanager
def _leaving_nothing() -> Iterator[None]:
    """Let Hypothesis keep its files in a temporary folder: this command changes nothing where it is run."""
    from hypothesis import Verbosity, settings
    from hypothesis.configuration import set_hypothesis_home_dir

    with TemporaryDirectory(prefix="lazymig-check-") as folder:
        set_hypothesis_home_dir(folder)
        settings.register_profile("lazymig check", settings(), database=None, verbosity=Verbosity.quiet)
        settings.load_profile("lazymig check")
        try:
            yield
        finally:
            set_hypothesis_home_dir(None)
