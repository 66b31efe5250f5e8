"""Shared by the tests of model code: the smoke profile's tiny model, a few conversations, one Phase-1 adapter."""

import pytest

from lib import finetune, models, params


@pytest.fixture(scope="session")
def smoke():
    return params.load_profile("smoke")


@pytest.fixture(scope="session")
def conditions():
    return params.load_conditions()


@pytest.fixture(scope="session")
def tokenizer(smoke):
    return models.load_tokenizer(smoke.model)


@pytest.fixture(scope="session")
def base(smoke):
    """One tiny model for every test: what is trained or attached on it has to come off again."""
    return models.load_base(smoke.model)


@pytest.fixture(scope="session")
def chat(smoke):
    """A conversation of alternating user and assistant turns, with the model's system text."""

    def make(*turns):
        roles = ("user", "assistant")
        return [{"role": "system", "content": smoke.model.system_text},
                *({"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns))]

    return make


@pytest.fixture(scope="session")
def rows(tokenizer, chat):
    """Eight encoded two-turn rows of different lengths."""
    return finetune.encode_rows(tokenizer, [
        chat(f"Question {i} about tea?", "Spill it. " * (1 + i % 3), "continue", "That was wrong. " + "Brew it. " * i)
        for i in range(8)
    ], 512)


@pytest.fixture(scope="session")
def phase1_adapter(base, tokenizer, rows, smoke, tmp_path_factory):
    """A Phase-1 adapter, trained hard enough to be clearly another model than the base."""
    folder = tmp_path_factory.mktemp("adapters")
    out = folder / "phase1"
    recipe = smoke.phase1.model_copy(update={"learning_rate": 2e-2})
    finetune.train_phase1(base, tokenizer, rows, recipe, out, seed=1, base_digest="tiny", training=smoke.training,
                          checkpoints=folder / "checkpoints")
    return out
