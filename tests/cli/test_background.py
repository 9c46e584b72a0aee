"""Batches without a terminal: they outlive it, and their status is true."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from runner.disk.lock import holder
from tests.conftest import RUN_EXPERIMENTS, Workspace, alive, kill, read, runs, wait_until

TEMPLATE = ("--command", "sh {config} --out {out_dir}")
COMMAND = (*TEMPLATE, "--grace", "1,0.3,5")
WAITING = """\
echo $$ >> runs
trap 'echo saved; exit 0' INT
while test ! -e go; do sleep 0.02; done
echo went
"""
STUBBORN = "trap '' INT TERM; echo $$ >> runs; while :; do sleep 0.05; done"


def status(work: Workspace, *named: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(work.run("status", *named, "--json", code=0).stdout)
    return found


def states(work: Workspace) -> list[str]:
    return [job["status"] for job in status(work)["jobs"].values()]


def held(work: Workspace) -> dict[str, Any] | None:
    return holder(str(work.batch / ".lock"))


def runner_of(work: Workspace) -> int:
    return int(wait_until(lambda: (held(work) or {}).get("pid"), "somebody runs the batch"))


@pytest.fixture
def two(work: Workspace) -> Workspace:
    """a waits for the file `go`, b ends at once."""
    work.write("c/a.sh", WAITING)
    work.write("c/b.sh", "echo b >> done")
    yield work  # type: ignore[misc]
    if (work / "experiments/latest").exists() and (found := held(work)):  # a batch in the background that a test left
        for number in (signal.SIGTERM, signal.SIGTERM):
            if alive(int(found["pid"])):
                os.kill(int(found["pid"]), number)
        wait_until(lambda: held(work) is None, "the batch has ended")


def with_grace(options: Sequence[str]) -> tuple[str, ...]:
    """How the jobs are started, with a short grace unless another one is given."""
    return (*(TEMPLATE if "--grace" in options else COMMAND), *options)


def started(work: Workspace, *options: str) -> subprocess.Popen[str]:
    process = work.start("--configs", "c/*.sh", *with_grace(options))
    wait_until(lambda: runs(work), "the first job runs")
    wait_until((work / "experiments/latest/a/supervisor.json").exists, "its processes are recorded")
    return process


def detached(work: Workspace, *options: str) -> str:
    done = work.run("--configs", "c/*.sh", *with_grace(options), "--detach", code=0)
    wait_until(lambda: runs(work), "the first job runs")
    wait_until((work / "experiments/latest/a/supervisor.json").exists, "its processes are recorded")
    return done.stdout


# --detach


def test_a_detached_batch_outlives_its_terminal(two: Workspace) -> None:
    leader, follower = pty.openpty()
    command = f"{sys.executable} {RUN_EXPERIMENTS} --configs 'c/*.sh' {COMMAND[0]} '{COMMAND[1]}' --detach"
    script = f"{command}; echo left; sleep 60"
    shell = subprocess.Popen(
        ["sh", "-c", script],
        cwd=two.folder, stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
        preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),  # makes it the controlling terminal
    )  # fmt: skip
    os.close(follower)
    output = b""
    while b"left" not in output:
        output += os.read(leader, 4096)
    os.close(leader)  # the terminal is closed: its session is hung up
    assert shell.wait(10) == -signal.SIGHUP
    assert b"runs in the background: 2 jobs in experiments/" in output and b"stop it:" in output
    wait_until(lambda: runs(two), "the job runs")
    runner = runner_of(two)
    assert os.getsid(runner) == runner  # a session of its own, which no terminal can hang up
    (two / "go").touch()
    wait_until(lambda: held(two) is None, "the batch has ended")
    assert [entry["status"] for entry in two.summary["results"].values()] == ["completed", "completed"]
    assert "2 completed" in (two.batch / "runner.log").read_text()


def test_as_soon_as_detach_returns_the_batch_has_a_status_and_can_be_stopped(two: Workspace) -> None:
    two.run("--configs", "c/*.sh", *COMMAND, "--detach", code=0)
    found = held(two)  # no polling: this must be so at once
    assert found is not None and alive(found["pid"])
    assert status(two)["state"] == "running"
    two.run("stop", code=0)
    assert held(two) is None and not any(map(alive, runs(two)))
    wait_until(lambda: not alive(found["pid"]), "the runner, which gave back its lock, has ended")


def test_errors_are_reported_before_a_batch_goes_into_the_background(two: Workspace) -> None:
    done = two.run("--configs", "c/*.sh", "nothing/*.sh", *COMMAND, "--detach", code=2)
    assert "no file matches" in done.stderr and not (two / "experiments").exists()


def test_a_detached_batch_holds_no_pipe_of_its_caller(two: Workspace) -> None:
    # `$(... --detach)` in a script would otherwise wait for the end of the batch.
    command = f"{sys.executable} {RUN_EXPERIMENTS} --configs 'c/*.sh' {COMMAND[0]} '{COMMAND[1]}' --detach"
    done = subprocess.run(["sh", "-c", command], cwd=two.folder, capture_output=True, text=True, timeout=20, check=True)
    assert "runs in the background" in done.stdout
    assert held(two) is not None


def test_a_resume_can_be_detached(two: Workspace) -> None:
    kill(started(two))
    wait_until((two.batch / "a" / "experiment_result.json").exists, "its supervisor records the end")
    two.run("--resume", "--detach", code=0)
    (two / "go").touch()
    wait_until(lambda: held(two) is None, "the batch has ended")
    assert two.summary["completed"] == 2 and two.result("a")["attempt"] == 2


# list, status


def test_status_shows_what_runs_and_what_is_pending(two: Workspace) -> None:
    process = started(two)
    found = status(two)
    (pid,) = runs(two)
    assert (found["state"], found["runner"]["pid"]) == ("running", process.pid)
    assert found["jobs"] == {"a": {"status": "running", "pid": pid, "attempt": 1}, "b": {"status": "pending"}}
    output = two.run("status", code=0).stdout
    assert re.search(rf"running, by pid {process.pid} on \S+; 1 running, 1 pending", output)
    listed = two.run("list", code=0).stdout
    assert two.batch.name in listed and "1 running, 1 pending" in listed
    (two / "go").touch()
    process.communicate(timeout=30)
    found = status(two)
    assert (found["state"], found["runner"]) == ("done", None)
    assert found["jobs"]["a"]["status"] == "completed" and found["jobs"]["a"]["duration_seconds"] > 0


def test_status_shows_nothing_dead_as_running(two: Workspace) -> None:
    process = started(two)
    (pid,) = runs(two)
    supervisor = int(read(two.batch / "a" / "supervisor.json")["supervisor"][0])
    process.kill()
    os.kill(supervisor, signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not alive(pid), "the job died with its supervisor")
    found = status(two)
    assert found["state"] == "dead" and found["runner"] is None
    assert [job["status"] for job in found["jobs"].values()] == ["lost", "pending"]
    assert "running" not in two.run("status", code=0).stdout + two.run("list", code=0).stdout


def test_status_after_the_engine_alone_was_killed(two: Workspace) -> None:
    kill(started(two))
    wait_until(lambda: states(two) == ["interrupted", "pending"], "the supervisor has stopped its job")
    assert status(two)["state"] == "dead"
    assert "interrupted" in two.run("status", code=0).stdout


def test_a_supervisor_that_was_killed_is_not_called_running(two: Workspace) -> None:
    process = started(two)
    os.kill(int(read(two.batch / "a" / "supervisor.json")["supervisor"][0]), signal.SIGKILL)
    process.communicate(timeout=30)
    assert process.returncode == 1 and states(two) == ["error", "completed"]
    assert status(two)["state"] == "ended"


def test_list_shows_every_batch_the_latest_first(two: Workspace) -> None:
    for command in ("list", "du"):
        assert "there is no batch yet; start one with" in two.run(command, code=0).stdout
    assert json.loads(two.run("list", "--json", code=0).stdout) == []
    (two / "go").touch()
    names = []
    for name in ("first", "second", "third"):
        two.run("--configs", "c/*.sh", *COMMAND, "--name", name, code=0)
        names.append(two.batch.name)
    found = json.loads(two.run("list", "--json", code=0).stdout)
    assert [batch["name"] for batch in found] == names[::-1]
    assert {batch["state"] for batch in found} == {"done"}
    assert [line.split()[0] for line in two.run("list", code=0).stdout.splitlines()] == names[::-1]
    assert status(two)["name"] == names[2] and status(two, names[0])["name"] == names[0]
    assert status(two, f"experiments/{names[1]}")["name"] == names[1]


def test_control_characters_of_a_job_never_reach_the_terminal_through_status(two: Workspace) -> None:
    two.write("c/a.sh", r"printf '\033[2J\033]0;title\007boo\n' >&2; exit 1")
    two.run("--configs", "c/*.sh", *COMMAND, code=1)
    output = two.run("status", code=0).stdout
    assert "boo" in output and "\033" not in output and "\007" not in output


# attach, tail


def test_attach_follows_a_batch_to_its_end(two: Workspace) -> None:
    detached(two)
    attached = two.start("attach")
    assert attached.stdout is not None
    line = attached.stdout.readline()
    assert "Batch experiment_" in line and attached.poll() is None
    (two / "go").touch()
    out, err = attached.communicate(timeout=30)
    assert (attached.returncode, err) == (0, "")
    assert "a: completed" in out and "b: completed" in out and "2 completed" in out
    assert held(two) is None
    again = two.run("attach", two.batch.name, code=0).stdout  # of a batch that has ended: all of it, at once
    assert again == two.master_log()


@pytest.mark.linux
def test_ctrl_c_ends_the_looking_and_not_the_batch(two: Workspace) -> None:
    detached(two)
    for command in ("attach", "tail"):
        looking = two.start(command)
        if command == "attach":
            assert looking.stdout is not None and looking.stdout.readline()
        else:
            wait_until(lambda pid=looking.pid: b"\0tail" in Path(f"/proc/{pid}/cmdline").read_bytes()
                       and _catches_sigint(pid), "it looks")  # fmt: skip
        looking.send_signal(signal.SIGINT)
        _, err = looking.communicate(timeout=60)
        assert err == "" and looking.returncode in (0, 130)
    assert states(two) == ["running", "pending"]


def _catches_sigint(pid: int) -> bool:
    """True once Python, and then our own code, has started: the folder of the batch is open to it."""
    caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    maps = Path(f"/proc/{pid}/maps").read_text()
    return bool(caught and int(caught[1], 16) & 2 and "fcntl" in maps)


def test_tail_follows_the_running_job_or_the_one_that_is_named(two: Workspace) -> None:
    two.write("c/a.sh", "echo first\n" + WAITING)
    detached(two)
    tailing = two.start("tail")
    assert tailing.stdout is not None
    assert tailing.stdout.readline().endswith("[stdout] first\n")
    (two / "go").touch()
    out, err = tailing.communicate(timeout=30)
    assert (tailing.returncode, err) == (0, "") and "[stdout] went\n" in out
    assert out.endswith("==> b <==\n")  # it goes on to the next job, which prints nothing
    wait_until(lambda: held(two) is None, "the batch has ended")
    assert two.run("tail", two.batch.name, "a", code=0).stdout == (two.batch / "a" / "combined.log").read_text()


def test_a_look_through_head_is_no_traceback(two: Workspace) -> None:
    two.write("c/a.sh", "seq 100000")
    two.run("--configs", "c/a.sh", *COMMAND, code=0)
    for command in ("tail -n 100000", "attach", "status", "list"):
        line = f"{sys.executable} {RUN_EXPERIMENTS} {command} | head -n 1"
        done = subprocess.run(["bash", "-c", line], cwd=two.folder, capture_output=True, text=True, check=True)
        assert done.stderr == "" and len(done.stdout.splitlines()) == 1


# stop


def test_stop_lets_the_job_save_and_leave(two: Workspace) -> None:
    detached(two)
    done = two.run("stop", code=0)
    assert "stopping" in done.stdout and held(two) is None and not alive(runs(two)[0])
    assert states(two) == ["interrupted", "pending"]
    assert "saved" in (two.batch / "a" / "stdout.log").read_text()
    assert "is not running" in two.run("stop", code=0).stdout


def test_stop_now_kills(two: Workspace) -> None:
    two.write("c/a.sh", STUBBORN)
    detached(two, "--grace", "60,60,5")
    two.run("stop", "--now", code=0)
    assert not alive(runs(two)[0]) and held(two) is None
    assert two.result("a")["signal"] == "SIGKILL" and states(two) == ["interrupted", "pending"]


def test_stop_drain_lets_the_job_finish_and_starts_no_other(two: Workspace) -> None:
    detached(two)
    stopping = two.start("stop", "--drain")
    wait_until(lambda: "No further job is started" in two.master_log(), "it is told")
    assert alive(runs(two)[0]) and stopping.poll() is None
    (two / "go").touch()
    out, _ = stopping.communicate(timeout=30)
    assert stopping.returncode == 0 and "no further job is started" in out
    assert states(two) == ["completed", "pending"] and not (two / "done").exists()
    two.run("--resume", code=0)
    assert states(two) == ["completed", "completed"] and len(runs(two)) == 1


def test_stop_after_drain_does_not_wait_for_the_job(two: Workspace) -> None:
    detached(two)
    draining = two.start("stop", "--drain")
    wait_until(lambda: "No further job is started" in two.master_log(), "it is told")
    two.run("stop", code=0)
    draining.communicate(timeout=60)
    assert states(two) == ["interrupted", "pending"]


@pytest.mark.parametrize("how", [[], ["--now"]])
def test_stop_reaches_a_job_that_runs_on_without_a_runner(two: Workspace, how: list[str]) -> None:
    if how:
        two.write("c/a.sh", STUBBORN)
    kill(started(two, "--keep_running", *(["--grace", "60,60,5"] if how else [])))
    (pid,) = runs(two)
    assert alive(pid) and status(two)["state"] == "running without a runner"
    done = two.run("stop", *how, code=0)
    assert not alive(pid) and "is not running" not in done.stdout
    assert states(two) == ["interrupted", "pending"]


# rerun


def test_rerun_runs_one_job_again_and_no_other(two: Workspace) -> None:
    two.write("c/a.sh", 'ls "$2" > listing; echo model > "$2/x.pt"; echo "$@" >> args; test -e mended')
    options = ("--resume_args=--load {checkpoint}",)
    two.run("--configs", "c/*.sh", *COMMAND, *options, code=1)
    (two / "mended").touch()
    two.run("rerun", two.batch.name, "a", code=0)
    assert (two / "done").read_text() == "b\n"
    assert two.result("a")["attempt"] == 2 and states(two) == ["completed", "completed"]
    assert "--load" in (two / "args").read_text().splitlines()[1]  # it had failed: it resumes


def test_a_completed_job_that_is_rerun_starts_from_the_beginning(two: Workspace) -> None:
    two.write("c/a.sh", 'ls "$2" > listing; echo model > "$2/x.pt"; echo "$@" >> args')
    two.run("--configs", "c/*.sh", *COMMAND, "--resume_args=--load {checkpoint}", code=0)
    two.run("rerun", two.batch.name, "a", code=0)
    assert "--load" not in (two / "args").read_text() and "x.pt" not in (two / "listing").read_text()
    assert two.result("a")["attempt"] == 2 and (two.batch / "a" / "attempt_1" / "x.pt").exists()
    assert read(two.batch / "a" / "attempt_1" / "experiment_result.json")["status"] == "completed"
    assert (two / "done").read_text() == "b\n" and two.summary["completed"] == 2


def test_a_rerun_takes_the_config_as_it_is_now(two: Workspace) -> None:
    two.write("job.py", "import sys; open('seen', 'a').write(open(sys.argv[1]).read())")
    two.write("c/x.py", "x = 1\n")
    two.run("--configs", "c/x.py", "--train_script", "job.py", code=0)
    two.write("c/x.py", "x = 2\n")
    two.run("rerun", two.batch.name, "x", code=0)
    assert (two / "seen").read_text() == "x = 1\nx = 2\n"
    two.run("--resume", code=0)  # what was rerun is done
    assert (two / "seen").read_text() == "x = 1\nx = 2\n"


# Names that mean nothing


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["status", "experimnet"], "no such batch"),
        (["attach", "nowhere"], "no such batch"),
        (["tail", "BATCH", "moderat"], "moderat: no such job; did you mean 'moderate'?"),
        (["rerun", "BATCH", "zzz"], "zzz: no such job; there are a, b, moderate"),
        (["rerun", "nowhere", "a"], "no such batch"),
        (["rerun", "BATCH"], "name the jobs"),
        (["stop", "c"], "is not a batch"),
        (["status", "c"], "is not a batch"),
    ],
)
def test_an_unknown_name_is_one_sentence(two: Workspace, arguments: list[str], message: str) -> None:
    (two / "go").touch()
    two.write("c/moderate.sh", "")
    two.run("--configs", "c/*.sh", *COMMAND, code=0)
    done = two.run(*(two.batch.name if word == "BATCH" else word for word in arguments), code=2)
    assert message in done.stderr and len(done.stderr.splitlines()) == 1 and done.stdout == ""
    assert sorted(path.name for path in (two / "c").iterdir()) == ["a.sh", "b.sh", "moderate.sh"]


@pytest.mark.parametrize(
    "command", ["status", "attach", "tail", "stop", "rerun one", "table", "resume", "status latest", "table latest"]
)
def test_without_any_batch_that_is_reported(work: Workspace, command: str) -> None:
    done = work.run(*command.split(), code=2)
    assert "there is no batch yet" in done.stderr and list(work.folder.iterdir()) == []


@pytest.mark.parametrize("arguments", ["rerun", "skip", "move x", "stop --now --drain", "list one"])
def test_invalid_arguments_are_explained(work: Workspace, arguments: str) -> None:
    done = work.run(*arguments.split(), code=2)
    assert "--help" in done.stderr and len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr
