"""Jobs that fail alike: when no further one is started, as stories with a fake executor and as a real batch."""

from __future__ import annotations

import pytest

from runner.core.job import Plan
from runner.core.options import RunOptions
from runner.core.plan_kind import PlanKind
from runner.engine import loop
from runner.processes.signals import NoSignals
from runner.supervisor import signature
from tests.conftest import Workspace
from tests.engine.fakes import NOWHERE, Clock, FakeExecutor, Recorder, job

A, B = "failed~code~ValueError N in main", "failed~code~KeyError in main"


def statuses(*words: str, limit: int = 3, slots: int = 1, retries: int = 0) -> tuple[str, Recorder]:
    """The statuses of jobs that end so, as their first letters."""
    names = [chr(ord("a") + place) for place in range(len(words))]
    clock, seen = Clock({}), Recorder()
    options = RunOptions(max_same_failures=limit, retries=retries, retry_delay=1.0)
    plan = Plan("b", NOWHERE, tuple(map(job, names)), PlanKind("configs"), "", options=options)
    behaviours = {name: word.split("/") for name, word in zip(names, words, strict=True)}
    executor = FakeExecutor(behaviours, slots, clock, {}, {})
    with NoSignals() as signals:
        records = loop.run(plan, executor, [seen], signals, clock=clock)
    return "".join(record.status[0] for record in records), seen


def test_after_three_failures_alike_the_others_stay_pending() -> None:
    found, seen = statuses(A, A, A, "completed", "completed")
    assert found == "fffpp"
    assert seen.stopped is not None and "3 jobs failed alike" in seen.stopped
    assert "ValueError N in main" in seen.stopped and "/a/combined.log" in seen.stopped
    assert "--max_same_failures 0" in seen.stopped
    assert any("No further job is started: 3 jobs failed alike" in notice for notice in seen.notices)


@pytest.mark.parametrize(
    "words",
    [
        (A, A, "completed", A, A, "completed"),  # a success between
        (A, B, A, B, "completed"),  # not alike
        ("failed", "failed", "failed", "failed", "completed"),  # nothing is known of these
        ("timeout", "timeout", "timeout", "timeout", "completed"),
        (A, A, A),  # a batch of three jobs
    ],
)
def test_failures_that_do_not_stop_a_batch(words: tuple[str, ...]) -> None:
    found, seen = statuses(*words)
    assert "p" not in found and seen.stopped is None


@pytest.mark.parametrize("cause", ["device", "gpu_oom", "gpu_oom_foreign", "host_oom", "diverged"])
def test_causes_that_other_jobs_may_not_have(cause: str) -> None:
    word = f"failed~{cause}~x"
    assert statuses(word, word, word, word, "completed")[0] == "ffffc"


def test_running_jobs_go_on_and_0_turns_it_off() -> None:
    assert statuses(A, A, A, "completed:9", "completed", slots=4)[0] == "fffcp"
    assert statuses(A, A, A, A, "completed", limit=0)[0] == "ffffc"
    assert statuses(A, "completed", "completed", "completed", limit=1)[0] == "fppp"


def test_only_the_last_try_of_a_job_counts() -> None:
    assert statuses(f"{A}/{A}/completed", "completed", f"{A}/{A}", "completed", retries=2)[0] == "cccc"


def test_a_mended_program_continues_on_resume(work: Workspace) -> None:
    for name in "abcde":
        work.write(f"c/{name}.py", f"lr = 0.{ord(name)}\n")
    work.write("job.py", "import sys\nprint(sys.argv[1])\nprint(len(sys.argv) / 0)\n")
    done = work.run("--configs", "c/*.py", "--train_script", "job.py", code=1)
    assert (work.summary["failed"], work.summary["pending"]) == (3, 2)
    assert "No further job is started: 3 jobs failed alike, and none completed since: ZeroDivisionError" in done.stdout
    assert "(job.py:3 in <module>)" in done.stdout and "a/combined.log" in done.stdout
    assert "not started: d, e (3 jobs failed alike" in done.stdout
    work.write("job.py", "print(1)\n")
    work.run("--resume", code=0)
    assert work.summary["completed"] == 5


def test_the_others_run_where_it_is_off_or_where_the_failures_say_nothing(work: Workspace) -> None:
    for name in "abcd":
        work.write(f"c/{name}.py", "lr = 1\n")
    work.write("job.py", "import sys\nsys.exit('no such data')\n")
    work.run("--configs", "c/*.py", "--train_script", "job.py", "--max_same_failures", "0", code=1)
    assert work.summary["failed"] == 4
    work.write("job.py", "import sys\nsys.exit(3)\n")
    work.run("--configs", "c/*.py", "--train_script", "job.py", code=1)
    assert work.summary["failed"] == 4


TRACEBACK = """\
Traceback (most recent call last):
  File "/home/me/train.py", line 12, in main
    model(x)
  File "/venv/lib/python3.11/site-packages/torch/nn/module.py", line 1501, in _call_impl
    return forward(*args)
  File "/usr/lib/python3.11/json/decoder.py", line 3, in decode
    raise
RuntimeError: mat1 and mat2 shapes cannot be multiplied (32x64 and 128x10)
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("RuntimeError: shapes (32, 64) and (1.5e-3,)", "RuntimeError: shapes (N, N) and (N,)"),
        ("FileNotFoundError: '/data/run_7/x.bin'", "FileNotFoundError: '/…'"),
        ("KeyError: 'layer_3' of <Model at 0x7f3a>", "KeyError: 'layer_3' of <Model at …>"),
        ("OSError: job_a failed in b/job_a", "OSError: … failed in …"),
        ("No module named 'einops2'", "No module named 'einops2'"),
    ],
)
def test_what_differs_from_job_to_job_is_left_out(words: str, expected: str) -> None:
    assert signature.of(words, "", ("job_a", "b/job_a")) == expected


def test_the_place_is_the_innermost_one_of_the_program_itself() -> None:
    assert signature.of("RuntimeError: x", TRACEBACK, ()) == "RuntimeError: x (train.py:12 in main)"
    assert signature.of("", TRACEBACK, ()) == ""
