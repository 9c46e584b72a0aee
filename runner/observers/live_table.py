"""The live table as columns: what is known of each job, and which of it fits on a screen. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runner.core.state import COMPLETED, PENDING, PRUNED, RUNNING, SUCCESSES, Finished, Record, Running
from runner.core.text import count, duration, plain
from runner.observers.batch_state import NO_PROGRESS, BatchState
from runner.reports import best
from runner.reports.columns import LEAST_NAME, Column, Fitted, fit, least_name
from runner.reports.ending import SWEEP

BAR = ""  # the heading of the bars
LEAST_BAR, GOOD_BAR, MOST_BAR, MOST_BATCH_BAR = 7, 10, 20, 30
NARROW = 70  # columns; on a narrower screen a bar can be shorter than a good one
LEAST_KEY, LEAST_STATE, MOST_STATE = 8, 11, 40
#: What is shown first when there are too many; failed ones are 1.
RANK = {RUNNING: 0, COMPLETED: 2, PRUNED: 2, PENDING: 3}


def table(state: BatchState, names: Sequence[str], width: int) -> Fitted:
    """The columns of these jobs that fit. A sweep has its varied keys beside the names of its runs, or instead."""
    measured = _measured(state, names, width)
    for identity in _identities(state, names, width):
        fitted = fit([*identity, *measured], width)
        if not {"loss", BAR} & set(fitted.left_out):
            return fitted
    return fitted


def visible(state: BatchState, rows: int) -> list[str]:
    """Running jobs, then those that did not complete, then the latest completed, then the next to come."""
    records = state.records
    if len(records) <= rows:
        return list(records)
    order = sorted(records, key=lambda name: _order(state, name))
    return sorted(order[:rows], key=state.number)


def fractions(state: BatchState, names: Sequence[str]) -> list[float | None]:
    """How far each job is; None where there is no bar for it."""
    return [_fraction(state, state.records[name]) for name in names]


def caption(state: BatchState, hidden: Sequence[Record]) -> str:
    """`3 of 12 jobs ended (1 failed), 2 min 03 s, about 5 min to go`, and what is not in the table."""
    rest = state.remaining()
    ended = [record.status for record in state.records.values() if isinstance(record.state, Finished)]
    failed = sum(status not in SUCCESSES for status in ended)
    bad = f" ({failed} not completed)" if failed else ""
    text = f"{state.ended} of {count(state.total, 'job')} ended{bad}, {duration(state.elapsed)}"
    text += f", about {duration(rest)} to go" if rest is not None else ""
    statuses = [record.status for record in hidden]
    numbers = ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))
    return text + (f"; not shown: {numbers}" if numbers else "")


def _order(state: BatchState, name: str) -> tuple[int, int]:
    """Running jobs and those that come next by their number, those that ended from the latest on."""
    rank, number = RANK.get(state.records[name].status, 1), state.number(name)
    return rank, -number if rank in (1, 2) else number


def _identities(state: BatchState, names: Sequence[str], width: int) -> list[list[Column]]:
    """What can stand for a job, in order of preference."""
    called = [plain(name) for name in names]
    least = LEAST_NAME if width < NARROW else least_name(called)
    title = Column("job", called, least=least)
    if state.plan.kind.listing != SWEEP:
        return [[title]]
    places = [state.number(name) - 1 for name in names]
    keys = [
        replace(key, cells=[key.cells[place] for place in places], least=max(LEAST_KEY, *map(len, key.cells)))
        for key in state.settings
    ]
    run = replace(title, heading="run")
    return [[run, *keys], keys, [run]] if keys else [[run]]


def _measured(state: BatchState, names: Sequence[str], width: int) -> list[Column]:
    """The columns beside the names, the ones that are left out first with the highest rank."""
    records = [state.records[name] for name in names]
    states = [_state(state, record) for record in records]
    longest = max((len(_waiting(reason)) for reason in state.reasons.values() if reason), default=0)
    wide = max(LEAST_STATE, min(longest, MOST_STATE, width // 2))
    widest = max((len(_position(state, name)) for name in state.progress), default=0)  # so that no column moves
    least_bar = LEAST_BAR if width < NARROW else GOOD_BAR
    bars = [Column(BAR, [""] * len(names), 5, least=least_bar, least_wide=MOST_BAR)]
    counted = any(progress.total for progress in state.progress.values()) or any(map(_counted, state.records.values()))
    gpus = [",".join(record.gpus) for record in records]
    return [
        Column("state", states, least=wide, least_wide=wide),
        *([Column("GPU", gpus, 3)] if any(record.gpus for record in state.records.values()) else []),
        Column("iter", [_position(state, name) for name in names], 1, right=True, least_wide=max(widest, 7)),
        *(bars if counted else []),
        Column("loss", [_loss(state, name, "loss") for name in names], 2, right=True, least_wide=7),
        Column("val loss", [_loss(state, name, "val_loss") for name in names], 6, right=True, least_wide=8),
        Column("speed", [_speed(state, record) for record in records], 9, right=True, least_wide=9),
        Column("elapsed", [_elapsed(state, record) for record in records], 7, right=True, least_wide=11),
        Column("ETA", [_eta(state, record) for record in records], 4, right=True, least_wide=11),
    ]


def _counted(record: Record) -> bool:
    """Whether the iterations of a job are known before it runs."""
    return isinstance(record.job.config.get("max_iters"), int)


def _position(state: BatchState, name: str) -> str:
    progress = state.progress.get(name, NO_PROGRESS)
    total = f"/{progress.total}" if progress.total else ""
    return "" if progress.iteration is None else f"{progress.iteration}{total}"


def _loss(state: BatchState, name: str, which: str) -> str:
    progress = state.progress.get(name, NO_PROGRESS)
    return best.number(progress.loss if which == "loss" else progress.val_loss)


def _state(state: BatchState, record: Record) -> str:
    name = record.job.name
    if reason := state.reasons.get(name):
        return _waiting(reason)
    if name in state.skipped:
        return "skipped"
    phase = state.phase(name) if isinstance(record.state, Running) else ""
    return phase or record.status + (" !" if record.warnings else "")


def _waiting(reason: str) -> str:
    return plain(f"waiting: {reason}")


def _fraction(state: BatchState, record: Record) -> float | None:
    if record.status == COMPLETED:
        return 1.0 if state.progress else None
    return state.progress.get(record.job.name, NO_PROGRESS).fraction


def _speed(state: BatchState, record: Record) -> str:
    speed = state.progress.get(record.job.name, NO_PROGRESS).speed
    return f"{speed:.3g} it/s" if speed is not None and isinstance(record.state, Running) else ""


def _elapsed(state: BatchState, record: Record) -> str:
    if isinstance(record.state, Finished):
        return duration(record.state.seconds)
    return duration(state.running_for(record.job.name)) if record.job.name in state.since else ""


def _eta(state: BatchState, record: Record) -> str:
    rest = state.remaining_of(record.job.name) if isinstance(record.state, Running) else None
    return "" if rest is None else duration(rest)
