"""A terminal that goes away, and signals that were ignored or blocked before the runner was started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT, Workspace, alive, read, wait_until
from tests.terminals import RUNNER, Terminal

JOB = """\
import os, signal, sys, time
names = ("SIGINT", "SIGHUP", "SIGTERM")
ignored = [name for name in names if signal.getsignal(getattr(signal, name)) == signal.SIG_IGN]
blocked = sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
print('ignored', ignored, 'blocked', blocked, flush=True)
open('ready.new', 'w').write(str(os.getpid())); os.rename('ready.new', 'ready')
try:
    while not os.path.exists('go'): time.sleep(0.02)
except KeyboardInterrupt:
    print('saved', flush=True); sys.exit(0)
"""
BATCH = "--configs 'c/*.py' --command 'python3 job.py {config}'"


@pytest.fixture
def two(work: Workspace) -> Workspace:
    for name in "ab":
        work.write(f"c/{name}.py", "")
    work.write("job.py", JOB)
    return work


def ready(work: Workspace) -> int:
    path = work / "ready"
    wait_until(path.exists, "the job runs")
    return int(path.read_text())


def runner_of(work: Workspace) -> int:
    return int(json.loads((work.batch / ".lock").read_text())["pid"])


def ended(work: Workspace) -> list[str]:
    wait_until(lambda: (work.batch / "experiment_summary.json").exists() and work.summary["pending"] == 0, "it ended")
    return [entry["status"] for entry in work.summary["results"].values()]


def closed_over(work: Workspace, line: str, shell: str = "sh") -> int:
    """The runner that this line of a shell has started, once the terminal of both is gone."""
    terminal = Terminal(work.folder, [shell, "-c", f"{line}\nwait; sleep 60"])
    job = ready(work)
    runner = runner_of(work)
    terminal.close()
    terminal.process.wait(10)
    assert alive(job)
    return runner


@pytest.mark.parametrize(
    "line",
    [
        f"nohup {RUNNER} {BATCH} > out 2>&1 &",
        f"nohup {RUNNER} {BATCH} &",
        f"(trap '' HUP; {RUNNER} {BATCH}) &",
        f"nohup setsid {RUNNER} {BATCH} > out 2>&1 &",
        f"nohup {RUNNER} {BATCH} --detach; sleep 60 &",
    ],
)
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_batch_under_nohup_outlives_its_terminal(two: Workspace, line: str, shell: str) -> None:
    runner = closed_over(two, line, shell)
    for number in range(3):  # a login shell that ends, and everything else that may still hang up
        os.kill(runner, signal.SIGHUP)
        supervisor = int(read(two.batch / "a" / "supervisor.json")["supervisor"][0])
        os.kill(supervisor, signal.SIGHUP)
        assert alive(runner), number
    (two / "go").touch()
    assert ended(two) == ["completed", "completed"]
    assert "ignored ['SIGHUP'] blocked []" in (two.batch / "a" / "stdout.log").read_text()


def test_without_nohup_a_batch_is_saved_when_its_terminal_goes(two: Workspace) -> None:
    terminal = Terminal(two.folder, ["sh", "-c", f"{RUNNER} {BATCH}; echo $? > code"])
    ready(two)
    terminal.close()
    wait_until(lambda: two.summary["interrupted"] == 1, "the job was stopped")
    log = (two.batch / "a" / "stdout.log").read_text()
    assert "ignored [] blocked []" in log and "saved" in log
    assert two.summary["pending"] == 1


@pytest.mark.parametrize("how", ["an ignored SIGINT", "blocked signals"])
def test_what_else_is_inherited_does_not_keep_a_stop_request_away(two: Workspace, how: str) -> None:
    def inherit() -> None:
        if how == "an ignored SIGINT":
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        else:
            block_all()

    process = two.start("--configs", "c/*.py", "--command", "python3 job.py {config}", preexec_fn=inherit)
    ready(two)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    log = (two.batch / "a" / "stdout.log").read_text()
    assert "ignored [] blocked []" in log and "saved" in log
    assert two.result("a")["status"] == "interrupted"


def block_all() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())


def blocked(pid: int) -> int:
    """The mask of a process, as the kernel shows it."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith("SigBlk"))


@pytest.mark.linux
def test_a_detached_batch_whose_parent_blocked_all_signals_can_be_stopped(two: Workspace) -> None:
    two.run("--configs", "c/*.py", "--command", "python3 job.py {config}", "--detach", preexec_fn=block_all, code=0)
    job = ready(two)
    supervisor = int(read(two.batch / "a" / "supervisor.json")["supervisor"][0])
    assert [blocked(pid) for pid in (runner_of(two), supervisor, job)] == [0, 0, 0]
    two.run("stop", code=0)
    assert [entry["status"] for entry in two.summary["results"].values()] == ["interrupted", "pending"]


@pytest.mark.linux
def test_a_supervisor_receives_what_a_program_of_the_library_has_blocked(work: Workspace) -> None:
    script = """\
import os, signal, sys
sys.path.insert(0, PROJECT)
if 'STARTED' not in os.environ:  # an isolated job executes this file too
    os.environ['STARTED'] = 'yes'
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
import runner
@runner.experiment
def job(config):
    masks = [line for line in open(f'/proc/{os.getppid()}/status') if line.startswith('SigBlk')]
    return [masks[0].split()[1].strip('0'), len(signal.pthread_sigmask(signal.SIG_BLOCK, ()))]
found = job.run(lambda: [{'name': 'a'}], args=['--isolate'])
assert found == [['', 0]], found
"""
    work.write("script.py", script.replace("PROJECT", repr(str(PROJECT))))
    assert subprocess.run([sys.executable, "script.py"], cwd=work.folder, check=False).returncode == 0


def test_a_hangup_that_is_ignored_is_no_reason_to_miss_another_signal(two: Workspace) -> None:
    process = two.start(
        "--configs", "c/*.py", "--command", "python3 job.py {config}",
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    ready(two)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert "saved" in (two.batch / "a" / "stdout.log").read_text()


def test_a_function_of_the_library_is_not_hung_up_either(work: Workspace) -> None:
    script = """\
import os, signal, sys
sys.path.insert(0, PROJECT)
import runner
@runner.experiment
def job(config):
    for pid in (os.getpid(), os.getppid(), int(os.environ['ENGINE'])):  # the job, its supervisor, the engine
        os.kill(pid, signal.SIGHUP)
    return signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
os.environ.setdefault('ENGINE', str(os.getpid()))
assert job.run(lambda: [{'name': 'a'}], args=['--isolate']) == [True]
"""
    work.write("script.py", script.replace("PROJECT", repr(str(PROJECT))))
    command = [sys.executable, "script.py"]
    ignored = subprocess.run(
        command, cwd=work.folder, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN), check=False
    )
    assert ignored.returncode == 0
