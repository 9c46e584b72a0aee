"""Try changes in a copy of the project. The tests run in forks of a process that has imported what they need."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from mutation.mutate import Mutant
from mutation.targets import PROJECT, SLOW, tests_of

SLOWER = 4.0  # times the seconds of the unchanged module: a change that takes longer never ends
LEAST = 20.0  # seconds that the tests may always take
LONGEST = 600.0  # seconds for tests of the unchanged code
KILLED, SURVIVED, TIMEOUT = "killed", "survived", "killed (never ended)"


class Worker:
    """A copy of the project in a temporary folder. One at a time in a process, whose working folder it becomes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stamp = time.time()
        self._seconds: dict[tuple[str, ...], float | None] = {}  # of tests, without a change
        copy_project(folder)
        os.chdir(folder)
        sys.path[:0] = [str(folder)]
        os.environ["PYTHONPATH"] = str(folder)
        preload()

    def try_out(self, mutant: Mutant, *, fast: bool) -> str:
        """Whether the tests of its module notice it: those that are fast, or else those with real processes."""
        tests = tests_of(mutant.module)
        for some in filter(None, tests[:1] if fast else tests):
            seconds = self._unchanged(some)
            if seconds is None:
                continue
            limit = max(LEAST, SLOWER * seconds)
            with self._changed(self._folder / mutant.module, mutant.source):
                code = self._run(some, limit)
            if code != 0:
                return TIMEOUT if code is None else KILLED
        return SURVIVED

    def _unchanged(self, tests: tuple[str, ...]) -> float | None:
        """The seconds that tests take without a change; None, said once, if they fail even so: they show nothing."""
        if tests not in self._seconds:
            began = time.monotonic()
            fails = self._run(tests, LONGEST) != 0
            self._seconds[tests] = None if fails else time.monotonic() - began
            if fails:
                print(f"left out, as they fail without any change: {' '.join(tests)}", flush=True)
        return self._seconds[tests]

    @contextlib.contextmanager
    def _changed(self, path: Path, changed: str) -> Iterator[None]:
        source = path.read_text()
        self._write(path, changed)
        try:
            yield
        finally:
            self._write(path, source)

    def _write(self, path: Path, text: str) -> None:
        """With a time of its own: Python recognizes what it has compiled before by time and size."""
        path.write_text(text)
        self._stamp += 2
        os.utime(path, (self._stamp, self._stamp))

    def _run(self, tests: tuple[str, ...], seconds: float) -> int | None:
        """The exit code of pytest; None if it did not end in time."""
        pid = os.fork()
        if pid == 0:
            run_tests([*tests])
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                end_session(pid)
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        end_session(pid)
        os.waitpid(pid, 0)
        return None


def copy_project(folder: Path) -> None:
    """What git knows or would add; folders of data and results stay where they are."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in names:
        if name and (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, folder / name)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)


def preload() -> None:
    """Import what tests import and nothing changes, so that a fork need not."""
    for name in ("hypothesis.strategies", "pydantic", "pytest", "rich.table", "yaml"):
        importlib.import_module(name)


def run_tests(tests: list[str]) -> None:
    """In the fork: until the first failure, in a session of its own. Never returns."""
    os.setsid()
    for name in [name for name in sys.modules if name.partition(".")[0] in ("runner", "tests", "pipelines", "model")]:
        del sys.modules[name]
    quiet = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(quiet, descriptor)
    pytest = sys.modules["pytest"]
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0", "--timeout=60"]
    code = 2
    try:
        marked = [] if SLOW.issuperset(tests) else ["-m", "not slow"]
        code = int(pytest.main([*options, *marked, *tests]))
    finally:
        os._exit(code)


def end_session(leader: int) -> None:
    """Kill what tests left: all processes of the session of the fork, and their jobs."""
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[3]) == leader:
                os.kill(int(folder.name), signal.SIGKILL)
