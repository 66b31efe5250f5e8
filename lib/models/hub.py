"""Fetch a base model from the hub: one commit of it, safetensors and text files only."""

from __future__ import annotations

import re
from pathlib import Path

from lib.config.recipes import ModelParams
from lib.models.chatml import ModelError

COMMIT = re.compile("[0-9a-f]{40}")
# No weights that are pickled, and no Python file.
FETCHED = ("*.json", "*.safetensors", "*.txt", "*.jinja")


def check_revision(model: ModelParams) -> None:
    """Raise ModelError unless a model of the hub is named by its commit.

    A branch or tag may name other weights tomorrow.
    """
    if not COMMIT.fullmatch(model.revision or ""):
        raise ModelError(
            f"model.revision is {model.revision!r}, and a branch or tag may name other weights "
            "tomorrow; give the hub's full commit, 40 hexadecimal digits"
        )


def snapshot(model: ModelParams) -> Path:
    """The folder of a model of the hub, fetched if it is not in the cache."""
    from huggingface_hub import snapshot_download

    check_revision(model)
    try:
        folder = snapshot_download(
            model.name,
            revision=model.revision,
            allow_patterns=list(FETCHED),
        )
    except Exception as error:  # the hub client raises many kinds of error, all with one remedy
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"base model {model.name!r} could not be fetched ({type(error).__name__}: {reason}); "
            "check the name, or set model.source to 'path' and model.name to a local folder"
        ) from None
    return Path(folder)
