"""Ctrl+C and its relatives: which stop request the job gets, what is recorded, what is left behind."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import RUN_EXPERIMENTS, Workspace, alive, wait_until
from tests.faults import POLITE

STUBBORN = """\
import os, signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)
open('ready', 'w').write(f'{os.getpid()} {child.pid}')
time.sleep(60)
"""


@pytest.fixture
def three(work: Workspace) -> Workspace:
    """Three configs, and a job that saves on a stop request."""
    for name in "abc":
        work.write(f"c/{name}.py", "")
    work.write("polite.py", POLITE)
    work.write("stubborn.py", STUBBORN)
    return work


def ready(work: Workspace) -> list[int]:
    """The processes of the first job, once it runs."""
    path = work / "ready"
    return wait_until(lambda: path.exists() and [int(pid) for pid in path.read_text().split()], "the job runs")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_the_first_signal_lets_the_job_save_and_leave(three: Workspace, number: int, code: int) -> None:
    process = three.start("--configs", "c/*.py", "--train_script", "polite.py")
    ready(three)
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == code
    assert "A second Ctrl+C kills at once" in out and "asked a to save and leave" in out
    assert "saved" in (three.batch / "a" / "stdout.log").read_text()
    summary = three.summary
    # Exit code 0 after a stop request does not mean completed: the work was not done.
    assert [summary["results"][name]["status"] for name in "abc"] == ["interrupted", "pending", "pending"]
    assert (summary["interrupted"], summary["pending"], summary["completed"]) == (1, 2, 0)
    assert "not started: b, c" in out and "not started: b, c" in three.master_log()


def test_the_second_signal_kills_the_whole_tree(three: Workspace) -> None:
    process = three.start("--configs", "c/*.py", "--train_script", "stubborn.py")
    pids = ready(three)
    process.send_signal(signal.SIGINT)
    wait_until(lambda: "Stopping" in three.master_log(), "the first signal is heeded")
    assert all(alive(pid) for pid in pids)
    while process.poll() is None:  # an impatient person; the signals of the first quarter second count as one
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    assert process.returncode == 130
    assert three.result("a")["status"] == "interrupted" and three.result("a")["signal"] == "SIGKILL"
    wait_until(lambda: not any(alive(pid) for pid in pids), "nothing of the tree is left")


def test_a_terminal_that_goes_and_its_shell_both_hang_up_and_that_is_one_request(three: Workspace) -> None:
    slow = POLITE.replace("print('saved')", "time.sleep(1); print('saved')")
    three.write("slow.py", slow)
    process = three.start("--configs", "c/*.py", "--train_script", "slow.py")
    ready(three)
    for _ in range(3):
        process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
    process.communicate(timeout=30)
    assert process.returncode == 129
    assert "saved" in (three.batch / "a" / "stdout.log").read_text()


def test_a_signal_before_the_first_job_starts_nothing(three: Workspace) -> None:
    (three / ".git").mkdir()
    three.write("bin/git", "#!/bin/sh\ntouch asked\nsleep 0.5\n").chmod(0o755)
    path = f"{three / 'bin'}:{os.environ['PATH']}"
    process = three.start("--configs", "c/*.py", "--train_script", "polite.py", env={"PATH": path})
    wait_until((three / "asked").exists, "the batch is being made ready")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130 and not (three / "ready").exists()
    assert three.summary["pending"] == 3


@pytest.mark.linux
def test_a_stopped_supervisor_does_not_outlast_a_second_request(three: Workspace) -> None:
    process = three.start("--configs", "c/*.py", "--train_script", "polite.py", "--grace", "0.2,0.2,0.2")
    (pid,) = ready(three)
    supervisor = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(supervisor, signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130 and not alive(pid) and not alive(supervisor)
    assert three.result("a")["status"] == "error"


def test_a_background_shell_that_ignores_sigint_does_not_disable_it(three: Workspace) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    process = three.start("--configs", "c/*.py", "--train_script", "polite.py", preexec_fn=ignore)
    ready(three)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130 and three.result("a")["status"] == "interrupted"


def test_a_parent_that_ignores_sigchld_does_not_make_every_job_succeed(work: Workspace) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    work.write("c/a.sh", "exit 7")
    process = work.start("--configs", "c/a.sh", "--command", "sh {config}", preexec_fn=ignore)
    process.communicate(timeout=30)
    assert process.returncode == 1 and work.result("a")["return_code"] == 7


def test_ctrl_c_in_a_terminal_reaches_the_job_once(three: Workspace) -> None:
    script = "import os, signal, time\ncount = []\nsignal.signal(signal.SIGINT, lambda *_: count.append(1))\n"
    script += "open('ready', 'w').write(str(os.getpid()))\nwhile not count: time.sleep(.01)\n"
    script += "time.sleep(.5); print('interrupts', len(count)); raise SystemExit(3)\n"
    three.write("count.py", script)
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, str(RUN_EXPERIMENTS), "--configs", "c/*.py", "--train_script", "count.py"],
        cwd=three.folder, stdin=follower, stdout=follower, stderr=follower, start_new_session=True, env=environment,
        preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),  # makes it the controlling terminal
    )  # fmt: skip
    os.close(follower)
    ready(three)
    os.write(leader, b"\x03")
    while process.poll() is None:
        try:
            os.read(leader, 4096)
        except OSError:
            break
    assert process.wait(30) == 130
    assert "interrupts 1" in (three.batch / "a" / "stdout.log").read_text()
    assert three.result("a")["status"] == "interrupted"


def test_no_job_survives_an_engine_that_was_killed(three: Workspace) -> None:
    process = three.start("--configs", "c/*.py", "--train_script", "polite.py")
    (pid,) = ready(three)
    process.kill()
    process.communicate()
    wait_until(lambda: not alive(pid), "the job is gone")
    wait_until((three.batch / "a" / "experiment_result.json").exists, "its end is recorded")
    assert three.result("a")["status"] == "interrupted"
    assert "saved" in (three.batch / "a" / "stdout.log").read_text()


@pytest.mark.linux
def test_a_supervisor_that_was_killed_takes_its_job_along_and_the_batch_continues(three: Workspace) -> None:
    three.write("once.py", POLITE.replace("try:", "if 'a.py' not in sys.argv[1]: sys.exit()\ntry:"))
    process = three.start("--configs", "c/*.py", "--train_script", "once.py")
    (pid, *_) = ready(three)
    supervisor = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(supervisor, signal.SIGKILL)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 1 and not alive(pid)
    assert [three.summary["results"][name]["status"] for name in "abc"] == ["error", "completed", "completed"]
    assert "supervisor" in three.result("a")["error"] and "supervisor" in out


def test_a_grandchild_that_keeps_the_pipe_delays_nothing_and_does_not_survive(work: Workspace) -> None:
    work.write("c/a.sh", "sleep 60 & echo $! > pid; echo done")
    began = time.monotonic()
    work.run("--configs", "c/a.sh", "--command", "sh {config}", code=0)
    assert work.result("a")["duration_seconds"] < 20
    assert time.monotonic() - began < 40
    assert not alive(int((work / "pid").read_text()))
    assert "done" in (work.batch / "a" / "stdout.log").read_text()


def test_the_exit_is_recorded_before_the_pipes_are_drained(work: Workspace) -> None:
    work.write("c/a.sh", "trap '' TERM; (trap '' TERM; sleep 60) & echo $! > pid; exit 5")
    process = work.start("--configs", "c/a.sh", "--command", "sh {config}")
    path = work / "experiments/latest/a/experiment_result.json"
    wait_until(path.exists, "the result is written")
    assert json.loads(path.read_text())["return_code"] == 5
    assert process.poll() is None  # still busy with what the job left behind
    process.communicate(timeout=30)
    assert process.returncode == 1


def test_a_job_that_closes_its_output_and_works_on_is_waited_for(work: Workspace) -> None:
    work.write("c/a.sh", "exec >&- 2>&-; sleep 0.7; touch finished")
    work.run("--configs", "c/a.sh", "--command", "sh {config}", code=0)
    assert (work / "finished").exists() and work.result("a")["status"] == "completed"


def test_a_stopped_job_can_be_timed_out(work: Workspace) -> None:
    work.write("c/a.sh", "kill -STOP $$")
    work.run("--configs", "c/a.sh", "--command", "sh {config}", "--timeout", "0.3", code=1)
    assert work.result("a")["status"] == "timeout"


def test_output_into_a_closed_pipe_does_not_end_the_batch(work: Workspace) -> None:
    for name in "abc":
        work.write(f"c/{name}.sh", "sleep 0.1")
    command = (
        f"{sys.executable} {RUN_EXPERIMENTS} --configs 'c/*.sh' --command 'sh {{config}}'"
        " | head -n 1; echo ${PIPESTATUS[0]}"
    )
    done = subprocess.run(["bash", "-c", command], cwd=work.folder, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1] == "0" and done.stderr == ""
    assert work.summary["completed"] == 3
