"""Signals, and what a job leaves behind: the batch ends, its records are true and no process is left.

docs/reliability.md has the table of all faults and their tests.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from tests.conftest import PROJECT, Workspace, alive, insist, read, wait_until
from tests.faults import GRACE, carrying, ended, ready, request, three

TREE = """\
import os, signal, time
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP): signal.signal(number, signal.SIG_IGN)
def born(depth):
    if os.fork() == 0:
        os.setsid()
        grow(depth)
        with open('pids', 'a') as file: file.write(f'{os.getpid()}\\n')
        time.sleep(60)
        os._exit(0)
def grow(depth):
    if depth:
        born(depth - 1); born(depth - 1)
born(0)
grow(4)
time.sleep(60)
"""
DAEMON = """\
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 3)
        descriptor = os.open('daemon.new', os.O_WRONLY | os.O_CREAT)
        os.write(descriptor, str(os.getpid()).encode())
        os.rename('daemon.new', 'daemon')
        os.closerange(0, 100)
        os.execve(sys.executable, [sys.executable, '-S', '-c', 'import time; time.sleep(60)'], {})
    os._exit(0)
while not os.path.exists('daemon'): time.sleep(0.01)
"""


# Signals


MOMENTS = [("the job", times, delay) for times in (1, 2, 3) for delay in (0.0, 0.1, 0.2)]
MOMENTS += [("the program", times, delay) for times in (1, 3) for delay in (0.0, 0.1, 0.2)]
MOMENTS += [("the batch", times, delay) for times in (1, 3) for delay in (0.0, 0.05)]


@pytest.mark.parametrize(("since", "times", "delay"), MOMENTS)
def test_interrupts_at_any_moment_end_the_batch_in_order(work: Workspace, since: str, times: int, delay: float) -> None:
    mark = uuid.uuid4().hex
    process = work.start(*three(work), *GRACE, env={"RUNNER_TEST": mark})
    if since == "the batch":
        wait_until(lambda: list(work.folder.glob("experiments/experiment_*")), "the batch has a folder")
    elif since == "the job":
        wait_until(lambda: list(work.folder.glob("experiments/*/a/experiment_metadata.json")), "the job is prepared")
    time.sleep(delay)  # not a handshake: the moment of the signal is what is tested
    for number in range(times):
        if number:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    # Until Python itself has started, SIGINT does what it does to any program.
    early = since == "the program" and process.returncode == -signal.SIGINT
    assert process.returncode == 130 or early, f"{process.returncode}\n{out}\n{err}"
    assert "Traceback" not in err or ("run_experiments.py" not in err and "runner/" not in err), err
    wait_until(lambda: not carrying(mark), "nothing is left behind")
    for batch in work.folder.glob("experiments/experiment_*"):
        assert read(batch / "plan.json")["jobs"]
        summary = read(batch / "experiment_summary.json")
        statuses = [summary["results"][name]["status"] for name in "abc"]
        assert statuses in (["interrupted", "pending", "pending"], ["pending"] * 3), statuses
    assert not list(work.folder.glob("experiments/**/*.tmp"))


@pytest.mark.parametrize("before", [signal.SIG_DFL, signal.SIG_IGN], ids=["a terminal", "a background shell"])
def test_an_interrupt_while_planning_writes_nothing_and_shows_no_traceback(
    work: Workspace, before: signal.Handlers
) -> None:
    mark = uuid.uuid4().hex
    # A config that cannot be read off its text is run, in a process of its own: this one takes its time.
    work.write("c/a.py", "import time\nopen('planning', 'w').close()\ntime.sleep(8)\nx = time.time()\n")
    work.write("job.py", "x = 0\nexec(open('configurator.py').read())\n")
    process = work.start(
        "--configs", "c/a.py", "--train_script", "job.py", env={"RUNNER_TEST": mark},
        preexec_fn=lambda: signal.signal(signal.SIGINT, before),
    )  # fmt: skip
    wait_until((work / "planning").exists, "the config is being read")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", "")
    assert not (work / "experiments").exists()
    wait_until(lambda: not carrying(mark), "nothing is left behind")


def test_a_command_that_comes_with_the_request_is_obeyed(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(PROJECT / "runner" / "supervisor" / "__main__.py")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(
        request(tmp_path / "a", "sleep", "60").to_line() + b"stop\n"
    )  # Ctrl+C within milliseconds of the start
    process.stdin.flush()
    wait_until(lambda: process.poll() is not None, "the supervisor stops its job")
    assert read(tmp_path / "a" / "experiment_result.json")["status"] == "interrupted"
    ended(process)


@pytest.mark.linux
def test_a_stopped_job_is_woken_for_its_stop_request(work: Workspace) -> None:
    work.write(
        "c/a.sh",
        "trap '' INT; trap 'echo asked; exit 3' TERM; echo $$ > ready; kill -STOP $$; while :; do sleep 0.05; done",
    )
    process = work.start("--configs", "c/a.sh", "--command", "sh {config}", *GRACE)
    pid = ready(work)
    wait_until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", "it is stopped")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert (work.result("a")["status"], work.result("a")["return_code"]) == ("interrupted", 3)
    assert "asked" in (work.batch / "a" / "stdout.log").read_text()


def test_what_a_killed_engine_and_supervisor_leave_is_cleaned_up_by_the_next_resume(work: Workspace) -> None:
    script = "import os, time\nos.fork() or os.setsid()\nopen('pids', 'a').write(f'{os.getpid()}\\n')\n"
    script += "while not os.path.exists('go'): time.sleep(0.02)\n"
    process = work.start(*three(work, script))

    def both() -> list[int]:
        found = (work / "pids").read_text().split() if (work / "pids").exists() else []
        return [int(pid) for pid in found] if len(found) == 2 else []

    pids = wait_until(both, "the job and its child run")
    process.kill()
    os.kill(int(read(work.batch / "a" / "supervisor.json")["supervisor"][0]), signal.SIGKILL)
    process.communicate()
    (work / "pids").unlink()
    resumed = work.start("--resume")
    wait_until(both, "the job runs again")
    assert not any(alive(pid) for pid in pids)
    (work / "go").touch()
    _, err = resumed.communicate(timeout=30)
    assert (resumed.returncode, err) == (0, "")
    assert work.result("a")["attempt"] == 2 and work.summary["completed"] == 3


# What a job leaves behind


@pytest.mark.parametrize("how", ["interrupted twice", "timed out", "its engine killed", "ended by itself"])
def test_a_tree_of_31_descendants_in_sessions_of_their_own_is_killed(work: Workspace, how: str) -> None:
    by_itself = TREE.rpartition("time.sleep(60)")[0] + (
        "while not os.path.exists('pids') or len(open('pids').read().split()) < 31: time.sleep(0.02)\n"
    )
    script = by_itself if how == "ended by itself" else TREE
    options = ("--timeout", "2", "--grace", "0.1,0.1,5") if how == "timed out" else GRACE
    process = work.start(*three(work, script)[:1], "c/a.py", "--train_script", "job.py", *options)

    def grown() -> list[int]:
        found = (work / "pids").read_text().split() if (work / "pids").exists() else []
        return [int(pid) for pid in found] if len(found) == 31 else []

    pids = wait_until(grown, "the tree has grown")
    assert len(set(pids)) == 31
    if how == "interrupted twice":
        process.send_signal(signal.SIGINT)
        wait_until(lambda: "Stopping" in work.master_log(), "the first signal is heeded")
        insist(process, work)
    elif how == "its engine killed":
        process.kill()
    process.communicate(timeout=30)
    wait_until(lambda: not any(alive(pid) for pid in pids), "nothing of the tree is left")
    wait_until((work.batch / "a" / "experiment_result.json").exists, "the end is recorded")
    status = {"timed out": "timeout", "ended by itself": "completed"}.get(how, "interrupted")
    assert work.result("a")["status"] == status


def test_a_daemon_that_forked_twice_and_cleaned_its_environment_does_not_survive(work: Workspace) -> None:
    work.run(*three(work, DAEMON)[:1], "c/a.py", "--train_script", "job.py", code=0)
    daemon = int((work / "daemon").read_text())
    wait_until(lambda: not alive(daemon), "the daemon is gone")
    assert work.result("a")["status"] == "completed"


@pytest.mark.parametrize("victim", ["the supervisor", "both"])
def test_strays_of_a_job_whose_exit_was_recorded_do_not_survive_their_supervisor(work: Workspace, victim: str) -> None:
    # The exit is in the result, and the supervisor, still cleaning up, is killed.
    work.write("c/a.sh", "trap '' TERM; (trap '' TERM; sleep 60) & echo $! > pid; exit 0")
    work.write("c/b.sh", "exit 0")
    process = work.start("--configs", "c/*.sh", "--command", "sh {config}")
    path = work / "experiments/latest/a"
    wait_until((path / "experiment_result.json").exists, "the result is written")
    stray = int((work / "pid").read_text())
    supervisor = int(read(path / "supervisor.json")["supervisor"][0])
    if victim == "both":
        process.kill()
    os.kill(supervisor, signal.SIGKILL)
    process.communicate(timeout=30)
    if victim == "both":
        work.run("--resume", code=0)
    assert work.result("a")["status"] == "completed" and work.result("a")["attempt"] == 1
    assert work.summary["completed"] == 2
    wait_until(lambda: not alive(stray), "the stray is gone")


def test_a_job_that_writes_fast_on_both_streams_can_be_stopped(work: Workspace) -> None:
    work.write("c/a.sh", "trap '' INT; yes out & yes err >&2 & wait")
    process = work.start("--configs", "c/a.sh", "--command", "sh {config}", *GRACE)
    logs = [work / "experiments/latest/a" / name for name in ("stdout.log", "stderr.log")]
    wait_until(lambda: all(log.exists() and log.stat().st_size > 4 << 20 for log in logs), "both streams shout")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130 and work.result("a")["status"] == "interrupted"
    for log, word in zip(logs, (b"out", b"err"), strict=True):
        lines = log.read_bytes()[-(1 << 20) :].split(b"\n")[1:-1]
        assert {line[24:] for line in lines} == {word}
    assert "log_errors" not in work.result("a")
