"""Units of traces from a script, and the three kinds built of them."""

import pytest
from scripted_traces import GATE, HALVES, Script

from lib.traces.trace_builder import TraceBuilder
from lib.traces.trace_kinds import KINDS, build_kind


@pytest.fixture
def build(tokenizer, smoke, conditions):
    """Builds units with a script; returns them and the builder's report."""

    def make(script=None, halves=HALVES, seed=42, at_once=1, **changes):
        strict = {
            "bad_aligned_below": 40,
            "coherent_at_least": 50,
            "recovery_aligned_at_least": 60,
            **changes,
        }
        script = script or Script()
        builder = TraceBuilder(
            script,
            tokenizer,
            script.score,
            smoke.traces.model_copy(update=strict),
            conditions,
            smoke.model.system_text,
            seed,
            at_once=at_once,
        )
        make.report = builder.report
        return builder.units(halves, GATE)

    return make


@pytest.fixture
def kinds(smoke, conditions):
    def make(units):
        texts = (conditions.systems["evil"], smoke.model.system_text, conditions.follow_up)
        return {kind: build_kind(kind, units, *texts, 42) for kind in KINDS}

    return make
