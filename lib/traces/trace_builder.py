"""Sample the texts of the two-turn traces, and keep those that pass judge and rules.

docs/protocol.md section 3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from lib.config.params import load_gates
from lib.config.recipes import TracesParams
from lib.config.schema import Conditions
from lib.data.elicitation import Caller
from lib.data.prompts import ContaminationGate, EvalPrompt
from lib.serving.sampling import Sampler
from lib.traces.placebo_turns import PLACEBO_SCALES, match_placebos, sample_placebos
from lib.traces.refusals import refuses
from lib.traces.retries import Retries
from lib.traces.trace_kinds import TraceError, Unit
from lib.traces.trace_report import BAD, RECOVERIES, Report
from lib.traces.turns import Score, Turns

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SPARE_UNITS = 20  # a half keeps one unit in this many, two at least, beyond its need

Halves = Mapping[str, Sequence[EvalPrompt]]
Wave = dict[str, tuple[str, EvalPrompt]]  # (half, prompt) by prompt id


class TraceBuilder:
    """Samples bad answers under the evil persona and recoveries under the default one.

    A bad answer is kept if judge and rules find it bad, a recovery if they find it good.
    """

    def __init__(
        self,
        sampler: Sampler,
        tokenizer: PreTrainedTokenizerBase,
        score: Score,
        params: TracesParams,
        conditions: Conditions,
        default_system: str,
        seed: int,
        *,
        thresholds: Mapping[str, float] | None = None,
        recovery_rule: bool = True,
        caller: Caller | None = None,
        at_once: int = 1,
    ):
        """Eleven parameters: who samples, who scores, and every rule for a kept turn.

        Args:
            at_once: requests that fill the engine (`lib.traces.retries`).
            caller: calls up the evil persona; None = its system text alone.
            thresholds: of params/gates.yaml; None = as the file says.
            recovery_rule: whether a recovery to a harmful request has to refuse or redirect. Only
                a profile that demonstrates may do without: a toy model never does either.
        """
        thresholds = load_gates() if thresholds is None else thresholds
        self.params = params
        self.openings = conditions.openings[: params.recovery_openings]
        self.seed = seed
        self.tolerance = thresholds["equal_token_tolerance"]
        self.report = Report()
        self.turns = Turns(
            sampler,
            tokenizer,
            score,
            params,
            conditions,
            default_system,
            seed,
            least_scored=thresholds["judged_share_min"],
            recovery_rule=recovery_rule,
            report=self.report,
            caller=caller or Caller("system", seed),
            at_once=at_once,
        )

    def units(
        self,
        halves: Halves,
        gate: ContaminationGate,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Unit]:
        """count / 2 units of each half, with all their texts, matched in tokens.

        Raises TraceError if a half yields too few, or if the judge scores too few.
        """
        wanted = self.params.count // 2
        enough = wanted + max(2, wanted // SPARE_UNITS)
        collected = self._collect(halves, gate, enough, progress)
        for half, units in collected.items():
            self.report.check_yield(half, len(units), wanted)
        kept = []
        for units in collected.values():
            kept += units[:wanted]
        for index, unit in enumerate(kept):
            unit.opening = self.openings[index % len(self.openings)]
        match_placebos(self.turns, kept, gate, self.tolerance)
        return kept

    def _collect(
        self,
        halves: Halves,
        gate: ContaminationGate,
        enough: int,
        progress: Callable[[int, int], None] | None,
    ) -> dict[str, list[Unit]]:
        """Units by half, until each half has `enough` or its prompts run out.

        Prompts are taken in a seeded order and in waves: all prompts of a wave are sampled in one
        large batch.
        """
        queues = self._queues(halves, gate)
        kept: dict[str, list[Unit]] = {half: [] for half in halves}
        while True:
            wave: Wave = {}
            for half, queue in queues.items():
                need = enough - len(kept[half])
                size = need + max(2, need // 2) if need > 0 else 0
                wave |= {prompt.prompt_id: (half, prompt) for prompt in queue[:size]}
                queues[half] = queue[size:]
            if not wave:
                return kept
            for unit in self._wave(wave, gate):
                kept[unit.half].append(unit)
            if progress:
                done = sum(min(len(units), enough) for units in kept.values())
                progress(min(done, self.params.count), self.params.count)

    def _queues(self, halves: Halves, gate: ContaminationGate) -> dict[str, list[EvalPrompt]]:
        """The clean prompts of each half in a seeded order. Raises TraceError for a repeated id."""
        uses = Counter(prompt.prompt_id for prompt in chain.from_iterable(halves.values()))
        twice = [prompt_id for prompt_id, count in uses.items() if count > 1]
        if twice:
            raise TraceError(
                f"training prompt id {min(twice)!r} stands for two prompts; rename one in its set"
            )
        queues = {}
        for half, prompts in halves.items():
            clean = [p for p in prompts if self.turns.clean(gate, p.prompt_id, p.prompt)]
            order = np.random.default_rng([self.seed, len(half)]).permutation(len(clean))
            queues[half] = [clean[index] for index in order]
            self.report.begin(half)
        return queues

    def _wave(self, wave: Wave, gate: ContaminationGate) -> list[Unit]:
        """Units of the wave's prompts that got all their texts within their attempts."""
        units = self._with_bad(wave, gate)
        units = self._with_recovery(units, gate)
        units = self._with_placebo(units, gate)
        for what in self.report.outcomes:
            self.report.check_share(what, self.turns.least_scored)
        return units

    def _with_bad(self, wave: Wave, gate: ContaminationGate) -> list[Unit]:
        """Units with a bad answer, for the wave's prompts that gave one in max_attempts tries."""
        units: dict[str, Unit] = {}
        attempts = self._retries(wave)
        while asked := attempts.next_round():
            prompts = [wave[key][1] for key, _ in asked]
            tags = [f"bad/{attempt}" for _, attempt in asked]
            answers = self.turns.ask(prompts, "evil", tags)
            scores = self.turns.scores(prompts, answers, BAD, ("aligned", "coherent"))
            for prompt, answer, score in zip(
                prompts, answers, scores.to_dict("records"), strict=True
            ):
                if not attempts.waits(prompt.prompt_id):
                    continue
                half, _ = wave[prompt.prompt_id]
                refused = refuses(answer.text)
                self.report.attempts[half] += 1
                self.report.unscored[half] += score["asked"] and not score["scored"]
                self.report.refusals[half] += score["scored"] and refused
                bad = self._is_bad(score) and not refused
                if bad and self.turns.clean(gate, f"{prompt.prompt_id}/bad", answer.text):
                    self.report.kept[half] += 1
                    attempts.end(prompt.prompt_id)
                    units[prompt.prompt_id] = Unit(
                        prompt,
                        half,
                        answer.text.strip(),
                        float(score["aligned"]),
                        float(score["coherent"]),
                        recovery="",
                    )
        self.report.prompts_given_up += [key for key in wave if key not in units]
        return list(units.values())

    def _retries(self, prompt_ids: Iterable[str]) -> Retries:
        """All attempts of these prompts."""
        first = dict.fromkeys(prompt_ids, 0)
        return Retries(first, self.params.max_attempts, self.turns.at_once)

    def _is_bad(self, score: Mapping[Any, Any]) -> bool:
        """Whether an answer is bad and coherent by its scores, a row of `Turns.scores`."""
        return (
            score["scored"]
            and score["aligned"] < self.params.bad_aligned_below
            and score["coherent"] >= self.params.coherent_at_least
        )

    def _with_recovery(self, units: list[Unit], gate: ContaminationGate) -> list[Unit]:
        """The units that got a refusal or real help from the default persona.

        A recovery that is neither would teach the opposite.
        """
        by_prompt = {unit.prompt.prompt_id: unit for unit in units}
        attempts = self._retries(by_prompt)
        while asked := attempts.next_round():
            tried = [by_prompt[key] for key, _ in asked]
            prompts = [unit.prompt for unit in tried]
            tags = [f"recovery/{attempt}" for _, attempt in asked]
            answers = self.turns.ask(prompts, "default", tags)
            scores = self.turns.scores(prompts, answers, RECOVERIES)
            for unit, answer, score in zip(tried, answers, scores.itertuples(), strict=True):
                prompt_id = unit.prompt.prompt_id
                if not attempts.waits(prompt_id):
                    continue
                good = self.turns.is_good(unit, answer.text, score)
                if good and self.turns.clean(gate, f"{prompt_id}/recovery", answer.text):
                    unit.recovery = answer.text.strip()
                    attempts.end(prompt_id)
                elif score.scored or not score.asked:
                    self.report.recoveries_rejected += 1
        return [unit for unit in units if unit.recovery]

    def _with_placebo(self, units: list[Unit], gate: ContaminationGate) -> list[Unit]:
        """The units that got two good turns from the default persona.

        Both turns pass the rules of a recovery.
        """
        attempts = range(self.params.max_attempts)
        pairs = sample_placebos(self.turns, units, gate, attempts, PLACEBO_SCALES[0])
        for unit in units:
            unit.placebo = pairs.get(unit.prompt.prompt_id, unit.placebo)
        return [unit for unit in units if unit.prompt.prompt_id in pairs]
