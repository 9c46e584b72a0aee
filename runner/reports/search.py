"""search.json: the trials of a search, the best first, and what pruning saved. Made from records alone."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.core.job import Plan
from runner.core.result import Result
from runner.core.state import COMPLETED, INTERRUPTED, PRUNED, SUCCESSES, Finished, Record
from runner.core.text import count, duration
from runner.disk import rungs_file
from runner.disk.layout import SEARCH
from runner.output.names import IGNORED, canonical
from runner.planners.search import of, params_of, repeats
from runner.reports.best import WORDS
from runner.reports.comparing.importance import importance
from runner.search import space
from runner.search.pruning import Event, Rungs
from runner.search.space import NONE, Search

SCHEMA = 1


class SearchView:
    """The view of a search."""

    on_start = False

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def files(self, records: Sequence[Record], timestamp: str) -> Mapping[str, Mapping[str, Any]]:
        return {SEARCH: {"schema": SCHEMA, "timestamp": timestamp, **search_of(self._plan, records)}}


def reached(record: Record, metric: str, goal: str) -> float | None:
    """The best value of a metric that a job which completed reached; None if it has none that is finite."""
    if record.status != COMPLETED or not isinstance(record.state, Finished):
        return None
    result = record.state.result
    values: list[Any] = [value for name, value in result.final_metrics.items() if canonical(name) == canonical(metric)]
    values += [entry.get("value") for name, entry in result.best_metrics.items()
               if canonical(name) == canonical(metric) and isinstance(entry, dict)]  # fmt: skip
    found = [float(one) for one in values if isinstance(one, int | float) and math.isfinite(one)]
    if not found:
        return None
    return min(found) if goal == "min" else max(found)


def events(root: Path) -> Iterator[Event]:
    """What happened at the rungs of a search; none without a pruner."""
    for record in rungs_file.read(root):
        try:
            yield Event.from_json(record)
        except ValueError:
            continue


def without_metric(search: Search, records: Mapping[str, Record]) -> str:
    """The sentence on a metric that no trial which completed has; empty if one has it, or none completed."""
    done = [record for record in records.values() if record.status == COMPLETED]
    if not done or any(reached(record, search.metric, search.goal) is not None for record in done):
        return ""
    assert isinstance(done[0].state, Finished)
    result: Result = done[0].state.result
    names = dict.fromkeys((*result.final_metrics, *result.best_metrics))
    has = ", ".join(one for one in names if one not in IGNORED) or "none"
    return f"{done[0].job.name}: does not report the metric {search.metric!r}; it has {has}; correct search.metric"


def search_of(plan: Plan, records: Sequence[Record]) -> dict[str, Any]:
    """The trials with their values: completed ones, the best first, then pruned ones, then those without a value."""
    search = of(plan)
    assert search is not None
    rungs = Rungs(search, events(plan.root) if search.pruner != NONE else ())
    of_trials = [record for record in records if space.number(record.job.name) is not None]
    trials = [_entry(record, search, rungs) for record in of_trials]
    sign = 1 if search.goal == "min" else -1
    ordered = sorted(trials, key=lambda one: _place(one, sign))
    ended = [record for record in of_trials if isinstance(record.state, Finished) and record.status != INTERRUPTED]
    best = ordered[0] if ordered and ordered[0]["status"] == COMPLETED and ordered[0]["value"] is not None else None
    return {
        "metric": search.metric,
        "goal": search.goal,
        "sampler": search.sampler,
        "seed": search.seed,
        "trials": search.most,
        "evaluated": len(ended),
        "failed": sum(record.status not in SUCCESSES for record in ended),
        **({} if search.pruner == NONE else _pruned(search, ended, rungs)),
        "best": best,
        **({"confirmed": again} if (again := _confirmed(ordered, records, search)) else {}),
        "ordered": ordered,
    }


def in_order(plan: Plan, records: Sequence[Record]) -> Sequence[Record]:
    """The records of a search, the best trial first, then those of other jobs; those of another batch as they are."""
    if of(plan) is None:
        return records
    places = {one["name"]: place for place, one in enumerate(search_of(plan, records)["ordered"])}
    return sorted(records, key=lambda record: places.get(record.job.name, len(places)))


def best_of(plan: Plan, records: Sequence[Record], number: int) -> list[dict[str, Any]]:
    """The best trials that completed."""
    found = search_of(plan, records)["ordered"]
    return [one for one in found if one["status"] == COMPLETED and one["value"] is not None][:number]


def _confirmed(ordered: Sequence[dict[str, Any]], records: Sequence[Record], search: Search) -> list[dict[str, Any]]:
    """The trials that were run again with other seeds, the best by these runs first."""
    again: dict[str, list[Record]] = {}
    for record in records:
        if (name := repeats(record.job.name)) is not None:
            again.setdefault(name, []).append(record)
    found = [_repeated(one, again[one["name"]], search) for one in ordered if one["name"] in again]
    sign = 1 if search.goal == "min" else -1
    return sorted(found, key=lambda one: (one["mean"] is None, sign * (one["mean"] or 0.0)))


def _repeated(entry: Mapping[str, Any], again: Sequence[Record], search: Search) -> dict[str, Any]:
    values = [value for one in again if (value := reached(one, search.metric, search.goal)) is not None]
    return {
        "name": entry["name"],
        "value": entry["value"],
        "again": {one.job.name: reached(one, search.metric, search.goal) for one in again},
        "mean": statistics.fmean(values) if values else None,
        "std": statistics.stdev(values) if len(values) > 1 else None,
    }


def _entry(record: Record, search: Search, rungs: Rungs) -> dict[str, Any]:
    value = reached(record, search.metric, search.goal)
    entry = {"name": record.job.name, "status": record.status, "value": value,
             "params": params_of(record.job, search)}  # fmt: skip
    if record.status == PRUNED and (event := rungs.stopped_at(space.number(record.job.name) or 0)) is not None:
        entry |= {"value": event.value, "stopped_at": event.level}
    return entry


def _place(entry: Mapping[str, Any], sign: int) -> tuple[float, ...]:
    """The sort key of a trial: of pruned ones those that got further first."""
    if entry["value"] is None:
        return (2,)
    value = sign * entry["value"]
    return (0, value) if entry["status"] == COMPLETED else (1, -(entry.get("stopped_at") or 0), value)


def _pruned(search: Search, ended: Sequence[Record], rungs: Rungs) -> dict[str, Any]:
    """How many trials were pruned, and what that saved: of the resource that all would have taken in full."""
    used = {record.job.name: rungs.used.get(space.number(record.job.name) or 0) for record in ended}
    whole = search.max_resource or max((one for one in used.values() if one), default=0.0)
    taken = sum(whole if one is None else min(one, whole) for one in used.values())
    return {
        "pruner": search.pruner,
        "pruned": sum(record.status == PRUNED for record in ended),
        "saved": round(1 - taken / (whole * len(used)), 4) if whole and used else 0.0,
        "rungs": rungs.table(),
    }


def lines(plan: Plan, records: Sequence[Record]) -> list[str]:
    """What a search found, for a report; nothing for another batch."""
    if of(plan) is None:
        return []
    first, *more = closing(search_of(plan, records), records)
    return [first, f"In detail: {'; '.join(line.strip() for line in more)}."] if more else [first]


def closing(found: Mapping[str, Any], records: Sequence[Record]) -> list[str]:
    """What a search found: a sentence, and a line for each rung where trials stopped."""
    best = found["best"]
    if best is None:
        return [f"Search: {count(found['evaluated'], 'trial')} evaluated, and none has a value of {found['metric']}."]
    settings = ", ".join(f"{key} {_number(value)}" for key, value in best["params"].items())
    failed = f", {found['failed']} failed" if found["failed"] else ""
    if found.get("pruned"):
        failed += f", pruned {found['pruned']}, saved {found['saved']:.0%} of the iterations".replace("%", " %")
    took = duration(sum(one.state.seconds for one in records if isinstance(one.state, Finished)))
    first = f"Search: evaluated {found['evaluated']}{failed} in {took} of training"
    reached = f"{WORDS[found['goal']]} {found['metric']} was {_number(best['value'])}"
    what = f"best is {best['name']}, whose {reached} ({settings})."
    return [f"{first}; {what}", *confirmed_lines(found), *_importance(found["ordered"]), *rung_lines(found)]


def _importance(ordered: Sequence[Mapping[str, Any]]) -> list[str]:
    """`settings that matter: lr explains 71 %`, by the trials that completed, as `compare` says it; [] if none does."""
    done = [one for one in ordered if one["status"] == COMPLETED and one["value"] is not None]
    keys = list(done[0]["params"]) if done else []
    try:
        found = importance([one["params"] for one in done], [one["value"] for one in done], keys)
    except OverflowError:  # of values whose square is no number
        return []
    parts = [f"{', '.join(part.keys)} explains {100 * part.share:.0f} %" for part in found.parts if part.matters]
    return [f"  settings that matter: {'; '.join(parts)}"] if parts else []


def confirmed_lines(found: Mapping[str, Any]) -> list[str]:
    """`trial_0007: val_loss 0.31 in the search, 0.34 ± 0.01 in 3 runs with other seeds`"""
    lines = []
    for one in found.get("confirmed", ()):
        spread = f" ± {_number(one['std'])}" if one["std"] is not None else ""
        number = sum(value is not None for value in one["again"].values())
        mean = f"{_number(one['mean'])}{spread}" if number else "no value"
        runs = f"{count(len(one['again']), 'run')} with other seeds"
        lines.append(f"  {one['name']}: {found['metric']} {_number(one['value'])} in the search, {mean} in {runs}")
    return lines


def rung_lines(found: Mapping[str, Any]) -> list[str]:
    """`rung at 100: 9 trials, 6 stopped there, best 0.31`"""
    return [
        f"  rung at {_number(rung['resource'])}: {count(rung['trials'], 'trial')}, {rung['stopped']} stopped there, "
        f"best {_number(rung['best'])}"
        for rung in found.get("rungs", ())
        if rung["stopped"] or found["pruner"] == space.ASHA
    ]


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
