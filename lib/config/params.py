"""Load a profile, the conditions and the thresholds, typed and validated.

Profiles are params/<name>.yaml, conditions params/conditions.yaml, thresholds params/gates.yaml.
lib/config/schema.py says what they may contain. A wrong key is refused with the nearest valid one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from lib.config import arguments, once, workable
from lib.config.arguments import ParamsError
from lib.config.judges import second_judge, traces_judge
from lib.config.nearest import closest_name
from lib.config.overrides import override, parse_overrides
from lib.config.schema import Condition, Conditions, Profile
from lib.config.thresholds import Gates
from lib.config.validation import validate

ROOT = Path(__file__).resolve().parents[2]
PARAMS_DIR = ROOT / "params"
NOT_PROFILES = {"conditions", "gates", "data", "prices"}
PROMPT_READERS = ["prompts_jsonl", "prompts_csv", "betley_yaml"]
PROMPT_KEYS = ("harmful_prompts", "open_prompts", "eval_sets")


def load_profile(name: str, overrides: dict | str | None = None) -> Profile:
    """A validated profile.

    Args:
        name: stem of a file in params/.
        overrides: values by dotted key, or the same as JSON text.

    Raises ParamsError naming the file, the key, the value and the nearest valid name.
    """
    name = arguments.name("profile", name)
    profiles = sorted(path.stem for path in PARAMS_DIR.glob("*.yaml") if is_profile(path))
    if not is_profile(Path(name)):
        raise ParamsError(f"params/{name}.yaml is not a profile; use one of {', '.join(profiles)}")
    raw = _read(PARAMS_DIR / f"{name}.yaml", profiles)
    for key, value in parse_overrides(overrides).items():
        override(raw, key, value)
    profile = validate(Profile, raw, f"params/{name}.yaml")
    if profile.profile != name:
        raise ParamsError(
            f"params/{name}.yaml: profile is {profile.profile!r}, the file is {name!r}; "
            "make them equal, since the profile names the run"
        )
    conditions = load_conditions()
    arms = _arms(profile, conditions)
    _check_systems(profile, conditions)
    _check_data(profile, arms)
    second_judge(profile)
    traces_judge(profile)
    if reason := workable.fault(profile, arms):
        raise ParamsError(f"params/{name}.yaml: {reason}")
    return profile


def load_conditions() -> Conditions:
    """The arms and the texts that they share, validated. Raises ParamsError."""
    where = "params/conditions.yaml"
    conditions = validate(Conditions, _read(PARAMS_DIR / "conditions.yaml"), where)
    for name, arm in conditions.conditions.items():
        arguments.name(f"{where}: the condition", name)  # files are named after it
        if name == "all":
            raise ParamsError(
                f"{where}: a condition is named 'all', which stands for all of them; rename it"
            )
        if arm.system not in conditions.systems:
            raise ParamsError(
                f"{where}: conditions.{name}.system is {arm.system!r}, which is not in `systems`; "
                f"nearest: {closest_name(arm.system, conditions.systems)}"
            )
    return conditions


def load_gates() -> dict[str, float]:
    """Thresholds by name, from params/gates.yaml, their only place. Raises ParamsError."""
    raw = _read(PARAMS_DIR / "gates.yaml")
    validate(Gates, raw, "params/gates.yaml")
    return raw


def load_prices() -> dict:
    """Dollars by judge model, with the date of the table (params/prices.yaml)."""
    return _read(PARAMS_DIR / "prices.yaml")


def _arms(profile: Profile, loaded: Conditions) -> dict[str, Condition]:
    """The profile's arms by name, in the order of params/conditions.yaml. Raises ParamsError."""
    conditions = loaded.conditions
    for name in profile.conditions:
        if name not in conditions:
            raise ParamsError(
                f"params/{profile.profile}.yaml: conditions has {name!r}, which is not in "
                f"params/conditions.yaml; nearest: {closest_name(name, conditions)}"
            )
    return {name: arm for name, arm in conditions.items() if name in profile.conditions}


def _check_systems(profile: Profile, conditions: Conditions) -> None:
    """Raise ParamsError unless every Phase-2 system text is `stock`, `none` or a known name."""
    named = {"phase2.system": profile.phase2.system}
    for number, rung in enumerate(profile.ladder.rungs if profile.ladder else []):
        named[f"ladder.rungs.{number}.system"] = rung.system or profile.phase2.system
    known = ["stock", "none", *conditions.systems]
    for key, name in named.items():
        if name not in known:
            raise ParamsError(
                f"params/{profile.profile}.yaml: {key} is {name!r}, which is not in `systems` of "
                f"params/conditions.yaml; nearest: {closest_name(name, known)!r}"
            )


def _check_data(profile: Profile, arms: dict[str, Condition]) -> None:
    """Raise ParamsError unless the catalogue has every named data set, and of the right kind."""
    catalogue = _read(PARAMS_DIR / "data.yaml")
    for key, name, readers in _named_data(profile, arms):
        if name not in catalogue:
            raise ParamsError(
                f"{key} names {name!r}, which is not in params/data.yaml; "
                f"nearest: {closest_name(name, catalogue)!r}"
            )
        reader = catalogue[name].get("reader")
        if reader not in readers:
            fitting = [other for other, item in catalogue.items() if item.get("reader") in readers]
            raise ParamsError(
                f"{key} names {name!r}, whose reader is {reader!r}, not {' or '.join(readers)}; "
                f"name one of {', '.join(fitting)}"
            )


def _named_data(profile: Profile, arms: dict[str, Condition]) -> list[tuple[str, str, list[str]]]:
    """Every data set that is named, as (the key that names it, its name, the readers that fit)."""
    named = []
    for key in PROMPT_KEYS:
        for name in getattr(profile.data, key):
            named.append((f"data.{key}", name, PROMPT_READERS))
    named.append(("data.em", profile.data.em, ["chats"]))
    for number, rung in enumerate(profile.ladder.rungs if profile.ladder else []):
        named.append((f"ladder.rungs.{number}.em", rung.em, ["chats"]))
    named.append(("data.capability", profile.data.capability, ["quiz"]))
    for arm, condition in arms.items():
        phase2_set = condition.phase2_set(profile.data.em)
        if phase2_set is not None and phase2_set != profile.data.em:
            named.append((f"conditions.{arm}.phase2", phase2_set, ["chats"]))
    return named


def is_profile(path: Path) -> bool:
    """Whether a file of params/ is a profile, by its name."""
    return path.stem not in NOT_PROFILES


def _read(path: Path, profiles: list[str] | None = None) -> dict:
    """A mapping from a YAML file. `profiles`: names to suggest if it does not exist."""
    if not path.exists():
        hint = f"; nearest: {closest_name(path.stem, profiles)}" if profiles else ""
        raise ParamsError(f"params/{path.name} does not exist{hint}")
    raw = read_yaml(path, f"params/{path.name}")
    if not isinstance(raw, dict):
        raise ParamsError(
            f"params/{path.name} contains a {type(raw).__name__}, not a mapping of keys; "
            "see params/demo.yaml"
        )
    return raw


def read_yaml(path: Path, where: str) -> Any:
    """The content of a YAML file, which errors call `where`. Raises ParamsError."""
    try:
        return once.read_yaml(path.read_text(encoding="utf-8"))
    except once.TwiceError as error:
        raise ParamsError(f"{where}: {error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ParamsError(f"{where} is not valid YAML: {reason}") from None
