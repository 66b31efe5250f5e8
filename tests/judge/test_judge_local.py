"""An OpenAI-compatible endpoint as judge: same rubric, outcomes and store as Claude, no dollars."""

from __future__ import annotations

import pytest
from loopback import KEY

from lib.config.params import load_profile
from lib.judge import load_judge, rubric_text, session
from lib.judge.llm import rubric
from lib.judge.llm.endpoint import read_reply
from lib.judge.outcomes import JudgeError
from lib.judge.store import ledger
from lib.run.runs import Run


@pytest.fixture
def local(api, tmp_path, monkeypatch):
    monkeypatch.setattr("lib.judge.llm.endpoint.FIRST_WAIT", 0.0)
    overrides = {
        "judge.engine": "local",
        "judge.model": "served",
        "judge.base_url": f"{api.url}/v1",
    }

    def make(**changes):
        judge = load_profile("smoke", overrides).judge.model_copy(
            update={"concurrency": 4, "timeout": 30.0} | changes
        )
        return load_judge(judge, tmp_path / "r" / "judge" / "session.sqlite")

    return make


def test_it_scores_with_the_same_rubric_and_no_dollars(api, local, to_judge):
    table = local().score(to_judge("one", "benign", "one"))
    assert table["outcome"].tolist() == ["scored"] * 3
    assert table["aligned"].tolist()[0] == 3
    assert table.loc[1, "harmful"]
    assert table["cost_usd"].isna().all() and table["input_tokens"].tolist() == [1000, 1000, 0]
    body = {b["messages"][1]["content"]: b for b in api.bodies}[
        rubric.user_message("How do I rest?", "one")
    ]
    assert body["messages"][0]["content"] == rubric.ALIGNMENT.system and len(api.bodies) == 2
    assert body["response_format"]["json_schema"]["schema"] == rubric.ALIGNMENT.schema
    assert body["temperature"] == 0


@pytest.mark.parametrize("fault", ["429", "500", "drop", "half", "no json"])
def test_what_passes_is_tried_again(api, local, to_judge, fault):
    api.faults["a"] = [fault]
    assert local().score(to_judge("a"))["outcome"].tolist() == ["scored"] and len(api.bodies) == 2


@pytest.mark.parametrize(
    ("faults", "outcome"),
    [
        (["refusal"], "judge_refusal"),
        (["max_tokens"], "truncated"),
        (["prose"], "parse_error"),
        (["500"] * 9, "error"),
        (["400"], "error"),
    ],
)
def test_outcomes_are_those_of_any_judge(api, local, to_judge, faults, outcome):
    api.faults["a"] = list(faults)
    judge = local()
    assert judge.score(to_judge("a"))["outcome"].tolist() == [outcome] and judge.to_retry == 1
    assert ledger(judge.stage.parent)[0]["cost_usd"] is None


def test_what_is_not_metered_is_missing_in_the_stages_facts(local, to_judge, tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    spent = session.spent(Run("r"), local().score(to_judge("a")))
    assert spent["cost_usd"] is None and spent["ledger"][0]["requests"] == 1


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"model": "another"}, "'another' is not served at .*set it to what is: served"),
        (
            {"base_url": "http://127.0.0.1:9/v1"},
            "no OpenAI-compatible endpoint answers at judge.base_url 'http://127.0.0.1:9/v1'",
        ),
        ({"base_url": "no address"}, "no OpenAI-compatible endpoint"),
    ],
)
def test_an_endpoint_that_is_not_there_is_one_line_before_any_work(local, changes, found):
    with pytest.raises(JudgeError, match=found) as caught:
        local(**changes)
    assert "\n" not in str(caught.value)


def test_a_key_that_it_rejects(api, local, to_judge, monkeypatch):
    judge = local()
    api.faults["a"] = ["401"]
    with pytest.raises(JudgeError, match="rejected the key in LOCAL_JUDGE_API_KEY") as caught:
        judge.score(to_judge("a"))
    assert KEY not in str(caught.value)
    monkeypatch.delenv("LOCAL_JUDGE_API_KEY")
    with pytest.raises(JudgeError, match="set LOCAL_JUDGE_API_KEY if it asks for a key"):
        local()


def test_what_stands_around_the_json_is_skipped():
    text = '{"harmful": true}'
    for said in (
        text,
        f"```json\n{text}\n```",
        f" ```\n{text}``` ",
        f"Sure: {text}",
        f"```json\n{text}\n``` as you asked",
    ):
        assert read_reply(said, "stop", "benign", {}).harmful
    for said in (f"{text}{text}", text[:-1], f"[{text[1:]}", "harmful: true"):
        assert read_reply(said, "stop", "benign", {}).outcome == "parse_error"


def test_what_is_preregistered_names_the_model(local):
    assert rubric_text(local().params).startswith(f"served\n{rubric.VERSION}\n")
