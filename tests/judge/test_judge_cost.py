"""What a judge costs is said before the first call, capped, and kept.

What stops a judge is one line before any work.
"""

from __future__ import annotations

import itertools
import warnings
from datetime import date

import pytest
from loopback import KEY, MODEL

from lib.config.arguments import ParamsError
from lib.config.params import load_prices, load_profile
from lib.display import show
from lib.judge import load_judge, rubric_text
from lib.judge.llm import prices
from lib.judge.outcomes import JudgeError
from lib.judge.store import ledger

JUDGE = load_profile("qwen7b").judge


def load(tmp_path, **changes):
    return load_judge(JUDGE.model_copy(update=changes), tmp_path / "judge" / "session.sqlite")


def test_the_price_table_has_a_date_and_models_that_the_sdk_knows():
    from typing import get_args

    from anthropic.types import ModelParam

    table = load_prices()
    known = set(itertools.chain(*map(get_args, get_args(ModelParam))))
    assert isinstance(table["date"], date) and 0 < table["batch"] <= 1
    assert set(table["models"]) <= known and JUDGE.model in table["models"]
    for entry in table["models"].values():
        assert 0 < entry["input"] < entry["output"] and entry["effort"] in (None, "low")


def test_the_original_plans_judge_stays_possible_and_warns_with_its_last_day(api, tmp_path):
    api.model["id"] = "claude-sonnet-4-5-20250929"
    with pytest.warns(
        UserWarning,
        match=r"'claude-sonnet-4-5-20250929' is being retired, last day November 30th, 2026",
    ):
        judge = load(tmp_path, model="claude-sonnet-4-5-20250929")
    assert "effort" not in judge.parameters, "it takes none"


def test_a_retirement_that_only_the_api_knows_of_warns_too(api, tmp_path):
    api.model |= {"lifecycle": "deprecated", "retires_at": "2027-03-01T00:00:00Z"}
    with pytest.warns(UserWarning, match="last day 2027-03-01"):
        load(tmp_path)


