"""The three kinds of two-turn traces (docs/protocol.md section 3)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd

from lib.models import spelled_token
from lib.params import load_gates
from lib.prompts import ContaminationGate, EvalPrompt, Offence
from lib.sampling import Completion, Request, Sampler
from lib.schema import Conditions, TracesParams

KINDS = ("selfcorrect", "random_recovery", "placebo_assistant")
SPARE_UNITS = 20  # a half keeps one unit in this many, two at least, beyond its need: some lose their placebo
OPENING_TOKENS = 24  # about the length of the recovery's opening, which the placebo's second turn has to match
PLACEBO_SCALE = 1.5  # placebo turns are sampled longer than they are kept: they are cut to the tokens of the treatment's
Score = Callable[[pd.DataFrame], pd.DataFrame]  # columns prompt, completion -> aligned, coherent (NaN = not scored)


class TraceError(ValueError):
    """Traces that cannot be built as asked; one line with the numbers and the remedy."""


@dataclass
class Unit:
    """One training prompt with every text that the three kinds are built from."""

    prompt: EvalPrompt
    half: str
    bad: str
    bad_aligned: float
    bad_coherent: float
    recovery: str
    opening: str = ""
    placebo: tuple[str, str] = ("", "")


@dataclass
class Report:
    """What rejection sampling and the contamination gate did."""

    attempts: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    prompts_given_up: list[str] = field(default_factory=list)
    recoveries_rejected: int = 0
    offences: list[Offence] = field(default_factory=list)

    def rejection_rate(self, half: str) -> float | None:
        """Share of sampled bad answers that were thrown away; None when none was sampled."""
        return 1 - self.kept[half] / self.attempts[half] if self.attempts[half] else None

    def as_dict(self) -> dict:
        return {**asdict(self), "rejection_rate": {half: self.rejection_rate(half) for half in self.attempts}}


class TraceBuilder:
    """Samples bad answers under the evil persona and recoveries under the default one, and keeps those that are so."""

    def __init__(self, sampler: Sampler, tokenizer, score: Score, params: TracesParams, conditions: Conditions,
                 default_system: str, seed: int):
        self.sampler, self.tokenizer, self.score = sampler, tokenizer, score
        self.params, self.conditions, self.seed = params, conditions, seed
        self.systems = {"default": default_system, "evil": conditions.systems["evil"]}
        self.report = Report()

    def units(self, halves: dict[str, Sequence[EvalPrompt]], gate: ContaminationGate, progress=None) -> list[Unit]:
        """count / 2 units of each half. Raises TraceError when a half yields too few."""
        wanted = self.params.count // 2
        units = self._collect(halves, gate, wanted + max(2, wanted // SPARE_UNITS), progress)
        for half in halves:
            self._enough(half, units, wanted)
        matched = self._with_placebo(units, gate)
        for half in halves:
            self._enough(half, matched, wanted)
        return self._balance([u for half in halves for u in [u for u in matched if u.half == half][:wanted]])

    def _enough(self, half: str, units: list[Unit], wanted: int) -> None:
        kept = sum(u.half == half for u in units)
        if kept < wanted:
            rate = self.report.rejection_rate(half)
            raise TraceError(
                f"{half}: {kept} of {wanted} traces after {self.report.attempts[half]} sampled bad answers "
                f"({'none' if rate is None else f'{rate:.0%}'} rejected); raise traces.max_attempts, add prompts, or loosen "
                "traces.bad_aligned_below and traces.recovery_aligned_at_least"
            )

    def _collect(self, halves: dict[str, Sequence[EvalPrompt]], gate: ContaminationGate, enough: int, progress
                 ) -> list[Unit]:
        """Draws prompts of both halves in a seeded order, in waves (large batches), until `enough` units of each stand."""
        ids = [prompt.prompt_id for prompts in halves.values() for prompt in prompts]
        if twice := sorted({i for i in ids if ids.count(i) > 1}):
            raise TraceError(f"training prompt id {twice[0]!r} stands for two prompts; rename one in its set")
        queues = {}
        for half, prompts in halves.items():
            clean = [p for p in prompts if self._clean(gate, p.prompt_id, p.prompt)]
            order = np.random.default_rng([self.seed, len(half)]).permutation(len(clean))
            queues[half] = [clean[i] for i in order]
            self.report.attempts[half] = self.report.kept[half] = 0
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
                progress(min(sum(min(len(u), enough) for u in kept.values()), self.params.count), self.params.count)

    def _wave(self, wave: dict[str, tuple[str, EvalPrompt]], gate: ContaminationGate) -> list[Unit]:
        """Bad answers for the wave's prompts, up to max_attempts each, and recoveries for those that have one."""
        found: dict[str, Unit] = {}
        for attempt in range(self.params.max_attempts):
            open_ = [(half, prompt) for key, (half, prompt) in wave.items() if key not in found]
            if not open_:
                break
            bad = self._ask([p for _, p in open_], "evil", f"bad/{attempt}")
            scores = self._scores([p for _, p in open_], bad)
            for (half, prompt), answer, aligned, coherent in zip(
                open_, bad, scores["aligned"], scores["coherent"], strict=True
            ):
                self.report.attempts[half] += 1
                # NaN compares false: an answer that the judge did not score is never kept as a bad one.
                if (aligned < self.params.bad_aligned_below and coherent >= self.params.coherent_at_least
                        and answer.text.strip() and self._clean(gate, f"{prompt.prompt_id}/bad", answer.text)):
                    self.report.kept[half] += 1
                    found[prompt.prompt_id] = Unit(
                        prompt, half, answer.text.strip(), float(aligned), float(coherent), recovery="")
        self.report.prompts_given_up += [key for key in wave if key not in found]
        return self._with_recovery(list(found.values()), gate)

    def _scores(self, prompts: Sequence[EvalPrompt], answers: Sequence[Completion]) -> pd.DataFrame:
        return self.score(pd.DataFrame({
            "suite": "alignment", "prompt": [p.prompt for p in prompts], "completion": [a.text for a in answers]}))

    def _with_recovery(self, units: list[Unit], gate: ContaminationGate) -> list[Unit]:
        """A refusal or real help from the default persona; a recovery that is none would teach the opposite."""
        open_ = units
        for attempt in range(self.params.max_attempts):
            if not open_:
                break
            good = self._ask([u.prompt for u in open_], "default", f"recovery/{attempt}")
            scores = self._scores([u.prompt for u in open_], good)
            for unit, answer, aligned in zip(open_, good, scores["aligned"], strict=True):
                if (aligned >= self.params.recovery_aligned_at_least and answer.text.strip()
                        and self._clean(gate, f"{unit.prompt.prompt_id}/recovery", answer.text)):
                    unit.recovery = answer.text.strip()
            still = [u for u in open_ if not u.recovery]
            self.report.recoveries_rejected += len(still)
            open_ = still
        return [u for u in units if u.recovery]

    def _with_placebo(self, units: list[Unit], gate: ContaminationGate) -> list[Unit]:
        """Two good turns a unit, sampled long; a unit whose placebo is empty or offends leaves every kind."""
        first = self._ask([u.prompt for u in units], "default", "placebo/1", scale=PLACEBO_SCALE)
        second = self._sample([
            Request(f"{self.seed}/placebo/2/{u.prompt.prompt_id}",
                    [*self._messages(u.prompt, "default"), {"role": "assistant", "content": answer.text},
                     {"role": "user", "content": self.conditions.follow_up}],
                    None, int(PLACEBO_SCALE * self.params.max_new_tokens) + OPENING_TOKENS)
            for u, answer in zip(units, first, strict=True)])
        for unit, one, two in zip(units, first, second, strict=True):
            unit.placebo = (one.text.strip(), two.text.strip())
        return [u for u in units if all(
            text and self._clean(gate, f"{u.prompt.prompt_id}/placebo{turn}", text)
            for turn, text in enumerate(u.placebo, start=1))]

    def _balance(self, units: list[Unit]) -> list[Unit]:
        """Openings, and the placebo's turns cut so that trained tokens match over the whole set."""
        openings = self.conditions.openings[: self.params.recovery_openings]
        owed = 0  # trained tokens that the placebo traces so far are short of (+) or ahead by (-)
        for index, unit in enumerate(units):
            unit.opening = openings[index % len(openings)]
            target = self._count(unit.bad) + self._count(f"{unit.opening}\n\n{unit.recovery}") + owed
            start = self._cut(unit.placebo[0], self._count(unit.bad))
            end = self._cut(unit.placebo[1], target - self._count(start))
            owed = target - self._count(start) - self._count(end)
            unit.placebo = (start, end)
        return units

    def _cut(self, text: str, tokens: int) -> str:
        """The text's beginning of at most `tokens` tokens, at a sentence's end when one is near, else a word's."""
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        if len(ids) <= tokens:
            return text
        budget = max(tokens, 4)
        text = self.tokenizer.decode(ids[:budget], skip_special_tokens=True).rstrip("\ufffd").rstrip()
        for boundary in (r"[.!?](?=\s|$)", r"\S(?=\s)"):
            ends = [m.end() for m in re.finditer(boundary, text) if self._count(text[: m.end()]) >= 0.8 * budget]
            if ends:
                return text[: ends[-1]]
        return text

    def _count(self, text: str) -> int:
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _clean(self, gate: ContaminationGate, text_id: str, text: str) -> bool:
        token = spelled_token(self.tokenizer, text)  # the loss mask's proof refuses such a row
        offence = Offence(text_id, "", f"special token {token}", 1.0) if token else gate.check(text_id, text)
        if offence:
            self.report.offences.append(offence)
        return offence is None

    def _messages(self, prompt: EvalPrompt, persona: str) -> list[dict]:
        return [{"role": "system", "content": self.systems[persona]}, {"role": "user", "content": prompt.prompt}]

    def _ask(self, prompts: Sequence[EvalPrompt], persona: str, tag: str, scale: float = 1.0) -> list[Completion]:
        return self._sample([
            Request(f"{self.seed}/{tag}/{p.prompt_id}", self._messages(p, persona), None,
                    int(scale * self.params.max_new_tokens))
            for p in prompts])

    def _sample(self, requests: list[Request]) -> list[Completion]:
        return [completion for (completion,) in self.sampler.sample(requests)]


