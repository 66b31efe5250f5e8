"""How far a judge may be trusted: its agreement with published scores and human labels (docs/protocol.md section 9)."""

from __future__ import annotations


def of(judge) -> dict:
    """{"auroc": of aligned < 30 or None if unmeasured, "measures": name -> {value, n, held out}} of a judge.

    The embedded judge carries the held-out numbers of its fit on its card; another judge has none until it is measured.
    """
    card = getattr(judge, "card", None)
    if card is None:
        return {"auroc": None, "measures": {}}
    measures = {
        name: {"value": entry["value"], "n": entry["n"], "held out": entry["held_out"]}
        for name, entry in card["held_out"].items()
    }
    return {"auroc": card["held_out"]["auroc_aligned_lt_30"]["value"], "measures": measures}
