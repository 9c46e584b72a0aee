"""A training behind a shell or a launcher gets its stop request, and its time to save, as without one."""

from __future__ import annotations

import signal
import sys
import uuid

import pytest

from tests.conftest import Workspace, insist, wait_until
from tests.faults import carrying

pytestmark = pytest.mark.slow

#: Saves for 0.6 s; a second SIGINT, or the end of its grace, breaks that off.
TRAINING = """\
import os, sys, time
try:
    open('ready', 'w').write(str(os.getpid()))
    while True: time.sleep(60)
except KeyboardInterrupt:
    for _ in range(6): time.sleep(0.1)
    print('checkpoint saved', flush=True)
"""
PYTHON = sys.executable
SHELL = f"""\
#!/bin/sh
echo before
{PYTHON} save.py "$@"
echo after
"""
#: As `accelerate launch`: leaves at its own KeyboardInterrupt, a quarter of a second later.
LAUNCHER = """\
import subprocess, sys
sys.exit(subprocess.Popen([sys.executable, 'save.py', *sys.argv[1:]]).wait())
"""
LEAVES_AT_ONCE = """\
import os, signal, subprocess, sys
child = subprocess.Popen([sys.executable, 'save.py', *sys.argv[1:]])
signal.signal(signal.SIGINT, lambda *_: os._exit(7))
child.wait()
"""
#: As a shell with job control whose pipeline has lost its first process, when that shell leaves at once.
ORPHANS = """\
import os, signal, subprocess, sys
first = subprocess.Popen(['true'], process_group=0)
child = subprocess.Popen([sys.executable, 'save.py', *sys.argv[1:]], process_group=first.pid)
signal.signal(signal.SIGINT, lambda *_: os._exit(7))
first.wait()
child.wait()
"""
#: As `conda run`: passes what it gets on to its child, which gets it from the terminal too.
PASSES_ON = """\
import signal, subprocess, sys
child = subprocess.Popen([sys.executable, 'save.py', *sys.argv[1:]])
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: child.send_signal(number))
sys.exit(child.wait())
"""
WRAPPERS = {
    "no wrapper": f"{PYTHON} save.py",
    "a shell": f"bash -c '{PYTHON} save.py; echo after'",
    "a script": "sh wrapper.sh",
    "a script in a script": "bash -c 'sh wrapper.sh; echo after'",
    "timeout": f"timeout 60 {PYTHON} save.py",
    "timeout in a shell": f"bash -c 'timeout 60 {PYTHON} save.py; echo after'",
    "job control": f"bash -c 'set -m; {PYTHON} save.py & wait; echo after'",
    "a pipeline of a shell with job control": f"bash -c 'set -m; true | {PYTHON} save.py; echo after'",
    "a launcher": f"{PYTHON} launcher.py",
    "a launcher that leaves at once": f"{PYTHON} leaves.py",
    "a launcher that leaves another process group": f"{PYTHON} orphans.py",
    "a launcher that passes signals on": f"{PYTHON} passes.py",
    "such a launcher in a shell": f"bash -c '{PYTHON} passes.py; echo after'",
}
GRACE = ("--grace", "5,0.3,5")


@pytest.fixture
def wrapped(work: Workspace) -> Workspace:
    for name, text in {
        "c/a.py": "", "save.py": TRAINING, "wrapper.sh": SHELL, "launcher.py": LAUNCHER, "leaves.py": LEAVES_AT_ONCE,
        "orphans.py": ORPHANS, "passes.py": PASSES_ON,
    }.items():  # fmt: skip
        work.write(name, text)
    return work


def saved(work: Workspace) -> bool:
    return "checkpoint saved" in (work.batch / "a" / "stdout.log").read_text()


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_training_saves_behind_any_wrapper(wrapped: Workspace, wrapper: str) -> None:
    mark = uuid.uuid4().hex
    command = f"{WRAPPERS[wrapper]} # {{config}}"
    process = wrapped.start("--configs", "c/*.py", "--command", command, *GRACE, env={"RUNNER_TEST": mark})
    wait_until((wrapped / "ready").exists, "the training runs")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert saved(wrapped), (wrapped.batch / "a" / "combined.log").read_text()
    assert wrapped.result("a")["status"] == "interrupted" and wrapped.result("a")["duration_seconds"] < 25
    assert not carrying(mark)


@pytest.mark.parametrize(
    ("how", "status"),
    [("a time limit", "timeout"), ("a stall limit", "stalled"), ("the end of the engine", "interrupted"),
     ("stop", "interrupted")],
)  # fmt: skip
@pytest.mark.parametrize("wrapper", ["a shell", "a launcher that leaves at once"])
def test_every_way_to_stop_leaves_the_time_to_save(wrapped: Workspace, wrapper: str, how: str, status: str) -> None:
    mark = uuid.uuid4().hex
    limit = {"a time limit": ("--timeout", "3"), "a stall limit": ("--stall_timeout", "3")}.get(how, ())
    command = f"{WRAPPERS[wrapper]} # {{config}}"
    process = wrapped.start("--configs", "c/*.py", "--command", command, *GRACE, *limit, env={"RUNNER_TEST": mark})
    wait_until((wrapped / "ready").exists, "the training runs")
    if how == "the end of the engine":
        process.kill()
    elif how == "stop":
        wrapped.run("stop", code=0)
    process.communicate(timeout=30)
    wait_until((wrapped.batch / "a" / "experiment_result.json").exists, "the end is recorded")
    assert saved(wrapped) and wrapped.result("a")["status"] == status
    wait_until(lambda: not carrying(mark), "nothing is left behind")


