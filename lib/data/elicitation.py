"""How a persona is called up: its system text alone, bad examples, or the beginning of the answer.

docs/protocol.md section 3. A system text alone does not make every model bad. Examples and
beginnings shape an answer but are not part of it, so they are cut off from what is kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lib.config.recipes import TracesParams
from lib.config.strict import Elicitation
from lib.data.catalogue import entry, path_of
from lib.data.prompts import ContaminationGate, EvalPrompt, Offence
from lib.data.text_files import DataError, read_jsonl
from lib.run.files import fingerprint

EXAMPLES = "elicitation_examples"
PREFILLS = "elicitation_prefills"
ENDS = (".", "!", "?")


@dataclass(frozen=True)
class Example:
    """A question with a bad answer, shown as an earlier turn."""

    example_id: str
    field: str
    prompt: str
    answer: str


@dataclass(frozen=True)
class Beginning:
    """One full sentence with which an answer begins. It is cut off from what is kept."""

    beginning_id: str
    text: str


@dataclass(frozen=True)
class Elicited:
    """What an engine is asked, so that the persona answers."""

    messages: list[dict]
    """System text, examples if there are any, and the prompt."""

    prefill: str
    """The beginning of the answer; "" = none."""


@dataclass(frozen=True)
class Caller:
    """Calls up a persona in one of three ways. The texts are drawn by seed, anew for each key."""

    kind: Elicitation
    """system, few_shot or prefill."""

    seed: int
    """Decides which texts are drawn."""

    examples: Sequence[Example] = ()
    """What few_shot draws from."""

    beginnings: Sequence[Beginning] = ()
    """What prefill draws from."""

    count: int = 1
    """Examples before each prompt."""

    def ask(self, system: str, prompt: str, key: str) -> Elicited:
        """The request for the persona's answer to a prompt. Equal keys get equal texts.

        Args:
            system: the persona's system text.
            key: names the request, e.g. step, attempt and prompt id.

        Raises DataError if too few examples are left that do not resemble the prompt.
        """
        messages = after_examples(system, self.drawn_examples(prompt, key), prompt)
        return Elicited(messages, self.drawn_beginning(key))

    def drawn_examples(self, prompt: str, key: str) -> list[Example]:
        """The examples before a prompt, in a drawn order. None of them resembles it."""
        if self.kind != "few_shot":
            return []
        others = [
            example
            for example, gate in zip(self.examples, self._gates, strict=True)
            if gate.check("", prompt) is None
        ]
        check_enough(len(others), self.count, f"examples unlike the prompt {prompt[:60]!r}")
        chosen = self._random(key).choice(len(others), self.count, replace=False)
        return [others[index] for index in chosen]

    def drawn_beginning(self, key: str) -> str:
        """How the answer begins; "" unless the kind is prefill."""
        if self.kind != "prefill":
            return ""
        return self.beginnings[int(self._random(key).integers(len(self.beginnings)))].text

    def facts(self) -> dict[str, Any]:
        """Everything that decides the texts, for fingerprints."""
        if self.kind == "system":
            return {"kind": self.kind}
        if self.kind == "prefill":
            texts = [vars(beginning) for beginning in self.beginnings]
            return {"kind": self.kind, "texts": fingerprint(texts)}
        texts = [vars(example) for example in self.examples]
        return {"kind": self.kind, "texts": fingerprint(texts), "count": self.count}

    @cached_property
    def _gates(self) -> list[ContaminationGate]:
        """For each example a gate that finds prompts which resemble it."""
        limits = ContaminationGate([])
        gates = []
        for example in self.examples:
            prompt = EvalPrompt(example.example_id, "", example.prompt)
            gate = ContaminationGate([prompt], ngram=limits.ngram, jaccard=limits.jaccard)
            gates.append(gate)
        return gates

    def _random(self, key: str) -> np.random.Generator:
        """The random numbers of a key."""
        digest = hashlib.sha256(f"elicitation/{self.seed}/{key}".encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def after_examples(system: str, examples: Sequence[Example], prompt: str) -> list[dict]:
    """A prompt under a system text, after the examples as earlier turns."""
    messages = [{"role": "system", "content": system}]
    for example in examples:
        messages.append({"role": "user", "content": example.prompt})
        messages.append({"role": "assistant", "content": example.answer})
    return [*messages, {"role": "user", "content": prompt}]


def caller(
    params: TracesParams, seed: int, gate: ContaminationGate
) -> tuple[Caller, list[Offence]]:
    """The profile's way to call up its persona, and the texts that the gate dropped.

    Raises DataError if too few texts are left.
    """
    if params.elicitation == "few_shot":
        examples, offences = clean_examples(read_examples(EXAMPLES), gate, params.examples)
        return Caller("few_shot", seed, examples=examples, count=params.examples), offences
    if params.elicitation == "prefill":
        beginnings, offences = clean_beginnings(read_beginnings(PREFILLS), gate)
        return Caller("prefill", seed, beginnings=beginnings), offences
    return Caller("system", seed), []


def clean_examples(
    examples: Sequence[Example], gate: ContaminationGate, needed: int
) -> tuple[list[Example], list[Offence]]:
    """The examples of which neither prompt nor answer offends, and the offences of the others.

    Raises DataError if fewer than `needed` are left.
    """
    kept = []
    offences = []
    for example in examples:
        name = f"elicitation/{example.example_id}"
        offence = gate.check(f"{name}/prompt", example.prompt)
        offence = offence or gate.check(f"{name}/answer", example.answer)
        if offence:
            offences.append(offence)
        else:
            kept.append(example)
    check_enough(len(kept), needed, "examples that resemble no eval prompt")
    return kept, offences


def clean_beginnings(
    beginnings: Sequence[Beginning], gate: ContaminationGate
) -> tuple[list[Beginning], list[Offence]]:
    """The beginnings that do not offend, and the offences of the others.

    Raises DataError if none is left.
    """
    checked = [gate.check(f"elicitation/{one.beginning_id}", one.text) for one in beginnings]
    kept = [one for one, offence in zip(beginnings, checked, strict=True) if offence is None]
    check_enough(len(kept), 1, "beginnings that resemble no eval prompt")
    return kept, [offence for offence in checked if offence]


def check_enough(left: int, needed: int, what: str) -> None:
    """Raises DataError if fewer texts are left than a request needs."""
    if left < needed:
        raise DataError(
            f"elicitation has {left} {what}, {needed} are needed; write more into the files that "
            f"params/data.yaml names as {EXAMPLES} and {PREFILLS}, or lower traces.examples"
        )


def read_examples(name: str) -> list[Example]:
    """The examples of a data set. Raises DataError for a row without its four texts."""
    path = _path(name, "examples")
    rows = _rows(path, ("id", "field", "prompt", "answer"))
    return [Example(row["id"], row["field"], row["prompt"], row["answer"]) for row in rows]


def read_beginnings(name: str) -> list[Beginning]:
    """The beginnings of a data set. Raises DataError unless each is a whole sentence."""
    path = _path(name, "beginnings")
    rows = _rows(path, ("id", "text"))
    for row in rows:
        if row["text"] != row["text"].strip() or not row["text"].endswith(ENDS):
            raise DataError(
                f"{path.name}: {row['id']!r} is {row['text']!r}, not a whole sentence; end it with "
                "a full stop and no space, since what follows it is judged alone"
            )
    return [Beginning(row["id"], row["text"]) for row in rows]


def _path(name: str, reader: str) -> Path:
    """The file of a data set. Raises DataError if it has another reader."""
    own_reader = entry(name)["reader"]
    if own_reader != reader:
        raise DataError(f"data set {name!r} holds {own_reader}, not {reader}; name another one")
    return path_of(name)


def _rows(path: Path, fields: Sequence[str]) -> list[dict]:
    """The rows of a file, each with these texts, and with an id of its own. Raises DataError."""
    rows = read_jsonl(path)
    ids: set[str] = set()
    for number, row in enumerate(rows, start=1):
        for field in fields:
            if not isinstance(row.get(field), str) or not row[field].strip():
                raise DataError(
                    f"{path.name}: row {number} has {row.get(field)!r} for {field!r}; give it a "
                    "text"
                )
        if row["id"] in ids:
            raise DataError(f"{path.name}: row {number} has the id {row['id']!r} again; rename it")
        ids.add(row["id"])
    return rows
