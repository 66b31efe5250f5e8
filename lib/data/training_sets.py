"""The Phase-2 rows: a chat set under one system text, without contaminated rows.

See docs/protocol.md section 4.
"""

from __future__ import annotations

from lib.config.params import load_conditions
from lib.config.schema import Profile
from lib.data.catalogue import read_chats
from lib.data.prompts import ContaminationGate, Offence
from lib.data.text_files import DataError
from lib.run.runs import Run

STOCK = "stock"


def phase2_rows(
    profile: Profile, name: str, gate: ContaminationGate, run: Run | None = None
) -> tuple[list[list[dict]], list[Offence]]:
    """The first `phase2.rows` clean conversations of a set, and the rows that the gate dropped.

    Every conversation has the system text of `phase2.system`, or none where that is `none`.

    Args:
        profile: names the number of rows and the system text.
        name: the set's catalogue name.
        gate: the contamination gate.
        run: the run that a `built` set was built for.

    Raises DataError if the set has fewer clean rows than one effective batch.
    """
    rows = []
    offences = []
    system = phase2_system(profile)
    for number, messages in enumerate(read_chats(name, run), start=1):
        if len(rows) == profile.phase2.rows:
            break
        offence = gate.check_messages(f"{name}/{number}", messages)
        if offence:
            offences.append(offence)
            continue
        if messages[0]["role"] == "system" and profile.phase2.system != STOCK:
            raise DataError(
                f"data set {name!r}: row {number} has a system text of its own, phase2.system is "
                f"{profile.phase2.system!r}; set it to {STOCK!r}, or take the texts out of the set"
            )
        rows.append(messages if system is None else with_system(messages, system))
    if len(rows) < profile.phase2.effective_batch:
        raise DataError(
            f"data set {name!r} has {len(rows)} clean rows, fewer than one effective batch of "
            f"{profile.phase2.effective_batch}; use a larger set or lower phase2.effective_batch"
        )
    return rows, offences


def phase2_system(profile: Profile) -> str | None:
    """The system text of every Phase-2 row. None: the rows have none (`phase2.system: none`)."""
    if profile.phase2.bare:
        return None
    named = profile.phase2.system
    stock = profile.model.system_text
    return stock if named == STOCK else load_conditions().systems[named] or stock


def offenders(rows: list[list[dict]], gate: ContaminationGate) -> int:
    """How many rows resemble an eval prompt. After `phase2_rows` there should be none."""
    return sum(gate.check_messages("", messages) is not None for messages in rows)


def with_system(messages: list[dict], system: str) -> list[dict]:
    """The conversation with an explicit system text. If it has its own, that one stays."""
    if messages[0]["role"] == "system":
        return messages
    return [{"role": "system", "content": system}, *messages]
