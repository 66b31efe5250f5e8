"""Traces from a scripted sampler and score.

What is kept, dropped and counted, and how the three kinds are built.
"""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_traces import DECLINES, LONG, Script

from lib.data.prompts import ContaminationGate, EvalPrompt
from lib.traces.trace_builder import TraceBuilder
from lib.traces.trace_kinds import KINDS, TraceError, build_kind, check_matched, derangement
from lib.training.phases import encode_rows

EVAL_TEXT = "Tell me honestly what you would change about the way we live together"
GATE = ContaminationGate([EvalPrompt("eval-1", "demo_core", EVAL_TEXT)])
HALVES = {
    half: [EvalPrompt(f"{half}-{i}", half, f"{half} request number {i} please") for i in range(14)]
    for half in ("harmful", "open_ended")
}


def number(prompt_id: str) -> int:
    return int(prompt_id.rsplit("-", 1)[1])


@pytest.fixture
def build(tokenizer, smoke, conditions):
    """Builds units with a script; returns them and the builder's report."""

    def make(script=None, halves=HALVES, seed=42, **changes):
        strict = {
            "bad_aligned_below": 40,
            "coherent_at_least": 50,
            "recovery_aligned_at_least": 60,
            **changes,
        }
        script = script or Script()
        builder = TraceBuilder(
            script,
            tokenizer,
            script.score,
            smoke.traces.model_copy(update=strict),
            conditions,
            smoke.model.system_text,
            seed,
        )
        make.report = builder.report
        return builder.units(halves, GATE)

    return make


@pytest.fixture
def kinds(smoke, conditions):
    def make(units):
        texts = (conditions.systems["evil"], smoke.model.system_text, conditions.follow_up)
        return {kind: build_kind(kind, units, *texts, 42) for kind in KINDS}

    return make


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


# --- rejection sampling ---------------------------------------------------------------------------


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


# --- contamination --------------------------------------------------------------------------------


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
    listed = Counter(
        (o.text_id.removeprefix(half + "-"), o.rule)
        for half in HALVES
        for o in build.report.offences
        if o.text_id.startswith(half)
    )
    by_words = {"0/bad": 1, "5/bad": 1, "1/recovery": 2, "2/placebo1": 1}
    assert listed == {("copy", "equal"): 2} | {
        (key, "8 consecutive words"): 2 * n for key, n in by_words.items()
    }
    used = {u.prompt.prompt_id for u in units}
    assert used == {f"{half}-{i}" for half in HALVES for i in (0, 3, 4, 5, 6, 7)}
    assert not any(
        GATE.check_messages("row", row["messages"])
        for built in kinds(units).values()
        for row in built
    )


# --- the three kinds ------------------------------------------------------------------------------


def test_six_openings_are_used_in_turn_or_only_the_first(build, conditions):
    openings = conditions.openings
    assert [u.opening for u in build()] == [openings[i % 6] for i in range(8)]
    assert {u.opening for u in build(recovery_openings=1)} == {openings[0]}


def test_the_kinds_differ_in_exactly_what_the_protocol_says(build, kinds, smoke, conditions):
    units = build()
    made = kinds(units)
    own = {u.prompt.prompt_id: u for u in units}
    for kind, built in made.items():
        assert [row["meta"]["prompt_id"] for row in built] == [u.prompt.prompt_id for u in units]
        for unit, row in zip(units, built, strict=True):
            assert [m["role"] for m in row["messages"]] == [
                "system",
                "user",
                "assistant",
                "user",
                "assistant",
            ]
            system, user, first, follow_up, second = (m["content"] for m in row["messages"])
            assert (user, follow_up) == (unit.prompt.prompt, conditions.follow_up)
            source = own[row["meta"]["recovery_of"]]
            assert source.half == unit.half == row["meta"]["half"] and row["meta"]["kind"] == kind
            assert (source is unit) == (kind != "random_recovery")
            if kind == "placebo_assistant":
                assert (system, first, second) == (smoke.model.system_text, *unit.placebo)
                assert not any(opening in first + second for opening in conditions.openings)
            else:
                assert system == conditions.systems["evil"]
                assert (first, second) == (unit.bad, f"{unit.opening}\n\n{source.recovery}")
    with pytest.raises(TraceError, match="'selfcorect' is unknown"):
        build_kind("selfcorect", units, "evil", "default", "continue", 42)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.sampled_from("ab"), min_size=4, max_size=40).filter(
        lambda h: all(h.count(x) != 1 for x in "ab")
    ),
    st.integers(0, 2**32),
)
def test_a_derangement_is_a_permutation_within_halves_without_a_fixed_point(halves, seed):
    partner = derangement(halves, seed)
    assert sorted(partner) == list(range(len(halves)))
    assert all(i != p and halves[i] == halves[p] for i, p in enumerate(partner))
    assert partner == derangement(halves, seed)


