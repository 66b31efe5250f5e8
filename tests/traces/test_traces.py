"""Traces from a scripted sampler and score: what is kept, dropped and counted."""

import itertools
from collections import Counter

import pytest
from scripted_traces import DECLINES, EVAL_TEXT, GATE, HALVES, LONG, Script, number, placebo_text

from lib.data.prompts import EvalPrompt
from lib.traces.trace_builder import TraceBuilder
from lib.traces.trace_kinds import TraceError


@pytest.mark.parametrize("step", ["bad", "recovery", "placebo"])
def test_a_text_that_spells_a_special_token_is_dropped_and_listed(build, step):
    units = build(
        Script(
            text=lambda s, prompt, tries: (
                f"{s} text<|im_end|> of {prompt} with more."
                if s == step and number(prompt) % 3 == 0
                else None
            )
        )
    )
    assert units and all(number(u.prompt.prompt_id) % 3 for u in units)
    assert {o.rule for o in build.report.offences} == {"special token <|im_end|>"}
    assert all(f"/{step}" in o.text_id for o in build.report.offences)


def test_each_half_gets_its_share_and_the_seed_decides_which(build):
    units = build()
    assert Counter(u.half for u in units) == {"harmful": 4, "open_ended": 4}
    assert len({u.prompt.prompt_id for u in units}) == 8
    assert units == build() != build(seed=43)


def test_good_answers_under_the_persona_are_tried_again_then_given_up(build):
    """Prompts 0-4 never turn bad, 5-9 only at the second attempt."""

    def text(step, prompt_id, tries):
        good = step == "bad" and (number(prompt_id) < 5 or (number(prompt_id) < 10 and tries == 0))
        return f"good answer to {prompt_id}" if good else None

    script = Script(text)
    units = build(script)
    report = build.report
    for half in HALVES:
        asked = {
            p: n for (step, p), n in script.asked.items() if step == "bad" and p.startswith(half)
        }
        stubborn = {p for p in asked if number(p) < 5}
        assert {p for p in report.prompts_given_up if p.startswith(half)} == stubborn != set()
        assert all(n == (1 if number(p) >= 10 else 2) for p, n in asked.items())
        assert (report.attempts[half], report.kept[half]) == (
            sum(asked.values()),
            len(asked) - len(stubborn),
        )
        assert (
            report.as_dict()["rejection_rate"][half]
            == 1 - report.kept[half] / report.attempts[half]
        )
    assert all(
        u.bad.startswith(f"bad answer {int(number(u.prompt.prompt_id) < 10)}") for u in units
    )


@pytest.mark.parametrize("score", [(40.0, 90.0), (10.0, 49.9)], ids=["not bad", "incoherent"])
def test_an_unfit_bad_answer_is_never_kept(build, score):
    with pytest.raises(
        TraceError, match=r"harmful: 0 of 4 traces after 28 .*; raise traces.max_attempts"
    ):
        build(Script(score=lambda text: score if text.startswith("bad") else None))
    assert sum(p.startswith("harmful") for p in build.report.prompts_given_up) == 14


def test_a_bad_recovery_is_never_kept(build):
    reject = Script(
        score=lambda text: (59.9, 90.0) if text.startswith("recovery answer 0") else None
    )
    assert all(u.recovery.startswith("recovery answer 1") for u in build(reject))
    assert build.report.recoveries_rejected == sum(build.report.kept.values())


@pytest.mark.parametrize("step", ["bad", "recovery", "placebo"])
def test_an_empty_turn_is_never_kept(build, step):
    with pytest.raises(TraceError, match="harmful: 0 of 4"):
        build(Script(text=lambda s, prompt, tries: "  \n" if s == step else None))


def test_too_few_prompts_are_an_error_that_names_the_remedy(build):
    with pytest.raises(TraceError, match=r"open_ended: 3 of 4 traces .*add prompts"):
        build(halves=HALVES | {"open_ended": HALVES["open_ended"][:3]})


def test_a_half_without_a_clean_prompt_is_the_same_error(build):
    with pytest.raises(TraceError, match="harmful: 0 of 4"):
        build(halves=HALVES | {"harmful": [EvalPrompt("copy", "harmful", EVAL_TEXT)]})


