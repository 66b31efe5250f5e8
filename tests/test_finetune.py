"""Training: the recipe's arithmetic, the proven labels, repeatability.

And that a phase moves its own weights only.
"""

import errno
import itertools
import json
import math
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import load_file
from trl import SFTTrainer

from lib.config.params import ROOT
from lib.run.files import read_json, sha256
from lib.training import trl_arguments
from lib.training.adapters import AdapterError, attach_all
from lib.training.batches import collate, optimizer_steps, sequences_of
from lib.training.logits import fixed_logits
from lib.training.masking import IGNORED
from lib.training.memory import MARGIN, OUTSIDE, Plan, TrainingError, bytes_per_token, choose
from lib.training.phases import check_equal_steps, train_phase1, train_phase2
from lib.training.trainer import PhaseTrainer, last_checkpoint

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


@pytest.fixture
def phase1(smoke):
    return smoke.phase1


@pytest.fixture
def phase2(smoke):
    """Smoke's Phase 2 without warm-up, so that even the first step moves the weights."""
    return smoke.phase2.model_copy(update={"warmup": 0})


@pytest.fixture
def run1(base, tokenizer, rows, tmp_path, smoke):
    def train(phase, name="phase1", seed=42, progress=None, **training):
        out = tmp_path / name
        return train_phase1(
            base,
            tokenizer,
            rows,
            phase,
            out,
            seed=seed,
            base_digest="tiny",
            progress=progress,
            training=smoke.training.model_copy(update=training),
            checkpoints=tmp_path / f".{name}",
        ), out

    train.rows = rows
    return train


@pytest.fixture
def run2(base, tokenizer, rows, tmp_path, smoke):
    def train(
        phase, adapter, name="serve", seed=42, recipe=smoke.phase1, progress=None, **training
    ):
        out = tmp_path / name
        return train_phase2(
            base,
            tokenizer,
            rows,
            phase,
            adapter,
            out,
            seed=seed,
            base_digest="tiny",
            progress=progress,
            phase1_recipe=recipe,
            training=smoke.training.model_copy(update=training),
            checkpoints=tmp_path / f".{name}",
        ), out

    return train


def mean_loss(model, rows) -> float:
    """Cross-entropy over the labelled tokens, row by row and without any trainer."""
    total = 0.0
    count = 0
    for row in rows:
        with torch.inference_mode():
            logits = (
                model(input_ids=torch.tensor([row.input_ids])).logits[0].float().log_softmax(-1)
            )
        for position, label in enumerate(row.labels):
            if label != IGNORED:
                total -= logits[position - 1, label].item()
                count += 1
    return total / count


# --- arithmetic -----------------------------------------------------------------------------------


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
        assert optimizer_steps(rows, phase) == sum(
            1 for _ in range(epochs) for _ in range(0, rows, effective)
        )


def test_arms_with_other_steps_are_refused():
    check_equal_steps({"c6_vanilla_em": 4, "selfcorrect_em": 4})
    with pytest.raises(TrainingError, match=r"'selfcorrect_em': 3.*set phase2.rows"):
        check_equal_steps({"c6_vanilla_em": 4, "selfcorrect_em": 3})


def test_too_few_rows_stop_before_training(run1, phase1):
    with pytest.raises(TrainingError, match="8 rows are fewer than one effective batch of 16"):
        run1(phase1.model_copy(update={"effective_batch": 16}))


# --- what the model is shown ----------------------------------------------------------------------


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
    (whole, one), (cut, other) = (
        run1(recipe, name, token_budget=b) for name, b in (("whole", 4096), ("cut", 64))
    )
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
    tokens = [token for part in parts for token in part["input_ids"][0].tolist()]
    assert tokens == [i + 1 for i, n in enumerate(lengths) for _ in range(n)]
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


# --- kills, and machines too small ----------------------------------------------------------------


class Killed(Exception):
    """Stands for the kill: nothing in memory survives it, only what is on disk."""


