"""Which jobs are run: a pure function of a plan, of what is on the disk, and of what a user wants."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.core.job import Job, Plan
from runner.core.plan_kind import PlanKind
from runner.core.state import (
    COMPLETED,
    ERROR,
    FAILED,
    INTERRUPTED,
    KILLED,
    PENDING,
    STALLED,
    TIMEOUT,
    Finished,
    Outcome,
    Record,
    Running,
)
from runner.planners.select import Selection, What, select

STATUSES = (COMPLETED, FAILED, KILLED, TIMEOUT, STALLED, INTERRUPTED, ERROR, PENDING)


def plan(names: str) -> Plan:
    jobs = tuple(Job(name, ("true",), Path("/batch") / name) for name in names)
    return Plan("batch", Path("/batch"), jobs, PlanKind("files"), "2026-11-26T00:00:00.000+00:00")


def records(planned: Plan, *statuses: str) -> dict[str, Record]:
    found = {job.name: Record(job) for job in planned.jobs}
    for job, status in zip(planned.jobs, statuses, strict=True):
        if status != PENDING:
            found[job.name] = Record(job, Finished(None, "", 1.0, Outcome(status)))
    return found


def chosen(what: What, *statuses: str) -> str:
    planned = plan("abcdefgh"[: len(statuses)])
    return "".join(job.name for job in select(planned, records(planned, *statuses), what).run)


@pytest.mark.parametrize(
    ("what", "run"),
    [
        (What(), "bcdefgh"),
        (What(only="failed"), "bcdeg"),
        (What(only="interrupted"), "f"),
        (What(only="pending"), "h"),
        (What(again=True), "abcdefgh"),
        (What(names=frozenset("ab")), "b"),
        (What(names=frozenset("ab"), again=True), "ab"),
        (What(names=frozenset("a")), ""),
        (What(limit=2), "fh"),
        (What(limit=3), "bfh"),
        (What(limit=100), "bcdefgh"),
        (What(only="failed", limit=1), "b"),
        (What(names=frozenset("bcf"), limit=1), "f"),
    ],
)
def test_what_is_run_of_one_job_in_each_state(what: What, run: str) -> None:
    assert chosen(what, *STATUSES) == run


def test_the_exit_code_is_about_all_jobs_but_with_a_limit_or_names_about_those() -> None:
    planned = plan("abc")
    found = records(planned, COMPLETED, FAILED, PENDING)
    assert select(planned, found).selected == set("abc")
    assert select(planned, found, What(limit=1)).selected == {"c"}
    assert select(planned, found, What(names=frozenset("ab"))).selected == set("ab")


def test_a_completed_job_that_runs_again_is_archived_first() -> None:
    planned = plan("ab")
    found = records(planned, COMPLETED, FAILED)
    assert [job.name for job in select(planned, found, What(again=True)).archive] == ["a"]
    assert select(planned, found).archive == ()


def test_a_selection_follows_jobs_whose_configs_were_read_again() -> None:
    planned = plan("ab")
    selection = select(planned, records(planned, COMPLETED, FAILED), What(again=True))
    now = replace(planned, jobs=tuple(replace(job, config={"lr": 1}) for job in planned.jobs))
    assert selection.of(now).run == now.jobs and selection.of(now).archive == now.jobs[:1]


@given(
    st.lists(st.sampled_from(STATUSES), min_size=1, max_size=8),
    st.sampled_from([None, "failed", "interrupted", "pending"]),
    st.booleans(),
    st.one_of(st.none(), st.integers(1, 9)),
)
def test_every_job_is_either_run_or_kept(statuses: list[str], only: str | None, again: bool, limit: int | None) -> None:
    planned = plan("abcdefgh"[: len(statuses)])
    found = records(planned, *statuses)
    selection = select(planned, found, What(only, None, again, limit))
    run = {job.name for job in selection.run}
    assert run | set(selection.keep) == set(found) and not run & set(selection.keep)
    assert all(selection.keep[name] is found[name] for name in selection.keep)
    assert limit is None or len(run) <= limit
    assert {job.name for job in selection.archive} <= run


@pytest.mark.parametrize("what", [What(), What(again=True), What(only="failed"), What(names=frozenset("a"))])
def test_a_job_that_runs_on_another_host_is_never_started(what: What) -> None:
    planned = plan("ab")
    running = Record(planned.jobs[0], Running("", 1, (), "gpu2"))
    selection = select(planned, {"a": running, "b": Record(planned.jobs[1])}, what)
    assert "a" not in {job.name for job in selection.run} and selection.keep["a"] is running


def test_a_refused_job_is_not_run_and_its_record_is_kept() -> None:
    planned = plan("ab")
    known = records(planned, PENDING, PENDING)
    selection = Selection(planned.jobs, {}, frozenset("ab"))
    left = selection.without({"a": known["a"]})
    assert [job.name for job in left.run] == ["b"]
    assert left.keep == {"a": known["a"]}
    assert selection.without({}) is selection
