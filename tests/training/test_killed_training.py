"""A training that is killed ends as if it had not been; a checkpoint of another one is refused."""

import json
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest
from trainings import WEIGHTS, Killed, killed_after

from lib.config.params import ROOT
from lib.run.files import sha256
from lib.training import trl_arguments
from lib.training.checkpoints import last_checkpoint
from lib.training.memory import TrainingError


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
        cwd=ROOT,
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


@pytest.mark.parametrize("change", [{"learning_rate": 5e-2}, {"rank": 8}], ids=["recipe", "shape"])
def test_a_checkpoint_of_another_training_is_refused(run1, phase1, change):
    with pytest.raises(Killed):
        run1(phase1.model_copy(update=change), checkpoint_steps=1, progress=killed_after(3))
    with pytest.raises(
        TrainingError, match="checkpoint-2 is of another recipe, seed, rows or adapter; delete it"
    ):
        run1(phase1, checkpoint_steps=1)


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


def test_a_checkpoint_holds_no_pickle_and_a_damaged_one_is_left_aside(
    run1, phase1, tmp_path, capsys
):
    whole, expected = run1(phase1, "whole", checkpoint_steps=1)
    with pytest.raises(Killed):
        run1(phase1, checkpoint_steps=1, progress=killed_after(4))
    (folder,) = {path.parent for path in tmp_path.glob(".*/checkpoint-3")}
    kept = sorted(path.name for path in folder.glob("checkpoint-*"))
    assert kept == ["checkpoint-2", "checkpoint-3"], "two are kept, the newest by their steps"
    endings = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert endings == {".json", ".safetensors"}
    state = folder / "checkpoint-3" / "optimizer.safetensors"
    state.write_bytes(state.read_bytes()[:-8] + b"\0" * 8)
    trained, out = run1(phase1, checkpoint_steps=1)
    assert trained.resumed_at == 2 and trained.losses == whole.losses
    assert sha256(out / WEIGHTS) == sha256(expected / WEIGHTS)
    assert "checkpoint-3 is not used: optimizer.safetensors was changed" in capsys.readouterr().out
