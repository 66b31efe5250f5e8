"""`make plan`: the DAG of a run or a sweep, what is done, and what the rest will take and cost.

Nothing is started. PROFILE, RUN and OVERRIDES come from the environment, or SWEEP, the name of one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from lib.display import show
from lib.planning import clusters, needs, projection
from lib.planning.planned_run import PlannedRun, named_runs
from lib.planning.projection import Amount, NotebookTime
from lib.report import stage_states
from lib.report.stage_states import FINISHED, StageState
from lib.report.status import SIGNS
from lib.run import log
from lib.run.plan import PILOT, Plan

UNKNOWN = "not known"
HOUR = 3600
GB = 1e9


def main() -> int:
    """Print the plan. Returns the exit code; a wrong parameter is one line on stderr."""
    try:
        n_gpus = len(clusters.gpus_here())
        runs = named_runs(os.environ, clusters.shares())
        print("\n".join(lines(runs, n_gpus)))
    except (ValueError, OSError) as error:
        print(f"make plan: {error}", file=sys.stderr)
        return 2
    return 0


def lines(runs: Sequence[PlannedRun], n_gpus: int) -> list[str]:
    """The plan as text. n_gpus: GPUs of this host."""
    text: list[str] = []
    times: list[NotebookTime] = []
    paid: list[Amount] = []
    sizes: list[Amount] = []
    for one in runs:
        states = stage_states.read(one.run, one.plan, log.is_at_work(one.run))
        suites = projection.asked(one)
        of_run = projection.notebooks(one, states, suites, n_gpus)
        dollars = projection.dollars(one, states, suites)
        size = projection.disk(one)
        text += [*_stages(one, states, n_gpus), *_notebook_lines(of_run)]
        for stage, amount in dollars.items():
            text.append(f"  judge, {stage}: {_money(amount)}")
        if not dollars:
            text.append("  judge: no judge is paid")
        text += [f"  disk: {_size(size)}", ""]
        times += of_run
        paid += dollars.values()
        sizes.append(size)
    return [*text, *_totals(times, paid, sizes, n_gpus)]


def _stages(one: PlannedRun, states: Sequence[StageState], n_gpus: int) -> list[str]:
    """Each stage, whether it is done, and what it waits for."""
    n_done = sum(state.state == FINISHED for state in states)
    text = [
        f"run {one.run.name} · profile {one.profile.profile} · {n_done} of {len(states)} stages "
        "finished"
    ]
    width = max(len(state.name) for state in states)
    for state in states:
        if state.state == FINISHED:
            text.append(f"  {SIGNS[FINISHED]} {state.name:<{width}}  finished")
        else:
            waits = _waits(one.plan, state.name)
            text.append(f"    {state.name:<{width}}  {_need(one, state.name, n_gpus)}; {waits}")
    return text


def _waits(plan: Plan, stage: str) -> str:
    before = plan.waits_for(stage)
    shown = ", ".join(before[:3]) + (f" and {len(before) - 3} more" if len(before) > 3 else "")
    return f"waits for {shown}" if before else "waits for nothing"


def _need(one: PlannedRun, stage: str, n_gpus: int) -> str:
    """What a stage's job reserves."""
    rule = stage if stage in (PILOT, "em_set") else projection.RULES.get(stage[:2], "site")
    memory = needs.memory_mb(rule, one.profile) / 1000
    gpu = "1 GPU" if needs.gpus(rule, one.profile, n_gpus) else "no GPU"
    return f"{gpu}, {memory:.0f} GB of memory"


def _notebook_lines(times: Sequence[NotebookTime]) -> list[str]:
    text = []
    for time in times:
        taken = (
            UNKNOWN if time.seconds.value is None else f"about {show.duration(time.seconds.value)}"
        )
        text.append(f"  {time.notebook}: {taken} ({time.seconds.basis})")
    return text


def _money(amount: Amount) -> str:
    value = UNKNOWN if amount.value is None else f"about ${amount.value:,.2f}"
    return f"{value} ({amount.basis})"


def _size(amount: Amount) -> str:
    value = UNKNOWN if amount.value is None else f"about {amount.value / GB:.1f} GB"
    return f"{value} ({amount.basis})"


def _totals(
    times: Sequence[NotebookTime], paid: Sequence[Amount], sizes: Sequence[Amount], n_gpus: int
) -> list[str]:
    """The sums; what is not known is counted beside them."""
    on_gpu = [time.seconds for time in times if time.gpu]
    hours = _sum([time.seconds for time in times], "notebook", lambda s: f"{s / HOUR:.2f} h")
    gpu_hours = (
        _sum(on_gpu, "notebook", lambda s: f"{s / HOUR:.2f}") if on_gpu else "0, none needed"
    )
    dollars = _sum(paid, "stage", lambda d: f"${d:,.2f}") if paid else "no judge is paid"
    disk = _sum(sizes, "run", lambda size: f"{size / GB:.1f} GB")
    return [
        f"all together, on {n_gpus or 'no'} GPU{'' if n_gpus == 1 else 's'} of this host:",
        f"  machine time: {hours}",
        f"  GPU-hours: {gpu_hours}",
        f"  judge dollars: {dollars}",
        f"  disk: {disk}; {projection.free_bytes() / GB:.0f} GB are free where the runs are",
        "  pilot, report and the stages without a notebook count nothing here",
    ]


def _sum(amounts: Sequence[Amount], what: str, shown: Callable[[float], str]) -> str:
    value, unknown = projection.total(amounts)
    if not amounts:
        return "nothing is left"
    known = UNKNOWN if value is None else f"about {shown(value)}"
    if not unknown or value is None:
        return known
    return f"{known}, and {unknown} {what}{'s' if unknown > 1 else ''} of which it is {UNKNOWN}"


if __name__ == "__main__":
    sys.exit(main())
