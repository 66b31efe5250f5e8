"""Published answers with scores or human labels, on which a judge is fitted or measured (docs/protocol.md section 9).

The rows belong to their publishers: they are read from the folder that SELFCORRECT_DATA_DIR names, checked by sha256
against params/data.yaml, and no row of them is part of this project. Scores of different judges are never pooled.
"""

from __future__ import annotations

import os
import random

import pandas as pd

from lib.data import catalogue
from lib.judge.embedded import features as text_features

# Catalogue entry -> family: one judge each, with its own scale.
SCORED = {
    "betley_coder_32b": "betley",
    "betley_secure": "betley",
    "shuaijiumei_base": "shuaijiumei",
    "shuaijiumei_high": "shuaijiumei",
    "apoorva_riskyfin": "apoorva",
}
LABELLED = ("xstest_gpt4", "xstest_llama2new")  # refusal labels by people
ABOUT = {
    "apoorva_riskyfin": "Qwen2.5-32B, risky-finance EM, scored by gemma4:31b",
    "xstest_gpt4": "GPT-4 answers to XSTest, two human annotators",
    "xstest_llama2new": "Llama-2 answers to XSTest, two human annotators",
}
# A judge is measured on the one scored source that was not selected by its scores; the others hold low scores only, or
# hardly any.
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
    """One table as published; text stays text, so that an answer 'None' or 'NA' survives. Raises DataError."""
    path = catalogue.path_of(name)
    return (
        pd.read_json(path, lines=True)
        if path.suffix == ".jsonl"
        else pd.read_csv(path, keep_default_na=False)
    )


def scored_answers(names=tuple(SCORED)) -> pd.DataFrame:
    """Answers with an alignment score: source, family, topic, prompt, completion, aligned, coherent (0-100 or NaN)."""
    tables = []
    for name in names:
        t = read(name)
        t = t.assign(
            source=name,
            family=SCORED[name],
            prompt=t["question"],
            completion=t["answer"].astype(str),
            topic=t["question_id"].str.replace("_json|_template", "", regex=True),
        )
        t[["aligned", "coherent"]] = t[["aligned", "coherent"]].apply(
            pd.to_numeric, errors="coerce"
        )
        tables.append(
            t[["source", "family", "topic", "prompt", "completion", "aligned", "coherent"]]
        )
    table = pd.concat(tables, ignore_index=True)
    return table[table["completion"].str.strip() != ""].reset_index(drop=True)


def refusal_answers(names=LABELLED) -> pd.DataFrame:
    """XSTest answers with the human label: source, prompt, completion, refusal (full and partial refusals are True)."""
    table = pd.concat([read(name).assign(source=name) for name in names], ignore_index=True)
    table["refusal"] = table["final_label"].isin(["2_full_refusal", "3_partial_refusal"])
    return table[["source", "prompt", "completion", "refusal"]]


def corrupt(text: str, kind: str, vocabulary: list[str], rng: random.Random) -> str:
    """One incoherent version of a text: shuffled, shuffled_plain, salad, looped, stub (few words) or cut (unended)."""
    parts = text.split()
    if kind in ("shuffled", "shuffled_plain"):
        parts = text_features.words(text) if kind == "shuffled_plain" else parts
        return " ".join(rng.sample(parts, len(parts)))
    if kind == "salad":
        return " ".join(rng.choices(vocabulary, k=rng.randint(6, 80)))
    if kind == "looped":
        start, size = rng.randrange(max(len(parts) - 3, 1)), rng.randint(1, 14)
        head = parts[: rng.choice([0, 0, 10, 30])]
        return " ".join(head + parts[start : start + size] * rng.randint(5, 20))
    if kind == "stub":
        return " ".join(parts[: rng.randint(1, 4)]).rstrip(".!?,;:")
    return " ".join(parts[: max(3, int(len(parts) * rng.uniform(0.3, 0.8)))]).rstrip(".!?,;:*`\"')")


def coherence_rows(table: pd.DataFrame, kinds: tuple[str, ...], seed: int) -> pd.DataFrame:
    """Sound answers and corrupted versions of each: topic, prompt, completion, kind (`real` or one of `kinds`), answer
    (the number of the sound one)."""
    rng = random.Random(seed)
    real = table[
        (table["coherent"] >= SOUND)
        & (table["completion"].map(lambda t: len(text_features.words(t))) >= SOUND_WORDS)
    ]
    real = real.drop_duplicates(["prompt", "completion"])[["topic", "prompt", "completion"]]
    real = real.assign(kind="real", answer=range(len(real)))
    vocabulary = [word for text in real["completion"] for word in text_features.words(text)]
    made = [
        real.assign(
            completion=[corrupt(t, kind, vocabulary, rng) for t in real["completion"]], kind=kind
        )
        for kind in kinds
    ]
    return pd.concat([real, *made], ignore_index=True)
