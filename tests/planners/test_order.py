"""The order of pending jobs in a plan, and jobs that are added to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.core.job import Job, Plan
from runner.core.plan_kind import PlanKind
from runner.planners import order


def plan(names: str) -> Plan:
    jobs = tuple(Job(name, ("true",), Path("/batch") / name) for name in names)
    return Plan("batch", Path("/batch"), jobs, PlanKind("files"), "2026-11-26T00:00:00.000+00:00")


def names(planned: Plan) -> str:
    return "".join(job.name for job in planned.jobs)


@pytest.mark.parametrize(
    ("moved", "pending", "first", "expected"),
    [
        ("d", "cde", True, "abdce"),
        ("ed", "cde", True, "abedc"),
        ("c", "cde", False, "abdec"),
        ("cd", "cde", False, "abecd"),
        ("cde", "cde", True, "abcde"),
        ("e", "e", True, "abcde"),
    ],
)
def test_jobs_are_moved_among_those_that_are_pending(moved: str, pending: str, first: bool, expected: str) -> None:
    assert names(order.moved(plan("abcde"), list(moved), pending, first=first)) == expected


@pytest.mark.parametrize(
    ("first", "pending", "expected"), [(True, "bc", "axybc"), (True, "", "abcxy"), (False, "bc", "abcxy")]
)
def test_jobs_are_added_before_or_after_the_pending_ones(first: bool, pending: str, expected: str) -> None:
    assert names(order.joined(plan("abc"), plan("xy").jobs, pending, first=first)) == expected


def test_a_name_is_there_once() -> None:
    with pytest.raises(ValueError, match="two jobs have one name: a"):
        order.joined(plan("abc"), plan("a").jobs, "", first=True)
