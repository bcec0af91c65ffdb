"""The declarations of pydantic's models and dataclasses.

This module is imported only for such a class, since lazymig itself does not need pydantic.
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
    """Yield the fields of a pydantic model or dataclass.

    Raises:
        NameError: An annotation contains an unknown name.
    """
    compared = {one.name: one for one in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else {}
    infos = _infos(cls)
    for name, info in infos.items():
        if info.init_var:
            continue  # an argument, not an attribute
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
        if name not in infos:  # pydantic omits a field that only `__post_init__` sets
            yield Field(name=name, type=Any, argument=name, init=False, eq=one.compare)


def _infos(cls: Any) -> Mapping[str, FieldInfo]:
    if not cls.__pydantic_complete__:
        # Classes that are defined later in the module exist by now.
        if issubclass(cls, BaseModel):
            cls.model_rebuild()
        else:
            rebuild_dataclass(cls)
    infos: Mapping[str, FieldInfo] = cls.__pydantic_fields__
    return infos


def _default(info: FieldInfo) -> Any:
    if info.is_required():
        return NOTHING
    # It only matters that there is a factory: pydantic calls it, perhaps with the other values.
    return info.default if info.default_factory is None else Factory(lambda: None)


def _alias(info: FieldInfo) -> tuple[str | None, str]:
    """Return the stored name that the aliases declare, and the reason if they are ambiguous."""
    read, written = info.validation_alias, info.serialization_alias
    if read == written:
        return written, ""
    if isinstance(read, AliasChoices | AliasPath):
        return None, f"its validation_alias is an {type(read).__name__}"
    return None, f"it is read from {read or 'its own name'!r} but written as {written or 'its own name'!r}"


def _argument(cls: Any, name: str, info: FieldInfo) -> str:
    """Return the name of the argument that sets the field."""
    alias, config = info.validation_alias, config_of(cls)
    if config.get("validate_by_alias") is False:
        return name
    if alias is None or isinstance(alias, str):
        return alias or name
    if config.get("populate_by_name") or config.get("validate_by_name"):
        return name
    choices = alias.choices if isinstance(alias, AliasChoices) else []
    # An alias path cannot be an argument's name; `check_model` refuses the class.
    return next((choice for choice in choices if isinstance(choice, str)), "")


def config_of(cls: Any) -> Mapping[str, Any]:
    """Return the configuration of a pydantic model or dataclass."""
    config: Mapping[str, Any] = getattr(cls, "model_config", None) or getattr(cls, "__pydantic_config__", {})
    return config


def check_model(cls: Any, fields: Mapping[str, Field]) -> None:
    """Raise `Undeclarable` for a model that documents cannot hold completely, or that holds undeclared fields."""
    name = cls.__name__
    if issubclass(cls, RootModel):
        raise Undeclarable(
            f"{name} is a RootModel, which cannot be a sub-document; declare its content's type as the field's type"
        )
    if config_of(cls).get("extra") == "allow":
        raise Undeclarable(
            f"{name} takes extra fields, which no declaration describes; subclass it with extra='ignore' (V1's "
            "documents keep their undeclared fields), or declare a dict[str, Any]"
        )
    for field in fields.values():
        if not field.stored and field.required:
            raise Undeclarable(f"{name}.{field.name} is excluded, so no document has it; give it a default")
        if field.init and not field.argument:
            raise Undeclarable(f"{name}.{field.name} is read from a path only; set validate_by_name or another alias")
    _check_beanie(cls)


def _check_beanie(cls: Any) -> None:
    settings = getattr(cls, "Settings", None)
    if is_beanie(cls) and (getattr(settings, "is_root", False) or getattr(settings, "union_doc", None)):
        raise Undeclarable(
            f"{cls.__name__} shares its collection with other Beanie classes (is_root, union_doc), and lazymig would "
            "not write the class of a document; declare your own class with a field for it"
        )


def is_beanie(cls: Any) -> bool:
    """Return whether the class is a Beanie `Document` with Beanie's constructor, which looks up the collection."""
    module: str = getattr(cls.__init__, "__module__", "")
    return module.startswith("beanie.")


def maker(cls: Any) -> Callable[[Mapping[str, Any]], Any]:
    """Return a function that makes an instance from values by field name, with the class's validators.

    The instance may hold other values, because pydantic coerces them. The function raises `Rejected`.
    """
    arguments = {field.name: field.argument for field in model_fields(cls)}
    same = all(name == argument for name, argument in arguments.items())
    validate = cls.__pydantic_validator__.validate_python
    around_init = issubclass(cls, BaseModel) and is_beanie(cls)

    def make(values: Mapping[str, Any]) -> Any:
        # Always a new dict: a validator of the whole model may add or remove keys.
        given = dict(values) if same else {arguments[name]: value for name, value in values.items()}
        try:
            # Beanie's constructor would look up a collection, and Beanie was never initialised with a client.
            return validate(given, self_instance=cls.__new__(cls)) if around_init else validate(given)
        except ValidationError as error:
            failure = _rejected(error, cls)
        # Raised outside the handler: the text of pydantic's error quotes the values.
        raise failure

    return make


def runs_functions(cls: type) -> bool:
    """Return whether making an instance calls user functions with its values, such as validators or a post-init."""
    return _calls(getattr(cls, "__pydantic_core_schema__"))  # noqa: B009 - `type` has no such attribute


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
    """Return the path of pydantic's first error in an instance, such as `a[2]`; "" for any other error."""
    if not isinstance(error, ValidationError):
        return ""
    names = {field.argument: field.name for field in model_fields(cls)}
    names |= {field.name: field.name for field in model_fields(cls)}
    first, *steps = (*error.errors(include_url=False, include_input=False)[0]["loc"], None)
    if first not in names:
        return ""
    # In the steps below, numbers are positions. Strings may be keys of a mapping, which are document contents.
    below = (f"[{step}]" if isinstance(step, int) else "[...]" for step in steps[:-1])
    return names[str(first)] + "".join(below)


def _rejected(error: ValidationError, cls: Any) -> Rejected:
    first = error.errors(include_url=False, include_input=False)[0]
    path = path_in(error, cls)
    # The type of a user's own error may be any text, which may include document contents.
    kind = first["type"] if first["type"] in _KINDS_OF_ERRORS else "an error of its own"
    rejected = Rejected(f"a validator refuses it: {kind}", path and f".{path}")
    own = first.get("ctx", {}).get("error")
    # The traceback leads to the line of the user's validator.
    return rejected.with_traceback(own.__traceback__ if isinstance(own, Exception) else None)
