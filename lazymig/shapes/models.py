"""What pydantic's models and dataclasses declare.

Imported only once such a class is met: lazymig itself needs no pydantic.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, get_args

from attrs import NOTHING, Factory
from pydantic import AliasChoices, AliasPath, BaseModel, RootModel, ValidationError
from pydantic.dataclasses import rebuild_dataclass
from pydantic.fields import FieldInfo
from pydantic_core.core_schema import ErrorType

from lazymig.shapes.fields import STORED_NAME, Field, Rejected, Undeclarable

#: The types of pydantic's own errors.
_KINDS_OF_ERRORS = frozenset(get_args(ErrorType))


def model_fields(cls: type) -> Iterator[Field]:
    """The fields of a model or of a pydantic dataclass.

    Raises:
        NameError: An annotation names nothing known.
    """
    compared = {one.name: one for one in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else {}
    infos = _infos(cls)
    for name, info in infos.items():
        if info.init_var:
            continue  # an argument, and no attribute
        of_dataclass = compared.get(name)
        stated = of_dataclass.metadata.get(STORED_NAME) if of_dataclass is not None else None
        alias, ambiguity = (stated, "") if stated is not None else _alias(info)
        yield Field(
            name=name,
            type=Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation,
            argument=_argument(cls, name, info),
            default=_default(info),
            init=info.init is not False,
            stored=not info.exclude,
            declared_name=alias,
            aliased=stated is None and alias is not None,
            ambiguity=ambiguity,
            eq=of_dataclass is None or of_dataclass.compare,
        )
    for name, one in compared.items():
        if name not in infos:  # pydantic leaves out what only `__post_init__` gives a value
            yield Field(name=name, type=Any, argument=name, init=False, eq=one.compare)


def _infos(cls: Any) -> Mapping[str, FieldInfo]:
    if not cls.__pydantic_complete__:
        # Classes that are defined later in the module are there by now.
        if issubclass(cls, BaseModel):
            cls.model_rebuild()
        else:
            rebuild_dataclass(cls)
    infos: Mapping[str, FieldInfo] = cls.__pydantic_fields__
    return infos


def _default(info: FieldInfo) -> Any:
    if info.is_required():
        return NOTHING
    # Only that there is one counts: pydantic calls it, perhaps with the other values.
    return info.default if info.default_factory is None else Factory(lambda: None)


def _alias(info: FieldInfo) -> tuple[str | None, str]:
    """The stored name by the aliases, or why they do not say it."""
    read, written = info.validation_alias, info.serialization_alias
    if read == written:
        return written, ""
    if isinstance(read, AliasChoices | AliasPath):
        return None, f"its validation_alias is an {type(read).__name__}"
    return None, f"it is read from {read or 'its own name'!r} but written as {written or 'its own name'!r}"


def _argument(cls: Any, name: str, info: FieldInfo) -> str:
    """The key under which the class takes the field."""
    alias, config = info.validation_alias, config_of(cls)
    if config.get("validate_by_alias") is False:
        return name
    if alias is None or isinstance(alias, str):
        return alias or name
    if config.get("populate_by_name") or config.get("validate_by_name"):
        return name
    choices = alias.choices if isinstance(alias, AliasChoices) else []
    # A path cannot be a key: `check_model` refuses the class.
    return next((choice for choice in choices if isinstance(choice, str)), "")


def config_of(cls: Any) -> Mapping[str, Any]:
    """The configuration of a model or of a pydantic dataclass."""
    config: Mapping[str, Any] = getattr(cls, "model_config", None) or getattr(cls, "__pydantic_config__", {})
    return config


def check_model(cls: Any, fields: Mapping[str, Field]) -> None:
    """Raise `Undeclarable` for a model of which documents cannot hold all, or more than it says."""
    name = cls.__name__
    if issubclass(cls, RootModel):
        raise Undeclarable(f"{name} is a RootModel, which is no sub-document; declare what it holds as a field's type")
    if config_of(cls).get("extra") == "allow":
        raise Undeclarable(
            f"{name} takes extra fields, which no declaration describes; subclass it with extra='ignore' (what V1's "
            "documents hold beside the declared fields stays in them), or declare a dict[str, Any]"
        )
    for field in fields.values():
        if not field.stored and field.required:
            raise Undeclarable(f"{name}.{field.name} is excluded, so no document has it; give it a default")
        if field.init and not field.argument:
            raise Undeclarable(f"{name}.{field.name} is read from a path only; set validate_by_name, or another alias")
    _check_beanie(cls)


def _check_beanie(cls: Any) -> None:
    settings = getattr(cls, "Settings", None)
    if is_beanie(cls) and (getattr(settings, "is_root", False) or getattr(settings, "union_doc", None)):
        raise Undeclarable(
            f"{cls.__name__} shares its collection with other classes of Beanie's (is_root, union_doc), and lazymig "
            "would not write which one a document is of; declare a class of your own with a field for that"
        )


def is_beanie(cls: Any) -> bool:
    """Whether it is a Document whose constructor is Beanie's own: pydantic's, and a look for the collection."""
    module: str = getattr(cls.__init__, "__module__", "")
    return module.startswith("beanie.")


def maker(cls: Any) -> Callable[[Mapping[str, Any]], Any]:
    """What makes an instance of values by the names of their fields, through the class's validators.

    The instance may hold other values: pydantic's coercions are at work. Raises `Rejected`.
    """
    arguments = {field.name: field.argument for field in model_fields(cls)}
    same = all(name == argument for name, argument in arguments.items())
    validate = cls.__pydantic_validator__.validate_python
    around_init = issubclass(cls, BaseModel) and is_beanie(cls)

    def make(values: Mapping[str, Any]) -> Any:
        # One of its own in any case: a validator of the whole model may add to it, or take away.
        given = dict(values) if same else {arguments[name]: value for name, value in values.items()}
        try:
            # Beanie's constructor would ask for the collection of a class that no client was given to.
            return validate(given, self_instance=cls.__new__(cls)) if around_init else validate(given)
        except ValidationError as error:
            failure = _rejected(error, cls)
        # Outside of the handler: pydantic's text quotes the values.
        raise failure

    return make


def runs_functions(cls: type) -> bool:
    """Whether making an instance calls functions that see its values: validators, or what runs after `__init__`."""
    return _calls(getattr(cls, "__pydantic_core_schema__"))  # noqa: B009 - which `type` does not have


def _calls(schema: object) -> bool:
    if isinstance(schema, list | tuple):
        return any(map(_calls, schema))
    if not isinstance(schema, Mapping):
        return False
    functions = str(schema.get("type", "")).startswith("function-")
    if functions or any(schema.get(key) for key in ("post_init", "custom_init", "default_factory_takes_data")):
        return True
    return any(_calls(inner) for key, inner in schema.items() if key not in ("metadata", "serialization"))


def path_in(error: Exception, cls: Any) -> str:
    """Where in an instance of the class pydantic's first error is, as `a[2]`; "" for any other error."""
    if not isinstance(error, ValidationError):
        return ""
    names = {field.argument: field.name for field in model_fields(cls)}
    names |= {field.name: field.name for field in model_fields(cls)}
    first, *steps = (*error.errors(include_url=False, include_input=False)[0]["loc"], None)
    if first not in names:
        return ""
    # Of the steps below, numbers are places; texts may be keys of a mapping, which are contents.
    below = (f"[{step}]" if isinstance(step, int) else "[...]" for step in steps[:-1])
    return names[str(first)] + "".join(below)


def _rejected(error: ValidationError, cls: Any) -> Rejected:
    first = error.errors(include_url=False, include_input=False)[0]
    path = path_in(error, cls)
    # The type of an error of the user's own may be any text, one with contents as well.
    kind = first["type"] if first["type"] in _KINDS_OF_ERRORS else "an error of its own"
    rejected = Rejected(f"a validator refuses it: {kind}", path and f".{path}")
    own = first.get("ctx", {}).get("error")
    # For the line of the user's validator.
    return rejected.with_traceback(own.__traceback__ if isinstance(own, Exception) else None)
