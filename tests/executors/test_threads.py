"""Jobs that run side by side divide the CPUs, unless the user decides."""

from __future__ import annotations

import json
import os

import pytest

from runner.planners.environment import THREADS
from tests.conftest import Workspace, read

SAYS = "1 CPU thread each (OMP_NUM_THREADS)"
JOB = f"import json, os\nprint(json.dumps({{name: os.environ.get(name) for name in {THREADS!r}}}))\n"


@pytest.fixture
def two(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    work.write("c/a.py", "")
    work.write("c/b.py", "")
    work.write("job.py", JOB)
    return work


def started(work: Workspace, *options: str, **environment: str) -> str:
    # One CPU, whatever this machine has.
    pinned = {"preexec_fn": lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})}
    command = ("--configs", "c/*.py", "--command", "python3 job.py {config}")
    return work.run(*command, *options, code=0, env=environment, **pinned).stdout


def seen(work: Workspace, name: str = "a") -> dict[str, str | None]:
    found: dict[str, str | None] = json.loads((work.batch / name / "stdout.log").read_text()[24:])
    return found


@pytest.mark.linux
def test_with_two_workers_each_job_has_its_part(two: Workspace) -> None:
    out = started(two, "--max_workers", "2")
    assert out.count(f"2 jobs at a time, {SAYS}") == 1
    assert seen(two) == seen(two, "b") == dict.fromkeys(THREADS, "1")
    recorded = read(two.batch / "a" / "experiment_metadata.json")["environment"]
    assert {name: recorded[name] for name in THREADS} == dict.fromkeys(THREADS, "1")
    assert SAYS in started(two, "--max_workers", "2", "--dry-run")


@pytest.mark.linux
def test_one_after_another_they_have_the_whole_machine(two: Workspace) -> None:
    assert "thread" not in started(two)
    assert seen(two) == dict.fromkeys(THREADS)
    assert not set(THREADS) & read(two.batch / "a" / "experiment_metadata.json")["environment"].keys()


@pytest.mark.linux
@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"])
def test_a_number_that_the_user_has_set_stays_and_is_not_spoken_of(two: Workspace, name: str) -> None:
    assert "thread" not in started(two, "--max_workers", "2", **{name: "3"})
    assert seen(two) == {**dict.fromkeys(THREADS), name: "3"}


def test_a_resume_follows_its_own_number_of_workers_and_is_the_same_batch(two: Workspace) -> None:
    two.write("job.py", JOB + "raise SystemExit(not os.path.exists('go'))\n")
    command = ("--configs", "c/*.py", "--command", "python3 job.py {config}", "--max_workers", "2")
    two.run(*command, code=1)
    before = two.result("a")["fingerprint"]
    (two / "go").touch()
    two.run("--resume", "--max_workers", "1", code=0)
    assert seen(two) == dict.fromkeys(THREADS) and two.result("a")["fingerprint"] == before
    assert two.result("a")["attempt"] == 2
    two.run("rerun", "latest", "a", code=0)
    assert seen(two) == dict.fromkeys(THREADS)  # the number of the resume is that of the batch from now on
