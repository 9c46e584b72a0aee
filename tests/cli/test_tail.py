"""`tail` and `attach`: the end of a log at once, then what is added, over retries and from job to job."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.cli.follow_jobs import FollowedBatch
from runner.disk.lock import holder
from runner.planners import recorded
from tests.conftest import RUN_EXPERIMENTS, Workspace, wait_until

COMMAND = ("--command", "sh {config} {out_dir}", "--log_timestamps", "none", "--grace", "1,0.3,5")
MOST = 120 * 2**20  # bytes of memory that a look at a log may take, Python itself and its modules included


@pytest.fixture
def batch(work: Workspace) -> Iterator[Workspace]:
    """A workspace whose batch has ended when the test has."""
    yield work
    for name in "abcd":
        (work / f"go_{name}").touch()
    if (work / "experiments/latest").exists():
        wait_until(lambda: holder(str(work.batch / ".lock")) is None, "the batch has ended")


def lines_and_wait(name: str, lines: int) -> str:
    printed = f"for i in $(seq {lines}); do echo {name} $i; done; touch ready_{name}"
    return f"{printed}; until test -e go_{name}; do sleep 0.02; done; echo {name} ends\n"


def start(work: Workspace, *options: str) -> subprocess.Popen[str]:
    process = work.start("--configs", "c/*.sh", *COMMAND, *options)
    wait_until((work / "ready_a").exists, "the first job has printed")
    wait_until((work / "experiments/latest/a/supervisor.json").exists, "its processes are recorded")
    return process


def read_to(process: subprocess.Popen[str], line: str) -> list[str]:
    """The lines up to one that ends so."""
    assert process.stdout is not None
    found: list[str] = []
    while not found or not found[-1].endswith(line):
        text = process.stdout.readline()
        assert text, found
        found.append(text.rstrip("\n"))
    return found


def test_tail_begins_with_the_last_twenty_lines_and_goes_on_to_the_next_job(batch: Workspace) -> None:
    batch.write("c/a.sh", lines_and_wait("a", 30))
    batch.write("c/b.sh", "echo b is quick\n")
    batch.write("c/c.sh", lines_and_wait("c", 3))
    start(batch)
    tailing = batch.start("tail")
    assert read_to(tailing, "a 30") == [f"[stdout] a {number}" for number in range(11, 31)]
    (batch / "go_a").touch()
    shown = read_to(tailing, "c 3")
    assert shown[:6] == ["[stdout] a ends", "", "==> b <==", "[stdout] b is quick", "", "==> c <=="]
    assert shown[6:] == [f"[stdout] c {number}" for number in (1, 2, 3)]
    (batch / "go_c").touch()
    out, err = tailing.communicate(timeout=30)
    assert (tailing.returncode, err, out) == (0, "", "[stdout] c ends\n")
    assert holder(str(batch.batch / ".lock")) is None


def test_tail_goes_over_a_retry(batch: Workspace) -> None:
    retried = "test -e tried && { echo second; exit 0; }\ntouch tried\n"
    batch.write("c/a.sh", retried + lines_and_wait("a", 2) + "exit 1\n")
    start(batch, "--retries", "1", "--retry_delay", "0.5")
    tailing = batch.start("tail", "a")
    read_to(tailing, "a 2")
    (batch / "go_a").touch()
    out, err = tailing.communicate(timeout=30)
    assert out == "[stdout] a ends\n\n==> a, attempt 2 <==\n[stdout] second\n" and err == ""
    assert tailing.returncode == 0


def test_an_attempt_that_is_archived_while_it_is_read_counts_once(batch: Workspace) -> None:
    batch.write("c/a.sh", "exit 1\n")
    batch.run("--configs", "c/*.sh", *COMMAND, "--retries", "1", "--retry_delay", "0.1", code=1)
    followed = FollowedBatch(recorded.plan(batch.batch), "a", "stdout.log", 5)
    (job,) = recorded.plan(batch.batch).jobs
    assert not followed._is_tried_again(job, "")
    earlier = batch.batch / "a/attempt_1/experiment_result.json"
    earlier.write_bytes((batch.batch / "a/experiment_result.json").read_bytes())
    assert followed._is_tried_again(job, "")


def test_tail_of_a_named_job_ends_with_it_and_not_with_the_batch(batch: Workspace) -> None:
    batch.write("c/a.sh", lines_and_wait("a", 2) + "exit 1\n")
    batch.write("c/b.sh", lines_and_wait("b", 2))
    process = start(batch, "--retries", "1", "--retry_on", "timeout")
    tailing = batch.start("tail", batch.batch.name, "a", "-f")
    read_to(tailing, "a 2")
    (batch / "go_a").touch()
    out, _ = tailing.communicate(timeout=30)
    assert out == "[stdout] a ends\n" and tailing.returncode == 0 and process.poll() is None


def test_tail_of_a_named_job_knows_when_no_try_is_left(batch: Workspace) -> None:
    batch.write("c/a.sh", "echo try; touch ready_a; until test -e go_a; do sleep 0.02; done; exit 1\n")
    batch.write("c/b.sh", lines_and_wait("b", 2))
    process = start(batch, "--retries", "1", "--retry_delay", "0.1", "--max_workers", "2")
    tailing = batch.start("tail", "a")
    read_to(tailing, "try")
    (batch / "go_a").touch()
    out, _ = tailing.communicate(timeout=30)
    assert out.endswith("==> a, attempt 2 <==\n[stdout] try\n") and process.poll() is None


def test_tail_waits_for_a_job_that_has_not_started(batch: Workspace) -> None:
    batch.write("c/a.sh", lines_and_wait("a", 1))
    batch.write("c/b.sh", "echo here\n")
    start(batch)
    tailing = batch.start("tail", "b")
    time.sleep(0.5)
    assert tailing.poll() is None
    (batch / "go_a").touch()
    assert tailing.communicate(timeout=30) == ("[stdout] here\n", "")


def test_of_jobs_that_run_at_a_time_one_after_another_is_followed(batch: Workspace) -> None:
    for name in "ab":
        batch.write(f"c/{name}.sh", lines_and_wait(name, 1))
    start(batch, "--max_workers", "2")
    wait_until((batch / "ready_b").exists, "the second job has printed")
    tailing = batch.start("tail")
    first = read_to(tailing, " 1")[-1].split()[1]
    (batch / f"go_{first}").touch()
    other = "b" if first == "a" else "a"
    assert read_to(tailing, f"{other} 1")[-2] == f"==> {other} <=="
    (batch / f"go_{other}").touch()
    assert tailing.communicate(timeout=30)[0] == f"[stdout] {other} ends\n"


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (("-n", "2"), "[stdout] a 5\n[stderr] oops\n"),
        (("--lines=1", "--stream", "stdout"), "a 5\n"),
        (("-n5", "--stream=stderr"), "oops\n"),
        (("-n", "0"), ""),
    ],
)
def test_as_much_is_shown_as_is_requested(batch: Workspace, options: tuple[str, ...], shown: str) -> None:
    batch.write("c/a.sh", "for i in 1 2 3 4 5; do echo a $i; done; sleep 0.3; echo oops >&2\n")
    batch.run("--configs", "c/a.sh", *COMMAND, code=0)
    assert batch.run("tail", *options, code=0).stdout == shown
    assert batch.run("tail", "--no-follow", *options, code=0).stdout == shown


def test_without_following_tail_ends_while_the_job_runs(batch: Workspace) -> None:
    batch.write("c/a.sh", lines_and_wait("a", 30))
    process = start(batch)
    done = batch.run("tail", "a", "--no-follow", "-n", "1", code=0)
    assert done.stdout == "[stdout] a 30\n" and process.poll() is None


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["tail", "-n", "x"], "'x' is not a number of lines"),
        (["tail", "a", "b"], "'b': name one job"),
        (["tail", "aa"], "no such"),
        (["tail", "b"], "b has not started yet"),
    ],
)
def test_invalid_words_are_explained(batch: Workspace, words: list[str], error: str) -> None:
    for name in "ab":
        batch.write(f"c/{name}.sh", "exit 1\n")
    batch.run("--configs", "c/*.sh", *COMMAND, "--limit", "1", code=1)
    done = batch.run(*words, code=2)
    assert error in done.stderr and len(done.stderr.splitlines()) == 1


def test_attach_begins_with_the_last_lines(batch: Workspace) -> None:
    for name in "abcdefghijkl":
        batch.write(f"c/{name}.sh", "exit 0\n")
    batch.run("--configs", "c/*.sh", *COMMAND, code=0)
    lines = batch.master_log().splitlines()
    assert batch.run("attach", code=0).stdout.splitlines() == lines[-20:]
    assert batch.run("attach", "-n", "3", code=0).stdout.splitlines() == lines[-3:]
    assert batch.run("attach", "-n", "999", code=0).stdout.splitlines() == lines


@pytest.mark.parametrize("one_line", [False, True], ids=["many lines", "one line"])
def test_the_memory_does_not_depend_on_the_log(batch: Workspace, one_line: bool) -> None:
    batch.write("c/a.sh", "echo small\n")
    batch.run("--configs", "c/a.sh", *COMMAND, code=0)
    log = batch.batch / "a" / "combined.log"
    piece = b"x" * 2**20 if one_line else b"a line of a training that prints much\n" * 2**15
    with log.open("wb") as file:
        for _ in range(300 * 2**20 // len(piece)):
            file.write(piece)
        file.write(b"\nthe end\n")
    # A small process measures: what a large one starts counts with the memory of its parent until it executes.
    measure = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); " + (
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)"
    )
    command = [sys.executable, "-c", measure, sys.executable, str(RUN_EXPERIMENTS), "tail"]
    with (batch / "out").open("wb") as out:
        done = subprocess.run(command, cwd=batch.folder, stdout=out, stderr=subprocess.PIPE, check=True)
    assert int(done.stderr) * 1024 < MOST
    shown = (batch / "out").read_bytes()
    assert shown.endswith(b"\nthe end\n") and len(shown) < 2 * 2**20


def test_a_character_that_is_not_complete_is_printed_when_it_is(batch: Workspace) -> None:
    batch.write("c/a.sh", "printf '\\303'; sleep 0.5; printf '\\251\\n'; until test -e go_a; do sleep 0.02; done\n")
    process = batch.start("--configs", "c/a.sh", *COMMAND)
    wait_until(lambda: list(Path(batch.folder).glob("experiments/latest/a/combined.log")), "the job has started")
    tailing = batch.start("tail", "--stream", "stdout")
    assert read_to(tailing, "é")[-1].endswith("é")
    (batch / "go_a").touch()
    tailing.communicate(timeout=30)
    process.communicate(timeout=30)
