"""Names in Python for what MongoDB calls something else."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Collection

#: Names that the generated module uses itself; a field of that name with a default would hide them in its class.
_USED = frozenset(
    ("Any", "BaseModel", "Binary", "ConfigDict", "Decimal", "ObjectId", "Regex", "Timestamp", "UUID", "bool", "bytes",
     "dataclass", "dict", "dt", "float", "frozen", "int", "list", "rename", "str")
)  # fmt: skip
#: Of pydantic's models. Names that begin with `model_` are its own as well.
_OF_MODELS = frozenset(
    ("construct", "copy", "dict", "from_orm", "json", "parse_file", "parse_obj", "parse_raw", "schema", "schema_json",
     "update_forward_refs", "validate")
)  # fmt: skip
#: Words whose singular no rule gives.
_SINGULARS = {"people": "person", "children": "child", "news": "news", "series": "series", "data": "data"}


def field_name(stored: str, taken: Collection[str], *, of_model: bool = False) -> str:
    """Return a Python name for a field.

    Args:
        stored: Its name in the documents.
        taken: The names of the other fields.
        of_model: Whether the class is a pydantic model, which has some names of its own.

    Returns:
        The stored name itself where it will do, else one like it.
    """
    # Python reads identifiers in this normal form.
    name = re.sub(r"\W", "_", unicodedata.normalize("NFKC", stored)).lstrip("_")
    if name != stored:
        name = name.lower()
    if not name.isidentifier():
        name = f"field_{name}"
    reserved = keyword.iskeyword(name) or name in _USED
    if reserved or (of_model and (name in _OF_MODELS or name.startswith("model_"))):
        name = f"{name}_" if not name.startswith("model_") else f"field_{name}"
    numbered = (f"{name}_{number}" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(one for one in numbered if one not in taken)


def class_name(*words: str) -> str:
    """Return a name for a class, made of words in any style: `tier_and_details` gives `TierAndDetails`."""
    parts = [part for word in words for part in re.split(r"[\W_]+", unicodedata.normalize("NFKC", word)) if part]
    name = "".join(part[0].upper() + part[1:] for part in parts)
    return name if name.isidentifier() else f"Class{name}"


def module_name(text: str) -> str:
    """Return a name for a package, made of any text; it may be empty."""
    name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_").lower()
    return f"c_{name}" if name[:1].isdigit() else name


def singular(word: str) -> str:
    """Return one of what an English plural names, as far as a simple rule gives it."""
    head, _, last = word.rpartition("_")
    one = _SINGULARS.get(last) or _without_s(last)
    return f"{head}_{one}" if head else one


def _without_s(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) else word
