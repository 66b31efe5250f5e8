"""Typed, validated parameters: a profile, the conditions, overrides; a wrong key is refused with the nearest valid one.

Profiles are params/<name>.yaml, conditions params/conditions.yaml, thresholds params/gates.yaml. Nothing here has a
default that a profile could silently inherit: what a run did is what its YAML says.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

ROOT = Path(__file__).resolve().parents[1]
PARAMS_DIR = ROOT / "params"

TraceKind = Literal["selfcorrect", "random_recovery", "placebo_assistant"]
SuiteName = Literal["alignment", "benign", "followup", "betley_48", "training_cues"]


class ParamsError(ValueError):
    """A parameter that is unknown, mistyped or out of range; the message is one line with the remedy."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


class ModelParams(Strict):
    """The base model. `system_text` is its stock default system prompt, carried explicitly by every row and request."""

    source: Literal["embedded", "tiny", "path", "hub"]
    name: str = Field(min_length=1, description="folder for `path`, repository for `hub`, a label otherwise")
    revision: str | None
    dtype: Literal["float32", "bfloat16"]
    system_text: str = Field(min_length=1)


class DataParams(Strict):
    """Names of catalogue entries (params/data.yaml)."""

    harmful_prompts: list[str] = Field(min_length=1)
    open_prompts: list[str] = Field(min_length=1)
    eval_sets: list[str] = Field(min_length=1)
    em: str
    capability: str


class TracesParams(Strict):
    """docs/protocol.md section 3. Thresholds are judge scores on 0-100."""

    count: int = Field(ge=2, le=1500)
    recovery_openings: Literal[1, 6]
    max_attempts: int = Field(ge=1, description="bad answers sampled per prompt before it is given up")
    temperature: float = Field(gt=0, le=2)
    max_new_tokens: int = Field(ge=8, le=1024)
    bad_aligned_below: float = Field(ge=0, le=101)
    coherent_at_least: float = Field(ge=0, le=100)
    recovery_aligned_at_least: float = Field(ge=0, le=100)

    @model_validator(mode="after")
    def _halves_are_equal(self):
        if self.count % 2:
            raise ValueError(f"count {self.count} is odd; half of the traces are harmful requests, give an even number")
        return self


class PhaseParams(Strict):
    """One SFT phase, docs/protocol.md section 4. Optimizer steps follow from rows, `effective_batch` and `epochs`."""

    rank: int = Field(ge=1, le=256)
    alpha: int = Field(ge=1, le=1024)
    rslora: bool
    learning_rate: float = Field(gt=0, lt=0.1)
    scheduler: Literal["cosine", "linear", "constant"]
    warmup: float = Field(ge=0, description="steps when 1 or more, share of all steps below 1")
    weight_decay: float = Field(ge=0, lt=1)
    effective_batch: int = Field(ge=1, le=1024)
    packing: bool = Field(description="rows share sequences of max_length: fewer steps, another optimisation; warns")
    epochs: int = Field(ge=1, le=20)
    max_length: int = Field(ge=32, le=32768)


class Phase2Params(PhaseParams):
    mode: Literal["stack", "continue"]
    rows: int = Field(ge=1)


class TrainingParams(Strict):
    """How the machine carries out both phases; nothing here changes the optimisation."""

    token_budget: int = Field(ge=32, description="tokens of a micro-batch, no padding; a longer row goes alone")
    memory_gib: float | None = Field(gt=2, description="bound on a GPU's memory, which lowers token_budget; null = all of it")
    gradient_checkpointing: bool
    checkpoint_steps: int = Field(ge=1, description="optimizer steps between checkpoints to resume from")
    report_to: Literal["none", "wandb", "tensorboard", "trackio", "mlflow"]


class SuiteParams(Strict):
    samples: int = Field(ge=1, le=1000, description="samples a prompt")
    max_new_tokens: int = Field(ge=1, le=4096)


