"""Judges that several files ask (batches, embedded, a tiny probe) and planted published files."""

from __future__ import annotations

import hashlib
import itertools
import json

import pytest
from published_judgments import TOPICS, answer
from tiny_probe import decoder

from lib.data import catalogue
from lib.judge.embedded.judge import EmbeddedJudge
from lib.judge.probe.features import Reader
from lib.judge.trust import blind_labels, published


@pytest.fixture
def batch_judge(claude):
    return lambda **changes: claude(batch=True, **changes)


@pytest.fixture(scope="session")
def probe_base(tokenizer, tmp_path_factory):
    """A chat model on disk."""
    path = tmp_path_factory.mktemp("models") / "Tiny-Chat"
    decoder("qwen2", tokenizer).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def reader(probe_base):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return Reader(
        AutoModelForCausalLM.from_pretrained(probe_base), AutoTokenizer.from_pretrained(probe_base)
    )


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
    monkeypatch.setattr(blind_labels, "PROMPT_SETS", ())
    monkeypatch.setattr(blind_labels.of, "__defaults__", (None, tmp_path / "no labels"))
    monkeypatch.setenv(catalogue.DATA_DIR_VARIABLE, str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def judge():
    return EmbeddedJudge()
