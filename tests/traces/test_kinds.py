"""The three kinds of traces differ in exactly what the protocol says, and are matched in tokens."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_traces import DECLINES, LONG, Script

from lib.traces.trace_kinds import TraceError, build_kind, check_matched, derangement
from lib.training.phases import encode_rows


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
