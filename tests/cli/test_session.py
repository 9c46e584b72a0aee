"""The life of a batch: folder, lock, plan.json, exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from runner.cli.session import Ended, Failed, Locked, existing_batch, held_batch, new_batch, output_root
from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.options import RunOptions
from runner.core.plan_kind import PlanKind
from runner.core.state import COMPLETED, FAILED, Finished, Outcome, Record
from runner.executors.local import Local
from runner.planners.select import What
from tests.conftest import PROJECT, Workspace


def planned(root: Path) -> Plan:
    jobs = tuple(Job(name, ("true",), root / name) for name in "ab")
    return Plan(root.name, root, jobs, PlanKind("files"), "2026-11-26T00:00:00.000+00:00")


def ended(statuses: str, *signals: int) -> Ended:
    names = {"c": COMPLETED, "f": FAILED}
    jobs = [Job(f"j{number}", ("true",), Path(f"/x/j{number}")) for number in range(len(statuses))]
    states = [Finished(None, "", 1.0, Outcome(names[letter])) if letter != "p" else None for letter in statuses]
    records = [Record(job, state) if state else Record(job) for job, state in zip(jobs, states, strict=True)]
    return Ended(records, signals)


@pytest.mark.parametrize(
    ("how", "asked", "code"),
    [
        (ended("cc"), {"j0", "j1"}, 0),
        (ended("cf"), {"j0", "j1"}, 1),
        (ended("cp"), {"j0", "j1"}, 1),
        (ended("cp"), {"j0"}, 0),
        (ended("fc"), set(), 0),
        (ended("cc", 2), {"j0", "j1"}, 130),
        (ended("cf", 15, 2), {"j0"}, 143),
        (ended("cc", 1), {"j0"}, 129),
    ],
)
def test_the_exit_code_is_computed_from_the_records(how: Ended, asked: set[str], code: int) -> None:
    assert how.exit_code(asked) == code


def test_a_new_batch_takes_another_folder_where_one_is_there(tmp_path: Path) -> None:
    first, second = planned(tmp_path / "first"), planned(tmp_path / "second")
    (tmp_path / "first").mkdir()
    with new_batch(first, lambda: second) as (session, plan):
        assert plan is second and session.root == tmp_path / "second"
    assert (tmp_path / "latest").resolve() == tmp_path / "second"


def test_a_locked_batch_is_refused_with_its_own_exit_code(tmp_path: Path) -> None:
    with new_batch(planned(tmp_path / "batch"), lambda: pytest.fail("not planned again")) as (session, plan):
        session.begin(plan, session.select(plan, What()))
        with pytest.raises(Locked) as caught, existing_batch(tmp_path / "batch"):
            pass
    assert caught.value.exit_code == 75 and "locked" in caught.value.problems[0]
    with existing_batch(tmp_path / "batch") as again:  # its holder has left
        assert again.recorded() == plan


def test_a_folder_that_is_not_a_batch_gets_no_lock_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a batch"), existing_batch(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_output_root_is_made_and_shared_by_later_calls(tmp_path: Path) -> None:
    for names in ("a", "ab"):
        with output_root(tmp_path / "out") as session:
            plan = planned(tmp_path / "out")
            plan = replace(plan, jobs=plan.jobs[: len(names)])
            session.begin(plan, session.select(plan, What()))
    assert [job.name for job in session.recorded().jobs] == ["a", "b"]


def test_a_batch_without_a_lock_of_its_own_writes_nothing(tmp_path: Path) -> None:
    with held_batch(tmp_path, None) as session:
        assert session.lock is None and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "times"),
    [(["run", "a.py", "--train_script", "t.py"], 1), (["resume"], 0), (["resume", "--retries", "1"], 1)],
)
def test_the_plan_is_written_once_if_it_is_new_or_changed(work: Workspace, words: list[str], times: int) -> None:
    work.write("a.py", "")
    work.write("t.py", "")
    if words[0] == "resume":
        work.run("--configs", "a.py", "--train_script", "t.py", code=0)
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1))\n"
        "from runner.disk import atomic\n"
        "write = atomic.write_json\n"
        "def counted(path, *more, **options):\n"
        "    print('WRITTEN', str(path).rpartition('/')[2])\n"
        "    write(path, *more, **options)\n"
        "atomic.write_json = counted\n"
        "from runner.cli.main import main\n"
        "sys.exit(main())\n"
    )
    command = [sys.executable, "-c", program, str(PROJECT), *words]
    done = subprocess.run(command, cwd=work.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("WRITTEN plan.json\n") == times


class Breaking(Local):
    """An executor in which something fails once a job was started."""

    def __init__(self, error: Exception) -> None:
        super().__init__(RunOptions(), lambda job: {})
        self._error = error

    def wait(self, seconds: float, wake: int) -> None:
        super().wait(seconds, wake)
        raise self._error


@pytest.mark.parametrize("error", [OSError(5, "Input/output error", "/x"), UserError("no such view")])
def test_what_goes_wrong_once_a_job_was_started_is_not_exit_code_2(tmp_path: Path, error: Exception) -> None:
    plan = planned(tmp_path / "b")
    with new_batch(plan, lambda: plan) as (session, taken):
        selection = session.begin(taken, session.select(taken, What()))
        with pytest.raises(Failed) as failed:
            session.run(taken, selection, Breaking(error), [])
    assert failed.value.exit_code == 1 and str(getattr(error, "strerror", None) or error) in str(failed.value)


def test_a_resumed_plan_that_is_the_same_is_not_written_again_and_is_the_latest(tmp_path: Path) -> None:
    plan = planned(tmp_path / "b")
    with new_batch(plan, lambda: plan) as (session, taken):
        session.begin(taken, session.select(taken, What()))
    path = tmp_path / "b" / "plan.json"
    os.utime(path, (0, 0))
    before = path.stat()
    with existing_batch(tmp_path / "b") as session:
        found = session.recorded()
        session.begin(found, session.select(found, What()))
    assert path.stat().st_ino == before.st_ino and path.stat().st_mtime > 0
    with existing_batch(tmp_path / "b") as session:
        found = replace(session.recorded(), notices=("another",))
        session.begin(found, session.select(found, What()))
    assert path.stat().st_ino != before.st_ino and "another" in path.read_text()