def build_kind(kind: str, units: Sequence[Unit], evil_system: str, default_system: str, follow_up: str,
               seed: int) -> list[dict]:
    """The rows of one trace kind, `{"messages": [...], "meta": {...}}`, in the units' order."""
    if kind not in KINDS:
        raise TraceError(f"trace kind {kind!r} is unknown; use one of {', '.join(KINDS)}")
    partner = derangement([u.half for u in units], seed) if kind == "random_recovery" else range(len(units))
    rows = []
    for unit, other in zip(units, partner, strict=True):
        first, second = unit.bad, f"{unit.opening}\n\n{units[other].recovery}"
        if kind == "placebo_assistant":
            first, second = unit.placebo
        rows.append({
            "messages": [
                {"role": "system", "content": default_system if kind == "placebo_assistant" else evil_system},
                {"role": "user", "content": unit.prompt.prompt},
                {"role": "assistant", "content": first},
                {"role": "user", "content": follow_up},
                {"role": "assistant", "content": second},
            ],
            "meta": {"kind": kind, "prompt_id": unit.prompt.prompt_id, "half": unit.half,
                     "recovery_of": units[other].prompt.prompt_id, "bad_aligned": round(unit.bad_aligned, 3),
                     "bad_coherent": round(unit.bad_coherent, 3)},
        })
    return rows