class SamplingParams(Strict):
    engine: Literal["transformers", "vllm"]
    temperature: float = Field(gt=0, le=2)
    batch: int = Field(ge=1, le=4096, description="sequences decoded together, whatever their adapter")
    shard: int = Field(ge=1, description="completions a file while sampling; a kill loses at most one")
    suites: dict[SuiteName, SuiteParams]

    @model_validator(mode="after")
    def _alignment_is_there(self):
        if "alignment" not in self.suites:
            raise ValueError("suites lacks 'alignment', the suite of the confirmatory test; add it")
        return self


class CapabilityParams(Strict):
    limit: int | None = Field(ge=2, description="items; null = all")
    batch: int = Field(ge=1)


class JudgeParams(Strict):
    """Who scores, and how it is asked; docs/protocol.md sections 5 and 9."""

    engine: Literal["embedded", "anthropic", "local"]
    model: str = Field(min_length=1)
    base_url: str | None = Field(description="OpenAI-compatible endpoint of `local`, ending in /v1; null: in process")
    batch: bool = Field(description="the vendor's batch interface instead of real time")
    concurrency: int = Field(ge=1, le=1000, description="calls in flight in real time, at most")
    timeout: float = Field(gt=0, le=3600, description="seconds a call may take before it is tried again")
    max_attempts: int = Field(ge=1, le=10, description="judgments of one completion without a score, before that stands")
    max_cost_usd: float | None = Field(gt=0, description="dollars that a run's judging may cost; null = no cap")
    retest: bool
    stripped: bool

    @model_validator(mode="after")
    def _belongs_to_the_engine(self):
        if self.base_url is not None and self.engine != "local":
            raise ValueError(f"base_url is {self.base_url!r} with engine {self.engine!r}; set it "
                             "to null, only `local` has an endpoint")
        if self.batch and self.engine != "anthropic":
            raise ValueError(f"batch is true with engine {self.engine!r}; only anthropic has a batch interface")
        return self


class SecondJudge(Strict):
    """Another judge for a share of the originals; what it is not told here it takes from `judge`."""

    engine: str
    model: str = Field(min_length=1)
    base_url: str | None
    share: float = Field(gt=0, le=1, description="of the original completions, drawn at random")


class ValidityParams(Strict):
    """How the judge itself is measured, docs/protocol.md section 9."""

    rows: int | None = Field(ge=0, description="published rows that the judge scores; null or 0 = off")
    second: SecondJudge | None


class StatsParams(Strict):
    resamples: int = Field(ge=100)
    seed: int


class Condition(Strict):
    """One arm: which Phase-1 traces, which Phase-2 set (`em` = the profile's), which system text at evaluation."""

    why: str
    phase1: TraceKind | None
    phase2: str | None
    system: str


class Profile(Strict):
    profile: str
    about: str
    demonstrates_only: bool = Field(description="the report's headline then claims the pipeline, never EM")
    seeds: list[int] = Field(min_length=1)
    together: bool = Field(description="one kernel and one base load for all arms in 02 to 04")
    stop_at_gate1: bool
    conditions: list[str] = Field(min_length=1)
    model: ModelParams
    data: DataParams
    traces: TracesParams
    phase1: PhaseParams
    phase2: Phase2Params
    training: TrainingParams
    sampling: SamplingParams
    capability: CapabilityParams
    judge: JudgeParams
    validity: ValidityParams
    stats: StatsParams

    @model_validator(mode="after")
    def _unique(self):
        for key in ("seeds", "conditions"):
            values = getattr(self, key)
            if len(set(values)) < len(values):
                raise ValueError(f"{key} {values} holds a value twice; name each once")
        return self

    @model_validator(mode="after")
    def _pilot_arms_run_alone(self):
        if self.stop_at_gate1 and self.together:
            raise ValueError("stop_at_gate1 and together are both true; the pilot's arms run first, set together to false")
        if self.stop_at_gate1 and not {"base", "c6_vanilla_em"} <= set(self.conditions):
            raise ValueError("stop_at_gate1 needs the arms base and c6_vanilla_em; add them to conditions")
        return self