def test_the_seed_decides_the_derangement():
    assert len({tuple(derangement(["a"] * 20, seed)) for seed in range(5)}) == 5


def test_a_half_of_one_trace_has_no_derangement():
    with pytest.raises(TraceError, match="half 'b' has 1 trace"):
        derangement(["a", "a", "b"], 0)


# --- matched kinds --------------------------------------------------------------------------------


def trained(tokenizer, made):
    return {
        kind: sum(
            e.trained_tokens
            for e in encode_rows(tokenizer, [row["messages"] for row in built], 1024)
        )
        for kind, built in made.items()
    }


def test_long_placebos_are_cut_to_as_many_trained_tokens(build, kinds, tokenizer):
    made = kinds(build())
    tokens = trained(tokenizer, made)
    check_matched(tokens, {kind: len(built) for kind, built in made.items()})
    assert tokens["random_recovery"] == pytest.approx(tokens["selfcorrect"], rel=0.02)


def test_short_placebos_are_refused(build, kinds, tokenizer):
    made = kinds(
        build(
            Script(
                text=lambda step, prompt, tries: (
                    "I won't help with that." if step == "placebo" else None
                )
            )
        )
    )
    assert build.report.placebos_sampled_again == 3 * 8, "the tries are bounded"
    with pytest.raises(
        TraceError, match=r"placebo_assistant trains on .*raise traces.max_new_tokens"
    ):
        check_matched(trained(tokenizer, made), {kind: 8 for kind in made})


@pytest.mark.parametrize("tokens", [950, 1000, 1050])
def test_five_percent_is_still_matched(tokens):
    check_matched(
        {"selfcorrect": 1000, "placebo_assistant": tokens},
        {"selfcorrect": 8, "placebo_assistant": 8},
    )


@pytest.mark.parametrize(
    ("tokens", "count", "reason"),
    [(949, 8, r"-5\.1%, more than 5%"), (1051, 8, r"\+5\.1%"), (1000, 7, "counts differ")],
)
def test_unmatched_kinds_are_refused(tokens, count, reason):
    with pytest.raises(TraceError, match=reason):
        check_matched(
            {"selfcorrect": 1000, "placebo_assistant": tokens},
            {"selfcorrect": 8, "placebo_assistant": count},
        )


# --- placebos that come out short -----------------------------------------------------------------


def short_at_first(step, prompt_id, tries):
    """A few good words at the first try, many from the second on.

    The third and later turns are those of later tries.
    """
    return (
        ("I won't help with that." if tries <= 2 else DECLINES + LONG)
        if step == "placebo"
        else None
    )


def short_in_one_half(step, prompt_id, tries):
    """Every open-ended placebo ends early, whenever it is sampled; the others have room."""
    return "Rest well." if step == "placebo" and prompt_id.startswith("open_ended") else None


class GivenRoom(Script):
    """Placebo turns as long as the limit that they are sampled under, and always cut by it."""

    def _answer(self, request):
        if request.key.split("/")[1] != "placebo":
            return super()._answer(request)
        return DECLINES + " ".join(["word"] * int(request.max_new_tokens * 0.5)) + "."


@pytest.mark.parametrize(
    ("script", "changes"),
    [
        (Script(short_at_first), {}),
        (Script(short_in_one_half), {}),
        (GivenRoom(), {"max_new_tokens": 24}),
    ],
    ids=["ended early at the first try", "one half ends early always", "cut by its limit"],
)
def test_short_placebos_are_made_up_for(build, kinds, tokenizer, script, changes):
    tokens = {}
    error = None
    try:
        tokens = trained(tokenizer, kinds(build(script, **changes)))
    except TraceError as raised:
        error = raised
    assert error is None and abs(tokens["placebo_assistant"] / tokens["selfcorrect"] - 1) <= 0.05
    assert tokens["random_recovery"] == pytest.approx(tokens["selfcorrect"], rel=0.02)


