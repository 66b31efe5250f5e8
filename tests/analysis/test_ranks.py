"""Ranks are those of scipy, to the bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from lib.analysis.ranks import mean_ranks

VALUES = st.one_of(
    st.lists(st.integers(-3, 3)),  # many ties
    st.lists(st.floats(allow_nan=False)),
    st.lists(st.booleans()),
)


@given(VALUES)
def test_ranks_are_scipys(values):
    assert np.array_equal(mean_ranks(np.array(values)), rankdata(values))


@pytest.mark.parametrize("values", [[np.nan], [1.0, np.nan, 1.0], [np.nan, np.inf]])
def test_one_missing_value_leaves_no_rank(values):
    assert np.isnan(mean_ranks(np.array(values))).all()
    assert np.isnan(rankdata(values)).all()
