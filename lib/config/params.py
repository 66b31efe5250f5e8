"""Typed, validated parameters: a profile, the conditions, overrides; a wrong key is refused with the nearest valid one.

Profiles are params/<name>.yaml, conditions params/conditions.yaml, thresholds params/gates.yaml; lib/config/schema.py says what
may stand in them.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from lib.config import arguments, once, workable
from lib.config.arguments import ParamsError
from lib.config.schema import Condition, Conditions, JudgeParams, Profile
from lib.config.thresholds import Gates

ROOT = Path(__file__).resolve().parents[2]
PARAMS_DIR = ROOT / "params"
PROMPT_READERS = ["prompts_jsonl", "prompts_csv", "betley_yaml"]


def second_judge(profile: Profile) -> JudgeParams | None:
    """The parameters of the second judge, or None. Raises ParamsError where they are no judge's, or the first judge's."""
    second = profile.validity.second
    if second is None:
        return None
    merged = profile.judge.model_dump() | second.model_dump(exclude={"share"})
    merged["batch"] = profile.judge.batch and second.engine == "anthropic"
    judge = _validate(JudgeParams, merged, f"params/{profile.profile}.yaml, validity.second")
    one_embedded = (
        judge.engine == profile.judge.engine == "embedded"
    )  # there is but one, whatever it is called
    if one_embedded or (judge.engine, judge.model) == (profile.judge.engine, profile.judge.model):
        raise ParamsError(
            f"validity.second is {judge.model!r}, the first judge itself; name another, or set it to null "
            "(judge.retest measures a judge against itself)"
        )
    return judge


def load_profile(name: str, overrides: dict | str | None = None) -> Profile:
    """A validated profile.

    name: stem of a file in params/; overrides: dotted keys to values, or the same as a JSON string.
    Raises ParamsError naming the file, the key, the value and the nearest valid name.
    """
    name = arguments.name("profile", name)
    known = sorted(path.stem for path in PARAMS_DIR.glob("*.yaml") if _is_profile(path))
    if not _is_profile(Path(name)):
        raise ParamsError(f"params/{name}.yaml is no profile; use one of {', '.join(known)}")
    raw = _read(PARAMS_DIR / f"{name}.yaml", known=known)
    for key, value in _parse_overrides(overrides).items():
        _set_dotted(raw, key, value)
    profile = _validate(Profile, raw, f"params/{name}.yaml")
    if profile.profile != name:
        raise ParamsError(
            f"params/{name}.yaml: profile is {profile.profile!r}, the file is {name!r}; make them equal, since "
            "the profile names the run"
        )
    _check_conditions(profile)
    arms = {
        arm: known
        for arm, known in load_conditions().conditions.items()
        if arm in profile.conditions
    }
    _check_data(profile, arms)
    second_judge(profile)
    if reason := workable.fault(profile, arms):
        raise ParamsError(f"params/{name}.yaml: {reason}")
    return profile


def load_conditions() -> Conditions:
    """The arms, validated. Raises ParamsError."""
    conditions = _validate(
        Conditions, _read(PARAMS_DIR / "conditions.yaml"), "params/conditions.yaml"
    )
    for name, arm in conditions.conditions.items():
        arguments.name("params/conditions.yaml: the condition", name)  # files are named after it
        if name == "all":
            raise ParamsError(
                "params/conditions.yaml: a condition is named 'all', which stands for all of them; rename it"
            )
        if arm.system not in conditions.systems:
            raise ParamsError(
                f"params/conditions.yaml: conditions.{name}.system is {arm.system!r}, which `systems` lacks; "
                f"nearest: {closest_name(arm.system, list(conditions.systems))}"
            )
    return conditions


def load_gates() -> dict[str, float]:
    """Thresholds by name (params/gates.yaml), the single place where they live. Raises ParamsError."""
    raw = _read(PARAMS_DIR / "gates.yaml")
    _validate(Gates, raw, "params/gates.yaml")
    return raw


def load_prices() -> dict:
    """Dollars by judge model, with the table's date (params/prices.yaml)."""
    return _read(PARAMS_DIR / "prices.yaml")


def _check_conditions(profile: Profile) -> None:
    known = load_conditions().conditions
    for name in profile.conditions:
        if name not in known:
            raise ParamsError(
                f"params/{profile.profile}.yaml: conditions holds {name!r}, which params/conditions.yaml lacks; "
                f"nearest: {closest_name(name, list(known))}"
            )


