"""A person against the judge: κ by mark, when it is too few to tell, and when a review is done."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from reviewed import judged_run

from lib.config.params import load_conditions, load_gates
from lib.judge.trust.agreement import cohen_kappa
from lib.manual_review import agreement, marks
from lib.manual_review.agreement import State
from lib.manual_review.marks import Reading
from lib.manual_review.sample import DRAWN, HIGHEST, Item, Sample

OPENING = load_conditions().openings[0]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1, 1, 0, 0], [1, 1, 0, 0], 1.0),
        ([1, 1, 0, 0], [0, 0, 1, 1], -1.0),
        ([1, 1, 0, 0], [1, 0, 1, 0], 0.0),
        ([1] * 20 + [0] * 30, [1] * 20 + [1] * 10 + [0] * 20, 0.6154),
        ([0, 0], [0, 0], math.nan),
        ([1, 1], [0, 0], 0.0),
        ([], [], math.nan),
    ],
)
def test_kappa_is_agreement_beyond_chance(first, second, expected):
    found = cohen_kappa(np.array(first, bool), np.array(second, bool))
    assert found == pytest.approx(expected, abs=1e-4, nan_ok=True)


def test_kappa_is_that_of_scikit_learn():
    from sklearn.metrics import cohen_kappa_score

    random = np.random.default_rng(1)
    for _ in range(20):
        first, second = random.random((2, 40)) < random.random((2, 1))
        if first.any() and not first.all():
            assert cohen_kappa(first, second) == pytest.approx(cohen_kappa_score(first, second))


def state(n_prompts: int, odd: list[str], even: list[str]) -> State:
    """Two answers to each prompt, marked `odd` and `even`.

    The judge calls the first answer of each prompt incoherent and refuses nothing; the second one
    has a reset that it does not count as a recovery. The answers of the first prompts are extremes.
    """
    count = 2 * n_prompts
    key = pd.DataFrame(
        {
            "condition": ["a", "b"] * n_prompts,
            "prompt_id": [f"p{k // 2}" for k in range(count)],
            "completion": ["text", f"{OPENING} text"] * n_prompts,
            "why": [HIGHEST] * 4 + [DRAWN] * (count - 4),
            "aligned": 50.0,
            "coherent": [20.0, 90.0] * n_prompts,
            "refusal": False,
            "reset_and_recover": pd.array([None, False] * n_prompts, dtype="boolean"),
        },
        index=pd.Index([f"{k:03d}" for k in range(1, count + 1)], name="item_id"),
    )
    items = [Item(item_id, "prompt", "text") for item_id in key.index]
    readings = {
        item_id: Reading(tuple(even if number % 2 else odd))
        for number, item_id in enumerate(key.index)
    }
    return State(Sample(items, key, "f"), readings)


def rows(found: State) -> dict[str, dict]:
    return agreement.table(found).set_index("mark").to_dict("index")


def test_marks_are_compared_with_what_the_judge_says_of_the_same_answers():
    table = rows(state(8, odd=["incoherent"], even=["recovery"]))
    assert table["incoherent"]["κ"] == "+1.00"
    assert table["incoherent"]["95 % interval"] == agreement.TOO_FEW, "nobody ever disagrees"
    assert (table["incoherent"]["person"], table["incoherent"]["judge"]) == (8, 8)
    assert table["parrot"]["judge"] == 8 and table["parrot"]["κ"] == "+0.00"
    # The judge says nothing of a recovery where it has no such field.
    assert table["recovery"]["answers"] == 8 and table["recovery"]["person"] == 8
    assert list(agreement.table(state(8, [], []))["mark"]) == list(marks.MARKS)


def test_too_few_is_said():
    table = rows(state(8, odd=["incoherent"], even=[]))
    assert table["refusal"]["κ"] == "–", "nobody ever says it"
    assert table["refusal"]["95 % interval"] == agreement.TOO_FEW
    few = rows(state(4, odd=["incoherent"], even=[]))
    assert few["incoherent"]["κ"] == "+1.00"
    assert few["incoherent"]["95 % interval"] == agreement.TOO_FEW
    assert few["incoherent"]["its 95 % interval"] == agreement.TOO_FEW


def test_a_mark_that_the_judge_never_gives_is_too_few():
    found = state(18, odd=[], even=[])
    some = {item_id: Reading(("refusal",)) for item_id in ("001", "004", "009", "018", "030")}
    table = rows(State(found.sample, {**found.readings, **some}))
    assert (table["refusal"]["person"], table["refusal"]["judge"]) == (5, 0)
    assert table["refusal"]["κ"] == "+0.00"
    assert table["refusal"]["95 % interval"] == agreement.TOO_FEW


def test_answers_drawn_by_seed_have_a_kappa_of_their_own():
    found = state(8, odd=["incoherent"], even=[])
    wrong = {item_id: Reading(()) for item_id in ("001", "003")}  # extremes
    table = rows(State(found.sample, {**found.readings, **wrong}))
    assert table["incoherent"]["κ"] == "+0.75"
    low, high = map(float, table["incoherent"]["95 % interval"].replace("−", "-").split(" to "))
    assert low < 0.75 < high
    assert table["incoherent"]["κ, drawn by seed"] == "+1.00"


def test_the_meaning_names_the_thresholds_of_the_gates():
    gates = load_gates()
    told = agreement.meaning()
    assert f"below {gates['coherent_floor']:g}" in told
    assert f"below {gates['misaligned_below']:g}" in told


def test_only_a_review_of_every_answer_is_done():
    found = state(3, [], [])
    assert found.done and "done. A person read 6 answers" in found.line
    part = State(found.sample, {"001": Reading(())})
    assert not part.done and "pending. 1 of 6 answers" in part.line
    assert not State(Sample([], found.sample.key.head(0), "f"), {}).done


def test_marks_by_arm_count_what_nothing_is_true_of():
    found = state(3, odd=["refusal", "harmful"], even=[])
    by_arm = agreement.by_arm(found).set_index("arm")
    assert by_arm.loc["a", ["read", "refusal", "harmful", "none of these"]].tolist() == [3, 3, 3, 0]
    assert by_arm.loc["b", ["read", "refusal", "harmful", "none of these"]].tolist() == [3, 0, 0, 3]


def test_a_run_starts_pending_and_ends_done(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    run = judged_run()
    before = agreement.state(run)
    assert before.readings == {} and not before.done
    marks.keep(run, before.sample, {item.item_id: Reading(()) for item in before.sample.items})
    assert agreement.state(run).done
    assert len(agreement.table(agreement.state(run))) == len(marks.MARKS)
