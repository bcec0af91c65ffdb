"""What a form sends: plain texts by the names of its fields."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from attrs import field, frozen

#: Bytes of a form, and fields in it: far more than the longest that a page sends.
BODY_MAX, FIELDS_MAX = 65_536, 200


@frozen
class Given:
    """The fields of a form, each with its texts."""

    fields: Mapping[str, tuple[str, ...]] = field(factory=dict)

    def one(self, name: str) -> str:
        """Return a field's text as it was sent; "" where it was not sent, or several times."""
        texts = self.fields.get(name, ())
        return texts[0] if len(texts) == 1 else ""

    @property
    def repeated(self) -> set[str]:
        """The fields that were sent several times."""
        return {name for name, texts in self.fields.items() if len(texts) > 1}

    def words(self, name: str) -> str:
        """Return a field's text on one line, without spaces around it."""
        return " ".join(self.one(name).split())

    def every(self, name: str) -> tuple[str, ...]:
        """Return each text of a field that may be sent several times."""
        return self.fields.get(name, ())

    def only(self, names: frozenset[str]) -> Given:
        """Return these fields alone."""
        return Given({name: texts for name, texts in self.fields.items() if name in names})


def parse_form(text: str) -> Given:
    """Return the fields of a form or a query. Raises `ValueError` for one that is none."""
    fields: dict[str, tuple[str, ...]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX):
        fields[name] = (*fields.get(name, ()), value)
    return Given(fields)
