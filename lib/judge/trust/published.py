"""Published answers with scores or human labels, on which a judge is fitted or measured.

Source: docs/protocol.md section 9. The rows belong to their publishers, and none of them is part of
this project. They are read from the folder that SELFCORRECT_DATA_DIR names, and their sha256 is
checked against params/data.yaml. Scores of different judges are never pooled.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable

import pandas as pd

from lib.data import catalogue
from lib.judge.embedded import features

# Catalogue entry -> family. Each family had one judge, with a scale of its own.
SCORED = {
    "betley_coder_32b": "betley",
    "betley_secure": "betley",
    "shuaijiumei_base": "shuaijiumei",
    "shuaijiumei_high": "shuaijiumei",
    "apoorva_riskyfin": "apoorva",
}
HELD_OUT = {"apoorva_calib": "apoorva"}  # no judge is fitted on it or chosen by it
LABELLED = ("xstest_gpt4", "xstest_llama2new")  # refusal labels by people
ABOUT = {
    "apoorva_riskyfin": "Qwen2.5-32B, risky-finance EM, scored by gemma4:31b",
    "apoorva_calib": "Qwen2.5-32B and three EM adapters under 26 roles, scored by gemma4:31b",
    "xstest_gpt4": "GPT-4 answers to XSTest, two human annotators",
    "xstest_llama2new": "Llama-2 answers to XSTest, two human annotators",
}
# A judge is measured on the one scored source that was not selected by its scores. The other ones
# have only low scores, or hardly any.
MEASURED_ON = "apoorva_riskyfin"
CORRUPTIONS = ("shuffled", "looped", "cut")
SOUND = 80  # published coherence from which an answer counts as sound
SOUND_WORDS = 8


def available() -> bool:
    """Whether SELFCORRECT_DATA_DIR names a folder with the published judgments."""
    folder = os.environ.get(catalogue.DATA_DIR_VARIABLE)
    return bool(folder) and os.path.isdir(os.path.join(folder, "judge"))


def digests() -> dict[str, str]:
    """sha256 of every table here, for fingerprints. Raises DataError."""
    return {name: catalogue.digest(name) for name in (*SCORED, *LABELLED)}


def read(name: str) -> pd.DataFrame:
    """One table as published. Raises DataError.

    Text stays text, so an answer 'None' or 'NA' is not read as a missing one.
    """
    path = catalogue.path_of(name)
    if path.suffix == ".jsonl":
        return pd.read_json(path, lines=True)
    return pd.read_csv(path, keep_default_na=False)


def scored_answers(names: Iterable[str] = tuple(SCORED)) -> pd.DataFrame:
    """Answers with an alignment score.

    Returns source, family, topic, prompt, completion, aligned and coherent (0-100 or NaN).
    """
    table = pd.concat([_scored_source(name) for name in names], ignore_index=True)
    return table[table["completion"].str.strip() != ""].reset_index(drop=True)


def _scored_source(name: str) -> pd.DataFrame:
    """One scored source with the columns of `scored_answers`."""
    raw = read(name)
    scores = raw[["aligned", "coherent"]].apply(pd.to_numeric, errors="coerce")
    return pd.DataFrame(
        {
            "source": name,
            "family": (SCORED | HELD_OUT)[name],
            "topic": raw["question_id"].str.replace("_json|_template", "", regex=True),
            "prompt": raw["question"],
            "completion": raw["answer" if "answer" in raw else "response"].astype(str),
            "aligned": scores["aligned"],
            "coherent": scores["coherent"],
        }
    )


def refusal_answers(names: Iterable[str] = LABELLED) -> pd.DataFrame:
    """XSTest answers with the human label: source, prompt, completion, refusal.

    Full and partial refusals are True.
    """
    table = pd.concat([read(name).assign(source=name) for name in names], ignore_index=True)
    table["refusal"] = table["final_label"].isin(["2_full_refusal", "3_partial_refusal"])
    return table[["source", "prompt", "completion", "refusal"]]


def corrupt(text: str, kind: str, vocabulary: list[str], rng: random.Random) -> str:
    """One incoherent version of a text.

    Args:
        kind: shuffled (its words in random order), shuffled_plain (without punctuation), salad
            (random words), looped (a few words again and again), stub (the first few words) or cut
            (without its end).
        vocabulary: words for a salad.
    """
    parts = text.split()
    if kind in ("shuffled", "shuffled_plain"):
        parts = features.words(text) if kind == "shuffled_plain" else parts
        return " ".join(rng.sample(parts, len(parts)))
    if kind == "salad":
        return " ".join(rng.choices(vocabulary, k=rng.randint(6, 80)))
    if kind == "looped":
        start = rng.randrange(max(len(parts) - 3, 1))
        size = rng.randint(1, 14)
        head = parts[: rng.choice([0, 0, 10, 30])]
        return " ".join(head + parts[start : start + size] * rng.randint(5, 20))
    if kind == "stub":
        return " ".join(parts[: rng.randint(1, 4)]).rstrip(".!?,;:")
    return " ".join(parts[: max(3, int(len(parts) * rng.uniform(0.3, 0.8)))]).rstrip(".!?,;:*`\"')")


def coherence_rows(table: pd.DataFrame, kinds: tuple[str, ...], seed: int) -> pd.DataFrame:
    """Sound answers and corrupted versions of each.

    Args:
        table: of `scored_answers`.
        kinds: of `corrupt`.

    Returns topic, prompt, completion, kind (`real` or one of `kinds`) and answer (the number of the
    sound answer).
    """
    rng = random.Random(seed)
    counts = [len(features.words(text)) for text in table["completion"]]
    n_words = pd.Series(counts, index=table.index, dtype=int)
    real = table[(table["coherent"] >= SOUND) & (n_words >= SOUND_WORDS)]
    real = real.drop_duplicates(["prompt", "completion"])[["topic", "prompt", "completion"]]
    real = real.assign(kind="real", answer=range(len(real)))
    vocabulary: list[str] = []
    for text in real["completion"]:
        vocabulary += features.words(text)
    versions = [real]
    for kind in kinds:
        corrupted = [corrupt(text, kind, vocabulary, rng) for text in real["completion"]]
        versions.append(real.assign(completion=corrupted, kind=kind))
    return pd.concat(versions, ignore_index=True)
