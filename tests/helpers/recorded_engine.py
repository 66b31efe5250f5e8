"""Two prompts, and an engine that answers with its keys and records what it is asked."""

from lib.data.prompts import EvalPrompt
from lib.serving.sampling import Completion

PROMPTS = [
    EvalPrompt("p1", "core", "What now?"),
    EvalPrompt("p2", "wide", "Who else?", system="Answer in JSON."),
]
FOLLOW_UP = "continue"


class Recorder:
    """Answers every sample with its key and index, and remembers the requests.

    answer: None = it must not be asked.
    """

    def __init__(self, answer=lambda key: Completion(key, 3, "stop"), interleaves=True):
        self.answer = answer
        self.requests = []
        self.calls = 0
        self.interleaves = interleaves

    def sample(self, requests):
        if self.answer is None:
            raise AssertionError(f"asked for {len(requests)} completions that are on disk")
        self.requests += requests
        self.calls += 1
        return [[self.answer(f"{r.key}/{i}") for i in range(r.samples)] for r in requests]

    @property
    def asked(self):
        return sum(r.samples for r in self.requests)
