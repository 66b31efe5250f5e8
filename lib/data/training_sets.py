"""The Phase-2 rows: a chat set under the stock system text, without contaminated rows.

See docs/protocol.md section 4.
"""

from __future__ import annotations

from lib.config.schema import Profile
from lib.data.catalogue import read_chats
from lib.data.prompts import ContaminationGate, Offence
from lib.data.text_files import DataError


def phase2_rows(
    profile: Profile, name: str, gate: ContaminationGate
) -> tuple[list[list[dict]], list[Offence]]:
    """The first `phase2.rows` clean conversations of a set, and what the gate dropped before them.

    Every conversation has an explicit system text.
    Raises DataError if the set has fewer clean rows than one effective batch.
    """
    rows = []
    offences = []
    for number, messages in enumerate(read_chats(name), start=1):
        if len(rows) == profile.phase2.rows:
            break
        offence = gate.check_messages(f"{name}/{number}", messages)
        if offence:
            offences.append(offence)
        else:
            rows.append(with_system(messages, profile.model.system_text))
    if len(rows) < profile.phase2.effective_batch:
        raise DataError(
            f"data set {name!r} has {len(rows)} clean rows, fewer than one effective batch of "
            f"{profile.phase2.effective_batch}; use a larger set or lower phase2.effective_batch"
        )
    return rows, offences


def offenders(rows: list[list[dict]], gate: ContaminationGate) -> int:
    """How many rows resemble an eval prompt. After `phase2_rows` there should be none."""
    return sum(gate.check_messages("", messages) is not None for messages in rows)


def with_system(messages: list[dict], system: str) -> list[dict]:
    """The conversation with an explicit system text. If it has its own, that one stays."""
    if messages[0]["role"] == "system":
        return messages
    return [{"role": "system", "content": system}, *messages]
