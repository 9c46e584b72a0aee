"""What a job that is stopped for a limit leaves: real processes under a supervisor."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.disk.place import Place
from runner.supervisor import witness
from tests.conftest import PROJECT, alive, read, wait_until
from tests.faults import ended, request, supervised

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
STUCK = f"""\
import sys, threading, time
sys.path.insert(0, {str(PROJECT)!r})
from pipelines.shared import stacks
stacks.show_on_request()
def waits_for_nothing():
    threading.Event().wait()
threading.Thread(target=waits_for_nothing, daemon=True).start()
def is_stuck():
    print('ready', flush=True)
    time.sleep(600)
is_stuck()
"""
#: It would write the file caught if it got the signal.
OTHER = """\
import signal, time
signal.signal(signal.SIGUSR2, lambda *_: open('caught', 'w').close())
print('ready', flush=True)
time.sleep(600)
"""
#: It shows nothing, and the signal would kill it.
UNABLE = "import os, time; os.memfd_create('runner_stacks'); print('ready', flush=True); time.sleep(600)"


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], int]]:
    """Start a program, a child of this process, and wait until it says that it is ready."""
    monkeypatch.setattr(witness, "WITHIN", 60.0)
    started: list[subprocess.Popen[str]] = []

    def start(script: str) -> int:
        argv = [sys.executable, "-c", script]
        started.append(subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout is not None and started[-1].stdout.readline() == "ready\n"
        return started[-1].pid

    yield start
    for process in started:
        process.kill()
        process.communicate()


def written(folder: Path) -> str:
    witness.write(Place(folder), "stalled")
    return (folder / "witness.txt").read_text()


def test_a_training_of_ours_shows_where_its_threads_stand(tmp_path: Path, child: Callable[[str], int]) -> None:
    pid = child(STUCK)
    wait_until(lambda: all(name in written(tmp_path) for name in ("in is_stuck", "in waits_for_nothing")), "the stacks")
    text = written(tmp_path)
    assert "stalled; its processes then:" in text and f"process {pid} (" in text and f"stacks of {pid}:" in text
    assert f"thread {pid} (" in text and "waits for" in text and "Threads 2" in text


@pytest.mark.parametrize("script", [OTHER, UNABLE], ids=["it has a handler of its own", "it has no handler"])
def test_another_program_gets_no_signal(tmp_path: Path, child: Callable[[str], int], script: str) -> None:
    pid = child(script)
    text = written(tmp_path)
    assert f"process {pid} (" in text and "stacks of" not in text
    assert alive(pid) and not (tmp_path / "caught").exists()


@pytest.mark.parametrize("limit", ["timeout", "stall_timeout"])
def test_a_job_that_is_stopped_for_a_limit_leaves_a_witness(tmp_path: Path, limit: str) -> None:
    limits: Any = {limit: 0.5}
    ended(supervised(request(tmp_path / "a", "sleep", "600", **limits)))
    status = read(tmp_path / "a" / "experiment_result.json")["status"]
    assert f" {status}; its processes then:" in (tmp_path / "a" / "witness.txt").read_text()


def test_a_job_that_ends_by_itself_leaves_none(tmp_path: Path) -> None:
    ended(supervised(request(tmp_path / "a", "sh", "-c", "exit 1", timeout=60)))
    assert not (tmp_path / "a" / "witness.txt").exists()
