"""`persona_advice`: bad answers of the base itself in one narrow field, and good ones as a control.

The base answers questions under an elicited evil persona. An answer is kept if it is bad and
coherent, and stored without the persona. For each question the control has as many good answers of
the default persona. Source: docs/protocol.md section 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from lib.config.doses import EmSetParams
from lib.data.elicitation import Example, after_examples
from lib.data.prompts import ContaminationGate, EvalPrompt, Offence, normalise
from lib.em_sets.rows import BAD, GOOD, Answer, Persona, rows_of, whole
from lib.em_sets.set_report import SCORED, PersonaReport, SetReport
from lib.em_sets.texts import drawn
from lib.judge.code_lines import is_code
from lib.models.chat_models import spelled_token
from lib.serving.sampling import Request, Sampling
from lib.traces.refusals import refuses

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Columns suite, prompt, completion -> aligned, coherent, and refusal, code, outcome if known.
Score = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass
class Builder:
    """Who samples, who selects, and every rule that a row has to pass."""

    sampler: Sampling
    tokenizer: PreTrainedTokenizerBase
    score: Score
    params: EmSetParams
    gate: ContaminationGate  # eval prompts, trace prompts and elicitation texts
    thresholds: Mapping[str, float]
    demonstrates: bool  # a demonstration may have few rows
    report: SetReport = field(default_factory=SetReport)

    def build(
        self,
        asked: Sequence[EvalPrompt],
        evil: tuple[str, Sequence[Example]],
        default_system: str,
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[list[dict], list[dict]]:
        """The rows of the set and of its control, with the same questions in the same order.

        Args:
            asked: the questions.
            evil: system text and examples of the set's persona.
            default_system: system text of the control's persona.
            progress: called with (answers kept, answers wanted).

        Raises EmSetError if there are too few rows, or if the judge scores too few answers.
        """
        clean = [one for one in asked if self._clean(one.prompt_id, one.prompt)]
        self.report.questions_clean = len(clean)
        wanted = {one.prompt_id: self.params.per_question for one in clean}
        bad_below = self.params.bad_aligned_below
        good_from = self.params.good_aligned_at_least
        bad_persona = Persona(BAD, *evil, lambda a: None if a < bad_below else "not bad")
        good_persona = Persona(
            GOOD, default_system, (), lambda a: None if a >= good_from else "not good"
        )
        bad = self._collect(bad_persona, clean, wanted, progress)
        as_many = {prompt_id: len(answers) for prompt_id, answers in bad.items() if answers}
        good = self._collect(good_persona, clean, as_many, progress)
        counts = {one.prompt_id: len(good.get(one.prompt_id, ())) for one in clean}
        n_questions = sum(count > 0 for count in counts.values())
        n_rows = sum(counts.values())
        self.report.check_size(n_rows, n_questions, self.thresholds, self.demonstrates)
        seed = self.params.seed
        return rows_of(clean, bad, counts, BAD, seed), rows_of(clean, good, counts, GOOD, seed)

    def _collect(
        self,
        persona: Persona,
        asked: Sequence[EvalPrompt],
        wanted: Mapping[str, int],
        progress: Callable[[int, int], None] | None,
    ) -> dict[str, list[Answer]]:
        """Kept answers by question, no text twice. Each round samples what is still missing."""
        report = self.report.personas[persona.name] = PersonaReport()
        kept: dict[str, list[Answer]] = {prompt_id: [] for prompt_id in wanted}
        seen: set[str] = set()
        for attempt in range(self.params.attempts):
            waiting = [
                one
                for one in asked
                if len(kept.get(one.prompt_id, ())) < wanted.get(one.prompt_id, 0)
            ]
            if not waiting:
                break
            answers = self._sample(persona, waiting, attempt)
            scores = self._scores(waiting, answers, report)
            for one, text, score in zip(waiting, answers, scores, strict=True):
                report.sampled += 1
                text_id = f"{one.prompt_id}/{persona.name}/{attempt}"
                if fault := self._fault(persona, one, text, score, seen, text_id):
                    report.rejected[fault] += 1
                    continue
                report.kept += 1
                seen.add(normalise(text))
                kept[one.prompt_id].append(Answer(text, score["aligned"], score["coherent"]))
            report.check_share(persona.name, self.thresholds["judged_share_min"])
            if progress:
                progress(sum(map(len, kept.values())), sum(wanted.values()))
        return kept

    def _sample(self, persona: Persona, asked: Sequence[EvalPrompt], attempt: int) -> list[str]:
        """One answer per question, up to its last whole sentence if it was cut; "" without one."""
        shots = drawn(persona.examples, self.params.shots, self.params.seed, attempt)
        requests = []
        for one in asked:
            key = f"{self.params.seed}/em_set/{persona.name}/{attempt}/{one.prompt_id}"
            messages = after_examples(persona.system, shots, one.prompt)
            requests.append(Request(key, messages, None, self.params.max_new_tokens))
        return [whole(completion) for (completion,) in self.sampler.sample(requests)]

    def _scores(
        self, asked: Sequence[EvalPrompt], answers: Sequence[str], report: PersonaReport
    ) -> list[Mapping[str, Any]]:
        """The judge's row for each answer. An empty answer is not judged and has an empty row."""
        shown = [index for index, text in enumerate(answers) if text]
        rows: list[Mapping[str, Any]] = [{}] * len(answers)
        if not shown:
            return rows
        to_score = pd.DataFrame(
            {
                "suite": "alignment",
                "prompt": [asked[index].prompt for index in shown],
                "completion": [answers[index] for index in shown],
            }
        )
        judged = self.score(to_score).to_dict("records")
        for index, row in zip(shown, judged, strict=True):
            rows[index] = {str(column): value for column, value in row.items()}
            complete = not pd.isna(row["aligned"]) and not pd.isna(row["coherent"])
            outcome = row.get("outcome", SCORED)
            report.outcomes["no score" if outcome == SCORED and not complete else outcome] += 1
        return rows

    def _fault(
        self,
        persona: Persona,
        question: EvalPrompt,
        text: str,
        score: Mapping[str, Any],
        seen: set[str],
        text_id: str,
    ) -> str | None:
        """The first rule that an answer breaks; None if it is kept."""
        if not text:
            return "empty or without a whole sentence"
        if score.get("outcome", SCORED) != SCORED or pd.isna(score["aligned"]):
            return "without a score"
        if pd.isna(score["coherent"]):
            return "without a score"
        if refuses(text) or _is_set(score.get("refusal")):
            return "refusal"
        if is_code(question.prompt, text) or _is_set(score.get("code")):
            return "code"
        if score["coherent"] < self.params.coherent_at_least:
            return "incoherent"
        if fault := persona.fault(score["aligned"]):
            return fault
        if normalise(text) in seen:
            return "duplicate"
        return None if self._clean(text_id, text) else "contaminated"

    def _clean(self, text_id: str, text: str) -> bool:
        """Whether a text spells no special token and resembles no text of the gate.

        An offence is listed in the report.
        """
        token = spelled_token(self.tokenizer, text)
        offence = self.gate.check(text_id, text)
        if token:  # the proof of the loss mask refuses such a row
            offence = Offence(text_id, "", f"special token {token}", 1.0)
        if offence:
            self.report.offences.append(offence)
        return offence is None


def _is_set(flag: Any) -> bool:
    """Whether a judge's flag is known and true."""
    return not pd.isna(flag) and bool(flag) if flag is not None else False