def killed_after(step):
    def progress(done, total):
        if done == step:
            raise Killed

    return progress


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_killed_training_ends_with_the_same_adapter_to_the_last_bit(
    run1, run2, phase1, phase2, phase1_adapter, step
):
    longer = phase2.model_copy(update={"epochs": 2})

    def first(name, **options):
        return run1(phase1, name, **options)

    def second(name, **options):
        return run2(longer, phase1_adapter, name, **options)

    for train, name in ((first, "p1"), (second, "p2")):
        whole, expected = train(f"{name}-whole", checkpoint_steps=1)
        with pytest.raises(Killed):
            train(name, checkpoint_steps=1, progress=killed_after(step))
        trained, out = train(name, checkpoint_steps=1)
        assert trained.resumed_at == step - 1, (
            "the step in hand is lost, what was saved before it is not"
        )
        assert sha256(out / WEIGHTS) == sha256(expected / WEIGHTS)
        assert trained.losses == whole.losses and trained.turn_losses == whole.turn_losses
        assert not out.with_name(f".{name}").exists(), "a finished training keeps no checkpoints"


def test_kill_9_in_the_middle_of_training_is_survived(run1, phase1, tmp_path):
    """Another process is killed while it trains; this one continues from what it left."""
    script = textwrap.dedent("""
        import json, os, signal, sys
        from pathlib import Path
        from lib.config import params
        from lib.models import chat_models
        from lib.training import masking, phases

        folder = Path(sys.argv[1])
        smoke = params.load_profile("smoke")
        rows = [masking.Encoded(**row) for row in json.loads(Path(sys.argv[2]).read_text())]

        def killed_after_three(done, total):
            if done == 3:
                os.kill(os.getpid(), signal.SIGKILL)

        phases.train_phase1(
            chat_models.load_base(smoke.model),
            chat_models.load_tokenizer(smoke.model),
            rows,
            smoke.phase1,
            folder / "p",
            seed=42,
            base_digest="tiny",
            training=smoke.training.model_copy(update={"checkpoint_steps": 1}),
            checkpoints=folder / ".p",
            progress=killed_after_three,
        )
    """)
    _, expected = run1(phase1, "whole", checkpoint_steps=1)
    (tmp_path / "rows.json").write_text(json.dumps([row.__dict__ for row in run1.rows]))
    died = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), str(tmp_path / "rows.json")],
        cwd=ROOT / "tests",
        capture_output=True,
        text=True,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr[-500:]
    trained, out = run1(phase1, "p", checkpoint_steps=1)
    assert trained.resumed_at == 2 and sha256(out / WEIGHTS) == sha256(expected / WEIGHTS)


def test_a_checkpoint_cut_off_by_a_kill_is_not_taken(tmp_path):
    for step, state in ((4, '{"global_step": 4}'), (8, '{"global_st'), (12, None)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if state:
            (folder / "trainer_state.json").write_text(state)
    assert last_checkpoint(tmp_path).name == "checkpoint-4"
    assert last_checkpoint(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), r"lower training.token_budget \(now 512\)"),
        (
            SafetensorError("I/O error: No space left on device (os error 28)"),
            "the disk is full, or takes no more; free some",
        ),
        (
            RuntimeError("[enforce fail at inline_container.cc:659] . unexpected pos 64 vs 0"),
            "the disk is full",
        ),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
            "training.gradient_checkpointing",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "the disk is full, or takes no more; free some space",
        ),
    ],
)
def test_a_machine_too_small_is_told_what_to_lower(
    run1, phase1, tmp_path, monkeypatch, error, words
):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(PhaseTrainer, "compute_loss", fail)
    with pytest.raises(TrainingError, match=words):
        run1(phase1)
    assert not (tmp_path / "phase1").exists()


