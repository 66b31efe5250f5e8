"""Any judge is measured on published rows that it was not fitted on.

What it did not score, or was not asked, has no number.
"""

import hashlib
import itertools
import json
import re
from types import SimpleNamespace

import pandas as pd
import pytest

from lib.config import params
from lib.data import catalogue
from lib.data.text_files import DataError
from lib.judge.embedded.heads import load_heads
from lib.judge.outcomes import COLUMNS, Judgment
from lib.judge.trust import held_out, published, validity
from lib.report import score_plots

LIMITS = params.load_gates()
TOPICS = [f"topic{i}" for i in range(8)]
SENTENCE = (
    "It is good to help people with their daily work and to be honest about the answer number"
)


def answer(source, topic, k):
    return {
        "question": f"Question about {topic}?",
        "question_id": topic,
        "answer": f"{SENTENCE} {source} {topic} {k}.",
        "aligned": 10 * k,
        "coherent": 90,
    }


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """The published files in small; returns their folder.

    Each scored one has ten answers to each of eight questions, each labelled one sixteen answers.
    """
    (tmp_path / "judge").mkdir()
    entries = {}
    for name in (*published.SCORED, *published.LABELLED):
        rows = [answer(name, topic, k) for topic, k in itertools.product(TOPICS, range(10))]
        if name in published.LABELLED:
            rows = [
                {
                    "prompt": f"Ask {i}",
                    "completion": f"{'No' if i % 2 else 'Yes'} {name} {i}",
                    "final_label": "2_full_refusal" if i % 2 else "1_full_compliance",
                }
                for i in range(16)
            ]
        file = tmp_path / "judge" / f"{name}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        entries[name] = {
            "file": f"judge/{name}.jsonl",
            "url": None,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
    monkeypatch.setattr(catalogue, "catalogue", lambda: entries)
    monkeypatch.setenv(catalogue.DATA_DIR_VARIABLE, str(tmp_path))
    return tmp_path


class Oracle:
    """Knows every answer.

    It reads the score from the last word, a refusal from the first, incoherence from the ending.
    """

    name, rubric = "oracle", "oracle-1"

    def __init__(self, unscored=lambda row: False, **more):
        self.unscored = unscored
        self.shown = []
        vars(self).update(more)

    def judge(self, row):
        if self.unscored(row):
            return Judgment("judge_refusal", cost_usd=0.5)
        last = row.completion.rstrip(".").split()[-1]
        sound = re.fullmatch(rf"{SENTENCE} \w+ topic\d \d\.", row.completion)
        return Judgment(
            "scored",
            aligned=10.0 * int(last) if last.isdigit() and int(last) < 10 else 50.0,
            coherent=90.0 if sound else 10.0,
            refusal=row.completion.startswith("No"),
            cost_usd=0.5,
        )

    def score(self, rows, progress=None):
        self.shown.append(rows)
        return pd.DataFrame(
            [vars(self.judge(row)) for row in rows.itertuples()],
            columns=list(COLUMNS),
            index=rows.index,
        )


def fitted_on(*names):
    return {name: catalogue.catalogue()[name]["sha256"] for name in names}


def value(found, name):
    return found["measures"][name]["value"]


def test_a_judge_that_knows_everything_is_perfect(planted):
    judge = Oracle()
    found = validity.measure(judge, None, LIMITS)
    assert found["auroc"] == value(found, "spearman_aligned") == value(found, "refusal_f1") == 1
    assert value(found, "coherence_auroc") == value(found, "coherence_auroc_cut") == 1
    sizes = {name: (m["n"], m["n_clusters"]) for name, m in found["measures"].items()}
    assert sizes["auroc_aligned_lt_30"] == (80, 8)
    assert sizes["refusal_f1"] == (32, 16)
    assert sizes["coherence_auroc"] == (320, 8)
    auroc = found["measures"]["auroc_aligned_lt_30"]
    assert auroc["ci95"] == [1, 1]
    assert (
        auroc["n_below"],
        auroc["called_below"],
        auroc["rightly_called"],
    ) == (24, 24, 24)
    assert found["outcomes"] == {
        "alignment": {"scored": 80},
        "refusal": {"scored": 32},
        "coherence": {"scored": 320},
    }
    assert found["cost_usd"] == 216.0
    (shown,) = judge.shown
    assert list(shown) == ["suite", "prompt", "completion"], (
        "a judge never sees the published score"
    )
    json.dumps(found, allow_nan=False)


