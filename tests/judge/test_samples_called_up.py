"""Samples say by what the persona was called up; one that is not the profile's stops the run."""

import pandas as pd
import pytest

from lib.config import params
from lib.judge import session
from lib.run import runs
from lib.run.files import write_parquet
from lib.serving.sampling import SamplingError

PROFILE = params.load_profile("smoke")


def called_up(run, arm, way):
    rows = pd.DataFrame([{"suite": "alignment", "prompt_id": "p0", "completion": "Yes."}])
    write_parquet(run.samples(arm, 42), rows.assign(elicitation=way))


@pytest.mark.parametrize(
    ("arm", "sampled_by", "profile_says", "fits"),
    [
        ("base_evil", "few_shot", "few_shot", True),
        ("base_evil", "system", "system", True),
        ("base_evil", None, "system", True),  # an earlier version, which had nothing else
        ("base_evil", "system", "few_shot", False),
        ("base_evil", None, "few_shot", False),
        ("base_evil", "few_shot", "system", False),
        ("base", None, "few_shot", True),
        ("base", "few_shot", "few_shot", False),
    ],
)
def test_a_persona_called_up_in_another_way_than_the_profile_s_stops(
    tmp_path, monkeypatch, arm, sampled_by, profile_says, fits
):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    run = runs.Run("r")
    traces = PROFILE.traces.model_copy(update={"elicitation": profile_says})
    changed = {"conditions": [arm], "seeds": [42], "traces": traces}
    profile = PROFILE.model_copy(update=changed)
    called_up(run, arm, sampled_by)
    if fits:
        assert len(session.read_samples(run, profile)) == 1
        return
    with pytest.raises(SamplingError, match=f"samples of {arm} are called up by") as stopped:
        session.read_samples(run, profile)
    line = str(stopped.value)
    assert "\n" not in line and "04_sample_and_capability.ipynb out.ipynb -p profile smoke" in line