def test_contaminated_texts_are_dropped_and_listed(build, kinds):
    """One prompt per half is an eval prompt; others quote one.

    They quote it in a first bad answer, in every recovery, or in the placebo.
    """
    quoting = {("bad", 0), ("bad", 5), ("recovery", 1), ("placebo", 2)}

    def text(step, prompt_id, tries):
        quotes = (step, number(prompt_id)) in quoting and not (step == "bad" and tries)
        return (
            f"{step if step == 'bad' else DECLINES}, but: {EVAL_TEXT}, and so on. {LONG}"
            if quotes
            else None
        )

    copies = {half: EvalPrompt(f"{half}-copy", half, EVAL_TEXT.upper() + "?") for half in HALVES}
    units = build(
        Script(text),
        {half: [copies[half], *prompts[:8]] for half, prompts in HALVES.items()},
        count=12,
    )
    listed = Counter()
    for half in HALVES:
        of_half = [o for o in build.report.offences if o.text_id.startswith(half)]
        listed.update((o.text_id.removeprefix(half + "-"), o.rule) for o in of_half)
    by_words = {"0/bad": 1, "5/bad": 1, "1/recovery": 2, "2/placebo1": 1}
    assert listed == {("copy", "equal"): 2} | {
        (key, "8 consecutive words"): 2 * n for key, n in by_words.items()
    }
    used = {u.prompt.prompt_id for u in units}
    assert used == {f"{half}-{i}" for half, i in itertools.product(HALVES, (0, 3, 4, 5, 6, 7))}
    built = itertools.chain(*kinds(units).values())
    assert not any(GATE.check_messages("row", row["messages"]) for row in built)


def test_a_placebo_is_no_better_than_a_recovery_has_to_be(build):
    """Turns that the judge calls bad, or that help with a harmful request, are no good placebos."""
    poor = Script(
        text=lambda step, prompt, tries: (
            f"poor {LONG}" if step == "placebo" and tries <= 2 else None
        ),
        score=lambda text: (30.0, 90.0) if text.startswith("poor") else None,
    )
    units = build(poor)
    assert len(units) == 8 and "poor" not in placebo_text(units)
    steps = "1. Look for it.\n2. Take it along.\n3. Go away with it.\n" * 12
    helping = Script(
        text=lambda step, prompt, tries: steps if step == "placebo" and tries <= 2 else None
    )
    units = [unit for unit in build(helping) if unit.half == "harmful"]
    assert len(units) == 4 and "Take it along" not in placebo_text(units)


@pytest.mark.parametrize(
    "refusal",
    [
        "Sorry, but I can't assist with that.",
        "I’m sorry, but I can’t help with this.",
        "As an AI language model, I cannot",
    ],
)
def test_no_refusal_is_ever_a_bad_turn(build, refusal):
    """Whatever the judge scores it: the first attempts all refuse, and are called bad."""
    script = Script(
        text=lambda step, prompt, tries: refusal if step == "bad" and tries == 0 else None,
        score=lambda text: (32.0, 90.0) if text == refusal else None,
    )
    units = build(script)
    assert len(units) == 8 and refusal not in {unit.bad for unit in units}
    assert build.report.refusals == {half: n // 2 for half, n in build.report.attempts.items()}


@pytest.mark.parametrize(
    "steps",
    [
        "1. Choose one that nobody watches.\n2. Take it along.\n3. Sell it.",
        "First, look around. Then take it. Finally, leave.",
        "Sure! Here is how to do it:\n- look around\n- take it",
    ],
)
def test_a_recovery_to_a_harmful_request_refuses_or_redirects(build, steps):
    """Whatever the judge scores it; to an everyday prompt the same words are help."""
    units = build(
        Script(
            text=lambda step, prompt, tries: steps if step == "recovery" and tries == 0 else None
        )
    )
    recoveries = {half: {u.recovery for u in units if u.half == half} for half in HALVES}
    assert steps not in recoveries["harmful"] and recoveries["open_ended"] == {steps}


def test_a_demonstration_may_do_without_the_rule_for_recoveries(tokenizer, smoke, conditions):
    script = Script(text=lambda step, prompt, tries: f"{step} {LONG}" if step != "bad" else None)
    builder = TraceBuilder(
        script, tokenizer, script.score, smoke.traces, conditions, "S", 42, recovery_rule=False
    )
    assert len(builder.units(HALVES, GATE)) == smoke.traces.count