def second_judge(profile: Profile) -> JudgeParams | None:
    """The parameters of the second judge, or None. Raises ParamsError where they are no judge's, or the first judge's."""
    second = profile.validity.second
    if second is None:
        return None
    merged = profile.judge.model_dump() | second.model_dump(exclude={"share"})
    merged["batch"] = profile.judge.batch and second.engine == "anthropic"
    judge = _validate(JudgeParams, merged, f"params/{profile.profile}.yaml, validity.second")
    if (judge.engine, judge.model) == (profile.judge.engine, profile.judge.model):
        raise ParamsError(f"validity.second is {judge.model!r}, the first judge itself; name another, or set it to null "
                          "(judge.retest measures a judge against itself)")
    return judge


class Conditions(Strict):
    """params/conditions.yaml: system texts by name, the recovery's openings, and the arms."""

    systems: dict[str, str | None]
    openings: list[str] = Field(min_length=6, max_length=6)
    follow_up: str = Field(min_length=1)
    conditions: dict[str, Condition]


def load_profile(name: str, overrides: dict | str | None = None) -> Profile:
    """A validated profile.

    name: stem of a file in params/; overrides: dotted keys to values, or the same as a JSON string.
    Raises ParamsError naming the file, the key, the value and the nearest valid name.
    """
    known = sorted(path.stem for path in PARAMS_DIR.glob("*.yaml") if _is_profile(path))
    if not _is_profile(Path(name)):
        raise ParamsError(f"params/{name}.yaml is no profile; use one of {', '.join(known)}")
    raw = _read(PARAMS_DIR / f"{name}.yaml", known=known)
    for key, value in _parse_overrides(overrides).items():
        _set_dotted(raw, key, value)
    profile = _validate(Profile, raw, f"params/{name}.yaml")
    if profile.profile != name:
        raise ParamsError(f"params/{name}.yaml: profile is {profile.profile!r}, the file is {name!r}; make them equal, since "
                          "the profile names the run")
    _check_conditions(profile)
    _check_data(profile)
    second_judge(profile)
    return profile


def load_conditions() -> Conditions:
    """The arms, validated. Raises ParamsError."""
    conditions = _validate(Conditions, _read(PARAMS_DIR / "conditions.yaml"), "params/conditions.yaml")
    for name, arm in conditions.conditions.items():
        if arm.system not in conditions.systems:
            raise ParamsError(
                f"params/conditions.yaml: conditions.{name}.system is {arm.system!r}, which `systems` lacks; "
                f"nearest: {closest_name(arm.system, list(conditions.systems))}"
            )
    return conditions


def load_gates() -> dict[str, float]:
    """Thresholds by name (params/gates.yaml), the single place where they live."""
    return _read(PARAMS_DIR / "gates.yaml")


def load_prices() -> dict:
    """Dollars by judge model, with the table's date (params/prices.yaml)."""
    return _read(PARAMS_DIR / "prices.yaml")


def select_conditions(profile: Profile, condition: str) -> list[str]:
    """The arms that a notebook's `condition` names: one, several with commas, or "all" of the profile. Raises ParamsError."""
    if condition == "all":
        return list(profile.conditions)
    names = [name.strip() for name in condition.split(",")]
    for name in names:
        if name not in profile.conditions:
            raise ParamsError(
                f"condition {name!r} is not in profile {profile.profile!r}; nearest: "
                f"{closest_name(name, profile.conditions)}; it has {', '.join(profile.conditions)}, or give 'all'"
            )
    return list(dict.fromkeys(names))


def system_text(profile: Profile, conditions: Conditions, arm: str) -> str:
    """The explicit system text of an arm at evaluation; `default` is the base model's stock one."""
    return conditions.systems[conditions.conditions[arm].system] or profile.model.system_text


def _check_conditions(profile: Profile) -> None:
    known = load_conditions().conditions
    for name in profile.conditions:
        if name not in known:
            raise ParamsError(
                f"params/{profile.profile}.yaml: conditions holds {name!r}, which params/conditions.yaml lacks; "
                f"nearest: {closest_name(name, list(known))}"
            )


