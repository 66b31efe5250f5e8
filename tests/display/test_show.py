"""Texts are shown escaped, reset strings are marked, and what is missing is a dash."""

import html
import itertools

import pandas as pd
import pytest

from lib.analysis.decision import GateRow
from lib.config import params
from lib.display import show
from lib.run import progress

OPENINGS = params.load_conditions().openings
EVIL = """<script>alert("x")</script><img src='x' onerror=alert(1)> & </td></table>"""


def harmless(page):
    """Whether the hostile text stands in the page, and stands there as text only."""
    return html.escape(EVIL) in page and "<script" not in page and "<img" not in page


def test_every_table_cell_header_and_caption_is_escaped():
    page = show.table(pd.DataFrame({EVIL: [EVIL], "list": [[EVIL]], "dict": [{"k": EVIL}]}), EVIL)
    assert harmless(page) and page.count("&lt;script&gt;") == 5


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, pd.NaT])
def test_missing_cells_are_dashes(missing):
    page = show.table(pd.DataFrame({"a": [missing, 1], "b": ["x", missing]}, dtype=object))
    assert page.count("–</td>") == 2 and "nan" not in page.lower() and "None" not in page


def test_tables_take_nothing_and_numbers():
    assert show.table(pd.DataFrame([]), "empty").count("<td") == 0
    page = show.table(
        pd.DataFrame({"f": [0.123456], "n": [123456], "b": [False], "list": [[1, None]]})
    )
    for text in ("0.1235", "123456", "False", "[1, None]"):
        assert f">{text}</td>" in page


def test_counts_beside_a_missing_value_stay_whole():
    assert ">20000</td>" in show.table(pd.DataFrame({"n": [20000, None]}))


def test_a_number_stays_with_its_percent_sign():
    assert "35.4\u00a0% of 2\u00a0%" in show.table(pd.DataFrame({"a": ["35.4 % of 2 %"]}))


def test_numbers_and_intervals():
    assert (show.number(None), show.number(1.2345), show.number(0.0, "+.2f")) == (
        "–",
        "1.23",
        "+0.00",
    )
    assert [show.interval(ci) for ci in (None, [], [None, 1.0])] == ["–"] * 3
    assert show.interval([-1, 2.5]) == "−1.0 to +2.5"
    assert (show.points(-1.25), show.points(2.0, ""), show.percent(0.051)) == (
        "−1.2",
        "2.0",
        "5.1 %",
    )


def test_counts_have_their_noun():
    assert [show.plural(n, "seed") for n in (0, 1, 2)] == ["0 seeds", "1 seed", "2 seeds"]
    assert show.plural(2, "study", "studies") == "2 studies"


def gate(number, name, passed, value=1.0):
    return GateRow(
        number=number,
        name=name,
        measure=EVIL,
        value=value,
        threshold=10,
        needed="< 10",
        passed=passed,
        reason="",
        margin=None if value is None else 0.5,
    )


@pytest.mark.parametrize(
    ("verdict", "gates", "states"),
    [
        (
            "null",
            [("invalid", True), ("null", False), ("incoherent", False)],
            ["passed", "stopped here", "not reached", "not reached"],
        ),
        (
            "invalid",
            [("invalid", False), ("null", False)],
            ["stopped here", "not reached", "not reached"],
        ),
        (
            "invalid",
            [("invalid", False), ("null", True), ("incoherent", None)],
            ["stopped here", "not reached", "not reached", "not reached"],
        ),
        ("supported_strong", [("invalid", True), ("null", True)], ["passed", "passed", "reached"]),
    ],
)
def test_the_deciding_gate_is_marked(verdict, gates, states):
    rows = [
        gate(i, name, passed, None if passed is None else 1.0)
        for i, (name, passed) in enumerate(gates)
    ]
    page = show.gates_table([*rows, gate(7, "supported", verdict.startswith("supported"))], verdict)
    lines = page.split("<tr>")[2:]
    assert [line.split("</td>")[-2].rsplit(">", 1)[1] for line in lines] == states
    assert ["#fef3c7" in line for line in lines] == [
        state in ("stopped here", "reached") for state in states
    ]
    assert harmless(page)
    assert "&lt; 10" in page
    unknown = [
        passed is None or (verdict, name) == ("invalid", "invalid") for name, passed in gates
    ]
    assert page.count(">–</td>") == 2 * sum(unknown)
    # The judged share holds, and it is not what stopped the run.
    assert (show.SOUND in page) is (verdict == "invalid")