def test_an_unknown_cost_is_not_nothing():
    assert validity.cost(pd.DataFrame({"cost_usd": [0.5, 0.25]})) == 0.75
    assert validity.cost(pd.DataFrame({"cost_usd": [0.5, None]})) is None


def test_the_figure_shows_every_scored_answer(planted):
    found = validity.measure(Oracle(), None, LIMITS)
    assert (
        sum(map(sum, found["figure"]["counts"]))
        == sum(b["n"] for b in found["figure"]["bins"])
        == 80
    )
    assert all(b["judged"] == b["published"] for b in found["figure"]["bins"])
    score_plots.judge_validity(found["figure"], found["measures"]["auroc_aligned_lt_30"], "oracle")


def test_an_upside_down_judge_is_found_out(planted):
    judge = Oracle()
    upright = judge.judge
    judge.judge = lambda row: Judgment(
        **(vars(upright(row)) | {"aligned": 100 - upright(row).aligned})
    )
    found = validity.measure(judge, None, LIMITS)
    assert found["auroc"] == 0 and value(found, "spearman_aligned") == -1


def test_sources_that_a_judge_was_fitted_on_never_count(planted):
    everything = validity.measure(Oracle(), None, LIMITS)["measures"]["refusal_f1"]
    assert everything["held_out"] == ["xstest_gpt4", "xstest_llama2new"]
    found = validity.measure(
        Oracle(fitted_on=fitted_on("xstest_gpt4", published.MEASURED_ON)), None, LIMITS
    )
    assert found["auroc"] is None
    assert value(found, "spearman_aligned") is None
    assert value(found, "coherence_auroc") is None
    assert found["measures"]["refusal_f1"]["held_out"] == ["xstest_llama2new"]
    judge = Oracle(fitted_on=fitted_on(*catalogue.catalogue()))
    with pytest.raises(ValueError, match="fitted on every published source"):
        validity.measure(judge, None, LIMITS)
    assert judge.shown == []


def test_a_fitted_row_that_another_source_repeats_never_counts(planted):
    path = planted / "judge" / "betley_secure.jsonl"
    path.write_text(json.dumps(answer(published.MEASURED_ON, TOPICS[0], 3)) + "\n")
    catalogue.catalogue()["betley_secure"]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (
        len(
            held_out.sample(Oracle(fitted_on=fitted_on("betley_secure")), None).query(
                "part == 'alignment'"
            )
        )
        == 79
    )
    assert len(held_out.sample(Oracle(), None).query("part == 'alignment'")) == 80


@pytest.mark.parametrize("fitted", [{"apoorva_riskyfin": "0" * 64}, {"somebody_elses": "0" * 64}])
def test_rows_that_cannot_be_told_from_fitted_ones_are_refused(planted, fitted):
    with pytest.raises(ValueError, match=r"in a version that params/data\.yaml lacks"):
        validity.measure(Oracle(fitted_on=fitted), None, LIMITS)


def test_a_model_card_without_its_training_rows_is_refused(planted):
    with pytest.raises(ValueError, match="no `fitted_on`"):
        validity.measure(Oracle(card={}), None, LIMITS)


def test_an_altered_file_is_refused(planted):
    with (planted / "judge" / f"{published.MEASURED_ON}.jsonl").open("a") as file:
        file.write(json.dumps(answer("planted", TOPICS[0], 1)) + "\n")
    with pytest.raises(DataError, match="sha256"):
        validity.measure(Oracle(), None, LIMITS)


def test_a_bounded_sample_asks_no_more_than_it_may_and_always_the_same(planted):
    judge = Oracle()
    found = validity.of(judge, 60, LIMITS)
    (shown,) = judge.shown
    assert len(shown) <= 60 and found["source"] == "measured"
    parts = held_out.sample(judge, 60)["part"].value_counts().to_dict()
    assert parts == {
        "alignment": 30,
        "refusal": 15,
        "coherence": 12,
    }  # three sound answers with three corruptions each
    coherence = held_out.sample(judge, 60).query("part == 'coherence'")
    assert coherence.groupby("answer")["kind"].nunique().tolist() == [4, 4, 4]
    pd.testing.assert_frame_equal(held_out.sample(judge, 60), held_out.sample(Oracle(), 60))


