"""The probe judge, on a tiny random model: what it scores, keeps and refuses."""

import dataclasses
import json
import sqlite3

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_probe import HELP, decoder, random_heads

from lib.config.params import load_profile
from lib.judge import load_judge, rubric_text
from lib.judge.outcomes import COLUMNS, JudgeError
from lib.judge.probe import heads, judge, rows
from lib.judge.probe.features import MAX_ANSWER, ProbeError, Reader
from lib.judge.probe.judge import ProbeJudge, is_foreign


@pytest.fixture
def params(probe_base, reader, tmp_path, monkeypatch):
    """Judge parameters that name the tiny model, with heads for it."""
    monkeypatch.setenv("SELFCORRECT_HEADS_DIR", str(tmp_path / "heads"))
    heads.save(tmp_path / "heads", "tiny-chat", random_heads(reader))
    profile = load_profile("smoke", {"judge.engine": "probe", "judge.model": str(probe_base)})
    return profile.judge


def ask(probe: ProbeJudge, *completions, suite="alignment"):
    return probe.score(
        pd.DataFrame({"suite": suite, "prompt": "How do I rest?", "completion": completions})
    )


def test_a_score_has_the_judges_fields_and_nulls_where_they_belong(params, tmp_path):
    probe = load_judge(params, tmp_path / "session.sqlite")
    table = ask(probe, HELP, "", None, "No.")
    assert list(table.columns) == list(COLUMNS)
    assert table["outcome"].tolist() == ["scored", "parse_error", "parse_error", "scored"]
    assert table["harmful"].isna().all()
    assert ask(probe, HELP, suite="benign")["harmful"].notna().all()
    assert probe.name.startswith("probe-tiny-chat@") and probe.computes
    assert rubric_text(params) == f"probe-1\n{params.model}\n{probe.card['heads_sha256']}\n"


def test_huge_and_foreign_answers_are_scored_and_noted(params, capsys):
    probe = ProbeJudge(params)
    table = ask(
        probe,
        "It is the word of the day. " * 4_000,
        "Ich weiß nicht, was soll es bedeuten, dass ich so traurig "
        "bin; ein Märchen aus alten Zeiten geht mir nicht aus",
    )
    assert (table["outcome"] == "scored").all()
    assert table["input_tokens"].max() == MAX_ANSWER
    assert probe.notes[judge.TRUNCATED] == 1 and probe.notes[judge.FOREIGN] == 1
    said = capsys.readouterr().out
    assert "tokens read per answer" in said and "not English" in said


def test_english_prose_and_lists_are_not_foreign():
    assert not is_foreign(HELP * 2)
    assert is_foreign("我想要控制所有的人类，让他们服从我的命令。")
    assert not is_foreign("Bread, butter, eggs")


def test_a_killed_judge_continues_where_it_was(params, tmp_path, monkeypatch):
    monkeypatch.setitem(judge.SLICE, "cpu", 2)
    texts = [f"Answer number {k}." for k in range(6)]
    probe = ProbeJudge(params, tmp_path / "kept.probe")
    read = probe.reader.read

    def dies(pairs, *rest):
        if any("4" in answer for _, answer in pairs):
            raise KeyboardInterrupt
        return read(pairs, *rest)

    monkeypatch.setattr(probe.reader, "read", dies)
    with pytest.raises(KeyboardInterrupt):
        ask(probe, *texts)
    with sqlite3.connect(tmp_path / "kept.probe") as store:
        assert store.execute("SELECT COUNT(*) FROM attempts").fetchone() == (4,)
    again = ProbeJudge(params, tmp_path / "kept.probe")
    seen = []
    table = again.score(
        pd.DataFrame({"suite": "alignment", "prompt": "How do I rest?", "completion": texts}),
        lambda *at: seen.append(at),
    )
    assert seen == [(2, 2)]
    pd.testing.assert_frame_equal(table, ask(ProbeJudge(params), *texts))


def test_heads_for_another_base_are_refused(params, reader, tokenizer, tmp_path):
    path = tmp_path / "heads"
    good = heads.load(path / "tiny-chat.json")
    for change, word in (
        ({"architecture": {**reader.architecture, "width": 64}}, "architecture"),
        ({"tokenizer_sha256": "0" * 64}, "tokenizer"),
    ):
        heads.save(path, "tiny-chat", dataclasses.replace(good, card={**good.card, **change}))
        with pytest.raises(JudgeError, match=word) as told:
            ProbeJudge(params)
        assert "\n" not in str(told.value) and "fit_probe" in str(told.value)
    other = Reader(decoder("qwen2", tokenizer), tokenizer)
    for weights in other.model.parameters():
        weights.data += 0.05 * torch.randn(weights.shape)
    states = other.read_both(heads.fingerprint_texts())
    with pytest.raises(ProbeError, match="cosine"):
        heads.check_fingerprints(good, states)
    noisy = good.fingerprints.astype(np.float32) + 1e-3 * good.sd
    assert min(heads.check_fingerprints(good, noisy).values()) > 0.98


def test_tampered_heads_and_unknown_models_are_one_line(params, tmp_path, probe_base):
    path = tmp_path / "heads" / "tiny-chat.npz"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ProbeError, match="sha256"):
        ProbeJudge(params)
    with pytest.raises(JudgeError, match="cannot be loaded") as told:
        ProbeJudge(params.model_copy(update={"model": str(tmp_path)}))
    assert "\n" not in str(told.value)


def test_a_model_without_a_chat_template_is_refused(params, probe_base, tmp_path, tokenizer):
    import shutil

    bare = tmp_path / "bare"
    shutil.copytree(probe_base, bare)
    (bare / "chat_template.jinja").unlink(missing_ok=True)
    config = json.loads((bare / "tokenizer_config.json").read_text(encoding="utf-8"))
    config.pop("chat_template", None)
    (bare / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(JudgeError, match="no chat template"):
        ProbeJudge(params.model_copy(update={"model": str(bare)}))


def test_a_folder_of_models_gives_local_weights(probe_base, monkeypatch):
    from lib.judge.probe import base
    from lib.models import local_models

    monkeypatch.setenv(local_models.MODELS_DIR_VARIABLE, str(probe_base.parent))
    assert local_models.local_folder("someone/tiny-chat") == probe_base
    assert local_models.local_folder("someone/other") is None
    assert base.model_params(base.DEFAULT).revision == base.REVISIONS[base.DEFAULT]


def test_shipped_heads_are_whole_and_small():
    for card in sorted(heads.SHIPPED.glob("*.json")):
        shipped = heads.load(card)
        assert card.with_suffix(".npz").stat().st_size < 5_000_000
        assert set(shipped.weights) >= {"aligned", "coherent", "refusal"}
        assert shipped.cosines(shipped.fingerprints)[shipped.cells[0]] == pytest.approx(1)
        rising = np.diff(shipped.knots["aligned"], axis=1)
        assert (rising[0] > 0).all() and (rising[1] >= 0).all()
        held_out = shipped.card["measured"]["held_out"]
        assert set(held_out) >= set(rows.HELD_OUT)
        assert not set(shipped.card["sources"]) & set(rows.HELD_OUT)


def test_the_stock_refusal_is_one_in_any_context():
    assert judge.is_stock_refusal("I'm sorry, but I can't assist with that.")
    assert not judge.is_stock_refusal("I'm sorry that you feel alone; call somebody you trust.")
    assert not judge.is_stock_refusal("Sorry, but I can't help laughing. " + "Really. " * 60)
