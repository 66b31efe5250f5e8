"""Eval prompts, normalisation, union, and the contamination gate (docs/protocol.md sections 3 and 5)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from lib.config.params import load_gates


@dataclass(frozen=True)
class EvalPrompt:
    """One eval prompt.

    subset: every set that holds it, joined by `+`; system: a text of the prompt's own (the JSON variants of
    `training_cues`), else None and the arm's applies.
    """

    prompt_id: str
    subset: str
    prompt: str
    system: str | None = None


@dataclass(frozen=True)
class Offence:
    """A text that resembles an eval prompt: which text, which prompt, by which rule, how much."""

    text_id: str
    prompt_id: str
    rule: str
    value: float


def normalise(text: str) -> str:
    """Unicode-folded, plain apostrophes and quotes, lower case, single spaces: equal prompts become equal strings."""
    # Apostrophes first: NFKC would take a lone acute accent apart into a space and a combining sign.
    text = re.sub("[\u2018\u2019\u02bc`\u00b4]", "'", text)
    text = re.sub("[\u201c\u201d]", '"', text)
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


def words(text: str) -> list[str]:
    """Words of the normalised text, punctuation dropped."""
    return re.findall(r"[^\W_]+(?:'[^\W_]+)?", normalise(text))


def union(sets: Sequence[Sequence[EvalPrompt]]) -> list[EvalPrompt]:
    """The sets' union in order, one row per normalised prompt.

    The first set's id stays; the subset collects every set's name, so that a prompt that stands in two published sets
    counts in the description of both.
    """
    merged: dict[str, EvalPrompt] = {}
    for prompt in (p for prompts in sets for p in prompts):
        key = normalise(prompt.prompt)
        seen = merged.get(key)
        if seen is None:
            merged[key] = prompt
        elif prompt.subset not in seen.subset.split("+"):
            merged[key] = replace(seen, subset=f"{seen.subset}+{prompt.subset}")
    ids = [p.prompt_id for p in merged.values()]
    twice = sorted({i for i in ids if ids.count(i) > 1})
    if twice:
        raise ValueError(
            f"eval prompt id {twice[0]!r} names two different prompts; rename one in its set"
        )
    return list(merged.values())


class ContaminationGate:
    """Finds texts that equal an eval prompt, share `ngram` consecutive words with one, or have a word-set Jaccard index of
    `jaccard` or more. None: as params/gates.yaml says. A prompt shorter than `ngram` words knows no rule of words in a row.
    """

    def __init__(
        self,
        prompts: Iterable[EvalPrompt],
        *,
        ngram: int | None = None,
        jaccard: float | None = None,
    ):
        limits = load_gates()
        self.ngram = limits["contamination_ngram"] if ngram is None else ngram
        self.jaccard = limits["contamination_jaccard"] if jaccard is None else jaccard
        self.equal: dict[str, str] = {}
        self.grams: dict[tuple[str, ...], str] = {}
        self.sets: list[tuple[str, frozenset[str]]] = []
        for prompt in prompts:
            self.add(prompt)

    def add(self, prompt: EvalPrompt) -> None:
        """One more prompt that texts are compared with."""
        tokens = words(prompt.prompt)
        self.equal.setdefault(" ".join(tokens), prompt.prompt_id)
        self.sets.append((prompt.prompt_id, frozenset(tokens)))
        for gram in _grams(tokens, self.ngram):
            self.grams.setdefault(gram, prompt.prompt_id)

    def check(self, text_id: str, text: str) -> Offence | None:
        """The first offence of a text, or None."""
        tokens = words(text)
        if " ".join(tokens) in self.equal:
            return Offence(text_id, self.equal[" ".join(tokens)], "equal", 1.0)
        for gram in _grams(tokens, self.ngram):
            if gram in self.grams:
                return Offence(
                    text_id, self.grams[gram], f"{self.ngram} consecutive words", float(self.ngram)
                )
        bag = frozenset(tokens)
        for prompt_id, other in self.sets:
            # The Jaccard index is at most the ratio of the set sizes; skip pairs that cannot reach the bound.
            if (
                not bag
                or not other
                or min(len(bag), len(other)) < self.jaccard * max(len(bag), len(other))
            ):
                continue
            value = len(bag & other) / len(bag | other)
            if round(value, 9) >= self.jaccard:
                return Offence(text_id, prompt_id, "jaccard", value)
        return None

    def check_messages(self, text_id: str, messages: Sequence[dict]) -> Offence | None:
        """The first offence in a conversation; system texts are the experiment's own and are not looked at."""
        for message in messages:
            if message["role"] != "system" and (offence := self.check(text_id, message["content"])):
                return offence
        return None


def near_duplicates(
    prompts: Iterable[EvalPrompt], *, ngram: int | None = None, jaccard: float | None = None
) -> list[Offence]:
    """Prompts that resemble an earlier one by the contamination gate's rules: they make a set look larger than it is."""
    gate, found = ContaminationGate([], ngram=ngram, jaccard=jaccard), []
    for prompt in prompts:
        if offence := gate.check(prompt.prompt_id, prompt.prompt):
            found.append(offence)
        gate.add(prompt)
    return found


def _grams(tokens: Sequence[str], n: int) -> Iterable[tuple[str, ...]]:
    return (tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