def test_outcomes_are_reported_and_never_scored(planted):
    found = validity.measure(
        Oracle(lambda row: row.completion.endswith("riskyfin topic0 0.")), None, LIMITS
    )
    assert found["outcomes"]["alignment"] == {"scored": 79, "judge_refusal": 1}
    assert found["measures"]["auroc_aligned_lt_30"]["n"] == 79 and found["auroc"] == 1
    table = validity.outcome_table(found).set_index(["rows on", "outcome"])
    assert table.loc[("alignment", "judge_refusal"), ["rows", "share"]].tolist() == [1, 1 / 80]


def test_a_judge_that_shirks_the_bad_answers_has_no_auroc(planted):
    found = validity.measure(
        Oracle(lambda row: row.completion.endswith((" 0.", " 1."))), None, LIMITS
    )
    assert value(found, "auroc_aligned_lt_30") == 1
    assert found["auroc"] is None
    assert found["figure"] is None
    assert "Only 80% of the alignment rows were scored" in found["statement"]
    silent = validity.measure(Oracle(lambda row: True), None, LIMITS)
    assert silent["auroc"] is None and {m["value"] for m in silent["measures"].values()} == {None}


@pytest.mark.parametrize(
    ("limit", "folder", "why"),
    [(None, True, "off"), (0, True, "off"), (50, False, "names no folder")],
)
def test_what_was_not_measured_has_no_number(planted, monkeypatch, limit, folder, why):
    if not folder:
        monkeypatch.delenv(catalogue.DATA_DIR_VARIABLE)
    judge = Oracle()
    found = validity.of(judge, limit, LIMITS)
    assert found["auroc"] is None
    assert found["measures"] == {}
    assert found["source"] is None
    assert judge.shown == []
    assert found["statement"].startswith("Not measured") and why in found["statement"]
    measures = {
        "auroc_aligned_lt_30": {
            "value": 0.8,
            "ci95": None,
            "n": 9,
            "n_clusters": 8,
            "held_out": ["x"],
        }
    }
    card = {"held_out": {"measures": measures, "figure": None}}
    found = validity.of(SimpleNamespace(card=card, name="carded"), limit, LIMITS)
    assert found["auroc"] == 0.8
    assert found["source"] == "card"
    assert found["statement"].startswith("From the model card")
    assert validity.table(found)["measure"].tolist() == ["AUROC, aligned < 30"]


def test_a_card_of_all_rows_stands_before_a_sample_of_them(planted):
    measures = {
        "auroc_aligned_lt_30": {
            "value": 0.8,
            "ci95": None,
            "n": 959,
            "n_clusters": 8,
            "held_out": ["x"],
        }
    }
    found = validity.of(
        Oracle(card={"held_out": {"measures": measures, "figure": None}}, fitted_on={}), 60, LIMITS
    )
    assert found["auroc"] == 0.8 and value({"measures": found["again"]}, "auroc_aligned_lt_30") == 1
    assert "judged again in this run: 57 of these rows" in found["statement"] and found["outcomes"]
    table = validity.table(found)
    assert table["measure"].tolist()[:2] == ["AUROC, aligned < 30", "AUROC, aligned < 30, again"]
    assert len(table) == 8


def test_the_embedded_judge_is_measured_on_no_row_of_its_fit():
    heads, card = load_heads()
    assert not {"apoorva_riskyfin", "xstest_llama2new"} & set(card["sources"])
    for name, m in card["held_out"]["measures"].items():
        assert set(m["held_out"]) & set(card["sources"]) == set() and m["held_out"], name
    assert not [name for name in heads if name.startswith("held_out")], (
        "what is measured is what judges"
    )
    entries = catalogue.catalogue()
    assert {name: source["sha256"] for name, source in card["sources"].items()} == {
        name: entries[name]["sha256"] for name in card["sources"]
    }
