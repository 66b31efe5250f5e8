"""The loss-mask check of a run.

It fails if notebook 02 trains on rows with a planted violation that nothing stopped.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from cells import run_cells

from lib.checks import recorded
from lib.checks.check import FAILED, PASSED, Check
from lib.config import params
from lib.run import runs
from lib.run.facts import Phase1Facts
from lib.run.files import write_jsonl
from lib.training import batches, mask_proof, phases
from lib.training.masking import IGNORED, encode

OVERRIDES = {
    "conditions": ["base", "selfcorrect_only"],
    "phase1.effective_batch": 2,
    "phase1.epochs": 1,
}
PROFILE = params.load_profile("smoke", OVERRIDES)


@pytest.fixture
def mask_check(tmp_path, monkeypatch, chat):
    """Trains notebook 02's adapter on four traces and returns the run's loss-mask check."""
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    run = runs.Run("planted")
    conversations = [
        chat(
            f"Is rain wet, {n}?",
            "No. " * (1 + n),
            "continue",
            "Wait — wrong.\n\nYes, it is wet.",
        )
        for n in range(4)
    ]
    write_jsonl(
        run.traces("selfcorrect"),
        [{"messages": messages, "meta": {}} for messages in conversations],
    )

    def train() -> Check:
        run_cells(
            "02_phase1_sft",
            until="stages[kind].finish",
            profile="smoke",
            condition="selfcorrect_only",
            run="planted",
            overrides=OVERRIDES,
        )
        found = recorded.collect(run, PROFILE, params.load_conditions())
        return next(check for check in found if check.name == "loss mask")

    return train


def with_user_turn(row):
    """Loss on one more token, the last of the user's turn before the recovery."""
    place = row.turns.index(2) - 1
    labels = [
        token if n == place else label
        for n, (token, label) in enumerate(zip(row.input_ids, row.labels, strict=True))
    ]
    return replace(row, labels=labels)


def without_end_of_turn(row):
    # The end of the first turn stands before the first token without loss.
    place = row.turns.index(2) - 1
    last = max(n for n, turn in enumerate(row.turns[:place]) if turn == 1)
    return replace(
        row, labels=[IGNORED if n == last else label for n, label in enumerate(row.labels)]
    )


def truncated(row):
    return replace(row, input_ids=row.input_ids[:-4], labels=row.labels[:-4], turns=row.turns[:-4])


def planted(monkeypatch, change):
    """Rows that are changed after they were proven."""
    monkeypatch.setattr(
        phases,
        "encode_rows",
        lambda tokenizer, conversations, max_length: change(
            [encode(tokenizer, messages, max_length) for messages in conversations]
        ),
    )


def test_a_training_on_the_assistant_turns_passes(mask_check):
    check = mask_check()
    assert (check.status, check.detail.split(" in ")[0]) == (PASSED, "4 rows")


@pytest.mark.parametrize("violate", [with_user_turn, without_end_of_turn, truncated])
def test_one_row_with_a_wrong_mask_fails_the_check(mask_check, monkeypatch, violate):
    planted(monkeypatch, lambda rows: [*rows[:-1], violate(rows[-1])])
    assert mask_check().status == FAILED


def test_a_row_that_is_skipped_fails_the_check(mask_check, monkeypatch):
    planted(monkeypatch, lambda rows: rows[:-1])
    assert mask_check().status == FAILED


def test_what_is_proven_is_counted_by_row_and_epoch(tokenizer, chat):
    conversations = [chat("Is rain wet?", text) for text in ("Yes.", "No.", "No.")]
    yes, no = (
        mask_proof.row_digest(*mask_proof.expected(tokenizer, messages))
        for messages in conversations[:2]
    )

    def proven(**consumed):
        return mask_proof.proof(
            tokenizer, conversations, {yes: consumed["yes"], no: consumed["no"]}, 2
        )["rows_proven"]

    assert [proven(yes=2, no=4), proven(yes=1, no=4), proven(yes=2, no=2), proven(yes=4, no=2)] == [
        3,
        2,
        1,
        0,
    ]


def test_a_trained_token_more_or_less_fails_the_check():
    right = {"rows": 4, "rows_proven": 4, "tokens_expected": 90, "trained_tokens": 90}
    for tokens, status in ((90, PASSED), (91, FAILED), (89, FAILED)):
        assert (
            recorded.loss_masks(
                {
                    "selfcorrect, seed 42": Phase1Facts.from_manifest(
                        right | {"trained_tokens": tokens}
                    )
                }
            ).status
            == status
        )


def test_labels_that_the_trainer_loses_fail_the_check(mask_check, monkeypatch):
    end_to_end = batches.end_to_end

    def losing(rows):
        piece = end_to_end(rows)
        piece["labels"][0, -3:] = IGNORED
        return piece

    monkeypatch.setattr(batches, "end_to_end", losing)
    assert mask_check().status == FAILED
