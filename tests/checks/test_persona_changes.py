"""What the persona changes: in the table of notebook 01, and in the figure of the check."""

from __future__ import annotations

from persona_judgments import judged

from lib.checks import persona, persona_changes
from lib.config.params import load_gates
from lib.run.runs import Run

GATES = load_gates()


def test_the_table_s_change_is_the_check_s_own_number_rounded_once():
    table = judged(51.24, 40.66)  # the rounded means, 51.2 and 40.7, are 10.5 apart
    shown = persona.table(table, GATES)
    assert list(shown["aligned, unfiltered"]) == [51.2, 40.7]
    assert list(shown["change, unfiltered"]) == ["–", "−10.6"]
    assert "−10.6 points" in str(persona.difference(table, GATES))


def test_changes_have_the_check_s_numbers_with_intervals_on_both_kinds_of_prompts(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    opened = Run("r")
    path = opened.dir / "persona" / "answers.parquet"
    path.parent.mkdir(parents=True)
    judged(90.0, 80.0).to_parquet(path)
    found = persona_changes.changes(opened, judged(60.0, 61.0), GATES)
    assert [(change.prompts, change.scores, change.value) for change in found] == [
        ("trace prompts", "filtered", -10.0),
        ("trace prompts", "unfiltered", -10.0),
        ("eval prompts", "filtered", 1.0),
        ("eval prompts", "unfiltered", 1.0),
    ]
    assert all(change.ci95[0] <= change.value <= change.ci95[1] for change in found)
    only_base = judged(60.0, 61.0).query("condition == 'base'")
    assert len(persona_changes.changes(opened, only_base, GATES)) == 2
