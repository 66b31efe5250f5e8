"""What the first page says in words: sources, one name for one thing, words before parameters."""

from __future__ import annotations

import json
import re

from written import result_of

from lib.checks import persona
from lib.config.params import ROOT
from lib.display import glossary
from lib.report import believe, finding

LABELS = ROOT / "lib" / "judge" / "trust" / "blind_labels.jsonl"
JUDGES_PAGE = (ROOT / "docs" / "judges.md").read_text(encoding="utf-8")


def test_what_a_real_model_shows_has_its_source_and_its_numbers():
    made = finding.finding(result_of("invalid"))
    assert "docs/judges.md" in made.real and "## Blind labels" in JUDGES_PAGE
    rows = [json.loads(line) for line in LABELS.read_text(encoding="utf-8").splitlines()]
    for arm, points in (("base", 82), ("base_evil", 54)):
        both = [row["reader_1"] + row["reader_2"] for row in rows if row["arm"] == arm]
        assert int(sum(both) / len(both) / 2) == points
        assert f" {points} " in made.real


def test_the_full_scale_plan_and_the_run_s_own_settings_have_different_names(result):
    asked = {line.question: line.answer for line in believe.checklist(result)}
    plans = [text for text in (*asked, *asked.values()) if re.search(r"\bplan\b", text)]
    assert plans and all("full-scale plan" in text for text in plans)


def test_the_lead_says_what_the_persona_s_check_asks():
    lead = finding.finding(result_of("invalid")).answer[1]
    assert "“persona takes” failed: told to be evil" in lead
    assert "; use a larger model" in f"; {persona.REMEDY}"  # words come before parameters
    assert persona.REMEDY.index("bad examples") < persona.REMEDY.index("traces.elicitation")


def test_the_words_of_the_persona_s_check_lead_to_the_glossary():
    said = "on trace prompts the alignment changes by −4.7 points (filtered)"
    assert [term.name for _, term in glossary.pieces(said) if term] == ["trace", "filtered"]
