"""Shared by the tests of model code: the tiny model, a few conversations, one Phase-1 adapter."""

import os

import pytest

from lib.config import params
from lib.models import chat_models
from lib.training import phases

# The models of the tests are so small that a second thread costs more than it brings.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_THREAD_LIMIT", "1")  # Snakemake gives each job's OMP_NUM_THREADS anew
# A make inside a test is not a part of the make around it. With these variables it would name its
# folders and take over that make's options.
for name in ("MAKELEVEL", "MAKEFLAGS", "MFLAGS"):
    os.environ.pop(name, None)


@pytest.fixture(scope="session")
def smoke():
    return params.load_profile("smoke")


@pytest.fixture(scope="session")
def conditions():
    return params.load_conditions()


@pytest.fixture(scope="session")
def tokenizer(smoke):
    return chat_models.load_tokenizer(smoke.model)


@pytest.fixture(scope="session")
def base(smoke):
    """One tiny model for every test: what is trained or attached on it has to come off again."""
    return chat_models.load_base(smoke.model)


@pytest.fixture(scope="session")
def chat(smoke):
    """A conversation of alternating user and assistant turns, with the model's system text."""

    def make(*turns):
        roles = ("user", "assistant")
        return [
            {"role": "system", "content": smoke.model.system_text},
            *({"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns)),
        ]

    return make


@pytest.fixture(scope="session")
def rows(tokenizer, chat):
    """Eight encoded two-turn rows of different lengths."""
    return phases.encode_rows(
        tokenizer,
        [
            chat(
                f"Question {i} about tea?",
                "Spill it. " * (1 + i % 3),
                "continue",
                "That was wrong. " + "Brew it. " * i,
            )
            for i in range(8)
        ],
        512,
    )


@pytest.fixture(scope="session")
def phase1_adapter(base, tokenizer, rows, smoke, tmp_path_factory):
    """A Phase-1 adapter, trained hard enough to be clearly another model than the base."""
    folder = tmp_path_factory.mktemp("adapters")
    out = folder / "phase1"
    recipe = smoke.phase1.model_copy(update={"learning_rate": 2e-2})
    phases.train_phase1(
        base,
        tokenizer,
        rows,
        recipe,
        out,
        seed=1,
        base_digest="tiny",
        training=smoke.training,
        checkpoints=folder / "checkpoints",
    )
    return out


@pytest.fixture(scope="session")
def http_server():
    """One server for all tests, since stopping one takes half a second."""
    from pytest_httpserver import HTTPServer

    with HTTPServer(host="127.0.0.1", threaded=True) as server:
        yield server


@pytest.fixture
def api(http_server, monkeypatch):
    """The loopback server, with its address and key in the environment.

    The SDK and the batch polls then do not wait.
    """
    import anthropic
    from loopback import KEY, Loopback

    from lib.judge.llm import batch_api

    server = Loopback(http_server)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("LOCAL_JUDGE_API_KEY", KEY)
    monkeypatch.setattr(anthropic._base_client, "INITIAL_RETRY_DELAY", 0.0)
    monkeypatch.setattr(batch_api, "pause", lambda seconds: None)
    yield server
    server.release.set()
    assert not [
        answer
        for _, answer in http_server.log
        if answer.status_code == 500 and b"scripted" not in answer.data
    ]


@pytest.fixture
def claude(api, tmp_path):
    """Makes a Claude judge on the loopback server, with a store of this test.

    `changes` replace judge parameters.
    """
    from lib.judge import load_judge

    profile = params.load_profile(
        "smoke", {"judge.engine": "anthropic", "judge.model": "claude-sonnet-5-5"}
    )

    def make(stage="session", **changes):
        judge = profile.judge.model_copy(update={"concurrency": 8, "timeout": 30.0} | changes)
        return load_judge(judge, tmp_path / "judge" / f"{stage}.sqlite")

    return make


@pytest.fixture(scope="session")
def to_judge():
    """Rows to judge, one per completion; texts that begin with "benign" are in that suite."""
    import pandas as pd

    def make(*completions, replicate=0):
        return pd.DataFrame(
            [
                {
                    "suite": "benign" if str(text).startswith("benign") else "alignment",
                    "prompt": "How do I rest?",
                    "completion": text,
                    "replicate": replicate,
                }
                for text in completions
            ]
        )

    return make
