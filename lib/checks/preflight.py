"""What `make report` looks at before it starts: inputs that some stage would refuse hours later.

Everything here is quick, and what it does not know (whether a local judge's server will run by
then, whether a hub has the model) it leaves to the stage.
"""

from __future__ import annotations

from lib.config import judges
from lib.config.experiment import Experiment
from lib.config.schema import Profile
from lib.data import catalogue, eval_sets
from lib.judge import check_key, rubric_text
from lib.models import chat_models, hub, local_models
from lib.run import paths
from lib.run.runs import Run
from lib.setup.caches import cache_dir
from lib.training.trl_arguments import check_one_process


def check(profile: Profile, run: Run) -> None:
    """Raise an error of one line for the first input that a stage of this run would refuse.

    Raises ParamsError, ModelError, DataError or TrainingError (all are ValueError), JudgeError, or
    OSError for a folder that cannot be written.
    """
    check_one_process()
    paths.check_inputs()
    cache_dir()
    run.check_writable()
    _check_model(profile)
    _check_judges(profile)
    _check_data(profile)


def _check_model(profile: Profile) -> None:
    """The base is in its folder, if it has one on this machine, and this machine has its type."""
    if profile.model.source == "path" or local_models.own_folder(profile.model):
        chat_models.base_dir(profile.model)
    elif profile.model.source == "hub":
        hub.check_revision(profile.model)
    chat_models.check_dtype(profile.model)


def _check_judges(profile: Profile) -> None:
    """Every judge has its rubric, its heads and its key."""
    named = [profile.judge, judges.traces_judge(profile), judges.second_judge(profile)]
    for judge in named:
        if judge is not None:
            rubric_text(judge)
            check_key(judge)


def _check_data(profile: Profile) -> None:
    """Every data set that is not built for the run can be read, row by row."""
    eval_sets.eval_union(profile)
    catalogue.read_training_prompts(profile.data.harmful_prompts)
    catalogue.read_training_prompts(profile.data.open_prompts)
    catalogue.read_quiz(profile.data.capability)
    names = Experiment.of(profile).em_sets()
    built = catalogue.built_sets(names)
    for name in names:
        if name not in built:
            catalogue.read_chats(name)