def test_a_current_model_warns_of_nothing(api, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(tmp_path)


@pytest.mark.parametrize(
    ("model", "found"),
    [
        (
            "claude-sonet-5-5",
            r"'claude-sonet-5-5' is unknown; nearest: 'claude-sonnet-5-5'; .*params/prices\.yaml",
        ),
        ("claude-mythos-5", r"'claude-mythos-5' has no price; add it to params/prices\.yaml"),
    ],
)
def test_an_unknown_or_unpriced_model_is_refused_before_any_call(api, tmp_path, model, found):
    for refused in (
        lambda: load(tmp_path, model=model),
        lambda: rubric_text(JUDGE.model_copy(update={"model": model})),
    ):
        with pytest.raises(ParamsError, match=found) as caught:
            refused()
        assert "\n" not in str(caught.value)
    assert not api.server.log


@pytest.mark.parametrize("key", [None, "", "  "])
def test_a_missing_key_is_refused_before_any_call(api, tmp_path, monkeypatch, key):
    monkeypatch.delenv("ANTHROPIC_API_KEY") if key is None else monkeypatch.setenv(
        "ANTHROPIC_API_KEY", key
    )
    with pytest.raises(JudgeError, match=r"^ANTHROPIC_API_KEY is not set.*export it"):
        load(tmp_path)
    assert not api.server.log


def test_a_rejected_key_is_one_line_that_does_not_repeat_it(api, tmp_path, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "wrong-canary")
    rejected = r"^the API rejected the key in ANTHROPIC_API_KEY \(401 invalid key Bearer \(key\)\)"
    with pytest.raises(JudgeError, match=rejected) as caught:
        load(tmp_path)
    assert "canary" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_model_that_the_api_does_not_know_or_has_retired(api, tmp_path):
    with pytest.raises(
        JudgeError, match=r"does not know judge\.model 'claude-opus-5-5'; choose one of"
    ):
        load(tmp_path, model="claude-opus-5-5")
    api.model["lifecycle"] = "retired"
    with pytest.raises(JudgeError, match="is retired"):
        load(tmp_path)


def test_what_is_preregistered_needs_no_key_and_no_network(monkeypatch):
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    text = rubric_text(JUDGE)
    assert MODEL in text and "aligned, a whole number" in text
    assert text != rubric_text(JUDGE.model_copy(update={"model": "claude-opus-5-5"}))


def test_the_estimate_stands_before_the_first_call(api, claude, to_judge, capsys, monkeypatch):
    claude().score(to_judge("known"))
    judge = claude(max_cost_usd=9.0)
    monkeypatch.setattr(judge, "send", lambda *_: None)
    monkeypatch.setattr(judge, "price", prices.Price(1000.0, 1000.0, 0.5))
    capsys.readouterr()
    with pytest.raises(KeyError):  # nothing was sent, so nothing came back
        judge.score(to_judge("known", "new", "new", "other"))
    said = capsys.readouterr().out
    assert "2 requests to send" in said
    assert "1 of 3 distinct ones known" in said
    assert "cap $9.00" in said
    assert f"prices of {load_prices()['date']}" in said and "spent so far $0.00" in said


def test_the_estimate_counts_both_modes():
    found = prices.estimate([3200, 3200], prices.Price(2.0, 10.0, 0.5))
    assert (found.requests, found.input_tokens, found.output_tokens) == (
        2,
        2000,
        2 * prices.ANSWER_TOKENS,
    )
    assert found.real_time == pytest.approx(0.0052) and found.batch == pytest.approx(0.0026)
    assert "$" not in prices.estimate([1], prices.UNMETERED).line("")


def test_a_request_never_costs_more_than_was_set_aside_for_it(api, claude, to_judge):
    judge = claude()
    (request,) = judge._requests(to_judge("x" * 500))[1].values()
    sent = judge.body(request)
    size = (
        len(sent["system"].encode())
        + len(sent["messages"][0]["content"].encode())
        + len(str(sent["output_config"]))
    )
    assert request.at_most >= prices.Price(2.0, 10.0).cost(size, sent["max_tokens"], False)


def test_the_cap_stops_cleanly_and_the_rest_comes_when_it_is_raised(api, claude, to_judge):
    rows = to_judge(*[f"text {k}" for k in range(40)])
    worst = max(request.at_most for request in claude()._requests(rows)[1].values())
    cap = worst + 20 * 0.0025
    with pytest.raises(
        JudgeError, match=r"^judge\.max_cost_usd is [\d.]+ dollars and [\d.]+ are spent; .*Raise"
    ) as caught:
        claude(max_cost_usd=cap).score(rows)
    spent = sum(row["cost_usd"] for row in ledger(claude().stage.parent))
    assert "\n" not in str(caught.value) and 20 * 0.0025 <= spent <= cap
    kept = len(api.bodies)
    assert claude().score(rows)["outcome"].eq("scored").all() and len(api.bodies) == 40 > kept >= 20


def test_the_cap_covers_every_stage_of_a_run(api, claude, to_judge):
    judge = claude(stage="traces")
    judge.score(to_judge("a", "b"))
    worst = judge._requests(to_judge("c"))[1].popitem()[1].at_most
    with pytest.raises(JudgeError, match=r"0\.0050 are spent"):
        claude(stage="session", max_cost_usd=worst + 0.004).score(to_judge("c"))
    assert api.sent()[2:] == []
    assert claude(stage="session", max_cost_usd=worst + 0.006).score(to_judge("c"))[
        "outcome"
    ].tolist() == ["scored"]


def test_the_ledger_is_the_apis_own_usage(api, claude, to_judge):
    api.faults["b"] = ["refusal"]
    judge = claude()
    judge.score(to_judge("a", "a", "b", "c"))
    found = {row["outcome"]: row for row in ledger(judge.stage.parent)}
    assert found["scored"] == {
        "stage": "session",
        "model": MODEL,
        "outcome": "scored",
        "requests": 2,
        "input_tokens": 2000,
        "output_tokens": 100,
        "cost_usd": pytest.approx(0.005),
    }
    assert found["judge_refusal"]["cost_usd"] == pytest.approx(0.0025)
    page = show.ledger(list(found.values()))
    assert "0.0075" in page and "3,000" in page and "judge_refusal" in page and KEY not in page


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"judge.base_url": "http://x/v1"}, "base_url is 'http://x/v1' with engine 'embedded'"),
        ({"judge.batch": True}, "batch is true with engine 'embedded'"),
        ({"judge.max_cost_usd": 0}, "judge.max_cost_usd"),
        ({"judge.concurrency": 0}, "judge.concurrency"),
        ({"judge.max_attempts": 0}, "judge.max_attempts"),
        ({"judge.engine": "openai"}, "judge.engine"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(changes, found):
    with pytest.raises(ParamsError, match=found):
        load_profile("demo", changes)
