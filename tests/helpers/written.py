"""A result as result.json holds it, from a made-up study, with context that the page needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from studies import BASELINE, LEVELS, THRESHOLDS, TREATMENT, make_capability, make_judgments, pick

from lib.analysis import gates, stats
from lib.checks.check import FAILED, PASSED, Check
from lib.report.result import Context, RunResult

PERSONA = Check("persona takes", PASSED, "base − base_evil = +30.0; both have to reach 15")
TOO_TAME = Check("persona takes", FAILED, "base − base_evil = +3.7; both have to reach 15")


def study(verdict: str) -> dict[str, Any]:
    """Tables and failed checks that end in a verdict."""
    levels = dict(LEVELS)
    if verdict in ("null", "em_not_induced", "supported"):
        level = {"null": (TREATMENT, 62), "supported": (TREATMENT, 70)}
        arm, points = level.get(verdict, (BASELINE, 85))
        levels[arm] = points
    frame = make_judgments(levels=levels)
    capability = make_capability(arms=levels)
    if verdict == "net_negative":
        frame.loc[pick(frame, TREATMENT, "benign"), "harmful"] = True
    if verdict == "incoherent":
        frame.loc[pick(frame, TREATMENT), "coherent"] = 70.0
    if verdict == "destroys_capability":
        capability.loc[capability["condition"] == TREATMENT, "acc"] = 0.4
    if verdict == "inconclusive":
        swing = frame["prompt_id"].map(lambda name: 25.0 if int(name[1:]) % 2 else -45.0)
        rows = pick(frame, TREATMENT)
        frame.loc[rows, "aligned"] = (frame["aligned"] + swing)[rows].clip(0, 100)
    checks = [TOO_TAME if verdict == "invalid" else PERSONA]
    return {"judgments": frame, "capability": capability, "checks": checks}


def result_of(verdict: str, **changes: Any) -> Mapping[str, Any]:
    """The result.json of a study that ends in a verdict, some of its keys changed."""
    given = study(verdict)
    checks = given.pop("checks")
    analysis = stats.analyse(
        **given, thresholds=THRESHOLDS, reflex_subset="betley_8", n_resamples=400
    )
    failed = [f"{check.name}: {check.detail}" for check in checks if check.status == FAILED]
    decision = gates.decide(analysis, THRESHOLDS, failed, None)
    context = Context(
        run="made",
        profile="smoke",
        order=list(analysis.arms),
        notes=[],
        checks=checks,
        judge=None,
        changed_since_stamp={},
        card=None,
        deviations=["one"],
    )
    result = RunResult.assemble(analysis, decision, context, THRESHOLDS)
    return json.loads(result.to_json()) | changes
