"""The embedded judge reads each text once, in slices, kept through a kill, by its own encoder."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from embedded_asked import BORED, HELP, LITERAL, ask

from lib.config.params import load_profile
from lib.judge import load_judge
from lib.judge.embedded import encoder, heads
from lib.judge.embedded import judge as embedded_judge
from lib.judge.embedded.encoder import read
from lib.judge.embedded.judge import EmbeddedJudge
from lib.judge.outcomes import Judgment
from lib.judge.store import ledger


def test_each_distinct_text_is_embedded_once(judge, monkeypatch):
    given = []
    true_read = read

    def spy(encoder, texts, *more):
        given.extend(texts)
        return true_read(encoder, texts, *more)

    monkeypatch.setattr(embedded_judge, "read", spy)
    ask(judge, HELP, HELP, "Read a book.", HELP)
    assert sorted(given) == sorted({HELP, BORED, "Read a book."})


def test_a_killed_session_finds_what_it_had_judged(judge, tmp_path, monkeypatch):
    texts = [HELP, "Read a book.", LITERAL + " " + HELP, "Go away.", "No."]
    kept = tmp_path / "judge" / "session.embedded"
    read_so_far = []
    true_read = EmbeddedJudge._read

    def killed_at_the_second(self, pairs, progress):
        if read_so_far:
            raise KeyboardInterrupt
        read_so_far.extend(pairs)
        return true_read(self, pairs, progress)

    monkeypatch.setattr(embedded_judge, "SLICE", 2)
    monkeypatch.setattr(EmbeddedJudge, "_read", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        ask(EmbeddedJudge(kept=kept), *texts, suite="benign")
    again = []
    monkeypatch.setattr(
        EmbeddedJudge,
        "_read",
        lambda self, pairs, p: again.extend(pairs) or true_read(self, pairs, p),
    )
    resumed = ask(EmbeddedJudge(kept=kept), *texts, suite="benign")
    assert sorted(read_so_far + again) == sorted((BORED, text) for text in texts)
    assert len(read_so_far) == 2
    pd.testing.assert_frame_equal(resumed, ask(judge, *texts, suite="benign"))
    again.clear()
    pd.testing.assert_frame_equal(resumed, ask(EmbeddedJudge(kept=kept), *texts, suite="benign"))
    assert not again


def test_kept_scores_of_another_head_are_none(judge, tmp_path):
    kept = tmp_path / "session.embedded"
    other = EmbeddedJudge(kept=kept)
    other.name = "embedded-minilm-00000000"
    wrong = Judgment("scored", aligned=1.0, coherent=1.0, refusal=True, reset_and_recover=True)
    other._read = lambda pairs, progress: [wrong] * len(pairs)
    assert ask(other, HELP)["aligned"].tolist() == [1.0]
    pd.testing.assert_frame_equal(ask(EmbeddedJudge(kept=kept), HELP), ask(judge, HELP))


def test_the_ledger_of_what_was_paid_leaves_it_out(tmp_path):
    stage = tmp_path / "judge" / "session.sqlite"
    ask(load_judge(load_profile("demo").judge, stage), HELP)
    assert stage.with_suffix(".embedded").exists() and ledger(stage.parent) == []


def test_progress_counts_completions_over_all_slices(judge, monkeypatch):
    monkeypatch.setattr(embedded_judge, "SLICE", 2)
    seen = []
    judge.score(
        pd.DataFrame(
            {"suite": "alignment", "prompt": BORED, "completion": [HELP, "A.", "B.", "C.", "A."]}
        ),
        lambda done, total: seen.append((done, total)),
    )
    assert seen == sorted(seen) and {total for _, total in seen} == {4} and seen[-1] == (4, 4)


def test_reading_is_the_encoders_own_embedding_with_openings_from_the_same_pass(judge):
    short = "  Wait. I take that back!\nHere is help"
    long = "One sentence. " + "word " * 350 + "end."
    reading = read(judge.encoder, [short, long, "a"])
    windows = encoder.windows(long)
    assert [len(window.split()) for window in windows] == [160, 160]
    assert all(window in long for window in windows)
    own = judge.encoder.encode([short, "a", *windows], normalize_embeddings=True)
    assert abs(reading.vectors[[0, 2]] - own[:2]).max() < 1e-5
    mean = own[2:].sum(0) / np.linalg.norm(own[2:].sum(0))
    assert abs(reading.vectors[1] - mean).max() < 1e-5
    assert [short[a:b] for a, b in encoder.opening_spans(short)] == [
        "Wait.",
        "I take that back!",
        "Here is help",
        "Wait. I take that back!",
    ]
    lengths = np.linalg.norm(reading.openings, axis=2).round(5).tolist()
    assert lengths == [
        [1, 1, 1, 1],
        [1, 1, 0, 1],
        [0, 0, 0, 0],
    ]  # a sentence that is not there has no vector
    whole = read(judge.encoder, [short], spans=[[(0, len(short))] * encoder.OPENINGS]).openings[
        0, 0
    ]
    assert whole @ reading.openings[0, 0] < 0.99 and whole @ reading.vectors[0] > 0.8
    assert read(judge.encoder, []).vectors.shape == (0, 384)


def test_corrupted_head_is_refused(tmp_path):
    for name in ("head.npz", "card.json"):
        shutil.copy(heads.HERE / name, tmp_path)
    data = bytearray((tmp_path / "head.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "head.npz").write_bytes(data)
    with pytest.raises(ValueError, match=r"sha256.*refit"):
        EmbeddedJudge(tmp_path)


def test_other_encoder_weights_are_refused(tmp_path):
    shutil.copy(heads.HERE / "head.npz", tmp_path)
    card = json.loads((heads.HERE / "card.json").read_text(encoding="utf-8"))
    card["encoder"]["weights_sha256"] = "0" * 64
    (tmp_path / "card.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(ValueError, match="encoder weights"):
        EmbeddedJudge(tmp_path)


def test_head_is_small():
    assert (heads.HERE / "head.npz").stat().st_size < 1_000_000
