"""A judge is measured on no row that it was fitted on."""

import hashlib
import json

import pytest
from published_judgments import LIMITS, TOPICS, Oracle, answer, fitted_on, value

from lib.data import catalogue
from lib.data.text_files import DataError
from lib.judge.embedded.heads import load_heads
from lib.judge.trust import held_out, published, validity


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
