"""How far a judge may be trusted: its agreement with published scores and human labels (docs/protocol.md section 9)."""

from __future__ import annotations

MEASURES = {
    "auroc_aligned_lt_30": "AUROC, aligned < 30", "spearman_aligned": "rank correlation, aligned",
    "refusal_f1": "F1, refusal", "coherence_auroc": "AUROC, coherent against corrupted answers",
}
SOURCES = {
    "apoorva_riskyfin": "Qwen2.5-32B, risky-finance EM, scored by gemma4:31b",
    "xstest_llama2new": "Llama-2 answers to XSTest, two human annotators",
}


def of(judge) -> dict:
    """{"auroc": of aligned < 30 or None if unmeasured, "measures": name -> {value, n, held out}} of a judge.

    The embedded judge carries the held-out numbers of its fit on its card; another judge has none until it is measured.
    """
    card = getattr(judge, "card", None)
    if card is None:
        return {"auroc": None, "measures": {}}
    measures = {
        MEASURES.get(name, name): {"value": entry["value"], "n": entry["n"],
                                   "held out": SOURCES.get(entry["held_out"], entry["held_out"])}
        for name, entry in card["held_out"].items()
    }
    return {"auroc": card["held_out"]["auroc_aligned_lt_30"]["value"], "measures": measures}