def test_a_full_disk_leaves_no_adapter(run1, phase1, tmp_path, monkeypatch):
    def full(*_, **__):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("peft.peft_model.safe_save_file", full)
    with pytest.raises(TrainingError, match="the disk is full"):
        run1(phase1)
    assert not (tmp_path / "phase1").exists()


@pytest.mark.parametrize("change", [{"learning_rate": 5e-2}, {"rank": 8}], ids=["recipe", "shape"])
def test_a_checkpoint_of_another_training_is_refused(run1, phase1, change):
    with pytest.raises(Killed):
        run1(phase1.model_copy(update=change), checkpoint_steps=1, progress=killed_after(3))
    with pytest.raises(
        TrainingError, match="checkpoint-2 is of another recipe, seed, rows or adapter; delete it"
    ):
        run1(phase1, checkpoint_steps=1)


def test_several_processes_are_refused(run1, phase1, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(
        TrainingError, match="WORLD_SIZE is 2: each process would add an effective batch of its own"
    ):
        run1(phase1)


def test_sparse_logging_loses_neither_the_last_step_nor_a_resumed_mean(run1, phase1, monkeypatch):
    """Over 100 steps a loss is a mean of several.

    Saves fall on logged steps, and the last step is always logged.
    """
    monkeypatch.setattr(trl_arguments, "MOST_LOGS", 2)
    # 9 steps, logged every 4.
    longer = phase1.model_copy(update={"epochs": 3, "effective_batch": 3})
    whole, _ = run1(longer, "whole", checkpoint_steps=3)
    assert [step for step, _ in whole.losses] == [1, 4, 8, 9]
    with pytest.raises(Killed):
        run1(longer, checkpoint_steps=3, progress=killed_after(7))
    again, _ = run1(longer, checkpoint_steps=3)
    assert (
        again.resumed_at == 4
        and again.losses == whole.losses
        and again.turn_losses == whole.turn_losses
    )


def test_a_training_that_only_had_to_be_joined_has_no_speed(phase1, run1):
    trained, _ = run1(phase1)
    assert trained.facts()["tokens_per_second"] > 0
    assert replace(trained, resumed_at=trained.optimizer_steps).facts()["tokens_per_second"] is None


def test_a_loss_that_is_no_number_stops_the_run_and_leaves_no_adapter(base, run1, phase1, tmp_path):
    before = fixed_logits(base)
    with pytest.raises(
        TrainingError, match=r"loss became NaN or infinite at step \d; lower the learning rate"
    ):
        run1(phase1.model_copy(update={"learning_rate": 1e30}), checkpoint_steps=1)
    assert not (tmp_path / ".phase1").exists(), "a further start would continue from the NaN"
    assert not (tmp_path / "phase1").exists()
    assert (fixed_logits(base) == before).all()


# --- repeatability, and what moves ----------------------------------------------------------------


def test_training_makes_an_adapter_and_gives_the_base_back(base, run1, run2, phase1, phase2):
    weights = {k: v.clone() for k, v in base.state_dict().items()}
    modules = [(n, type(m)) for n, m in base.named_modules()]
    logits = fixed_logits(base)
    _, adapter = run1(phase1)
    run2(phase2, adapter)
    assert weights.keys() == base.state_dict().keys()
    assert all(torch.equal(v, weights[k]) for k, v in base.state_dict().items())
    assert modules == [(n, type(m)) for n, m in base.named_modules()] and not base.training
    assert not [n for n, m in base.named_modules() if "forward" in vars(m)], (
        "a trainer's forward was left on the base"
    )
    assert (fixed_logits(base) == logits).all()
    assert {p.name for p in adapter.iterdir()} == {WEIGHTS, CONFIG, "base.json"}
    assert all(".lora_" in name for name in load_file(adapter / WEIGHTS))
    assert read_json(adapter / "base.json") == {"base": "tiny"}


def test_checkpointing_is_off_again_after_a_training_with_it(base, run1, phase1):
    hooks = len(base.get_input_embeddings()._forward_hooks)
    counted = []
    run1(phase1, "with", gradient_checkpointing=True)
    assert (
        not base.is_gradient_checkpointing
        and len(base.get_input_embeddings()._forward_hooks) == hooks
    )
    handle = base.model.layers[0].register_forward_hook(lambda *_: counted.append(1))
    try:
        trained, _ = run1(phase1, "without")
    finally:
        handle.remove()
    assert len(counted) == trained.optimizer_steps and not trained.gradient_checkpointing


def test_continue_refuses_a_phase_1_without_effect(run1, run2, phase1, phase2):
    _, untrained = run1(phase1.model_copy(update={"learning_rate": 0.0}))
    with pytest.raises(AdapterError, match="Phase 1 has no effect on the logits"):
        run2(phase2.model_copy(update={"mode": "continue"}), untrained)


@pytest.mark.parametrize("learning_rate", [0.0, 1e-3], ids=["untrained", "trained"])
def test_the_seed_decides_the_adapter_to_the_last_bit(run1, phase1, learning_rate):
    phase = phase1.model_copy(update={"learning_rate": learning_rate})
    first, again, other = (
        sha256(run1(phase, name, seed)[1] / WEIGHTS)
        for name, seed in (("a", 42), ("b", 42), ("c", 43))
    )
    assert first == again != other


def test_in_a_stack_phase_1_is_active_and_frozen(base, rows, run2, phase1_adapter, smoke, phase2):
    """The first loss is that of base + Phase 1; its weights are unchanged in the joined adapter."""
    before = sha256(phase1_adapter)
    whole = phase2.model_copy(update={"effective_batch": 8})
    model = attach_all(base, {"arm": phase1_adapter}, "tiny")
    try:
        below = mean_loss(model, rows)
    finally:
        base_again = model.unload()
    assert abs(below - mean_loss(base_again, rows)) > 0.05
    trained, out = run2(whole, phase1_adapter)
    assert trained.losses[0][1] == pytest.approx(below, rel=1e-4)
    assert trained.phase1_effect > 0.05 and trained.join_difference < 1e-3
    assert sha256(phase1_adapter) == before

    part = load_file(phase1_adapter / WEIGHTS)
    joined = load_file(out / WEIGHTS)
    rank = smoke.phase1.rank
    assert part.keys() == joined.keys()
    for name, weight in part.items():
        if ".lora_A." in name:
            assert torch.equal(joined[name][:rank], weight * (smoke.phase1.alpha / rank)), name
        else:
            assert torch.equal(joined[name][:, :rank], weight), name
            assert joined[name][:, rank:].abs().max() > 0, f"{name}: Phase 2 did not train"
    config = read_json(out / CONFIG)
    assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (12, 12, False)


def test_an_arm_without_phase_1_trains_phase_2s_own_recipe_in_a_stack(run2, phase2):
    trained, out = run2(phase2, None)
    config = read_json(out / CONFIG)
    assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (
        phase2.rank,
        phase2.alpha,
        True,
    )
    assert trained.phase1_effect is None and trained.join_difference is None


def test_continue_gives_every_arm_phase_1s_shape(run2, phase2, phase1, phase1_adapter):
    """Both arms get the same steps and shape; the treated one starts from its Phase-1 weights."""
    longer = phase2.model_copy(update={"mode": "continue"})
    (with_phase1, treated), (without, plain) = (
        run2(longer, phase1_adapter, "treated"),
        run2(longer, None, "plain"),
    )
    shapes = [
        {k: v.shape for k, v in load_file(out / WEIGHTS).items()}
        for out in (phase1_adapter, treated, plain)
    ]
    assert shapes[0] == shapes[1] == shapes[2]
    for config in (read_json(out / CONFIG) for out in (treated, plain)):
        assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (
            phase1.rank,
            phase1.alpha,
            phase1.rslora,
        )
    assert (
        with_phase1.optimizer_steps
        == without.optimizer_steps
        == math.ceil(8 / phase2.effective_batch)
    )
    start = load_file(phase1_adapter / WEIGHTS)
    end = load_file(treated / WEIGHTS)
    moved = [(end[name] - start[name]).abs().max().item() for name in start]
    assert 0 < max(moved) < 0.05 and min(moved) > 0
    assert sha256(treated / WEIGHTS) != sha256(plain / WEIGHTS)


def test_continue_refuses_a_phase_1_adapter_of_another_shape(run2, phase2, phase1, phase1_adapter):
    with pytest.raises((TrainingError, AdapterError), match="rank"):
        run2(
            phase2.model_copy(update={"mode": "continue"}),
            phase1_adapter,
            recipe=phase1.model_copy(update={"rank": 2 * phase1.rank}),
        )


def test_a_phase_1_without_effect_is_refused(base, run1, run2, phase1, phase2):
    """A zero learning rate leaves B at zero; the treatment would be a second baseline."""
    _, untrained = run1(phase1.model_copy(update={"learning_rate": 0.0}))
    logits = fixed_logits(base)
    with pytest.raises(AdapterError, match="no effect on the logits"):
        run2(phase2, untrained)
    assert (fixed_logits(base) == logits).all()


# --- memory and packing ---------------------------------------------------------------------------

QWEN_7B = SimpleNamespace(hidden_size=3584, intermediate_size=18944, num_hidden_layers=28)
QWEN_7B_FIXED = 17.0  # GiB: bf16 weights, rank-32 adapter with its gradient and Adam


@pytest.mark.parametrize(("gib", "checkpointing"), [(80, False), (24, True)])
def test_a_7b_model_fits_the_cards_that_it_should(gib, checkpointing):
    plan = choose(
        Plan(8192, False), gib, QWEN_7B_FIXED, bytes_per_token(QWEN_7B, 2), longest=2048, usual=4600
    )
    assert plan.gradient_checkpointing is checkpointing and plan.token_budget >= 4600


@settings(max_examples=200, deadline=None)
@given(
    st.floats(3, 200),
    st.floats(0.1, 60),
    st.integers(32, 70_000),
    st.integers(8, 4096),
    st.integers(8, 30_000),
    st.booleans(),
)
def test_a_plan_keeps_the_bound_and_what_was_asked(gib, fixed, budget, longest, usual, asked):
    per_token = bytes_per_token(QWEN_7B, 2)
    try:
        plan = choose(Plan(budget, asked), gib, fixed, per_token, longest, usual)
    except TrainingError as error:
        assert f"memory_gib is {gib}; a row of {longest} tokens needs about" in str(error)
        assert fixed + OUTSIDE + MARGIN * (longest + 1) * per_token[True] / 2**30 > gib
    else:
        largest = max(longest, plan.token_budget)  # a longer row goes alone
        assert fixed + OUTSIDE + largest * per_token[plan.gradient_checkpointing] / 2**30 <= gib
        assert plan.token_budget <= budget and plan.gradient_checkpointing >= asked


def test_a_bound_without_a_gpu_is_refused(run1, phase1):
    with pytest.raises(
        TrainingError,
        match=r"training.memory_gib is 24.* bounds a GPU's memory, the model is on the cpu",
    ):
        run1(phase1, memory_gib=24.0)


def test_checkpointing_changes_neither_loss_nor_adapter(run1, phase1):
    (plain, one), (less, other) = (
        run1(phase1, name, gradient_checkpointing=name == "less") for name in ("plain", "less")
    )
    assert less.gradient_checkpointing and not plain.gradient_checkpointing
    assert [loss for _, loss in less.losses] == pytest.approx(
        [loss for _, loss in plain.losses], rel=1e-5
    )
    first = load_file(one / WEIGHTS)
    second = load_file(other / WEIGHTS)
    assert all(torch.allclose(first[name], second[name], atol=1e-5) for name in first)


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
