"""A proxy of the environment: a judge on this machine is asked directly, any other through it."""

from __future__ import annotations

import pytest

from lib.config.params import load_profile
from lib.judge import load_judge

DEAD = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    """No proxy and no exception but what a test sets."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def through(monkeypatch, **variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def local(api, tmp_path, address):
    judge = load_profile(
        "smoke", {"judge.engine": "local", "judge.model": "served", "judge.base_url": address}
    ).judge
    return load_judge(
        judge.model_copy(update={"concurrency": 2, "timeout": 20.0}),
        tmp_path / "judge" / "session.sqlite",
    )


def score(make, to_judge):
    """The outcomes of two answers, or what went wrong."""
    try:
        return make().score(to_judge("one", "two"))["outcome"].tolist()
    except Exception as error:
        return repr(error)


@pytest.mark.parametrize(
    ("host", "variables"),
    [
        ("127.0.0.1", DEAD),
        ("localhost", {"HTTP_PROXY": "http://127.0.0.1:9"}),
        ("127.1", {"all_proxy": "http://127.0.0.1:9"}),
        ("127.0.0.1", {"ALL_PROXY": "socks5://127.0.0.1:9"}),
        ("0.0.0.0", DEAD),
    ],
)
def test_a_local_judge_on_this_machine_is_asked_directly(
    api, tmp_path, to_judge, monkeypatch, host, variables
):
    through(monkeypatch, **variables)
    address = api.url.replace("localhost", host).replace("127.0.0.1", host) + "/v1"
    assert score(lambda: local(api, tmp_path, address), to_judge) == ["scored", "scored"]


@pytest.mark.parametrize(
    "variables", [DEAD, {"all_proxy": "socks5://127.0.0.1:9"}], ids=["http", "socks"]
)
@pytest.mark.parametrize("batch", [False, True], ids=["real time", "batches"])
def test_claude_behind_an_address_of_this_machine_is_asked_directly(
    claude, to_judge, monkeypatch, variables, batch
):
    through(monkeypatch, **variables)
    assert score(lambda: claude(batch=batch), to_judge) == ["scored", "scored"]


def test_any_other_host_is_asked_through_the_proxy(api, tmp_path, to_judge, monkeypatch):
    through(monkeypatch, http_proxy=api.url)
    assert score(lambda: local(api, tmp_path, "http://judge.example:8000/v1"), to_judge) == [
        "scored",
        "scored",
    ]
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://judge.example:8000")
    judge = load_profile(
        "smoke", {"judge.engine": "anthropic", "judge.model": "claude-sonnet-5-5"}
    ).judge
    assert score(lambda: load_judge(judge, tmp_path / "judge" / "claude.sqlite"), to_judge) == [
        "scored",
        "scored",
    ]
