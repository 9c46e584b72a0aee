"""Jobs that are tried again, jobs that stall, and how long each may take to leave."""

from __future__ import annotations

import signal
import time
from itertools import pairwise

import pytest

from tests.conftest import Workspace, wait_until
from tests.interrupted_batch import COMMAND, statuses, three_jobs


@pytest.fixture
def three(work: Workspace) -> Workspace:
    return three_jobs(work)


def test_a_job_is_tried_again_with_growing_delays(work: Workspace) -> None:
    work.write("c/a.sh", "date +%s%N >> times; test $(wc -l < times) -ge 4")
    work.write("c/b.sh", "echo b >> others")
    work.run("--configs", "c/*.sh", *COMMAND, "--retries", "3", "--retry_delay", "0.2", code=0)
    times = [int(text) / 1e9 for text in (work / "times").read_text().split()]
    pauses = [later - sooner for sooner, later in pairwise(times)]
    assert pauses[0] >= 0.2 and pauses[1] >= 0.4 and pauses[2] >= 0.8 and pauses[2] < 3
    assert work.result("a")["status"] == "completed" and work.result("a")["attempt"] == 4
    assert sorted(path.name for path in (work.batch / "a").glob("attempt_*")) == ["attempt_1", "attempt_2", "attempt_3"]
    assert (work / "others").read_text() == "b\n" and statuses(work) == ["completed", "completed"]
    assert "a is tried again in 200 ms, retry 1 of 3" in work.master_log()


@pytest.mark.parametrize(
    ("job", "causes", "tries"),
    [
        ("exit 1", "failed", 2),
        ("exit 1", "signal,timeout", 1),
        ("kill -KILL $$", "signal", 2),
        ("kill -KILL $$", "failed", 1),
        ("exec sleep 60", "timeout", 2),
        ("exec sleep 60", "stalled,failed", 1),
    ],
)
def test_only_the_causes_that_were_named_are_tried_again(work: Workspace, job: str, causes: str, tries: int) -> None:
    work.write("c/a.sh", f"echo x >> tries; {job}")
    options = ("--retries", "1", "--retry_delay", "0.05", "--retry_on", causes, "--timeout", "0.4")
    work.run("--configs", "c/a.sh", *COMMAND, *options, "--grace", "0.1,0.1,5", code=1)
    assert (work / "tries").read_text().count("x") == tries
    assert work.result("a")["attempt"] == tries


def test_a_failure_counts_against_the_limit_only_when_no_try_is_left(work: Workspace) -> None:
    work.write("c/a.sh", "echo x >> tries; test $(wc -l < tries) -ge 2")
    work.write("c/b.sh", "exit 0")
    work.run("--configs", "c/*.sh", *COMMAND, "--retries", "1", "--retry_delay", "0.05", "--fail_fast", code=0)


def test_ctrl_c_while_a_retry_is_waited_for_ends_the_batch(work: Workspace) -> None:
    work.write("c/a.sh", "exit 1")
    process = work.start("--configs", "c/a.sh", *COMMAND, "--retries", "5", "--retry_delay", "60")
    log = work / "experiments/latest/master_log.txt"
    wait_until(lambda: log.exists() and "tried again" in log.read_text(), "it waits")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130 and work.result("a")["attempt"] == 1


@pytest.mark.parametrize("retry_on", ["nothing", "failed,typo", ","])
def test_an_unknown_cause_is_refused(work: Workspace, retry_on: str) -> None:
    work.write("c/a.sh", "")
    done = work.run("--configs", "c/a.sh", *COMMAND, "--retries", "1", "--retry_on", retry_on, code=2)
    assert "--retry_on: " in done.stderr and "failed, signal, timeout, stalled, error" in done.stderr


def test_a_silent_job_is_stalled(work: Workspace) -> None:
    work.write("c/a.sh", "echo once; exec sleep 60")
    began = time.monotonic()
    work.run("--configs", "c/a.sh", *COMMAND, "--stall_timeout", "0.5", "--grace", "0.1,0.1,5", code=1)
    assert work.result("a")["status"] == "stalled" and "0.5 s without output or metrics" in work.result("a")["error"]
    assert "its last output: once" in work.result("a")["error"] and work.summary["failed"] == 1
    assert 0.5 < time.monotonic() - began < 40


@pytest.mark.parametrize("sign", ["echo", "echo >&2", 'echo "{}" >> "$2/metrics.jsonl"', "printf ."])
def test_a_job_that_gives_a_sign_of_life_is_not_stalled(work: Workspace, sign: str) -> None:
    work.write("c/a.sh", f"for i in 1 2 3 4 5 6 7 8; do sleep 0.15; {sign}; done")
    work.run("--configs", "c/a.sh", *COMMAND, "--stall_timeout", "0.6", code=0)
    assert work.result("a")["duration_seconds"] > 1.1


def test_metrics_are_a_sign_of_life_only_when_they_are_written(work: Workspace) -> None:
    work.write("c/a.sh", 'echo "{}" > "$2/metrics.jsonl"; exec sleep 60')
    work.run("--configs", "c/a.sh", *COMMAND, "--stall_timeout", "2", "--grace", "0.1,0.1,5", code=1)
    assert work.result("a")["status"] == "stalled"
    assert work.result("a")["duration_seconds"] < 3.8  # once the limit, not twice


@pytest.mark.parametrize(
    ("deaf", "grace", "signal_name", "between"),
    [
        ("", "20,20,5", "SIGINT", (0.0, 2.0)),
        ("trap '' INT", "0.5,20,5", "SIGTERM", (0.5, 2.5)),
        ("trap '' INT TERM", "0.3,0.5,5", "SIGKILL", (0.8, 3.0)),
        ("trap '' INT TERM", "0,0,5", "SIGKILL", (0.0, 1.5)),
    ],
)
def test_each_step_of_the_escalation_has_its_time(
    work: Workspace, deaf: str, grace: str, signal_name: str, between: tuple[float, float]
) -> None:
    work.write("c/a.sh", f"{deaf}\nexec sleep 60")
    work.run("--configs", "c/a.sh", *COMMAND, "--timeout", "0.3", "--grace", grace, code=1)
    result = work.result("a")
    assert (result["status"], result["signal"]) == ("timeout", signal_name)
    assert between[0] <= result["duration_seconds"] - 0.3 < between[1]


@pytest.mark.parametrize("grace", ["1", "1,2", "a,b,c", "-1,1,1", "1,2,3,4", "inf,1,1", "nan,1,1"])
def test_a_grace_that_is_none_is_refused(work: Workspace, grace: str) -> None:
    work.write("c/a.sh", "")
    done = work.run("--configs", "c/a.sh", *COMMAND, f"--grace={grace}", code=2)
    assert "is not three times" in done.stderr and not (work / "experiments").exists()
