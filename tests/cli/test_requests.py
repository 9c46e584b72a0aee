"""Commands that change a running batch: one job is stopped or skipped, others are added or moved; and `wait`."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.cli import ask
from runner.core.errors import UserError
from runner.core.job import Job
from runner.core.requests import AddJobs, SkipJobs
from runner.disk import requests
from runner.disk.lock import holder
from runner.planners import recorded
from tests.conftest import PROJECT, Workspace, alive, kill, read, wait_until

TEMPLATE = ("--command", "sh {config} --out {out_dir} {overrides}")
COMMAND = (*TEMPLATE, "--grace", "1,0.3,5")
#: Notes its start and its arguments, then waits for the file `go`, or for one with its own name; saves on SIGINT.
JOB = """\
name=$(basename "$2")
echo "$name" >> order
echo "$@" >> "args_$name"
trap 'echo saved; exit 0' INT
while ! test -e go && ! test -e "go_$name"; do sleep 0.02; done
"""


def status(work: Workspace) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(work.run("status", "--json", code=0).stdout)
    return found


def states(work: Workspace) -> dict[str, str]:
    return {name: job["status"] for name, job in status(work)["jobs"].items()}


def order(work: Workspace) -> list[str]:
    path = work / "order"
    return path.read_text().split() if path.exists() else []


def runs(work: Workspace, name: str) -> bool:
    """True once the job has started and its processes are recorded."""
    return name in order(work) and (work.batch / name / "supervisor.json").exists()


def ended(work: Workspace) -> bool:
    return holder(str(work.batch / ".lock")) is None


@pytest.fixture
def three(work: Workspace) -> Iterator[Workspace]:
    """Jobs a, b and c, of which each waits until it may go."""
    for name in "abc":
        work.write(f"c/{name}.sh", JOB)
    yield work
    (work / "go").touch()
    if (work / "experiments/latest").exists():
        wait_until(lambda: ended(work), "the batch has ended")


def with_grace(options: Sequence[str]) -> tuple[str, ...]:
    """How the jobs are started, with a short grace unless another one is given."""
    return (*(TEMPLATE if "--grace" in options else COMMAND), *options)


def started(work: Workspace, *options: str) -> subprocess.Popen[str]:
    process = work.start("--configs", "c/*.sh", *with_grace(options))
    wait_until(lambda: runs(work, "a"), "the first job runs")
    return process


def finish(work: Workspace, process: subprocess.Popen[str], code: int) -> str:
    (work / "go").touch()
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, out + err
    return out


# stop BATCH JOB


def test_one_job_is_stopped_and_the_batch_continues(three: Workspace) -> None:
    process = started(three)
    done = three.run("stop", three.batch.name, "a", code=0)
    assert "a: was asked to save and leave within 1 s (--grace); the batch continues" in done.stdout
    assert "interrupted" in done.stdout.splitlines()[-1]
    assert "saved" in (three.batch / "a" / "stdout.log").read_text()
    wait_until(lambda: runs(three, "b"), "the next job runs")
    found = status(three)
    assert found["state"] == "running" and found["jobs"]["a"]["status"] == "interrupted"
    assert found["jobs"]["a"]["note"] == "stopped by request"
    assert "(stopped by request)" in three.run("status", code=0).stdout
    finish(three, process, 1)
    assert list(states(three).values()) == ["interrupted", "completed", "completed"]
    assert "By request: a was asked to save" in three.master_log()
    three.run("--resume", code=0)
    assert set(states(three).values()) == {"completed"} and "note" not in status(three)["jobs"]["a"]


def test_one_job_is_killed_at_once(three: Workspace) -> None:
    three.write("c/a.sh", "trap '' INT TERM\n" + JOB.replace("trap 'echo saved; exit 0' INT", ""))
    process = started(three, "--grace", "60,60,5")
    done = three.run("stop", "a", "--now", code=0)  # a job of the latest batch
    assert "a: is killed with every process below" in done.stdout
    assert three.result("a")["signal"] == "SIGKILL"
    finish(three, process, 1)
    assert list(states(three).values()) == ["interrupted", "completed", "completed"]


def test_of_jobs_that_run_at_a_time_only_the_named_ones_are_stopped(three: Workspace) -> None:
    process = started(three, "--max_workers", "3", "--fail_fast")
    wait_until(lambda: all(runs(three, name) for name in "abc"), "all run")
    three.run("stop", "a", "c", code=0)
    assert list(states(three).values()) == ["interrupted", "running", "interrupted"]
    finish(three, process, 1)
    assert list(states(three).values()) == ["interrupted", "completed", "interrupted"]


def test_a_job_that_runs_without_a_runner_is_stopped_alone(three: Workspace) -> None:
    process = started(three, "--max_workers", "2", "--keep_running")
    wait_until(lambda: runs(three, "b"), "both run")
    kill(process)
    done = three.run("stop", three.batch.name, "b", code=0)
    assert "stopping b" in done.stdout and list(states(three).values()) == ["running", "interrupted", "pending"]
    three.run("stop", code=0)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["stop", "BATCH", "b"], "b: is not running (pending); skip keeps it from being started"),
        (["stop", "BATCH", "zzz"], "zzz: no such job"),
        (["stop", "BATCH", "a", "--drain"], "--drain is for a whole batch"),
        (["stop", "BATCH", "a", "b"], "b: is not running"),
        (["skip", "BATCH", "a"], "a: runs already; stop ends it"),
        (["skip", "BATCH"], "name the jobs"),
        (["skip", "nowhere", "b"], "no such batch"),
        (["move", "BATCH", "a", "--first"], "a: runs already"),
        (["move", "BATCH", "b"], "--first"),
        (["add", "BATCH", "c/zzz*.sh"], "no file matches"),
        (["add", "BATCH"], "name the configs"),
        (["add", "BATCH", "c/a.sh", "--batchsize"], "--batchsize: has no value"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_changes_nothing(
    three: Workspace, words: list[str], error: str
) -> None:
    process = started(three)
    plan = (three.batch / "plan.json").read_bytes()
    done = three.run(*(three.batch.name if word == "BATCH" else word for word in words), code=2)
    assert error in done.stderr and done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert (three.batch / "plan.json").read_bytes() == plan
    assert not list((three.batch).glob("requests/*"))
    finish(three, process, 0)


# skip


def test_a_skipped_job_stays_pending_until_the_batch_is_resumed(three: Workspace) -> None:
    process = started(three)
    done = three.run("skip", three.batch.name, "b", code=0)
    assert "b: is skipped; a resumed batch runs it" in done.stdout
    assert status(three)["jobs"]["b"] == {"status": "pending", "note": "skipped by request"}
    assert "not started: b" in finish(three, process, 1)
    assert order(three) == ["a", "c"] and status(three)["jobs"]["b"]["note"] == "skipped by request"
    three.run("--resume", code=0)
    assert order(three) == ["a", "c", "b"] and set(states(three).values()) == {"completed"}
    assert not list((three.batch / "requests").iterdir())


def test_a_batch_that_does_not_run_has_nothing_to_skip(three: Workspace) -> None:
    finish(three, started(three), 0)
    assert "is not running" in three.run("skip", "a", code=2).stderr


# move


def test_the_order_of_pending_jobs_is_changed_for_this_run_and_the_next(three: Workspace) -> None:
    process = started(three)
    assert "c: will be started before" in three.run("move", "c", "--first", code=0).stdout
    assert [job["name"] for job in read(three.batch / "plan.json")["jobs"]] == ["a", "c", "b"]
    (three / "go_a").touch()
    wait_until(lambda: runs(three, "c"), "c runs")
    three.run("stop", code=0)
    process.communicate(timeout=30)
    three.run("move", "b", "--last", code=0)  # it does not run now
    three.write("c/d.sh", JOB)
    three.run("add", "c/d.sh", code=0)
    three.run("move", three.batch.name, "d", "--first", code=0)
    (three / "go").touch()
    three.run("--resume", code=0)
    assert order(three) == ["a", "c", "c", "d", "b"]


# A runner that does not answer, or is gone


def test_a_runner_that_is_suspended_is_named_and_the_request_withdrawn(
    three: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = started(three)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        monkeypatch.setattr(ask, "PATIENCE", 0.5)
        with pytest.raises(UserError, match=rf"its runner \(pid {process.pid} on .*did not answer within 0.5 s"):
            ask.ask(recorded.plan(three.batch), SkipJobs(("b",)))
        assert list((three.batch / "requests").iterdir()) == []
    finally:
        os.kill(process.pid, signal.SIGCONT)
    finish(three, process, 0)
    assert order(three) == ["a", "b", "c"]


def test_ctrl_c_withdraws_a_request(three: Workspace) -> None:
    process = started(three)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        asking = three.start("skip", "b")
        wait_until(lambda: list((three.batch / "requests").glob("*.request.json")), "the request is there")
        asking.send_signal(signal.SIGINT)
        asking.communicate(timeout=60)
        assert asking.returncode == 130 and list((three.batch / "requests").iterdir()) == []
    finally:
        os.kill(process.pid, signal.SIGCONT)
    finish(three, process, 0)


def test_a_request_whose_runner_dies_is_not_taken_as_done(three: Workspace) -> None:
    process = started(three)
    os.kill(process.pid, signal.SIGSTOP)
    three.write("more/d.sh", JOB)
    adding = three.start("add", "more/d.sh")
    wait_until(lambda: list((three.batch / "requests").glob("*.request.json")), "the request is there")
    process.kill()
    out, err = adding.communicate(timeout=30)
    assert adding.returncode == 0 and "which is not running" in out, err
    process.communicate()
    assert states(three)["d"] == "pending"


def test_a_request_that_was_left_is_not_carried_out_by_the_next_runner(three: Workspace) -> None:
    finish(three, started(three), 0)
    plan = recorded.plan(three.batch)
    requests.send(plan, SkipJobs(("a",)))
    path = next((three.batch / "requests").glob("*.request.json"))
    record = read(path)
    path.write_text(json.dumps({**record, "sender": ["999999999", "1", "x"]}))
    (three.batch / "requests" / "old.answer.json").write_text("{}")
    three.run("--resume", code=0)
    assert list((three.batch / "requests").iterdir()) == []


@pytest.mark.parametrize("content", ["", "[]", '{"schema": 2}', '{"schema": 1, "request": "dance", "jobs": []}'])
def test_a_request_that_cannot_be_read_is_refused(three: Workspace, content: str) -> None:
    process = started(three)
    folder = three.batch / "requests"
    folder.mkdir()
    (folder / "1-1-1.request.json").write_text(content)
    answer = folder / "1-1-1.answer.json"
    wait_until(answer.exists, "it is answered")
    found = requests.read_answer(three.batch, "1-1-1")
    assert found is not None and found.refused and found.lines
    finish(three, process, 0)


# wait


def test_wait_returns_the_exit_code_of_the_batch(three: Workspace) -> None:
    three.write("c/c.sh", "exit 9")
    process = started(three)
    waiting = three.start("wait")
    assert finish(three, process, 1)
    out, err = waiting.communicate(timeout=30)
    assert (waiting.returncode, out, err) == (1, "", "")
    assert three.run("wait", three.batch.name).returncode == 1
    three.write("c/c.sh", "exit 0")
    three.run("--resume", "--accept_changes", code=0)
    assert three.run("wait").returncode == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_wait_returns_the_signal_that_stopped_a_batch_in_the_background(
    three: Workspace, number: int, code: int
) -> None:
    three.run("--configs", "c/*.sh", *COMMAND, "--detach", code=0)
    wait_until(lambda: runs(three, "a"), "the first job runs")
    waiting = three.start("wait")
    found = holder(str(three.batch / ".lock"))
    assert found is not None
    os.kill(found["pid"], number)
    waiting.communicate(timeout=30)
    assert waiting.returncode == code
    wait_until(lambda: not alive(found["pid"]), "the runner, which gave back its lock, has ended")


@pytest.mark.linux
def test_ctrl_c_ends_the_waiting_and_not_the_batch(three: Workspace) -> None:
    process = started(three)
    waiting = three.start("wait")
    wait_until(lambda: b"fcntl" in Path(f"/proc/{waiting.pid}/maps").read_bytes(), "it waits")
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 130 and err == "" and process.poll() is None
    finish(three, process, 0)


def test_wait_for_a_batch_whose_runner_was_killed_says_that_jobs_are_left(three: Workspace) -> None:
    process = started(three)
    waiting = three.start("wait")
    kill(process)
    waiting.communicate(timeout=30)
    assert waiting.returncode == 1 and not (three.batch / "ended.json").exists()


def test_wait_waits_for_jobs_that_run_without_a_runner(three: Workspace) -> None:
    kill(started(three, "--keep_running"))
    waiting = three.start("wait")
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(1)
    (three / "go").touch()
    waiting.communicate(timeout=30)
    assert waiting.returncode == 1 and list(states(three).values()) == ["completed", "pending", "pending"]


def test_wait_shows_on_a_terminal_what_it_waits_for(three: Workspace) -> None:
    process = started(three)
    leader, follower = pty.openpty()
    waiting = three.start("wait", stdout=follower)
    os.close(follower)
    assert b"waiting for its end" in os.read(leader, 4096)
    finish(three, process, 0)
    waiting.communicate(timeout=30)
    assert b"done; 3 completed" in os.read(leader, 4096) and waiting.returncode == 0
    os.close(leader)


# The format


def test_a_request_keeps_the_exact_inputs_of_a_job(three: Workspace) -> None:
    finish(three, started(three), 0)
    plan = recorded.plan(three.batch)
    job = plan.jobs[0]
    new = replace(
        job, name="n", out_dir=plan.root / "n", files={"config_used.sh": b"\xff\x00"}, bases={Path("/b.yaml"): b"x: 1"}
    )
    ticket = requests.send(plan, AddJobs((new,), first=True))
    assert requests.waiting(plan.root) == [ticket]
    found = requests.take(plan.root, ticket, recorded.kind_named)
    assert isinstance(found, AddJobs) and found.first and found.jobs == (new,)
    (read_back,) = found.jobs
    assert isinstance(read_back, Job) and (read_back.files, read_back.bases) == (new.files, new.bases)
    assert not requests.withdraw(plan.root, ticket) and requests.take(plan.root, ticket, recorded.kind_named) is None


def test_ctrl_c_that_comes_within_a_destructor_is_not_lost() -> None:
    program = """
import os, signal, sys, time
from runner.cli.main import guarded

class Interrupted:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        sum(range(1000))  # the handler runs here, and Python drops what it raises

def command():
    Interrupted()
    time.sleep(60)
    return 0

sys.exit(guarded(command, "test"))
"""
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
