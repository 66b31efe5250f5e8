"""Placebo turns: two good turns under the default persona, as long as the treatment's.

docs/protocol.md section 3. They are sampled longer than needed and then cut to the tokens of the
treatment's turns (`lib.traces.placebo`). Placebos that come out short are sampled again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lib.data.prompts import ContaminationGate, EvalPrompt
from lib.serving.sampling import Request
from lib.traces.placebo import Pair, cut_to_match, shortfall
from lib.traces.retries import Retries
from lib.traces.trace_kinds import Unit
from lib.traces.trace_report import PLACEBOS
from lib.traces.turns import Turns

# About the length of the recovery's opening, which the placebo's second turn has to match.
OPENING_TOKENS = 24
# Room of a turn, times max_new_tokens: at first, and each time that short ones are sampled again.
PLACEBO_SCALES = (1.5, 2.0, 2.5, 3.0)


def sample_placebos(
    turns: Turns,
    units: Sequence[Unit],
    gate: ContaminationGate,
    attempts: range,
    scale: float,
) -> dict[str, Pair]:
    """Both placebo turns by prompt id, for the units that get two.

    A turn that is not good enough is sampled again. A unit is given up if a turn is empty, spells a
    special token or resembles an eval prompt.

    Args:
        attempts: numbers of the attempts. They are part of a request's key.
        scale: room of a turn, times max_new_tokens.
    """
    by_prompt = {unit.prompt.prompt_id: unit for unit in units}
    first: dict[str, str] = {}
    second: dict[str, str] = {}
    first_attempts = Retries(dict.fromkeys(by_prompt, attempts.start), attempts.stop, turns.at_once)
    # A second turn can be asked once the first one is kept.
    second_attempts = Retries({}, attempts.stop, turns.at_once)
    for number, asked in _rounds(first_attempts, second_attempts):
        kept, waiting = (first, first_attempts) if number == 1 else (second, second_attempts)
        before = {} if number == 1 else first
        prompts = [by_prompt[key].prompt for key, _ in asked]
        requests = [
            _request(turns, prompt, before, 2 * attempt + number, scale)
            for prompt, (_, attempt) in zip(prompts, asked, strict=True)
        ]
        answers = turns.sample(requests)
        scores = turns.scores(prompts, answers, PLACEBOS)
        for (key, attempt), answer, score in zip(asked, answers, scores.itertuples(), strict=True):
            if not waiting.waits(key):
                continue
            good = turns.is_good(by_prompt[key], answer.text, score)
            turns.report.placebos_rejected += bool(score.scored and not good)
            text_id = f"{key}/placebo{number}"
            if not answer.text.strip() or not turns.clean(gate, text_id, answer.text):
                waiting.end(key)
            elif good:
                kept[key] = answer.text
                waiting.end(key)
                if number == 1:
                    second_attempts.begin(key, attempt)
    return {key: (first[key].strip(), text.strip()) for key, text in second.items()}


def _rounds(*turns: Retries) -> Iterator[tuple[int, list[tuple[str, int]]]]:
    """What to ask for a first turn, then for a second one, until neither has anything to ask.

    Yields the number of the turn with its (prompt id, attempt).
    """
    busy = True
    while busy:
        busy = False
        for number, waiting in enumerate(turns, start=1):
            if asked := waiting.next_round():
                busy = True
                yield number, asked


def _request(
    turns: Turns, prompt: EvalPrompt, first: Mapping[str, str], number: int, scale: float
) -> Request:
    """The request for a placebo's first turn, or for its second if `first` has its first turn."""
    messages = turns.messages(prompt, "default")
    limit = int(scale * turns.params.max_new_tokens)
    if prompt.prompt_id in first:
        messages += [
            {"role": "assistant", "content": first[prompt.prompt_id]},
            {"role": "user", "content": turns.conditions.follow_up},
        ]
        limit += OPENING_TOKENS
    return Request(f"{turns.seed}/placebo/{number}/{prompt.prompt_id}", messages, None, limit)


def match_placebos(
    turns: Turns, units: Sequence[Unit], gate: ContaminationGate, tolerance: float
) -> None:
    """Cut the units' placebo turns so that trained tokens match over the whole set.

    Short placebos are sampled again, with more room each time, until the kinds match within the
    tolerance. Of a unit's attempts the longest is kept. Raises TraceError if the judge scores too
    few.
    """
    treated = [(unit.bad, f"{unit.opening}\n\n{unit.recovery}") for unit in units]
    needed = [turns.count(bad + second) for bad, second in treated]
    for attempt, scale in enumerate(PLACEBO_SCALES[1:], start=turns.params.max_attempts):
        cut = cut_to_match([unit.placebo for unit in units], treated, turns.tokenizer)
        if shortfall(cut, treated, turns.tokenizer) <= tolerance:
            break
        short = [
            unit
            for unit, tokens in zip(units, needed, strict=True)
            if turns.count("".join(unit.placebo)) < tokens
        ]
        turns.report.placebos_sampled_again += len(short)
        pairs = sample_placebos(turns, short, gate, range(attempt, attempt + 1), scale)
        for unit in short:
            again = pairs.get(unit.prompt.prompt_id, unit.placebo)
            unit.placebo = max(unit.placebo, again, key=lambda pair: turns.count("".join(pair)))
        turns.report.check_share(PLACEBOS, turns.least_scored)
    cut = cut_to_match([unit.placebo for unit in units], treated, turns.tokenizer)
    for unit, pair in zip(units, cut, strict=True):
        unit.placebo = pair
