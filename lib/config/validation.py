"""Hold raw values against a schema, and explain in one line what is wrong with them."""

from __future__ import annotations

from typing import Any, TypeGuard, TypeVar

from pydantic import BaseModel, ValidationError

from lib.config.arguments import ParamsError
from lib.config.nearest import closest_name
from lib.config.thresholds import Gates

Schema = TypeVar("Schema", bound=BaseModel)


def validate(schema: type[Schema], raw: dict, where: str) -> Schema:
    """The values as the schema's type. Raises ParamsError, which begins with `where`."""
    try:
        return schema.model_validate(raw)
    except ValidationError as error:
        reasons = [_explain(schema, item, where) for item in error.errors()]
        raise ParamsError("; ".join(reasons)) from None


def _explain(schema: type[BaseModel], item: Any, where: str) -> str:
    """One of pydantic's errors in words."""
    *parents, last = item["loc"] or ("",)
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        nearest = closest_name(str(last), _fields_at(schema, parents))
        nearest_key = "".join(f"{part}." for part in parents) + nearest
        return (
            f"{where}: unknown key {key!r} (value {item['input']!r}); "
            f"nearest valid key: {nearest_key!r}"
        )
    if item["type"] == "missing":
        hint = "params/demo.yaml shows every key"
        if schema is Gates:
            hint = "docs/protocol.md gives its value"
        return f"{where}: key {key!r} is missing; add it ({hint})"
    reason = item["msg"].removeprefix("Value error, ")
    value = "" if isinstance(item["input"], dict) else f" is {item['input']!r}"
    return f"{where}: {key or 'profile'}{value}: {reason}"


def _fields_at(schema: type[BaseModel], parents: list) -> list[str]:
    """The keys that a schema has at a place inside it."""
    for part in parents:
        field = schema.model_fields.get(str(part))
        annotation = field.annotation if field else None
        if not _is_schema(annotation):
            inner = [kind for kind in getattr(annotation, "__args__", ()) if _is_schema(kind)]
            return list(inner[0].model_fields) if inner else []
        schema = annotation
    return list(schema.model_fields)


def _is_schema(kind: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
