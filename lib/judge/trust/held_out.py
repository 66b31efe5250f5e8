"""The published rows on which a judge is measured: never one that it was fitted on.

Source: docs/protocol.md section 9. A judge that was fitted on published rows says on which
(`fitted_on`, catalogue name to sha256). Rows of these sources, and rows that repeat one of theirs,
do not count.
"""

from __future__ import annotations

import pandas as pd

from lib.data import catalogue
from lib.judge.protocol import Judge
from lib.judge.trust import published

PARTS = {"alignment": 0.5, "refusal": 0.25, "coherence": 0.25}  # shares of a limited number of rows
COLUMNS = [
    "part",
    "source",
    "prompt",
    "completion",
    "cluster",
    "true_aligned",
    "true_coherent",
    "true_refusal",
    "kind",
    "answer",
]
# Which rows and which corruptions: the same for every judge, so that judges can be compared.
SEED = 0


def sample(judge: Judge, limit: int | None) -> pd.DataFrame:
    """The rows on which a judge is measured, with the published truth, drawn with a fixed seed.

    Args:
        judge: the judge to measure.
        limit: rows at most. None: all.

    Returns part, source, suite, prompt, completion, cluster (what is resampled whole), true_aligned
    and true_coherent (0 to 100), true_refusal, kind and answer (of coherence rows).

    Raises ValueError if no source is left.
    """
    fitted = fitted_on(judge)
    parts = []
    known = [name for name in published.HELD_OUT if name in catalogue.catalogue()]
    unseen = [name for name in (published.MEASURED_ON, *known) if name not in fitted]
    if unseen:
        parts += [_alignment_rows(unseen[0]), _coherence_rows(unseen[0])]
    labelled = [name for name in published.LABELLED if name not in fitted]
    if labelled:
        answers = published.refusal_answers(labelled).rename(columns={"refusal": "true_refusal"})
        parts.append(answers.assign(part="refusal", cluster=answers["prompt"]))
    if not parts:
        raise ValueError(
            f"judge {judge.name} was fitted on every published source; nothing is left to measure "
            "it on"
        )
    rows = pd.concat(parts, ignore_index=True).reindex(columns=COLUMNS)
    fitted_pairs: set[tuple[str, str]] = set()
    for name in fitted:
        fitted_pairs.update(_pairs(name))
    pairs = zip(rows["prompt"], rows["completion"], strict=True)
    rows = rows[[pair not in fitted_pairs for pair in pairs]]
    if limit is not None:
        bounded = [
            _bounded(part, int(limit * PARTS[name]))
            for name, part in rows.groupby("part", sort=False)
        ]
        rows = pd.concat(bounded)
    return rows.assign(suite="alignment").reset_index(drop=True)


def _alignment_rows(source: str) -> pd.DataFrame:
    """Answers with a published alignment score."""
    answers = published.scored_answers([source])
    answers = answers.rename(columns={"aligned": "true_aligned", "coherent": "true_coherent"})
    scored = answers[answers["true_aligned"].notna()]
    return scored.assign(part="alignment", cluster=scored["topic"])


def _coherence_rows(source: str) -> pd.DataFrame:
    """Sound answers and their corrupted versions."""
    answers = published.scored_answers([source])
    sound = published.coherence_rows(answers, published.CORRUPTIONS, SEED)
    return sound.assign(part="coherence", source=source, cluster=sound["topic"])


def fitted_on(judge: Judge) -> dict[str, str]:
    """Catalogue names and sha256 of what a judge was fitted on; empty if it never was.

    Raises ValueError unless each is known in exactly this version: otherwise its rows cannot be
    recognised and could count.
    """
    if hasattr(judge, "card") and not hasattr(judge, "fitted_on"):
        raise ValueError(
            f"judge {judge.name} has a model card but no `fitted_on`; rows it was fitted on could "
            "count"
        )
    fitted = dict(getattr(judge, "fitted_on", {}))
    for name, digest in fitted.items():
        if catalogue.catalogue().get(name, {}).get("sha256") != digest:
            raise ValueError(
                f"judge {judge.name} was fitted on {name!r} in a version that params/data.yaml "
                f"lacks ({str(digest)[:12]}); refit it, or correct the catalogue"
            )
    return fitted


def _pairs(name: str) -> list[tuple[str, str]]:
    """Prompt and completion of every row of a source; empty for a set of prompts."""
    if name in published.SCORED or name in published.HELD_OUT:
        table = published.scored_answers([name])
    elif name in published.LABELLED:
        table = published.refusal_answers([name])
    else:
        return []
    return list(zip(table["prompt"], table["completion"], strict=True))


def _bounded(part: pd.DataFrame, n: int) -> pd.DataFrame:
    """At most n rows. A sound answer and its corrupted versions are kept or dropped together."""
    if len(part) <= n:
        return part
    if part["part"].iloc[0] != "coherence":
        return part.sample(n, random_state=SEED)
    answers = part["answer"].drop_duplicates()
    n_answers = max(n // (1 + len(published.CORRUPTIONS)), 1)
    return part[part["answer"].isin(answers.sample(n_answers, random_state=SEED))]
