"""What this site adds to Sphinx: the command line's help as a page, and the API as its source spells it."""

import re
import types
from typing import Any

import attrs
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

_GENERATED_DEFAULT = re.compile(r"attr_dict\['(\w+)'\]\.default")
_BEFORE_NAPOLEON, _AFTER_NAPOLEON = 400, 600


class HelpTexts(SphinxDirective):
    """`help-texts`: every command with its options, taken from the program at each build."""

    def run(self) -> list[nodes.Node]:
        from lazymig.cli.verbs import command_line

        text = command_line().generate_docs(output_format="markdown", recursive=True)
        # The page has its own title and introduction, and the theme shows the contents.
        _, first, others = text.partition("\n## lazymig ")
        return self.parse_text_to_nodes(first + others, allow_section_headings=True)


class AttributeComments:
    """What attributes and properties say is sentences. Napoleon would take the words before a colon for a type."""

    def __init__(self) -> None:
        self._comment: list[str] = []

    def keep(self, app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
        """Remember the comment before napoleon changes it."""
        self._comment = list(lines)

    def restore(self, app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
        """Put it back."""
        if what in ("attribute", "property"):
            lines[:] = self._comment


def true_defaults(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None] | None:
    """The defaults of attrs classes, whose generated source names a dict that nobody sees."""
    if signature is None or not (isinstance(obj, type) and attrs.has(obj)):
        return None
    fields = attrs.fields_dict(obj)
    signature = _GENERATED_DEFAULT.sub(lambda found: repr(fields[found[1]].default), signature)
    for name, field in fields.items():
        if isinstance(field.default, attrs.Factory):  # type: ignore[arg-type]
            made = repr(field.default.factory())
            signature = re.sub(rf"(\b{name}: [^=]*= )NOTHING", lambda found, made=made: found[1] + made, signature)
    return signature, returns


def without_builtin_text(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Leave out what Python says about every union: the page says what this one is for."""
    if what == "data" and isinstance(obj, types.UnionType):
        lines.clear()


def dashes(app: Sphinx, document: nodes.document) -> None:
    """A dash between the name of a parameter and its description, which Sphinx leaves to its smart quotes."""
    for text in document.findall(nodes.Text):
        if text == " -- ":
            text.parent.replace(text, nodes.Text(" \N{EN DASH} "))


def setup(app: Sphinx) -> dict[str, Any]:
    """What Sphinx calls."""
    app.add_directive("help-texts", HelpTexts)
    comments = AttributeComments()
    app.connect("autodoc-process-docstring", comments.keep, priority=_BEFORE_NAPOLEON)
    app.connect("autodoc-process-docstring", comments.restore, priority=_AFTER_NAPOLEON)
    app.connect("autodoc-process-docstring", without_builtin_text)
    app.connect("autodoc-process-signature", true_defaults)
    app.connect("doctree-read", dashes)
    return {"parallel_read_safe": True}
