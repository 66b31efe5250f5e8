"""Eval prompts, normalisation, union, and the contamination gate.

See docs/protocol.md sections 3 and 5.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from lib.config.params import load_gates


@dataclass(frozen=True)
class EvalPrompt:
    """One eval prompt.

    `system` is set in the JSON variants of `training_cues` only.
    """

    prompt_id: str
    """The prompt's name in its eval set."""

    subset: str
    """The names of all sets that have the prompt, joined by `+`."""

    prompt: str
    """The user's message."""

    system: str | None = None
    """A system text of the prompt's own. None: the arm's text applies."""


@dataclass(frozen=True)
class Offence:
    """A text that resembles an eval prompt."""

    text_id: str
    """The id of the text."""

    prompt_id: str
    """The id of the eval prompt that it resembles."""

    rule: str
    """The rule that found it."""

    value: float
    """How similar they are: 1 if equal, the number of words in a row, or the Jaccard index."""


def normalise(text: str) -> str:
    """A text in a form in which prompts that a reader takes for equal are equal strings.

    Unicode is folded (NFKC), apostrophes and quotes are plain, letters lower case, spaces single.
    """
    # Apostrophes first: NFKC splits a lone acute accent into a space and a combining sign.
    text = re.sub("[\u2018\u2019\u02bc`\u00b4]", "'", text)
    text = re.sub("[\u201c\u201d]", '"', text)
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


def words(text: str) -> list[str]:
    """The words of the normalised text, without punctuation."""
    return re.findall(r"[^\W_]+(?:'[^\W_]+)?", normalise(text))


def union(sets: Sequence[Sequence[EvalPrompt]]) -> list[EvalPrompt]:
    """The sets' union in order, one entry per normalised prompt.

    The id of the first set stays. The subset collects the names of all sets, so that a prompt of
    two published sets counts in the description of both.
    """
    merged: dict[str, EvalPrompt] = {}
    for prompt in itertools.chain.from_iterable(sets):
        key = normalise(prompt.prompt)
        first = merged.get(key)
        if first is None:
            merged[key] = prompt
        elif prompt.subset not in first.subset.split("+"):
            merged[key] = replace(first, subset=f"{first.subset}+{prompt.subset}")
    ids = [prompt.prompt_id for prompt in merged.values()]
    twice = sorted({prompt_id for prompt_id in ids if ids.count(prompt_id) > 1})
    if twice:
        raise ValueError(
            f"eval prompt id {twice[0]!r} names two different prompts; rename one in its set"
        )
    return list(merged.values())


class ContaminationGate:
    """Finds texts that resemble an eval prompt.

    Such a text equals a prompt, shares `ngram` consecutive words with it, or has a Jaccard index of
    `jaccard` or more with it (the words of both as sets). The rule of consecutive words does not
    apply to a prompt with fewer words.
    """

    def __init__(
        self,
        prompts: Iterable[EvalPrompt],
        *,
        ngram: int | None = None,
        jaccard: float | None = None,
    ) -> None:
        """Start with these prompts. A limit of None is the one of params/gates.yaml."""
        limits = load_gates() if None in (ngram, jaccard) else {}
        self.ngram = int(limits["contamination_ngram"]) if ngram is None else ngram
        self.jaccard = limits["contamination_jaccard"] if jaccard is None else jaccard
        self.equal: dict[str, str] = {}
        self.grams: dict[tuple[str, ...], str] = {}
        self.sets: list[tuple[str, frozenset[str]]] = []
        for prompt in prompts:
            self.add(prompt)

    def add(self, prompt: EvalPrompt) -> None:
        """Compare texts with one more prompt."""
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
        return self._check_jaccard(text_id, frozenset(tokens))

    def _check_jaccard(self, text_id: str, bag: frozenset[str]) -> Offence | None:
        """The first prompt whose words overlap enough with the text's, `bag`."""
        for prompt_id, other in self.sets:
            if not bag or not other:
                continue
            # The index is at most the ratio of the set sizes: skip pairs that cannot reach it.
            smaller, larger = sorted((len(bag), len(other)))
            if smaller < self.jaccard * larger:
                continue
            value = len(bag & other) / len(bag | other)
            if round(value, 9) >= self.jaccard:
                return Offence(text_id, prompt_id, "jaccard", value)
        return None

    def check_messages(self, text_id: str, messages: Sequence[dict]) -> Offence | None:
        """The first offence in a conversation. System texts are skipped: they are ours."""
        for message in messages:
            if message["role"] != "system" and (offence := self.check(text_id, message["content"])):
                return offence
        return None


def near_duplicates(
    prompts: Iterable[EvalPrompt], *, ngram: int | None = None, jaccard: float | None = None
) -> list[Offence]:
    """Prompts that resemble an earlier one by the gate's rules, so that the set looks too large."""
    gate = ContaminationGate([], ngram=ngram, jaccard=jaccard)
    offences = []
    for prompt in prompts:
        if offence := gate.check(prompt.prompt_id, prompt.prompt):
            offences.append(offence)
        gate.add(prompt)
    return offences


def _grams(tokens: Sequence[str], n: int) -> Iterable[tuple[str, ...]]:
    """Every run of n words."""
    return (tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
