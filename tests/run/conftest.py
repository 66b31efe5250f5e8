"""What the tests of `watched` share: the signals that it takes over are given back."""

from __future__ import annotations

import signal

import pytest

from lib.run import watched


@pytest.fixture
def signals():
    """`watched` takes over the signals of its process for good, and leaves them ignored."""
    before = {number: signal.getsignal(number) for number in watched.STOPS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
