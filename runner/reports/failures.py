"""The failures of a batch by their causes: how many, which jobs, what to do, and the command that runs them again.

Reads the rules, which have the advice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from runner.core import program
from runner.core.causes import CONFIG, DISK, IMPORT, UNKNOWN
from runner.core.job import Plan
from runner.core.state import FAILED, KILLED, Finished, Record
from runner.core.text import listed, plain
from runner.supervisor import cause_rules

MOST = 6  # causes that are shown
NAMES = 10  # jobs that are named of each, also in its command
DETAIL = 80  # characters of the line that shows a cause
#: Causes whose line says what to do something about: `import (No module named 'einops')`.
DETAILED = (IMPORT, CONFIG, DISK)


def by_cause(plan: Plan, records: Sequence[Record]) -> list[str]:
    """`4 gpu_oom: a, b, c, d`, then the advice and the command, for each cause; the most frequent one first."""
    groups: dict[tuple[str, str, bool], list[Record]] = {}
    for record in records:
        if isinstance(record.state, Finished) and record.status in (FAILED, KILLED) and record.state.result.cause:
            groups.setdefault(_key(record.state), []).append(record)
    rules = cause_rules.for_job(plan.options.causes) if groups else None
    order = sorted(groups.items(), key=lambda item: -len(item[1]))
    lines = []
    for (cause, detail, sure), members in order[:MOST] if rules else ():
        names = [plain(record.job.name) for record in members]
        title = (cause if sure or cause == UNKNOWN else f"perhaps {cause}") + (f" ({detail})" if detail else "")
        lines.append(f"{len(members)} {title}: {listed(names, NAMES)}")
        if advice := rules.advice_on(cause, _line(members[0])) if rules else "":
            lines.append(f"    {advice}")
        if len(members) > 1:  # that of a single one stands beside it
            lines.append(f"    to run them again: {program.offered('rerun', plan.root, *_named(names))}")
    if len(order) > MOST:
        lines.append(f"and {len(order) - MOST} more causes")
    return lines


def _key(state: Finished) -> tuple[str, str, bool]:
    result = state.result
    detail = re.sub(r"^[\w.]*(?:Error|Exception): ", "", str(result.cause_evidence.get("line") or ""))
    return result.cause or "", plain(detail, DETAIL) if result.cause in DETAILED else "", result.cause_sure


def _line(record: Record) -> str:
    assert isinstance(record.state, Finished)
    return str(record.state.result.cause_evidence.get("line") or "")


def _named(names: Sequence[str]) -> Sequence[str]:
    """The words of the command: the jobs, or all that failed if they are many."""
    return names if len(names) <= NAMES else ("--only", "failed")