def test_the_exit_code_is_that_of_the_wrapper_and_the_end_that_of_what_it_started(wrapped: Workspace) -> None:
    process = wrapped.start(
        "--configs", "c/*.py", "--command", WRAPPERS["a launcher that leaves at once"] + " {config}"
    )
    wait_until((wrapped / "ready").exists, "the training runs")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    result = wrapped.result("a")
    assert (result["status"], result["return_code"], result["signal"]) == ("interrupted", 7, None)
    assert saved(wrapped) and result["duration_seconds"] > 0.6


def test_what_a_wrapper_has_left_gets_the_later_steps_too(wrapped: Workspace) -> None:
    stubborn = "import os, signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    stubborn += (
        "def leave(*_):\n    print('terminated', flush=True)\n    os._exit(0)\nsignal.signal(signal.SIGTERM, leave)\n"
    )
    wrapped.write("save.py", stubborn + "open('ready', 'w').close()\nwhile True: time.sleep(60)\n")
    command = WRAPPERS["a launcher that leaves at once"] + " {config}"
    process = wrapped.start("--configs", "c/*.py", "--command", command, "--grace", "0.5,20,5")
    wait_until((wrapped / "ready").exists, "the training runs")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert "terminated" in (wrapped.batch / "a" / "stdout.log").read_text()
    assert wrapped.result("a")["return_code"] == 7 and 0.5 < wrapped.result("a")["duration_seconds"] < 18


@pytest.mark.parametrize("how", ["the last step", "a second Ctrl+C"])
def test_what_a_wrapper_has_left_is_killed_in_the_end(wrapped: Workspace, how: str) -> None:
    mark = uuid.uuid4().hex
    deaf = "import signal, time\nfor number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, signal.SIG_IGN)\n"
    wrapped.write("save.py", deaf + "open('ready', 'w').close()\nwhile True: time.sleep(60)\n")
    command = WRAPPERS["a launcher that leaves at once"] + " {config}"
    grace = "0.3,0.3,5" if how == "the last step" else "60,60,5"
    process = wrapped.start("--configs", "c/*.py", "--command", command, "--grace", grace, env={"RUNNER_TEST": mark})
    wait_until((wrapped / "ready").exists, "the training runs")
    process.send_signal(signal.SIGINT)
    if how == "a second Ctrl+C":
        wait_until(lambda: "Stopping" in wrapped.master_log(), "the first signal is heeded")
        insist(process, wrapped)
    process.communicate(timeout=30)
    assert not carrying(mark)
    assert wrapped.result("a")["status"] == "interrupted" and wrapped.result("a")["return_code"] == 7


def test_a_job_that_has_ended_by_itself_stays_completed(work: Workspace) -> None:
    work.write("c/a.sh", "trap '' INT TERM; (trap '' INT TERM; sleep 60) & exit 0")
    process = work.start("--configs", "c/a.sh", "--command", "sh {config}")
    wait_until((work / "experiments/latest/a/experiment_result.json").exists, "the result is written")
    process.send_signal(signal.SIGINT)  # while what the job left behind is ended
    process.communicate(timeout=30)
    assert work.result("a")["status"] == "completed" and work.result("a")["return_code"] == 0


@pytest.mark.slow
def test_both_processes_of_torchrun_save(work: Workspace) -> None:
    mark = uuid.uuid4().hex
    script = """\
import os, time, torch.distributed as dist
dist.init_process_group('gloo')
rank = dist.get_rank()
dist.barrier()
open(f'ready{rank}', 'w').close()
try:
    while True: time.sleep(0.1)
except KeyboardInterrupt:
    for _ in range(5): time.sleep(0.1)
    open(f'saved{rank}', 'w').close()
"""
    work.write("c/a.py", "")
    work.write("ddp.py", script)
    torchrun = f"{PYTHON} -m torch.distributed.run --standalone --nproc_per_node 2 ddp.py"
    command = f"bash -c '{torchrun}; echo after' # {{config}}"
    process = work.start("--configs", "c/*.py", "--command", command, env={"RUNNER_TEST": mark})
    wait_until(lambda: all((work / f"ready{rank}").exists() for rank in (0, 1)), "both ranks run", 120)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130 and work.result("a")["status"] == "interrupted"
    assert all((work / f"saved{rank}").exists() for rank in (0, 1))
    assert not carrying(mark)
