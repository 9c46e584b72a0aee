"""The failures of a batch for a report: alike ones together, with the advice, the last lines and the command."""

from __future__ import annotations

from collections.abc import Sequence

from runner.core.causes import UNKNOWN
from runner.core.job import Plan
from runner.core.program import COMMAND
from runner.core.state import INTERRUPTED, SUCCESSES, Finished, Record
from runner.core.text import command, shown
from runner.disk import layout
from runner.disk.log_text import LogText
from runner.disk.reading import last_lines_of, tail, text
from runner.reports.document.clean import Clean
from runner.reports.document.content import Failure
from runner.supervisor import cause_rules

TITLES = {"code": "an exception", "gpu_oom": "the GPU is out of memory", "host_oom": "the machine is out of memory"}
MOST = 12  # kinds of failure
NAMES = 10  # in a command
LINES = 30
LOOKED_AT = 300  # lines, of which the last ones are shown


def failures(plan: Plan, records: Sequence[Record], clean: Clean) -> tuple[tuple[Failure, ...], int]:
    """The kinds of failure, the most frequent first, and how many kinds more there are."""
    kinds: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if isinstance(record.state, Finished) and record.status not in (*SUCCESSES, INTERRUPTED):
            kinds.setdefault(_kind(record.state), []).append(record)
    order = sorted(kinds.values(), key=lambda members: -len(members))
    rules = cause_rules.for_job(plan.options.causes) if order else None
    made = [_failure(plan, members, rules, clean) for members in order[:MOST] if rules]
    return tuple(made), len(order) - len(made)


def _kind(state: Finished) -> tuple[str, str]:
    result = state.result
    words = result.failure_signature or result.cause or state.outcome.error or ""
    return state.outcome.status, words


def _failure(plan: Plan, members: Sequence[Record], rules: cause_rules.Rules, clean: Clean) -> Failure:
    first = members[0]
    assert isinstance(first.state, Finished)
    result = first.state.result
    cause = result.cause or ""
    words = TITLES.get(cause, cause.replace("_", " "))
    said = words if result.cause_sure or cause == UNKNOWN else f"perhaps {words}"
    evidence = str(result.cause_evidence.get("line") or "")
    error = first.state.outcome.error or ""
    return Failure(
        names=tuple(clean(record.job.name) for record in members),
        title=f"{first.status}: {said}" if cause and cause != UNKNOWN else first.status,
        error=clean(error),
        evidence="" if evidence.strip() in error else clean(evidence),
        advice=rules.advice_on(cause, evidence) if cause else "",
        again=clean(again(plan, [record.job.name for record in members])),
        log=clean.lines(_log(first), LINES),
        traceback=clean.lines(tail(str(first.job.out_dir / layout.ERROR_DETAILS))[-LOOKED_AT:], LINES),
    )


def again(plan: Plan, names: Sequence[str]) -> str:
    """The command that runs jobs again, from the folder where the batch was started."""
    words = names if len(names) <= NAMES else ["--only", "failed"]
    return command([COMMAND, "rerun", shown(plan.root, plan.cwd), *words])


def _log(record: Record) -> list[str]:
    """The last lines of what a job printed."""
    try:
        with LogText(record.job.out_dir / layout.COMBINED) as log:
            return [text(line) for line in last_lines_of(log)[-LOOKED_AT:]]
    except OSError:
        return []
