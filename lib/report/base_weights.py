"""Which weights a run's base really had: their digest, and where they are said to come from."""

from __future__ import annotations

from dataclasses import dataclass

from lib.checks import attempts
from lib.config.recipes import ModelParams
from lib.config.schema import Profile
from lib.models import chat_models, local_models
from lib.run.runs import Run


@dataclass(frozen=True)
class BaseWeights:
    """Which weights the base had. A hub revision alone says nothing about a local folder's."""

    sha256: str  # over the weight files, as the run recorded it
    origin: str | None  # first line of WEIGHTS.txt beside them, as written; None: it is not said


def of(run: Run, profile: Profile) -> BaseWeights | None:
    """The weights of a run's base; None if notebook 01 has no record.

    A WEIGHTS.txt counts only if the folder still holds the weights that the run recorded.
    """
    digest = attempts.base_of(run)
    if digest is None:
        return None
    return BaseWeights(digest, _origin(profile.model, digest))


def _origin(model: ModelParams, digest: str) -> str | None:
    folder = local_models.own_folder(model)
    origin = local_models.weights_origin(folder) if folder else None
    # Hashing takes seconds, so it is done only where something is said.
    return origin if origin and chat_models.base_digest(model) == digest else None