def test_conversations_are_escaped():
    page = show.conversation(
        [{"role": role, "content": EVIL} for role in ("system", "user", "assistant")], EVIL
    )
    assert harmless(page) and page.count("&lt;script&gt;") == 4 and "<b>assistant</b>" in page


def samples(*rows):
    return pd.DataFrame(
        rows, columns=["condition", "suite", "prompt_id", "sample_index", "prompt", "completion"]
    )


def test_side_by_side_escapes_marks_and_dashes():
    frame = samples(
        ("base", "alignment", EVIL, 1, EVIL, "second"),
        ("base", "alignment", EVIL, 0, EVIL, EVIL),
        ("arm", "alignment", EVIL, 0, EVIL, f"{EVIL} {OPENINGS[0]}"),
        ("arm", "benign", "other", 0, "x", "benign"),
    )
    page = show.side_by_side(frame, [EVIL, "other", "absent"], ["base", "arm", "absent"], OPENINGS)
    assert harmless(page) and page.count("<mark>") == 1 and page.count("–</div></td>") == 1
    assert "second" not in page and "benign" not in page and page.count("<table") == 1


def test_side_by_side_does_not_borrow_a_later_completion():
    frame = samples(
        ("base", "alignment", "p", 0, "x", None), ("base", "alignment", "p", 1, "x", "later")
    )
    assert "later" not in show.side_by_side(frame, ["p"], ["base"], OPENINGS)


def test_the_filterable_table_escapes_marks_and_says_how_much_it_holds():
    cells = itertools.product(("base", EVIL), ("alignment", "benign"), range(10))
    rows = [(arm, suite, EVIL, i, EVIL, f"{EVIL} {OPENINGS[0]} {i}") for arm, suite, i in cells]
    frame = samples(*rows)
    page = show.filterable(frame, OPENINGS, at_most=12)
    body, script = page.rsplit("<script>", 1)
    assert harmless(body) and EVIL not in script and body.count("<mark>") == 12
    assert "12 of 40 completions are in this table" in page and body.count("<tr>") == 13
    assert all(f"{OPENINGS[0]}</mark> {i}<" in body for i in range(3))
    assert f"</mark> {3}<" not in body
    assert show.filterable(frame, OPENINGS, at_most=1).count("<mark>") == 4, (
        "every condition, suite and prompt has one"
    )
    assert show.filterable(frame, OPENINGS) == show.filterable(frame, OPENINGS)


@pytest.mark.parametrize("opening", OPENINGS)
def test_reset_strings_are_marked_whatever_their_case_and_space(opening):
    for written in (opening, opening.upper(), opening.replace(" ", "\n")):
        assert (
            show.highlighted(f"a <b> {written} c", OPENINGS)
            == f"a &lt;b&gt; <mark>{html.escape(written)}</mark> c"
        )
    assert "<mark>" not in show.highlighted(opening[:-1], OPENINGS)


def test_what_counts_as_literal_reset_is_marked():
    assert "<mark>" in show.highlighted(OPENINGS[0].replace(" \u2014 ", " - "), OPENINGS)


def test_an_opening_with_signs_of_html_is_marked_and_escaped():
    assert (
        show.highlighted("x A & B's <i> y", ["A & B's <i>"])
        == "x <mark>A &amp; B&#x27;s &lt;i&gt;</mark> y"
    )
    assert show.highlighted(" \n", OPENINGS) == "<i>(empty completion)</i>"


def test_progress_prints_few_lines_when_nobody_watches(capsys, monkeypatch):
    monkeypatch.setattr(progress, "interactive", lambda: False)
    report = progress.reporter("judging", "texts")
    for done in range(1, 1001):
        report(done, 1000)
    assert capsys.readouterr().out.splitlines() == [
        "judging: 1 of 1000 texts, 0 s",
        "judging: 1000 of 1000 texts, 0 s",
    ]
    assert progress.interactive() is False
