"""Requests to a running batch as files: sent, taken, answered, and what a crash left of them. No processes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from runner.core.errors import UserError
from runner.core.job import Plan
from runner.core.plan_kind import PlanKind
from runner.core.requests import AddJobs, Answer, MoveJobs, Request, SkipJobs, StopJobs
from runner.disk import layout, requests
from runner.processes import process_id
from tests.conftest import read
from tests.engine.fakes import job


def planned(root: Path) -> Plan:
    return Plan("p", root, (job("a", root),), PlanKind("files"), "now", cwd=root)


def names_in(root: Path) -> list[str]:
    return sorted(path.name for path in (root / layout.REQUESTS).iterdir())


@pytest.mark.parametrize(
    "request_",
    [
        StopJobs(("a",)), StopJobs(("a", "b"), kill=True), SkipJobs(("a",)), MoveJobs(("a",), first=True),
        MoveJobs(("a",), first=False),
    ],
)  # fmt: skip
def test_a_request_is_taken_once_and_answered_once(tmp_path: Path, request_: Request) -> None:
    ticket = requests.send(planned(tmp_path), request_)
    assert requests.waiting(tmp_path) == [ticket] and requests.read_answer(tmp_path, ticket) is None
    record = read(tmp_path / layout.REQUESTS / f"{ticket}.request.json")
    assert record["schema"] == 1 and record["sender"] == process_id.own()
    assert requests.take(tmp_path, ticket, PlanKind) == request_
    assert requests.waiting(tmp_path) == [] and requests.take(tmp_path, ticket, PlanKind) is None
    assert not requests.withdraw(tmp_path, ticket)
    requests.answer(tmp_path, ticket, Answer(("done",), refused=True))
    assert names_in(tmp_path) == [f"{ticket}.answer.json"]
    assert requests.read_answer(tmp_path, ticket) == Answer(("done",), refused=True)
    assert requests.read_answer(tmp_path, ticket) is None and names_in(tmp_path) == []


def test_jobs_are_added_with_the_bytes_that_they_were_planned_from(tmp_path: Path) -> None:
    base, source = tmp_path / "base.py", tmp_path / "c.py"
    added = replace(
        job("new", tmp_path), source=source, snapshot="config_used.py", files={"config_used.py": b"\xff1"},
        bases={base: b"2"},
    )  # fmt: skip
    source.write_text("edited since")
    ticket = requests.send(planned(tmp_path), AddJobs((added, job("b", tmp_path)), first=True))
    found = requests.take(tmp_path, ticket, PlanKind)
    assert isinstance(found, AddJobs) and found.first and [one.name for one in found.jobs] == ["new", "b"]
    assert found.jobs[0].files == {"config_used.py": b"\xff1"} and found.jobs[0].bases == {base: b"2"}
    assert found.jobs[1].files == {} and found.jobs[0].fingerprint == added.fingerprint


def test_a_request_can_be_withdrawn_until_it_is_taken_and_the_earliest_is_first(tmp_path: Path) -> None:
    assert requests.waiting(tmp_path) == []
    first, second = (requests.send(planned(tmp_path), SkipJobs((name,))) for name in "ab")
    assert requests.waiting(tmp_path) == [first, second]
    assert requests.withdraw(tmp_path, first) and requests.waiting(tmp_path) == [second]
    folder = tmp_path / layout.REQUESTS
    for ticket in ("999-1-0", "1000-1-10", "1000-1-2"):
        (folder / f"{ticket}.request.json").write_text("{}")
    (folder / "5-1-0.taken.json").write_text("{}")
    assert requests.waiting(tmp_path) == ["999-1-0", "1000-1-10", "1000-1-2", second]


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ("[", "the request cannot be read (schema is missing)"),
        ({"schema": 2}, "the request was written by another version (schema 2); use that one"),
        ({"schema": 1, "request": "dance"},
         'the request cannot be read (request is "dance", not one of stop, skip, move, add)'),
        ({"schema": 1, "request": "stop", "jobs": ["a"]}, "the request cannot be read (kill is missing)"),
        ({"schema": 1, "request": "move", "jobs": "a", "first": True},
         'the request cannot be read (jobs is "a", not a list of texts)'),
        ({"schema": 1, "request": "add", "plan": {"schema": 2}}, "was written by another version"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_read_is_one_sentence(tmp_path: Path, record: object, why: str) -> None:
    ticket = requests.send(planned(tmp_path), SkipJobs(("a",)))
    text = record if isinstance(record, str) else json.dumps(record)
    (tmp_path / layout.REQUESTS / f"{ticket}.request.json").write_text(text)
    with pytest.raises(UserError) as refused:
        requests.take(tmp_path, ticket, PlanKind)
    assert why in str(refused.value)


def test_an_answer_that_cannot_be_read_says_so_once(tmp_path: Path) -> None:
    (tmp_path / layout.REQUESTS).mkdir()
    path = tmp_path / layout.REQUESTS / "1.answer.json"
    path.write_text("[")
    assert requests.read_answer(tmp_path, "1") == Answer(("the answer cannot be read (1.answer.json: is not JSON)",))
    assert not path.exists()
    path.write_text("{}")
    assert requests.read_answer(tmp_path, "1") == Answer(())
    requests.answer(tmp_path / "gone", "1", Answer(()))


def test_what_earlier_runs_left_is_removed_but_no_request_whose_command_waits(tmp_path: Path) -> None:
    requests.clean_up(tmp_path)
    waits = requests.send(planned(tmp_path), SkipJobs(("a",)))
    folder = tmp_path / layout.REQUESTS
    gone = ["7", "1", process_id.own()[2]]
    for name, record in (
        ("1.request.json", {"sender": gone}), ("2.request.json", {}), ("3.taken.json", {}), ("4.answer.json", {}),
        ("other", {}), (layout.DONE, {}), (layout.WAITING, {}),
    ):  # fmt: skip
        (folder / name).write_text(json.dumps(record))
    (folder / "5.taken.json").mkdir()
    requests.clean_up(tmp_path)
    assert names_in(tmp_path) == sorted([f"{waits}.request.json", "other", "5.taken.json"])


def test_what_was_done_by_request_and_what_jobs_wait_for_is_kept(tmp_path: Path) -> None:
    assert requests.noted(tmp_path) == requests.reasons(tmp_path) == {}
    requests.note(tmp_path, ["a"], "skipped")  # without the folder it is lost
    assert requests.noted(tmp_path) == {}
    requests.note_reasons(tmp_path, {"b": "GPUs"})
    requests.note(tmp_path, ["a", "b"], "skipped")
    requests.note(tmp_path, ["b"], "stopped")
    assert requests.noted(tmp_path) == {"a": "skipped", "b": "stopped"}
    assert requests.reasons(tmp_path) == {"b": "GPUs"}
    requests.note_reasons(tmp_path, {})
    assert requests.reasons(tmp_path) == {}
    for name in (layout.DONE, layout.WAITING):
        assert read(tmp_path / layout.REQUESTS / name)["schema"] == 1
        (tmp_path / layout.REQUESTS / name).write_text('{"jobs": {"a": 1}}')
    assert requests.noted(tmp_path) == requests.reasons(tmp_path) == {}
