"""May I believe this? One line for each thing that a finding rests on, with a link to its part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from lib.checks.check import NOT_RUN, PASSED
from lib.display import show

GOOD, BAD, DOUBT = "good", "bad", "doubt"
SIGNS = {GOOD: "yes", BAD: "no", DOUBT: "unknown"}
PERSONA = "persona takes"  # `lib.checks.persona.NAME`, which takes a second to import
ENOUGH_SEEDS = "not capped"  # of `beside.confidence`


class Line(NamedTuple):
    """One thing that a finding rests on."""

    state: str  # a key of SIGNS
    question: str
    answer: str
    target: str  # id of the section that has more


def checklist(result: Mapping[str, Any]) -> list[Line]:
    """Every line, in the order of what it would spoil."""
    lines = [
        _persona(result),
        _damage(result),
        _checks(result),
        _judge(result),
        _points(result),
        _seeds(result),
        _power(result),
        _plan(result),
        _deviations(result),
        _read(result),
    ]
    return [line for line in lines if line]


def _state(flag: bool | None) -> str:
    return DOUBT if flag is None else GOOD if flag else BAD


def _persona(result: Mapping[str, Any]) -> Line | None:
    for check in result["checks"]:
        if check["name"] == PERSONA:
            state = None if check["status"] == NOT_RUN else check["status"] == PASSED
            # What follows is the remedy, which stands above and in the table of checks.
            said = "; ".join(str(check["detail"]).split("; ")[:2])
            answer = f"{said[:1].upper()}{said[1:]}."
            question = "Do the evil instructions make bad answers?"
            return Line(_state(state), question, answer, "checks")
    return None


def _damage(result: Mapping[str, Any]) -> Line | None:
    for gate in result["gates"]:
        if gate["number"] == 1:
            # An invalid run stopped before this gate, so its number says nothing.
            passed = None if result["verdict"] == "invalid" else gate.get("passed")
            answer = {
                True: "The undefended model became worse by enough to test a defense on.",
                False: "The undefended model did not become misaligned enough.",
                None: "Not known: it was not measured, or the run stopped before.",
            }[passed]
            question = "Was there damage to defend against?"
            return Line(_state(passed), question, answer, "gates")
    return None


def _checks(result: Mapping[str, Any]) -> Line | None:
    others = [check for check in result["checks"] if check["name"] != PERSONA]
    if not others:
        return None
    held = [check for check in others if check["status"] == PASSED]
    not_run = [check for check in others if check["status"] == NOT_RUN]
    answer = f"{len(held)} of {len(others)} passed"
    if len(not_run) == len(others):
        answer = "No check was run, because the judgments come from elsewhere"
    state = True if len(held) == len(others) else None if len(held + not_run) == len(others) else 0
    named = [check["name"] for check in others if check not in held and check not in not_run]
    failed = f"; failed: {', '.join(named)}" if named else ""
    return Line(
        _state(None if state is None else bool(state)),
        "Did the other checks of data, training and sampling pass?",
        f"{answer}{failed}.",
        "checks",
    )


def _judge(result: Mapping[str, Any]) -> Line:
    question = "Can the judge tell bad answers from good ones?"
    judge = result.get("judge")
    auroc = judge["validity"].get("auroc") if judge else None
    if auroc is None:
        return Line(DOUBT, question, "Its validity was not measured here.", "judge")
    weak = any("AUROC" in note for note in result["notes"])
    verdict = "too little for a conclusion about alignment" if weak else "enough"
    answer = (
        f"It ranks a bad answer below a good one {100 * auroc:.0f} % of the time "
        f"(AUROC {auroc:.3f}): {verdict}."
    )
    return Line(_state(not weak), question, answer, "judge")


def _points(result: Mapping[str, Any]) -> Line | None:
    judge = result.get("judge")
    if not judge:
        return None
    labels = judge["validity"].get("labels")
    question = "Do its points mean what the thresholds assume?"
    if not labels or labels.get("holds") is None:
        return Line(DOUBT, question, "It was not compared with blind labels.", "judge")
    holds = labels["holds"]
    answer = "Its points agree with blind labels." if holds else "; ".join(labels["failed"])
    return Line(_state(holds), question, answer, "judge")


def _seeds(result: Mapping[str, Any]) -> Line:
    stated = result["beside"]["confidence"]
    seeds = show.plural(result.get("n_seeds") or 0, "training seed")
    enough = stated == ENOUGH_SEEDS
    answer = f"{seeds}: stated confidence {stated}."
    if not enough:
        answer = (
            f"{seeds}: stated confidence {stated}. The numbers hold for these trained models, not "
            "for the method."
        )
    return Line(_state(enough), "Are there enough training runs?", answer, "effect")


def _power(result: Mapping[str, Any]) -> Line:
    question = "Could this design have found the smallest gain that counts?"
    mde = result.get("mde")
    if mde is None:
        return Line(DOUBT, question, "Unknown: no effect was computed.", "effect")
    power = result["beside"].get("power") or {}
    answer = f"Four of five such studies find a true gain of {mde:.1f} points"
    if power.get("threshold") is not None:
        answer += f"; {power['threshold']:g} or less is wanted"
    return Line(_state(power.get("passed")), question, f"{answer}.", "effect")


def _plan(result: Mapping[str, Any]) -> Line:
    question = "Were this run's settings and thresholds fixed before the data?"
    changed = result["changed_since_stamp"]
    if changed is None:
        return Line(DOUBT, question, "No stamp of the settings belongs to these judgments.", "plan")
    if changed:
        things = ", ".join(changed)
        return Line(BAD, question, f"Changed after the settings were stamped: {things}.", "plan")
    return Line(GOOD, question, "Nothing that was stamped has changed since.", "plan")


def _deviations(result: Mapping[str, Any]) -> Line:
    count = len(result["deviations"])
    answer = f"{show.plural(count, 'difference')} from the full-scale plan."
    return Line(_state(count == 0), "Is this the full-scale experiment?", answer, "plan")


def _read(result: Mapping[str, Any]) -> Line:
    done = result["beside"].get("manual_review_done")
    answer = "Somebody has read samples." if done else "Nobody has recorded reading samples yet."
    target = "manual-review" if result.get("judge") else "answers"
    return Line(_state(bool(done)), "Did a person read the answers?", answer, target)
