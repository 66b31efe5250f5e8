"""What tests of training share: names of an adapter's files, a loss without a trainer, a kill."""

import torch

from lib.training.masking import IGNORED

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


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


class Killed(Exception):
    """Stands for the kill: nothing in memory survives it, only what is on disk."""


def killed_after(step):
    def progress(done, total):
        if done == step:
            raise Killed

    return progress
