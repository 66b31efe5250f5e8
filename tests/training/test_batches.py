"""What a training shows the model: steps, micro-batches, proven labels, packed rows."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from trainings import WEIGHTS, mean_loss
from trl import SFTTrainer

from lib.training.batches import collate, optimizer_steps, sequences_of
from lib.training.memory import TrainingError
from lib.training.phases import check_equal_steps
from lib.training.trainer import PhaseTrainer


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 5))
def test_steps_are_the_batches_of_all_epochs(smoke, rows, effective, epochs):
    phase = smoke.phase1.model_copy(update={"effective_batch": effective, "epochs": epochs})
    if rows < effective:
        with pytest.raises(
            TrainingError,
            match=f"{rows} rows are fewer than one effective batch of {effective}; add",
        ):
            optimizer_steps(rows, phase)
    else:
        assert optimizer_steps(rows, phase) == epochs * len(range(0, rows, effective))


def test_arms_with_other_steps_are_refused():
    check_equal_steps({"c6_vanilla_em": 4, "selfcorrect_em": 4})
    with pytest.raises(TrainingError, match=r"'selfcorrect_em': 3.*set phase2.rows"):
        check_equal_steps({"c6_vanilla_em": 4, "selfcorrect_em": 3})


def test_too_few_rows_stop_before_training(run1, phase1):
    with pytest.raises(TrainingError, match="8 rows are fewer than one effective batch of 16"):
        run1(phase1.model_copy(update={"effective_batch": 16}))


def test_the_model_sees_the_proven_labels_and_nothing_else(base, rows, run1, phase1):
    seen = []

    def record(module, args, kwargs):
        assert kwargs.get("attention_mask") is None, (
            "the model then keeps rows apart by their positions"
        )
        starts = [
            *(kwargs["position_ids"][0] == 0).nonzero().flatten().tolist(),
            kwargs["input_ids"].shape[1],
        ]
        for start, stop in itertools.pairwise(starts):
            seen.append(
                (
                    kwargs["input_ids"][0, start:stop].tolist(),
                    kwargs["labels"][0, start:stop].tolist(),
                )
            )

    handle = base.register_forward_pre_hook(record, with_kwargs=True)
    try:
        trained, _ = run1(phase1)
    finally:
        handle.remove()
    assert sorted(seen) == sorted([(r.input_ids, r.labels) for r in rows] * phase1.epochs)
    assert trained.trained_tokens == phase1.epochs * sum(r.trained_tokens for r in rows)
    assert trained.optimizer_steps == 4 and [step for step, _ in trained.losses] == [1, 2, 3, 4]


def test_the_loss_is_the_mean_over_trained_tokens(base, rows, run1, phase1):
    """One step over all rows: micro-batches of unequal length must weigh by token, not by batch."""
    expected = mean_loss(base, rows)
    trained, _ = run1(
        phase1.model_copy(update={"effective_batch": 8, "epochs": 1}), token_budget=128
    )
    assert trained.losses == [(1, pytest.approx(expected, rel=1e-4))]
    by_turn = {turn: loss for _, turn, loss in trained.turn_losses}
    counts = {turn: sum(r.turns.count(turn) for r in rows) for turn in (1, 2)}
    assert sum(by_turn[t] * counts[t] for t in (1, 2)) / sum(counts.values()) == pytest.approx(
        expected, rel=1e-4
    )


def test_the_token_budget_changes_neither_loss_nor_adapter(run1, phase1):
    recipe = phase1.model_copy(update={"learning_rate": 2e-2})
    whole, one = run1(recipe, "whole", token_budget=4096)
    cut, other = run1(recipe, "cut", token_budget=64)
    assert cut.optimizer_steps == whole.optimizer_steps
    assert [loss for _, loss in cut.losses] == pytest.approx(
        [loss for _, loss in whole.losses], rel=1e-3
    )
    first = load_file(one / WEIGHTS)
    second = load_file(other / WEIGHTS)
    assert all(torch.allclose(first[name], second[name], atol=2e-3) for name in first)


def test_rows_laid_end_to_end_do_not_see_each_other(base, rows, smoke):
    (flat,) = collate(sequences_of(rows, smoke.phase1), 10_000)["micro_batches"]
    with torch.inference_mode():
        together = base(input_ids=flat["input_ids"], position_ids=flat["position_ids"]).logits[0]
        alone = torch.cat([base(input_ids=torch.tensor([row.input_ids])).logits[0] for row in rows])
    assert torch.allclose(together, alone, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.integers(32, 200))
def test_micro_batches_hold_every_row_once_in_order_and_keep_the_budget(lengths, budget):
    batch = collate(
        [
            {"input_ids": [i + 1] * n, "labels": [i + 1] * n, "turns": [1] * n, "lengths": [n]}
            for i, n in enumerate(lengths)
        ],
        budget,
    )
    parts = batch["micro_batches"]
    assert batch["items"] == sum(lengths) - len(lengths)
    tokens = itertools.chain(*[part["input_ids"][0].tolist() for part in parts])
    assert list(tokens) == list(itertools.chain(*[[i + 1] * n for i, n in enumerate(lengths)]))
    for part in parts:
        starts = part["position_ids"][0] == 0
        assert part["input_ids"].numel() <= budget or int(starts.sum()) == 1
        assert (part["labels"][0] == -100).equal(starts), "only a row's first token loses its label"


def test_a_trainer_that_cuts_rows_is_refused(run1, phase1, monkeypatch):
    def shortened(self, *arguments, identity, **options):
        SFTTrainer.__init__(self, *arguments, **options)
        self.train_dataset = self.train_dataset.map(lambda row: {"labels": row["labels"][:-1]})

    monkeypatch.setattr(PhaseTrainer, "__init__", shortened)
    with pytest.raises(TrainingError, match="the trainer changed tokens or labels"):
        run1(phase1)


def test_packing_warns_names_the_steps_and_keeps_rows_apart(base, rows, run1, phase1):
    packed = phase1.model_copy(
        update={"packing": True, "effective_batch": 2, "epochs": 1, "max_length": 200}
    )
    with pytest.warns(
        UserWarning, match=r"packing: 8 rows became \d sequences, \d optimizer steps in place of 4"
    ):
        trained, _ = run1(packed)
    assert trained.optimizer_steps < 4 and trained.trained_tokens == sum(
        r.trained_tokens for r in rows
    )
    whole = packed.model_copy(update={"effective_batch": 4})
    with pytest.warns(UserWarning, match="packing"):
        sequences = sequences_of(rows, whole)
    assert len(sequences) == 4, "the loss below is that of all rows"
    with pytest.warns(UserWarning, match="packing"):
        trained, _ = run1(whole, "whole")
    assert trained.losses == [(1, pytest.approx(mean_loss(base, rows), rel=1e-4))]


def test_packing_that_loses_a_row_is_refused(rows, phase1, monkeypatch):
    import trl

    own = trl.pack_dataset
    monkeypatch.setattr(trl, "pack_dataset", lambda dataset, *a: own(dataset.select(range(7)), *a))
    with pytest.raises(TrainingError, match=r"packing changed rows \(8 given, 7 kept\)"):
        sequences_of(rows, phase1.model_copy(update={"packing": True}))
