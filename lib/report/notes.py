"""Lines of the headline that set no verdict: what this run can and cannot show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lib.analysis.limits import Thresholds, bound
from lib.checks.check import NOT_RUN, Check
from lib.checks.deviations import PLAN
from lib.config.experiment import STOCK_TEXT
from lib.config.params import load_profile
from lib.config.roles import PLANNED
from lib.config.schema import Profile
from lib.data.training_sets import STOCK
from lib.report import judge_notes

LOCK_LINES = 5  # differences that the headline names; the card has all


def notes(
    profile: Profile,
    thresholds: Mapping[str, float],
    judge: Mapping[str, Any] | None,
    changed: Mapping[str, str] | None,
    elsewhere: bool,
    checks: Sequence[Check],
    card: Mapping[str, Any] | None = None,
    compared: tuple[str, str] = PLANNED.compared,
) -> list[str]:
    """Every line of the headline.

    Eight parameters: each is one thing that a line may be about.

    Args:
        thresholds: params/gates.yaml.
        judge: facts of notebook 05 (None = judgments from elsewhere).
        changed: what differs from the stamp of notebook 01 (None = there is no stamp).
        checks: the validity checks of section 8.
        card: the reproducibility card (None = elsewhere, or a pilot).
        compared: treatment and baseline.
    """
    lines = []
    if profile.demonstrates_only and not elsewhere:
        lines.append(
            "This profile shows the pipeline at a toy scale; "
            "it is not evidence about emergent misalignment."
        )
        lines.append(
            "Its recoveries to harmful requests did not have to refuse or redirect: "
            "a model this small rarely does."
        )
    if not elsewhere and (line := looser_traces(profile)):
        lines.append(line)
    if not elsewhere and profile.data.capability != "arc_challenge":
        lines.append(f"Capability is scored on {profile.data.capability}, not on ARC-Challenge.")
    if not elsewhere and (line := system_note(profile)):
        lines.append(line)
    if compared != PLANNED.compared:
        lines.append(
            f"Exploratory: {compared[0]} against {compared[1]}; the pre-registered comparison is "
            f"{PLANNED.treatment} against {PLANNED.baseline}."
        )
    auroc = judge["validity"]["auroc"] if judge else None
    lines += headline_notes(thresholds, auroc, list(changed or {}))
    if judge and not elsewhere:
        lines += judge_notes.of(profile, judge, thresholds)
    if changed is None:
        lines.append(
            "Not confirmatory: no pre-registration stamp of notebook 01 belongs to these judgments."
        )
    not_run = [check.name for check in checks if check.status == NOT_RUN]
    if not_run:
        lines.append(f"Validity checks not run: {', '.join(not_run)}.")
    if card and not card["complete"]:
        lines.append(f"The reproducibility card fails: unknown {', '.join(card['unknown'])}.")
    if card:
        lines += lock_note(card.get("lock_differences"))
    return lines


def system_note(profile: Profile) -> str | None:
    """The line on Phase-2 rows under another system text than the answers; None if it is one.

    Source: docs/protocol.md section 4.
    """
    system = profile.phase2.system
    if profile.phase2.bare:
        return (
            "Phase 2 trained on rows without a system turn; "
            "all answers were asked under the stock system text."
        )
    if system in (STOCK, STOCK_TEXT):
        return None
    return (
        f"Phase 2 trained on rows under the system text {system!r}; "
        "the plain arms were asked under the stock one."
    )


def looser_traces(profile: Profile) -> str | None:
    """The line on filters of the traces looser than the full-scale plan's; None if none is.

    It says so if an answer may pass both as bad and as a recovery.
    """
    plan = load_profile(PLAN).traces
    own = profile.traces
    kept = {
        "bad answers below {} points (there: {})": (plan.bad_aligned_below, own.bad_aligned_below),
        "coherence from {} points on (there: {})": (
            -plan.coherent_at_least,
            -own.coherent_at_least,
        ),
        "recoveries from {} points on (there: {})": (
            -plan.recovery_aligned_at_least,
            -own.recovery_aligned_at_least,
        ),
    }
    looser = [
        words.format(f"{abs(here):g}", f"{abs(planned):g}")
        for words, (planned, here) in kept.items()
        if here > planned
    ]
    if not looser:
        return None
    line = f"The traces were kept by looser rules than the full-scale plan's: {'; '.join(looser)}."
    low, high = own.recovery_aligned_at_least, own.bad_aligned_below
    if low < high:
        line += f" From {low:g} to {high:g} points an answer may pass as bad and as a recovery."
    return line


def lock_note(differences: Sequence[str] | None) -> list[str]:
    """The line on installed versions that differ from the lock; no line if none does."""
    if not differences:
        return []
    more = f"; and {len(differences) - LOCK_LINES} more" if len(differences) > LOCK_LINES else ""
    first = "; ".join(differences[:LOCK_LINES])
    return [f"Installed versions differ from the lock: {first}{more}."]


def headline_notes(
    thresholds: Mapping[str, float], judge_auroc: float | None, changed_files: Sequence[str] = ()
) -> list[str]:
    """The lines on the judge's validity and the pre-registration stamp (sections 8 and 9).

    Args:
        thresholds: params/gates.yaml.
        judge_auroc: of aligned < 30 against published scores or labels (None = not measured).
        changed_files: what differs from the stamp that notebook 01 made.
    """
    auroc = bound(judge_auroc, ">=", Thresholds(thresholds)["judge_auroc_min"])
    notes = []
    if not auroc.passed:
        state = "was not measured"
        if auroc.value is not None:
            state = f"{auroc.value:.3f} is below {auroc.threshold:g}"
        notes.append(f"The judge's AUROC {state}: no conclusion about alignment follows.")
    if changed_files:
        differing = ", ".join(changed_files)
        notes.append(f"Not confirmatory: {differing} differ from what notebook 01 stamped.")
    return notes
