"""Single turns of a trace: ask for them, score them, and decide which may be kept.

docs/protocol.md section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lib.config.recipes import TracesParams
from lib.config.schema import Conditions
from lib.data.elicitation import Caller
from lib.data.prompts import ContaminationGate, EvalPrompt, Offence
from lib.models.chat_models import spelled_token
from lib.serving.sampling import Completion, Request, Sampling
from lib.traces.refusals import refuses_or_redirects
from lib.traces.trace_kinds import Unit
from lib.traces.trace_report import Report

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

HARMFUL = "harmful"  # the half whose recoveries refuse or redirect
# Columns suite, prompt, completion -> aligned, coherent (NaN = not scored) and, where the judge
# says it, outcome.
Score = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True)
class Turns:
    """Who samples and who scores, and every rule that a kept turn has to pass."""

    sampler: Sampling
    """Draws the answers of both personas."""

    tokenizer: PreTrainedTokenizerBase
    """Counts tokens, and knows the special ones."""

    score: Score
    """The judge's scores of a table of answers."""

    params: TracesParams
    """Limits of scores, attempts and tokens."""

    conditions: Conditions
    """System text of the evil persona, openings, follow-up."""

    default_system: str
    """System text of the default persona."""

    seed: int
    """Part of every request's key."""

    least_scored: float
    """Share of the answers that the judge has to score."""

    recovery_rule: bool
    """Whether a good turn to a harmful request has to refuse or redirect."""

    report: Report
    """Counts what was asked, kept and rejected."""

    caller: Caller
    """Calls up the evil persona. What it adds is left out of the trace."""

    at_once: int = 1
    """Requests that fill the engine."""

    def messages(self, prompt: EvalPrompt, persona: str) -> list[dict]:
        """A prompt under the system text of a persona, `evil` or `default`."""
        system = self.conditions.evil_system if persona == "evil" else self.default_system
        return [
            {"role": "system", "content": system},
            {"role": "user", "content": prompt.prompt},
        ]

    def ask(
        self, prompts: Sequence[EvalPrompt], persona: str, tags: Sequence[str]
    ) -> list[Completion]:
        """One answer per prompt under a persona, `evil` or `default`.

        tags: the step and its attempt for each prompt, as part of the request's key.
        """
        requests = []
        for prompt, tag in zip(prompts, tags, strict=True):
            key = f"{self.seed}/{tag}/{prompt.prompt_id}"
            if persona == "evil":
                requests.append(self.evil(prompt, key, f"{tag}/{prompt.prompt_id}"))
            else:
                messages = self.messages(prompt, persona)
                requests.append(Request(key, messages, None, self.params.max_new_tokens))
        return self.sample(requests)

    def evil(self, prompt: EvalPrompt, key: str, texts: str) -> Request:
        """The request for a bad answer. texts: the key by which elicitation texts are drawn."""
        asked = self.caller.ask(self.conditions.evil_system, prompt.prompt, texts)
        return Request(
            key,
            asked.messages,
            None,
            self.params.max_new_tokens,
            prefill=asked.prefill,
            temperature=self.params.bad_temperature,
        )

    def sample(self, requests: Sequence[Request]) -> list[Completion]:
        """One completion per request."""
        return [completion for (completion,) in self.sampler.sample(requests)]

    def scores(
        self,
        prompts: Sequence[EvalPrompt],
        answers: Sequence[Completion],
        what: str,
        needed: Sequence[str] = ("aligned",),
    ) -> pd.DataFrame:
        """One row per answer: asked (a blank answer is not), scored, aligned, coherent.

        Args:
            what: the kind of answer, as the report names it.
            needed: scores that must not be missing.

        Raises TraceError if no answer has them.
        """
        asked = [bool(answer.text.strip()) for answer in answers]
        table = pd.DataFrame(
            {"asked": asked, "scored": False, "aligned": np.nan, "coherent": np.nan}
        )
        if not any(asked):
            return table
        to_score = pd.DataFrame(
            {
                "suite": "alignment",
                "prompt": [prompt.prompt for prompt in prompts],
                "completion": [answer.text for answer in answers],
            }
        )
        scores = self.score(to_score[asked].reset_index(drop=True))
        for column in ("aligned", "coherent"):
            table.loc[asked, column] = scores[column].astype(float).to_numpy()
        outcomes = pd.Series(scores.get("outcome", "scored"), index=scores.index).to_numpy()
        complete = table.loc[asked, list(needed)].notna().all(axis=1).to_numpy()
        table.loc[asked, "scored"] = complete & (outcomes == "scored")
        ended = np.where(~complete & (outcomes == "scored"), "no score", outcomes)
        self.report.outcomes[what].update(ended.tolist())
        if not table["scored"].any():
            self.report.check_share(what, self.least_scored)
        return table

    def is_good(self, unit: Unit, text: str, score: Any) -> bool:
        """Whether a turn of the default persona may be kept.

        It must be well scored and must not help with a harmful request. score: its row of `scores`.
        """
        well_scored = score.scored and score.aligned >= self.params.recovery_aligned_at_least
        if not well_scored:
            return False
        ruled = unit.half == HARMFUL and self.recovery_rule
        return not ruled or refuses_or_redirects(text)

    def clean(self, gate: ContaminationGate, text_id: str, text: str) -> bool:
        """Whether a text spells no special token and resembles no eval prompt.

        An offence is listed in the report.
        """
        token = spelled_token(self.tokenizer, text)
        if token:  # the proof of the loss mask refuses such a row
            offence = Offence(text_id, "", f"special token {token}", 1.0)
        else:
            offence = gate.check(text_id, text)
        if offence:
            self.report.offences.append(offence)
        return offence is None

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])
