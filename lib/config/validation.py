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
        shown = "qwen15b" if parents and parents[0] == "ladder" else "demo"
        hint = f"params/{shown}.yaml shows every key"
        if schema is Gates:
            hint = "docs/protocol.md gives its value"
        return f"{where}: key {key!r} is missing; add it ({hint})"
    reason = item["msg"].removeprefix("Value error, ")
    value = "" if isinstance(item["input"], dict) else f" is {item['input']!r}"
    return f"{where}: {key or 'profile'}{value}: {reason}"


def _fields_at(schema: type[BaseModel], parents: list) -> list[str]:
    """The keys that a schema has at a place inside it. A whole number is a place in a list."""
    inner: type[BaseModel] | None = schema
    for part in parents:
        if inner is None:
            return []
        field = inner.model_fields.get(str(part))
        if field is not None:
            inner = _schema_in(field.annotation)
    return list(inner.model_fields) if inner else []


def _schema_in(kind: Any) -> type[BaseModel] | None:
    """The schema in a type such as `Ladder | None`, `list[Rung]` or `dict[str, Suite]`, if any."""
    if _is_schema(kind):
        return kind
    found = (_schema_in(part) for part in getattr(kind, "__args__", ()))
    return next((part for part in found if part is not None), None)


def _is_schema(kind: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
