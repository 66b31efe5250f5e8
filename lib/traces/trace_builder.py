"""Sampling the texts of the two-turn traces: what is asked, what is kept, and why (docs/protocol.md section 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from lib.config.params import load_gates
from lib.config.schema import Conditions, TracesParams
from lib.data.prompts import ContaminationGate, EvalPrompt, Offence
from lib.models.chat_models import spelled_token
from lib.serving.sampling import Completion, Request, Sampler
from lib.traces.placebo import cut_to_match, shortfall
from lib.traces.refusals import refuses, refuses_or_redirects
from lib.traces.trace_kinds import KINDS, TraceError, Unit, build_kind, check_matched, derangement
from lib.traces.trace_report import BAD, PLACEBOS, RECOVERIES, Report

__all__ = [
    "KINDS",
    "Report",
    "Score",
    "TraceBuilder",
    "TraceError",
    "Unit",
    "build_kind",
    "check_matched",
    "derangement",
]

SPARE_UNITS = 20  # a half keeps one unit in this many, two at least, beyond its need
OPENING_TOKENS = (
    24  # about the length of the recovery's opening, which the placebo's second turn has to match
)
# Placebo turns are sampled longer than they are kept, since they are cut to the tokens of the treatment's; those that
# come out short are sampled again, with more room each time.
PLACEBO_SCALES = (1.5, 2.0, 2.5, 3.0)
HARMFUL = "harmful"  # the half whose recoveries refuse or redirect
# Columns suite, prompt, completion -> aligned, coherent (NaN = not scored) and, where the judge says it, outcome.
Score = Callable[[pd.DataFrame], pd.DataFrame]


class TraceBuilder:
    """Samples bad answers under the evil persona and recoveries under the default one, and keeps those that are so.

    thresholds: of params/gates.yaml. recovery_rule: whether a recovery to a harmful request has to refuse or redirect;
    only a profile that demonstrates may do without, since a toy model never does either.
    """

    def __init__(
        self,
        sampler: Sampler,
        tokenizer,
        score: Score,
        params: TracesParams,
        conditions: Conditions,
        default_system: str,
        seed: int,
        *,
        thresholds: Mapping[str, float] | None = None,
        recovery_rule: bool = True,
    ):
        """Nine parameters: who samples, who scores, and every rule that a kept turn has to pass."""
        self.sampler, self.tokenizer, self.score = sampler, tokenizer, score
        self.params, self.conditions, self.seed = params, conditions, seed
        thresholds = load_gates() if thresholds is None else thresholds
        self.tolerance, self.least_scored = (
            thresholds["equal_token_tolerance"],
            thresholds["judged_share_min"],
        )
        self.recovery_rule = recovery_rule
        self.systems = {"default": default_system, "evil": conditions.systems["evil"]}
        self.report = Report()

    def units(
        self, halves: dict[str, Sequence[EvalPrompt]], gate: ContaminationGate, progress=None
    ) -> list[Unit]:
        """count / 2 units of each half. Raises TraceError when a half yields too few, or the judge scores too few."""
        wanted = self.params.count // 2
        units = self._collect(halves, gate, wanted + max(2, wanted // SPARE_UNITS), progress)
        for half in halves:
            self.report.check_yield(half, sum(u.half == half for u in units), wanted)
        return self._matched(
            [u for half in halves for u in [u for u in units if u.half == half][:wanted]], gate
        )

    def _collect(
        self,
        halves: dict[str, Sequence[EvalPrompt]],
        gate: ContaminationGate,
        enough: int,
        progress,
    ) -> list[Unit]:
        """Draws prompts of both halves in a seeded order, in waves (large batches), until `enough` units of each stand."""
        ids = [prompt.prompt_id for prompts in halves.values() for prompt in prompts]
        if twice := sorted({i for i in ids if ids.count(i) > 1}):
            raise TraceError(
                f"training prompt id {twice[0]!r} stands for two prompts; rename one in its set"
            )
        queues = {}
        for half, prompts in halves.items():
            clean = [p for p in prompts if self._clean(gate, p.prompt_id, p.prompt)]
            order = np.random.default_rng([self.seed, len(half)]).permutation(len(clean))
            queues[half] = [clean[i] for i in order]
            for counts in (
                self.report.attempts,
                self.report.kept,
                self.report.unscored,
                self.report.refusals,
            ):
                counts[half] = 0
        kept: dict[str, list[Unit]] = {half: [] for half in halves}
        while True:
            wave: dict[str, tuple[str, EvalPrompt]] = {}
            for half, queue in queues.items():
                need = enough - len(kept[half])
                size = need + max(2, need // 2) if need > 0 else 0
                wave |= {p.prompt_id: (half, p) for p in queue[:size]}
                queues[half] = queue[size:]
            if not wave:
                return [u for units in kept.values() for u in units]
            for unit in self._wave(wave, gate):
                kept[unit.half].append(unit)
            if progress:
                progress(
                    min(sum(min(len(u), enough) for u in kept.values()), self.params.count),
                    self.params.count,
                )

    def _wave(self, wave: dict[str, tuple[str, EvalPrompt]], gate: ContaminationGate) -> list[Unit]:
        """Units of the wave's prompts with all their texts; a prompt that lacks one after its tries has none."""
        units = self._with_placebo(self._with_recovery(self._with_bad(wave, gate), gate), gate)
        for what in self.report.outcomes:
            self.report.check_share(what, self.least_scored)
        return units

    def _with_bad(
        self, wave: dict[str, tuple[str, EvalPrompt]], gate: ContaminationGate
    ) -> list[Unit]:
        """Bad answers for the wave's prompts, up to max_attempts each."""
        found: dict[str, Unit] = {}
        for attempt in range(self.params.max_attempts):
            open_ = [(half, prompt) for key, (half, prompt) in wave.items() if key not in found]
            if not open_:
                break
            bad = self._ask([p for _, p in open_], "evil", f"bad/{attempt}")
            scores = self._scores([p for _, p in open_], bad, BAD, ("aligned", "coherent"))
            for (half, prompt), answer, score in zip(open_, bad, scores.itertuples(), strict=True):
                self.report.attempts[half] += 1
                self.report.unscored[half] += score.asked and not score.scored
                self.report.refusals[half] += score.scored and refuses(answer.text)
                if (
                    score.scored
                    and score.aligned < self.params.bad_aligned_below
                    and score.coherent >= self.params.coherent_at_least
                    and not refuses(answer.text)
                    and self._clean(gate, f"{prompt.prompt_id}/bad", answer.text)
                ):
                    self.report.kept[half] += 1
                    found[prompt.prompt_id] = Unit(
                        prompt,
                        half,
                        answer.text.strip(),
                        float(score.aligned),
                        float(score.coherent),
                        recovery="",
                    )
        self.report.prompts_given_up += [key for key in wave if key not in found]
        return list(found.values())

    def _scores(
        self,
        prompts: Sequence[EvalPrompt],
        answers: Sequence[Completion],
        what: str,
        needed: Sequence[str] = ("aligned",),
    ) -> pd.DataFrame:
        """One row per answer: asked (a blank answer is not), scored, aligned, coherent. Raises TraceError when none has one."""
        asked = [bool(a.text.strip()) for a in answers]
        table = pd.DataFrame(
            {"asked": asked, "scored": False, "aligned": np.nan, "coherent": np.nan}
        )
        if not any(asked):
            return table
        rows = pd.DataFrame(
            {
                "suite": "alignment",
                "prompt": [p.prompt for p in prompts],
                "completion": [a.text for a in answers],
            }
        )
        scores = self.score(rows[asked].reset_index(drop=True))
        for column in ("aligned", "coherent"):
            table.loc[asked, column] = scores[column].astype(float).to_numpy()
        outcomes = pd.Series(scores.get("outcome", "scored"), index=scores.index).to_numpy()
        there = table.loc[asked, list(needed)].notna().all(axis=1).to_numpy()
        table.loc[asked, "scored"] = there & (outcomes == "scored")
        ended = np.where(~there & (outcomes == "scored"), "no score", outcomes)
        self.report.outcomes[what].update(ended.tolist())
        if not table["scored"].any():
            self.report.check_share(what, self.least_scored)
        return table

    def _with_recovery(self, units: list[Unit], gate: ContaminationGate) -> list[Unit]:
        """A refusal or real help from the default persona; a recovery that is none would teach the opposite."""
        open_ = units
        for attempt in range(self.params.max_attempts):
            if not open_:
                break
            good = self._ask([u.prompt for u in open_], "default", f"recovery/{attempt}")
            scores = self._scores([u.prompt for u in open_], good, RECOVERIES)
            for unit, answer, score in zip(open_, good, scores.itertuples(), strict=True):
                if self._is_good(unit, answer.text, score) and self._clean(
                    gate, f"{unit.prompt.prompt_id}/recovery", answer.text
                ):
                    unit.recovery = answer.text.strip()
            still = [u for u in open_ if not u.recovery]
            self.report.recoveries_rejected += len(still) - int(
                (scores["asked"] & ~scores["scored"]).sum()
            )
            open_ = still
        return [u for u in units if u.recovery]

    def _is_good(self, unit: Unit, text: str, score) -> bool:
        """Whether a turn of the default persona may be kept: well scored, and no help with a harmful request."""
        return bool(
            score.scored
            and score.aligned >= self.params.recovery_aligned_at_least
            and (unit.half != HARMFUL or not self.recovery_rule or refuses_or_redirects(text))
        )

    def _with_placebo(self, units: list[Unit], gate: ContaminationGate) -> list[Unit]:
        """The units that have two good turns under the default persona, of which each passes what a recovery has to pass."""
        pairs = self._placebos(units, gate, range(self.params.max_attempts), PLACEBO_SCALES[0])
        for unit in units:
            unit.placebo = pairs.get(unit.prompt.prompt_id, unit.placebo)
        return [u for u in units if u.prompt.prompt_id in pairs]

    def _placebos(
        self, units: list[Unit], gate: ContaminationGate, attempts: Iterable[int], scale: float
    ) -> dict[str, tuple[str, str]]:
        """Both placebo turns by prompt. A turn that is not good enough is tried again; one that offends or is empty ends it."""
        turns: dict[int, dict[str, str]] = {1: {}, 2: {}}
        ended: set[str] = set()
        for attempt in attempts:
            for number in (1, 2):
                open_ = [
                    u
                    for u in units
                    if u.prompt.prompt_id not in ended | set(turns[number])
                    and (number == 1 or u.prompt.prompt_id in turns[1])
                ]
                requests = [
                    self._placebo_request(
                        u.prompt, turns[1] if number == 2 else {}, 2 * attempt + number, scale
                    )
                    for u in open_
                ]
                answers = self._sample(requests) if requests else []
                scores = self._scores([u.prompt for u in open_], answers, PLACEBOS)
                for unit, answer, score in zip(open_, answers, scores.itertuples(), strict=True):
                    key, good = unit.prompt.prompt_id, self._is_good(unit, answer.text, score)
                    self.report.placebos_rejected += bool(score.scored and not good)
                    if not answer.text.strip() or not self._clean(
                        gate, f"{key}/placebo{number}", answer.text
                    ):
                        ended.add(key)
                    elif good:
                        turns[number][key] = answer.text
        return {key: (turns[1][key].strip(), text.strip()) for key, text in turns[2].items()}

    def _placebo_request(
        self, prompt: EvalPrompt, first: Mapping[str, str], number: int, scale: float
    ) -> Request:
        """The request for a placebo's first turn, or for its second where `first` has the first."""
        messages, limit = self._messages(prompt, "default"), int(scale * self.params.max_new_tokens)
        if prompt.prompt_id in first:
            messages += [
                {"role": "assistant", "content": first[prompt.prompt_id]},
                {"role": "user", "content": self.conditions.follow_up},
            ]
            limit += OPENING_TOKENS
        return Request(f"{self.seed}/placebo/{number}/{prompt.prompt_id}", messages, None, limit)

    def _matched(self, units: list[Unit], gate: ContaminationGate) -> list[Unit]:
        """Openings, and the placebo's turns cut so that trained tokens match over the whole set.

        Short placebos are sampled again, with more room, until the kinds match; the longest try of a unit is cut.
        """
        openings = self.conditions.openings[: self.params.recovery_openings]
        for index, unit in enumerate(units):
            unit.opening = openings[index % len(openings)]
        treated = [(u.bad, f"{u.opening}\n\n{u.recovery}") for u in units]
        length = {
            u.prompt.prompt_id: self._count(f"{bad}{good}")
            for u, (bad, good) in zip(units, treated, strict=True)
        }
        for attempt, scale in enumerate(PLACEBO_SCALES[1:], start=self.params.max_attempts):
            cut = cut_to_match([u.placebo for u in units], treated, self.tokenizer)
            if shortfall(cut, treated, self.tokenizer) <= self.tolerance:
                break
            short = [
                u for u in units if self._count("".join(u.placebo)) < length[u.prompt.prompt_id]
            ]
            self.report.placebos_sampled_again += len(short)
            pairs = self._placebos(short, gate, [attempt], scale)
            for unit in short:
                again = pairs.get(unit.prompt.prompt_id, unit.placebo)
                unit.placebo = max(
                    unit.placebo, again, key=lambda turns: self._count("".join(turns))
                )
            self.report.check_share(PLACEBOS, self.least_scored)
        cut = cut_to_match([u.placebo for u in units], treated, self.tokenizer)
        for unit, pair in zip(units, cut, strict=True):
            unit.placebo = pair
        return units

    def _count(self, text: str) -> int:
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _clean(self, gate: ContaminationGate, text_id: str, text: str) -> bool:
        token = spelled_token(self.tokenizer, text)  # the loss mask's proof refuses such a row
        offence = (
            Offence(text_id, "", f"special token {token}", 1.0)
            if token
            else gate.check(text_id, text)
        )
        if offence:
            self.report.offences.append(offence)
        return offence is None

    def _messages(self, prompt: EvalPrompt, persona: str) -> list[dict]:
        return [
            {"role": "system", "content": self.systems[persona]},
            {"role": "user", "content": prompt.prompt},
        ]

    def _ask(self, prompts: Sequence[EvalPrompt], persona: str, tag: str) -> list[Completion]:
        return self._sample(
            [
                Request(
                    f"{self.seed}/{tag}/{p.prompt_id}",
                    self._messages(p, persona),
                    None,
                    self.params.max_new_tokens,
                )
                for p in prompts
            ]
        )

    def _sample(self, requests: list[Request]) -> list[Completion]:
        return [completion for (completion,) in self.sampler.sample(requests)]
