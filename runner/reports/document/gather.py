"""Read a batch for its report: records, logs, curves, comparison, pictures, provenance. Writes nothing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from runner.core import program, redact
from runner.core.job import Plan
from runner.core.state import COMPLETED, LOST, PENDING, RUNNING, Finished, Record
from runner.core.text import count, duration, listed, size
from runner.disk import labels, layout, lock, results
from runner.disk.reading import read_json
from runner.reports import best, comparison, resources, search
from runner.reports.columns import Column
from runner.reports.comparing.compare import Unknown, compare
from runner.reports.document import attached, compared
from runner.reports.document.clean import Clean
from runner.reports.document.content import Block, Cell, Content, Effect, Table
from runner.reports.document.curves import charts
from runner.reports.document.failed import failures
from runner.reports.ending import Ranking, best_jobs
from runner.reports.load_results import load_results
from runner.reports.summary import warned_number

SETTINGS, SETTING = 8, 28  # columns of settings in the table, and characters in a cell
MOST_FINDINGS = 12
MOST_WARNINGS, NAMED = 20, 10  # kinds of warnings, and jobs that one names
PACKAGES = ("torch", "numpy", "transformers", "jax", "tensorflow", "lightning")


def gather(plan: Plan, *, anonymous: bool = False) -> Content:
    """The report on a batch as it is now."""
    records = [results.read_record(job) for job in plan.jobs]
    states = [_status(record) for record in records]
    about = [read_json(record.job.out_dir / layout.METADATA) for record in records]
    clean = Clean(plan.options.not_secret, _hosts(about) if anonymous else None, (plan.cwd, plan.root.parent))
    ranking = Ranking(records)
    settings = comparison.varied(plan.jobs)
    failed, more = failures(plan, records, clean)
    pictures, left_out = attached.pictures(plan, clean)
    note = labels.read(plan.root).note
    blocks, effects = _comparison(plan, clean)
    return Content(
        name=clean(plan.root.name),
        sentence=clean(_sentence(records, states, ranking)),
        unfinished=clean(_unfinished(plan, states)),
        period=_period(records),
        note=clean(note) if note else "",
        failures=failed,
        more_failures=more,
        warnings=_warnings(records, clean),
        best=tuple(clean(line) for line in (*best_jobs(records, settings), *search.lines(plan, records))),
        table=_table(records, states, settings, ranking, clean),
        charts=charts(records, clean),
        same=_same(plan, clean),
        comparison=blocks,
        effects=effects,
        resources=_resources(records, clean),
        findings=_findings(records, clean),
        samples=attached.samples(plan, clean),
        pictures=pictures,
        left_out=left_out,
        origin=_origin(plan, about, clean),
    )


def _status(record: Record) -> str:
    if isinstance(record.state, Finished) or record.status != PENDING:
        return record.status
    return results.unfinished(record.job.out_dir).status


def _hosts(about: Iterable[Mapping[str, Any]]) -> set[str]:
    named = {str(one["host"]) for one in about if isinstance(one.get("host"), str)} | {os.uname().nodename}
    return named | {name.partition(".")[0] for name in named}


def _sentence(records: Sequence[Record], states: Sequence[str], ranking: Ranking) -> str:
    """`12 jobs: 10 completed, 2 failed; lowest val/loss 2.1054 (run_003); 3 h 20 min`"""
    numbers = Counter(sorted(states, key=lambda state: state != COMPLETED))
    warned = warned_number(records)
    words = {COMPLETED: f" ({warned} with warnings)"} if warned else {}
    ended = ", ".join(f"{number} {state}{words.get(state, '')}" for state, number in numbers.items())
    said = [f"{count(len(states), 'job')}: {ended}"]
    if ranking.first is not None:
        values = ranking.best if ranking.tells else ranking.last
        at_any_time = " at any time" if values[ranking.first] != ranking.last[ranking.first] else ""
        word, name = best.WORDS[ranking.direction], records[ranking.first].job.name
        said.append(f"{word} {ranking.metric}{at_any_time} {best.number(values[ranking.first])} ({name})")
    spent = _seconds(records)
    return "; ".join([*said, duration(spent)] if spent else said) + "."


def _warnings(records: Sequence[Record], clean: Clean) -> tuple[str, ...]:
    """`run_003, run_007: loss is NaN since iteration 6`, of jobs that completed: those of a failure are in its log."""
    alike: dict[str, list[str]] = {}
    for record in records:
        if record.status == COMPLETED and record.warnings:
            alike.setdefault(", ".join(record.warnings), []).append(record.job.name)
    rest = sum(map(len, list(alike.values())[MOST_WARNINGS:]))
    more = [f"and {count(rest, 'job')} more"] if rest else []
    return (*(clean(f"{listed(names, NAMED)}: {said}") for said, names in list(alike.items())[:MOST_WARNINGS]), *more)


def _unfinished(plan: Plan, states: Sequence[str]) -> str:
    numbers = {state: states.count(state) for state in (RUNNING, PENDING, LOST) if state in states}
    if not numbers:
        return ""
    words = {RUNNING: "still running", PENDING: "not started", LOST: "lost"}
    named = ", ".join(f"{number} {words[state]}" for state, number in numbers.items())
    said = f"This report was made before the batch was complete: {named}."
    path = layout.BatchPaths(plan.root).lock
    if lock.runner(path) is None and lock.was_left(path):
        said += f" Its runner was killed. Continue with: {program.resume_command(plan.root)}"
    return said


def _times(records: Iterable[Record]) -> list[tuple[datetime, datetime]]:
    found = []
    for record in records:
        if isinstance(record.state, Finished) and record.state.started_at and record.state.ended_at:
            try:
                begin, end = map(datetime.fromisoformat, (record.state.started_at, record.state.ended_at))
            except ValueError:
                continue
            if begin.tzinfo and end.tzinfo:
                found.append((begin, end))
    return sorted(found)


def _seconds(records: Iterable[Record]) -> float:
    """How long at least one job ran; pauses between two do not count."""
    total, until = 0.0, None
    for begin, end in _times(records):
        begin = begin if until is None else max(begin, until)
        total += max((end - begin).total_seconds(), 0.0)
        until = end if until is None else max(end, until)
    return total


def _period(records: Iterable[Record]) -> str:
    """`2026-11-20 21:44 to 2026-11-21 03:10 UTC`; from the records, never from the clock."""
    known = _times(records)
    if not known:
        return ""
    begin, end = min(one for one, _ in known), max(one for _, one in known)
    return f"{begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} {begin.tzname() or ''}".strip()


def _table(
    records: Sequence[Record],
    states: Sequence[str],
    settings: Sequence[Column],
    ranking: Ranking,
    clean: Clean,
) -> Table:
    """A row for each job: name, settings that differ, state, values, time."""
    keys = [column for column in settings if max(map(len, column.cells), default=0) <= SETTING][:SETTINGS]
    measured = ranking.columns(1) if ranking.metric else []
    rows = []
    for place, (record, state) in enumerate(zip(records, states, strict=True)):
        cells = [Cell(clean(record.job.name))]
        cells += [Cell(clean(column.cells[place]), _looks_numeric(column.cells[place])) for column in keys]
        cells.append(Cell(state, status=True))
        cells += [Cell(column.cells[place], right=True) for column in measured]
        spent = record.state.seconds if isinstance(record.state, Finished) else None
        cells.append(Cell("" if spent is None else duration(spent), right=True))
        rows.append(tuple(cells))
    headings = ["job", *(clean(column.heading) for column in keys), "state"]
    headings += [clean(column.heading) for column in measured]
    return Table((*headings, "time"), tuple(rows), ranking.first)


def _looks_numeric(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _same(plan: Plan, clean: Clean) -> tuple[tuple[str, str], ...]:
    """The settings that are equal in all configs."""
    configs = [redact.mapping(job.config, job.not_secret) for job in plan.jobs]
    if not configs:
        return ()
    first = configs[0]
    return tuple(
        (clean(key), clean(comparison.shown(value, 80)))
        for key, value in first.items()
        if all(key in config and repr(config[key]) == repr(value) for config in configs[1:])
    )


def _comparison(plan: Plan, clean: Clean) -> tuple[tuple[Block, ...], tuple[Effect, ...]]:
    """What `compare` says; empty where nothing differs or nothing was measured."""
    try:
        rows = load_results(plan.root)
        found = compare(rows)
    except (Unknown, OSError, OverflowError, IndexError):
        return (), ()
    if found.metric is None or not found.settings or len(found.groups) < 2:
        return (), ()
    return compared.blocks(found, clean), compared.effects(rows, found, clean)


def _resources(records: Sequence[Record], clean: Clean) -> Table | None:
    """What the results say of the use of the machine."""
    found = [
        (record.job.name, {k: v for k, v in used.items() if isinstance(v, int | float)})
        for record in records
        if isinstance(record.state, Finished) and (used := resources.totals(record))
    ]
    keys = list(dict.fromkeys(key for _, used in found for key, value in used.items() if value))
    if not keys:
        return None
    rows = [
        (Cell(clean(name)), *(Cell(_amount(key, used.get(key)), right=True) for key in keys)) for name, used in found
    ]
    return Table(("job", *(clean(key.replace("_", " ")) for key in keys)), tuple(rows))


def _findings(records: Sequence[Record], clean: Clean) -> tuple[str, ...]:
    found = [(record.job.name, sentence) for record in records for sentence in resources.findings(record)]
    more = [f"and {len(found) - MOST_FINDINGS} more"] if len(found) > MOST_FINDINGS else []
    return (*(clean(f"{name}: {sentence}") for name, sentence in found[:MOST_FINDINGS]), *more)


def _amount(key: str, value: float | None) -> str:
    if value is None:
        return ""
    if key.endswith(("_bytes", "rss", "_memory", "swap")):
        return size(value)
    if key.endswith("processes"):
        return str(round(value))
    return duration(value) if "seconds" in key else best.number(value)


def _origin(plan: Plan, about: Sequence[Mapping[str, Any]], clean: Clean) -> tuple[tuple[str, str], ...]:
    """How it was made: command, code, Python, packages, machine."""
    known = [one for one in about if one]
    first = known[0] if known else {}
    rows: list[tuple[str, str]] = [("batch", plan.root.name), ("created", plan.created_at)]
    if isinstance(words := first.get("command"), list):
        rows.append(
            ("command of the first job", " ".join(redact.argv([str(word) for word in words], plan.options.not_secret)))
        )
    rows.append(("code", _commits(known)))
    rows.append(("Python", _different(known, "python")))
    packages = first.get("packages")
    if isinstance(packages, dict):
        rows.append(("packages", ", ".join(f"{name} {packages[name]}" for name in PACKAGES if packages.get(name))))
    rows += [("host", _different(known, "host")), ("platform", _different(known, "platform"))]
    if isinstance(gpus := first.get("gpus"), list) and gpus:
        rows.append(("GPUs", ", ".join(f"{number} × {name}" for name, number in Counter(map(str, gpus)).items())))
    rows.append(("Overnight", _different(known, "runner_version")))
    return tuple((name, clean(value)) for name, value in rows if value)


def _different(found: Iterable[Mapping[str, Any]], key: str) -> str:
    return listed(list(dict.fromkeys(str(one[key]) for one in found if one.get(key))), 4)


def _commits(found: Iterable[Mapping[str, Any]]) -> str:
    words: Collection[str] = dict.fromkeys(_commit(git) for one in found if isinstance(git := one.get("git"), dict))
    return listed([word for word in words if word], 4)


def _commit(git: Mapping[str, Any]) -> str:
    commit, branch = git.get("commit"), git.get("branch")
    if not commit:
        return ""
    dirty = ", with changes that were not committed" if git.get("dirty") else ""
    return f"commit {str(commit)[:12]}" + (f" on {branch}" if branch else "") + dirty
