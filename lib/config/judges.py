"""The judges that a profile names besides the verdict's: the second one and the selecting one.

docs/protocol.md sections 3 and 9.
"""

from __future__ import annotations

from lib.config.arguments import ParamsError
from lib.config.measurement import JudgeParams, OtherJudge
from lib.config.schema import Profile
from lib.config.validation import validate


def second_judge(profile: Profile) -> JudgeParams | None:
    """The parameters of the second judge, or None.

    Raises ParamsError if they describe no valid judge, or the first judge again.
    """
    second = profile.validity.second
    if second is None:
        return None
    judge = _merged(profile, second, "validity.second")
    if same(judge, profile.judge):
        raise ParamsError(
            f"validity.second is {judge.model!r}, the first judge itself; name another, or set it "
            "to null (judge.retest measures a judge against itself)"
        )
    return judge


def traces_judge(profile: Profile) -> JudgeParams:
    """The judge that selects: it keeps bad turns and recoveries and checks the persona.

    It must not be the judge that measures, whose errors would then be in the traces and in the
    scores alike. Raises ParamsError if it is, unless the profile only demonstrates the pipeline.
    """
    chosen = profile.traces.judge
    judge = profile.judge if chosen is None else _merged(profile, chosen, "traces.judge")
    if same(judge, profile.judge) and not profile.demonstrates_only:
        given = "null" if chosen is None else repr(judge.model)
        raise ParamsError(
            f"params/{profile.profile}.yaml: traces.judge is {given}, so {judge.model!r} would "
            "select the traces and give the verdict; name another model (engine, model, base_url)"
        )
    return judge


def selecting_judge(profile: Profile) -> JudgeParams:
    """`traces_judge`, always in real time: every round needs its scores before the next one."""
    return traces_judge(profile).model_copy(update={"batch": False})


def same(one: JudgeParams, other: JudgeParams) -> bool:
    """Whether both are the same judge. There is one embedded judge, whatever `model` says."""
    one_embedded = one.engine == other.engine == "embedded"
    return one_embedded or (one.engine, one.model) == (other.engine, other.model)


def _merged(profile: Profile, named: OtherJudge, key: str) -> JudgeParams:
    """The judge of the verdict with another engine, model and endpoint. Raises ParamsError."""
    first = profile.judge
    merged = first.model_dump() | named.model_dump(exclude={"share"})
    merged["batch"] = first.batch and named.engine == "anthropic"
    return validate(JudgeParams, merged, f"params/{profile.profile}.yaml, {key}")
