"""Every judge that the project ships is what `lib.judge.Judge` says."""

from __future__ import annotations

import inspect

import pytest

from lib.judge.embedded.judge import EmbeddedJudge
from lib.judge.llm.claude import ClaudeJudge
from lib.judge.llm.endpoint import LocalJudge
from lib.judge.llm.in_process import LocalModelJudge
from lib.judge.protocol import Judge

JUDGES = [ClaudeJudge, EmbeddedJudge, LocalJudge, LocalModelJudge]


@pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: judge.__name__)
def test_a_judge_scores_as_the_protocol_says(judge):
    assert list(inspect.signature(judge.score).parameters) == list(
        inspect.signature(Judge.score).parameters
    )
    assert isinstance(judge.rubric, str) and isinstance(judge.computes, bool)


def test_a_judge_has_every_attribute_of_the_protocol(claude):
    judge = claude()
    assert [name for name in inspect.get_annotations(Judge) if not hasattr(judge, name)] == []
    assert inspect.get_annotations(Judge)