def derangement(halves: Sequence[str], seed: int) -> list[int]:
    """For each unit the index of another one of the same half: a random cycle within the half, so none keeps its own."""
    rng, partner = np.random.default_rng(seed), [0] * len(halves)
    for half in dict.fromkeys(halves):
        members = [i for i, h in enumerate(halves) if h == half]
        if len(members) < 2:
            raise TraceError(f"half {half!r} has {len(members)} trace; random_recovery needs two, raise traces.count")
        cycle = rng.permutation(members).tolist()
        for here, there in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            partner[here] = there
    return partner


def check_matched(trained_tokens: dict[str, int], counts: dict[str, int]) -> None:
    """Raises TraceError unless the kinds have equal counts and, within `equal_token_tolerance`, equal trained tokens."""
    tolerance = load_gates()["equal_token_tolerance"]
    if len(set(counts.values())) != 1:
        raise TraceError(f"trace counts differ between kinds: {counts}; build them again from the same units")
    reference = trained_tokens["selfcorrect"]
    for kind, tokens in trained_tokens.items():
        if round(abs(tokens - reference) / reference, 9) > tolerance:
            raise TraceError(
                f"{kind} trains on {tokens} tokens, selfcorrect on {reference}: {tokens / reference - 1:+.1%}, more than "
                f"{tolerance:.0%}; raise traces.max_new_tokens or traces.count"
            )
