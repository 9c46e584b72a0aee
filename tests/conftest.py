"""A workspace in a temporary folder, and the real command line run in it. Handshakes poll files, with deadlines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, settings

# A loaded machine is no fault of what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# nohup and background shells ignore these two, and what is started here would inherit that.
for number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

# Two tests run at a time on two cores: more threads than cores wait for each other, and take several times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

PROJECT = Path(__file__).resolve().parent.parent
RUN_EXPERIMENTS = PROJECT / "run_experiments.py"
DEADLINE = 30.0
ECHO = "import sys; print('\\n'.join(sys.argv[1:]))\n"


def wait_until(true: Callable[[], Any], what: str, seconds: float = DEADLINE) -> Any:
    """Poll until `true()` is truthy, and return it; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := true():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs Linux elsewhere."""
    if not sys.platform.startswith("linux"):
        for item in items:
            if item.get_closest_marker("linux"):
                item.add_marker(pytest.mark.skip(reason="needs Linux"))


def alive(pid: int) -> bool:
    """True for a process that is there and no zombie."""
    if not sys.platform.startswith("linux"):
        return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the second: it ended between open and read
        return False


class Workspace:
    """A folder to run in, with helpers that write files and start run_experiments.py."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[str]] = []

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def start(self, *arguments: object, **settings: Any) -> subprocess.Popen[str]:
        """run_experiments.py, running; its output is read as text."""
        settings.setdefault("stdout", subprocess.PIPE)
        settings.setdefault("stderr", subprocess.PIPE)
        environment = {**os.environ, "TERM": "dumb", **settings.pop("env", {})}
        command = [sys.executable, str(RUN_EXPERIMENTS), *map(str, arguments)]
        process = subprocess.Popen(command, cwd=self.folder, text=True, env=environment, **settings)
        self.started.append(process)
        return process

    def run(self, *arguments: object, code: int | None = None, **settings: Any) -> subprocess.CompletedProcess[str]:
        """run_experiments.py, run to its end; `code` is the exit code that it must have."""
        process = self.start(*arguments, **settings)
        out, err = process.communicate(timeout=120)
        if code is not None:
            assert process.returncode == code, f"exit code {process.returncode}\n{out}\n{err}"
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    @property
    def batch(self) -> Path:
        """The latest batch."""
        return (self.folder / "experiments" / "latest").resolve()

    @property
    def summary(self) -> dict[str, Any]:
        return read(self.batch / "experiment_summary.json")

    def result(self, name: str) -> dict[str, Any]:
        return read(self.batch / name / "experiment_result.json")

    def master_log(self) -> str:
        return (self.batch / "master_log.txt").read_text()


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def runs(work: Workspace) -> list[int]:
    """The processes of all attempts that wrote themselves into `runs`."""
    path = work / "runs"
    return [int(pid) for pid in path.read_text().split()] if path.exists() else []


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def signalled_at(child: subprocess.Popen[str], begin: str, number: int) -> tuple[str, str]:
    """Send a signal when a line that begins so is printed; the rest of its output, once it has ended."""
    assert child.stdout is not None
    try:
        for line in child.stdout:
            if line.startswith(begin):
                break
        child.send_signal(number)
        return child.communicate(timeout=120)
    finally:
        child.kill()


def insist(process: subprocess.Popen[str], work: Workspace) -> None:
    """Ctrl+C until it counts as a second request: one that comes at once counts as an echo of the first."""

    def taken() -> bool:
        process.send_signal(signal.SIGINT)
        return "Killing" in work.master_log()

    wait_until(taken, "the second signal is heeded")


@pytest.fixture(autouse=True)
def no_variables_left_behind() -> Iterator[None]:
    """torch sets variables when it first steps an optimizer, and what a later test starts would inherit them."""
    before = set(os.environ)
    yield
    for name in set(os.environ) - before:
        del os.environ[name]


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Workspace]:
    workspace = Workspace(tmp_path)
    yield workspace
    for process in workspace.started:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture
def echo(work: Workspace) -> Workspace:
    """A workspace with a script that prints its arguments, and one config."""
    work.write("echo.py", ECHO)
    work.write("c/a.py", "x = 1\n")
    return work