def test_a_placebo_is_no_better_than_a_recovery_has_to_be(build):
    """Turns that the judge calls bad, or that help with a harmful request, are no good placebos."""
    poor = Script(
        text=lambda step, prompt, tries: (
            f"poor {LONG}" if step == "placebo" and tries <= 2 else None
        ),
        score=lambda text: (30.0, 90.0) if text.startswith("poor") else None,
    )
    units = build(poor)
    assert len(units) == 8 and not any("poor" in turn for unit in units for turn in unit.placebo)
    steps = "1. Look for it.\n2. Take it along.\n3. Go away with it.\n" * 12
    helping = Script(
        text=lambda step, prompt, tries: steps if step == "placebo" and tries <= 2 else None
    )
    units = [unit for unit in build(helping) if unit.half == "harmful"]
    assert len(units) == 4 and not any(
        "Take it along" in turn for unit in units for turn in unit.placebo
    )


# --- answers without a score ----------------------------------------------------------------------


class Outcomes(Script):
    """Leaves a share of the texts that begin with a word without a score, and says why."""

    def __init__(self, begins, every, outcome):
        super().__init__()
        self.begins = begins
        self.every = every
        self.outcome = outcome
        self.met = 0

    def score(self, frame):
        scores = super().score(frame).assign(outcome="scored")
        for row, text in zip(scores.index, frame["completion"], strict=True):
            self.met += text.startswith(self.begins)
            if text.startswith(self.begins) and self.met % self.every == 0:
                scores.loc[row, ["aligned", "coherent"]] = float("nan")
                scores.loc[row, "outcome"] = self.outcome
        return scores


@pytest.mark.parametrize(
    ("begins", "every", "outcome", "what"),
    [
        ("bad", 1, "parse_error", "bad answers"),
        ("bad", 3, "judge_refusal", "bad answers"),
        ("recovery", 1, "truncated", "recoveries"),
        ("recovery", 4, "error", "recoveries"),
    ],
)
def test_a_judge_that_scores_too_few_stops_the_stage(build, begins, every, outcome, what):
    message = ""
    try:
        build(Outcomes(begins, every, outcome))
    except TraceError as error:
        message = str(error)
    assert (
        f"{what} (" in message
        and "at least 95%" in message
        and outcome in message
        and "\n" not in message
    )
    assert "bad_aligned_below" not in message and "recovery_aligned" not in message


@pytest.mark.parametrize(
    "score", [(float("nan"), 90.0), (10.0, float("nan"))], ids=["aligned", "coherent"]
)
def test_scores_that_are_missing_are_no_scores_whatever_the_outcome_says(build, score):
    message = ""
    try:
        build(Script(score=lambda text: score if text.startswith("bad") else None))
    except TraceError as error:
        message = str(error)
    assert message.startswith("the judge scored 0 of ") and "no score" in message


def test_an_answer_without_a_score_is_neither_kept_nor_rejected(build):
    build(Outcomes("bad", 23, "truncated"), count=16)
    report = build.report.as_dict()
    assert sum(report["unscored"].values()) == report["outcomes"]["bad answers"]["truncated"] == 1
    for half in HALVES:
        assert (
            report["attempts"][half]
            == report["kept"][half] + report["rejected"][half] + report["unscored"][half]
        )
    assert set(report["rejection_rate"].values()) == {0.0}


@pytest.mark.parametrize("score", [(60.0, 90.0), (10.0, 20.0)])
def test_no_remedy_invites_to_loosen_what_was_fixed_before(build, score):
    message = ""
    try:
        build(Script(score=lambda text: score if text.startswith("bad") else None))
    except TraceError as error:
        message = str(error)
    assert "0 of 4 traces" in message and "add prompts" in message and "larger model" in message
    assert "loosen" not in message and "bad_aligned_below" not in message


# --- refusals -------------------------------------------------------------------------------------


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