def _check_data(profile: Profile, arms: dict[str, Condition]) -> None:
    """Every data set that a profile or its arms name must stand in the catalogue, and hold what it is named for."""
    catalogue, data = _read(PARAMS_DIR / "data.yaml"), profile.data
    named = [
        (f"data.{key}", name, PROMPT_READERS)
        for key in ("harmful_prompts", "open_prompts", "eval_sets")
        for name in getattr(data, key)
    ]
    named += [("data.em", data.em, ["chats"]), ("data.capability", data.capability, ["quiz"])]
    named += [
        (f"conditions.{name}.phase2", arm.phase2, ["chats"])
        for name, arm in arms.items()
        if arm.phase2 not in (None, "em")
    ]
    for key, name, readers in named:
        if name not in catalogue:
            raise ParamsError(
                f"{key} names {name!r}, which params/data.yaml lacks; nearest: {closest_name(name, catalogue)!r}"
            )
        if (reader := catalogue[name].get("reader")) not in readers:
            fitting = [
                other for other, entry in catalogue.items() if entry.get("reader") in readers
            ]
            raise ParamsError(
                f"{key} names {name!r}, whose reader is {reader!r}, not {' or '.join(readers)}; name one of "
                f"{', '.join(fitting)}"
            )


def _is_profile(path: Path) -> bool:
    return path.stem not in {"conditions", "gates", "data", "prices"}


def _read(path: Path, known: list[str] | None = None) -> dict:
    if not path.exists():
        hint = f"; nearest: {closest_name(path.stem, known)}" if known else ""
        raise ParamsError(f"params/{path.name} does not exist{hint}")
    try:
        raw = once.read_yaml(path.read_text(encoding="utf-8"))
    except once.TwiceError as error:
        raise ParamsError(f"params/{path.name}: {error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(
            f"params/{path.name} is no valid YAML: {' '.join(str(error).split())}"
        ) from None
    if not isinstance(raw, dict):
        raise ParamsError(
            f"params/{path.name} holds {type(raw).__name__}, not a mapping of keys; see params/demo.yaml"
        )
    return raw


def _parse_overrides(overrides: dict | str | None) -> dict[str, Any]:
    if isinstance(overrides, str):
        try:
            overrides = once.read_json(overrides)
        except once.TwiceError as error:
            raise ParamsError(f"overrides: {error}") from None
        except json.JSONDecodeError as error:
            raise ParamsError(
                f"overrides {overrides!r} is no valid JSON ({error.msg}); write e.g. "
                '{"phase2.learning_rate": 1e-4}'
            ) from None
    overrides = {} if overrides is None else overrides
    if not isinstance(overrides, dict):
        raise ParamsError(f"overrides {overrides!r} must map dotted keys to values")
    if wrong := [key for key in overrides if not isinstance(key, str)]:
        raise ParamsError(
            f"overrides: key {wrong[0]!r} is not text; write e.g. 'phase2.learning_rate'"
        )
    for key in overrides:
        if parent := next((other for other in overrides if key.startswith(f"{other}.")), None):
            raise ParamsError(
                f"overrides: {key!r} is a part of {parent!r}, which is given too; keep one of them"
            )
    return dict(overrides)


def _set_dotted(raw: dict, key: str, value: Any) -> None:
    node, parts = raw, key.split(".")
    for depth, part in enumerate(parts):
        if not isinstance(node, dict) or part not in node:
            options = list(node) if isinstance(node, dict) else []
            nearest = ".".join(
                [*parts[:depth], closest_name(part, options)] if options else parts[:depth]
            )
            raise ParamsError(
                f"overrides: unknown key {key!r} (value {value!r}); nearest valid key: {nearest!r}"
            )
        if depth < len(parts) - 1:
            node = node[part]
    node[parts[-1]] = value


def _validate(schema: type[BaseModel], raw: dict, where: str):
    try:
        return schema.model_validate(raw)
    except ValidationError as error:
        raise ParamsError(
            "; ".join(_explain(schema, item, where) for item in error.errors())
        ) from None


def _explain(schema: type[BaseModel], item: dict, where: str) -> str:
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        fields = _fields_at(schema, item["loc"][:-1])
        parent = "".join(f"{part}." for part in item["loc"][:-1])
        nearest = parent + closest_name(str(item["loc"][-1]), fields)
        return f"{where}: unknown key {key!r} (value {item['input']!r}); nearest valid key: {nearest!r}"
    if item["type"] == "missing":
        shown = (
            "docs/protocol.md gives its value"
            if schema is Gates
            else "params/demo.yaml shows every key"
        )
        return f"{where}: key {key!r} is missing; add it ({shown})"
    reason = item["msg"].removeprefix("Value error, ")
    value = "" if isinstance(item["input"], dict) else f" is {item['input']!r}"
    return f"{where}: {key or 'profile'}{value}: {reason}"


def _fields_at(schema: type[BaseModel], loc: tuple) -> list[str]:
    for part in loc:
        field = schema.model_fields.get(str(part))
        annotation = field.annotation if field else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            args = [
                a
                for a in getattr(annotation, "__args__", ())
                if isinstance(a, type) and issubclass(a, BaseModel)
            ]
            return list(args[0].model_fields) if args else []
        schema = annotation
    return list(schema.model_fields)


def closest_name(word: str, options: Iterable[str]) -> str:
    """The option most like a mistyped word, for the errors that name it."""
    found = difflib.get_close_matches(word, options, n=1, cutoff=0.0)
    return found[0] if found else "(none)"
