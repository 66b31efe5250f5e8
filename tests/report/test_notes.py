"""Lines of the headline that follow from the profile alone."""

import pytest

from lib.config.params import load_gates, load_profile
from lib.report import notes


@pytest.mark.parametrize(
    ("system", "said"),
    [("none", "without a system turn"), ("evil", "'evil'"), ("stock", None), ("default", None)],
)
def test_the_headline_says_under_which_text_phase_2_trained_if_it_is_not_the_stock_one(
    system, said
):
    profile = load_profile("smoke", {"phase2.system": system})
    given = {"judge": None, "changed": {}, "checks": []}
    lines = notes.notes(profile, load_gates(), elsewhere=False, **given)
    about = [line for line in lines if line.startswith("Phase 2 trained")]
    assert len(about) == (1 if said else 0)
    if said:
        assert said in about[0] and "stock" in about[0]
    outside = notes.notes(profile, load_gates(), elsewhere=True, **given)
    assert not [line for line in outside if "Phase 2" in line]
