"""Two judges that share no row: how design rows are divided, and what a card says of its base."""

import numpy as np
import pandas as pd
import pytest

from lib.judge.probe import base, fit, measure, project_rows, row_table, rows

LARGE = rows.LARGE_TOPIC + 20


def design():
    """One large question, thirty small ones of two rows, and ten pairs."""
    records = [{"topic": "large"}] * LARGE
    for number in range(30):
        records += [{"topic": f"small {number}"}] * 2
    for number in range(10):
        records += [{"topic": f"prompt {number}", "pair": f"pair {number}"}] * 2
    own = {"answer": "Fine.", "prompt": "Why?", "source": "betley_secure"}
    return row_table.row_table([{"id": f"r{k}", **own, **one} for k, one in enumerate(records)])


def test_every_row_either_measures_or_selects():
    table = design()
    selects = rows.in_part(table, "selecting")
    assert (selects != rows.in_part(table, "measuring")).all()
    assert rows.in_part(table, "all").all()
    assert 0.2 < selects.mean() < 0.5


@pytest.mark.parametrize("column", ["pair", "topic"])
def test_pairs_and_small_questions_stay_together(column):
    table = design()
    table["selects"] = rows.in_part(table, "selecting")
    small = table[(table["topic"] != "large") & (table[column] != "")]
    assert (small.groupby(column)["selects"].nunique() == 1).all()
    assert table.loc[table["topic"] == "large", "selects"].nunique() == 2


def test_a_new_row_moves_no_other():
    table = design()
    before = rows.in_part(table, "selecting")
    assert (rows.in_part(table.iloc[::-1], "selecting")[::-1] == before).all()
    without = table[table["topic"] != "small 3"]
    assert (rows.in_part(without, "selecting") == before[table["topic"] != "small 3"]).all()


@pytest.mark.parametrize("kind", project_rows.ADVICE_KINDS)
def test_pairs_for_the_measuring_judge_never_select(kind):
    table = design().assign(kind=kind)
    assert not rows.in_part(table, "selecting").any()
    assert rows.in_part(table, "measuring").all()


def test_elicited_answers_all_select_and_move_no_other_row():
    """They are many on one question, which would make it a large one."""
    table = design()
    before = rows.in_part(table, "selecting")
    kind = project_rows.SELECTING_KIND
    more = table.iloc[[-25] * (2 * rows.LARGE_TOPIC)].assign(kind=kind, pair="")
    both = pd.concat([table, more], ignore_index=True)
    selects = rows.in_part(both, "selecting")
    assert (selects[: len(table)] == before).all()
    assert selects[len(table) :].all()


@pytest.mark.parametrize("part", ["half", "", "ALL"])
def test_an_unknown_part_is_refused(part):
    with pytest.raises(ValueError, match="all, measuring, selecting"):
        rows.in_part(design(), part)


def test_a_part_without_an_injected_place_has_no_number_for_it():
    table = design()
    table["aligned"] = np.where(np.arange(len(table)) % 2, 100.0, 0.0)
    table["group"] = "betley"
    x = np.random.default_rng(0).normal(size=(len(table), 4)).astype(np.float32)
    target = fit.aligned_target(table)
    measured = measure.injections(x, table, target, np.array([[0.0, 1.0], [0.0, 100.0]]))
    assert measured["head"] == {"n": 0, "mean_rise": None, "highest": None, "above_50": None}


@pytest.mark.parametrize(
    ("given", "public"),
    [
        ("/models/Qwen2.5-Coder-0.5B-Instruct", "Qwen/Qwen2.5-Coder-0.5B-Instruct"),
        ("Qwen/Qwen2.5-Coder-1.5B-Instruct", "Qwen/Qwen2.5-Coder-1.5B-Instruct"),
        ("/home/somebody/my-model", "my-model"),
    ],
)
def test_a_card_names_no_folder(given, public):
    assert base.public_name(given) == public