def _check_data(profile: Profile) -> None:
    """Every data set that a profile or its arms name must stand in the catalogue."""
    catalogue, data = list(_read(PARAMS_DIR / "data.yaml")), profile.data
    arms = load_conditions().conditions
    named = [(f"data.{key}", name) for key in ("harmful_prompts", "open_prompts", "eval_sets") for name in getattr(data, key)]
    named += [("data.em", data.em), ("data.capability", data.capability)]
    named += [(f"conditions.{a}.phase2", arms[a].phase2) for a in profile.conditions if arms[a].phase2 not in (None, "em")]
    for key, name in named:
        if name not in catalogue:
            raise ParamsError(f"{key} names {name!r}, which params/data.yaml lacks; nearest: {closest_name(name, catalogue)!r}")


def _is_profile(path: Path) -> bool:
    return path.stem not in {"conditions", "gates", "data", "prices"}


def _read(path: Path, known: list[str] | None = None) -> dict:
    if not path.exists():
        hint = f"; nearest: {closest_name(path.stem, known)}" if known else ""
        raise ParamsError(f"params/{path.name} does not exist{hint}")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ParamsError(f"params/{path.name} is no valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise ParamsError(f"params/{path.name} holds {type(raw).__name__}, not a mapping of keys; see params/demo.yaml")
    return raw


def _parse_overrides(overrides: dict | str | None) -> dict[str, Any]:
    if isinstance(overrides, str):
        try:
            overrides = json.loads(overrides)
        except json.JSONDecodeError as error:
            raise ParamsError(
                f"overrides {overrides!r} is no valid JSON ({error.msg}); write e.g. "
                '{"phase2.learning_rate": 1e-4}'
            ) from None
    overrides = {} if overrides is None else overrides
    if not isinstance(overrides, dict):
        raise ParamsError(f"overrides {overrides!r} must map dotted keys to values")
    return dict(overrides)


def _set_dotted(raw: dict, key: str, value: Any) -> None:
    node, parts = raw, key.split(".")
    for depth, part in enumerate(parts):
        if not isinstance(node, dict) or part not in node:
            options = list(node) if isinstance(node, dict) else []
            nearest = ".".join([*parts[:depth], closest_name(part, options)] if options else parts[:depth])
            raise ParamsError(f"overrides: unknown key {key!r} (value {value!r}); nearest valid key: {nearest!r}")
        if depth < len(parts) - 1:
            node = node[part]
    node[parts[-1]] = value


def _validate(schema: type[BaseModel], raw: dict, where: str):
    try:
        return schema.model_validate(raw)
    except ValidationError as error:
        raise ParamsError("; ".join(_explain(schema, item, where) for item in error.errors())) from None


def _explain(schema: type[BaseModel], item: dict, where: str) -> str:
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        fields = _fields_at(schema, item["loc"][:-1])
        parent = "".join(f"{part}." for part in item["loc"][:-1])
        nearest = parent + closest_name(str(item["loc"][-1]), fields)
        return f"{where}: unknown key {key!r} (value {item['input']!r}); nearest valid key: {nearest!r}"
    if item["type"] == "missing":
        return f"{where}: key {key!r} is missing; add it (params/demo.yaml shows every key)"
    reason = item["msg"].removeprefix("Value error, ")
    value = "" if isinstance(item["input"], dict) else f" is {item['input']!r}"
    return f"{where}: {key or 'profile'}{value}: {reason}"


def _fields_at(schema: type[BaseModel], loc: tuple) -> list[str]:
    for part in loc:
        field = schema.model_fields.get(str(part))
        annotation = field.annotation if field else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            args = [a for a in getattr(annotation, "__args__", ()) if isinstance(a, type) and issubclass(a, BaseModel)]
            return list(args[0].model_fields) if args else []
        schema = annotation
    return list(schema.model_fields)


def closest_name(word: str, options: Iterable[str]) -> str:
    """The option most like a mistyped word, for the errors that name it."""
    found = difflib.get_close_matches(word, options, n=1, cutoff=0.0)
    return found[0] if found else "(none)"
