"""The live table and a shell share one terminal: Ctrl+Z, bg, fg, and `stop` for a runner that is suspended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT, Workspace, alive, wait_until
from tests.faults import ready
from tests.terminals import RUNNER, Terminal

pytestmark = pytest.mark.slow

JOB = """\
import os, sys, time
open('ready', 'w').write(str(os.getpid()))
number = 0
try:
    while not os.path.exists('go'):
        number += 1
        print(f'iter {number}: loss 2.5000, time 30.00ms, mfu 1.00%', flush=True)
        time.sleep(0.05)
except KeyboardInterrupt:
    print('saved', flush=True); sys.exit(0)
"""
BATCH = f"{RUNNER} --configs c/a.py --command 'python3 job.py {{config}}'"
TABLE = r"job +state +iter[^\n]+\na +running"
SHOW, HIDE = "\x1b[?25h", "\x1b[?25l"
UP = r"\x1b\[\d*A"  # the cursor moves up, to draw over what is there


@pytest.fixture
def shell(work: Workspace) -> Terminal:  # type: ignore[misc]
    """An interactive bash, with job control."""
    work.write("c/a.py", "")
    work.write("job.py", JOB)
    terminal = Terminal(work.folder, ["bash", "--norc", "--noprofile", "-i"])
    terminal.expect(r"\$ ", "the prompt")
    terminal.type("stty -echo\n")
    terminal.expect(r"\$ ", "the prompt")
    yield terminal
    if (work / "ready").exists() and alive(job := ready(work)):
        os.kill(job, signal.SIGKILL)
    terminal.close()
    terminal.process.kill()
    terminal.process.wait()


def cursor(text: str) -> str:
    """How the cursor was left."""
    return "shown" if text.rfind(SHOW) > text.rfind(HIDE) else "hidden"


def test_ctrl_z_returns_the_cursor_and_bg_leaves_the_screen_to_the_shell(work: Workspace, shell: Terminal) -> None:
    shell.type(BATCH + "\n")
    table = shell.expect(TABLE, "the table")
    assert cursor(table) == "hidden"
    shell.type("\x1a")
    assert cursor(shell.expect(r"Stopped.*?\$ ", "the prompt")) == "shown"
    assert shell.drain(0.6) == ""
    shell.type("bg\n")
    shell.expect(r"&\s", "bash says that it continues")
    background = shell.drain(1.5)
    assert HIDE not in background and not re.search(UP, background) and not re.search(TABLE, background)
    shell.type("echo still he''re\n")
    assert not re.search(UP, shell.expect("still here", "the shell answers"))
    shell.type("fg\n")
    assert cursor(shell.expect(TABLE, "the table again")) == "hidden"
    shell.expect(UP, "it is drawn over itself again")
    (work / "go").touch()
    end = shell.expect(r"completed in.*?Summary: .*?\$ ", "the report")
    assert cursor(end) == "shown"
    assert work.result("a")["status"] == "completed"


def test_a_batch_that_starts_in_the_background_prints_lines(work: Workspace, shell: Terminal) -> None:
    shell.type(BATCH + " &\n")
    started = shell.expect("started, tail -f", "the start")
    rest = started + shell.drain(1.0)
    assert not re.search(TABLE, rest) and HIDE not in rest and not re.search(UP, rest)
    shell.type("fg\n")
    shell.expect(TABLE, "the table")
    shell.type("\x03")
    assert cursor(shell.expect(r"Resume:  .*?\$ ", "the report")) == "shown"
    assert work.result("a")["status"] == "interrupted"


def test_ctrl_z_twice_and_fg_each_time(work: Workspace, shell: Terminal) -> None:
    shell.type(BATCH + "\n")
    for _ in range(2):
        shell.expect(TABLE, "the table")
        shell.type("\x1a")
        assert cursor(shell.expect(r"Stopped.*?\$ ", "the prompt")) == "shown"
        shell.type("fg\n")
    shell.expect(TABLE, "the table")
    (work / "go").touch()
    shell.expect(r"completed in.*?Summary: .*?\$ ", "the report")


@pytest.mark.parametrize("how", ["Ctrl+Z", "SIGSTOP"])
@pytest.mark.parametrize("options", [[], ["--now"]])
def test_stop_ends_a_runner_that_is_suspended(work: Workspace, shell: Terminal, how: str, options: list[str]) -> None:
    shell.type(BATCH + "\n")
    shell.expect(TABLE, "the table")
    if how == "Ctrl+Z":
        shell.type("\x1a")
    else:
        os.kill(runner_of(work), signal.SIGSTOP)
    shell.expect(r"Stopped.*?\$ ", "it is suspended")
    done = work.run("stop", *options, code=0)
    assert "stopping" in done.stdout and work.result("a")["status"] == "interrupted"
    assert "--now" in options or "saved" in (work.batch / "a" / "stdout.log").read_text()
    background = shell.drain(0.5)
    assert HIDE not in background and not re.search(UP, background)


def test_stop_drain_continues_a_runner_that_is_suspended(work: Workspace, shell: Terminal) -> None:
    shell.type(BATCH + "\n")
    shell.expect(TABLE, "the table")
    shell.type("\x1a")
    shell.expect(r"Stopped.*?\$ ", "it is suspended")
    draining = work.start("stop", "--drain")
    wait_until(lambda: "only the running jobs" in work.master_log(), "the runner heeds it")
    (work / "go").touch()
    draining.communicate(timeout=30)
    assert draining.returncode == 0 and work.result("a")["status"] == "completed"


HOLDS = """\
import signal, sys, time
from runner.disk.lock import Lock
for number in (signal.SIGTERM, signal.SIGUSR2): signal.signal(number, signal.SIG_IGN)
with Lock(sys.argv[1]):
    open('held', 'w').close()
    time.sleep(120)
"""


def test_a_runner_that_does_not_end_is_reported_with_what_to_do(work: Workspace) -> None:
    work.write("c/a.py", "")
    work.run("--configs", "c/a.py", "--command", "true {config}", "--grace", "0.1,0.1,0.1", code=0)
    command = [sys.executable, "-c", HOLDS, str(work.batch / ".lock")]
    runner = subprocess.Popen(command, cwd=work.folder, env={**os.environ, "PYTHONPATH": str(PROJECT)})
    wait_until((work / "held").exists, "a runner that ignores stop requests holds the batch")
    done = work.run("stop", code=1)
    expected = rf"process {runner.pid} has not ended within [\d.]+ s; stop --now .*kill -KILL {runner.pid}"
    assert "stopping" in done.stdout and re.search(expected, done.stderr)
    runner.kill()
    runner.wait()


@pytest.mark.linux
def test_stop_reaches_a_supervisor_that_is_suspended(work: Workspace) -> None:
    work.write("c/a.py", "")
    work.write("job.py", JOB)
    process = work.start("--configs", "c/a.py", "--command", "python3 job.py {config}", "--keep_running")
    supervisor = int(Path(f"/proc/{ready(work)}/stat").read_text().rpartition(")")[2].split()[1])
    process.kill()
    process.communicate()
    os.kill(supervisor, signal.SIGSTOP)
    work.run("stop", code=0)
    assert work.result("a")["status"] == "interrupted" and not alive(supervisor)


def runner_of(work: Workspace) -> int:
    found = re.search(r'"pid": (\d+)', (work.batch / ".lock").read_text())
    assert found is not None
    return int(found[1])
