"""How the threads of a training wait for each other: chosen before torch is loaded, by what else the machine does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.shared import thread_waiting
from pipelines.shared.thread_waiting import Look, choose, cores_of_others, look
from runner.processes import cpus
from tests.conftest import PROJECT

BEFORE = Look(clock=100.0, busy=50.0, own=0.1)
SLEEP = {"OMP_WAIT_POLICY": "PASSIVE"}
SPIN = SLEEP | {"GOMP_SPINCOUNT": thread_waiting.SPINS}


def after(*, others: float, seconds: float = 0.2) -> Look:
    """A look some time later, with so many cores used by others and one by this process."""
    return Look(BEFORE.clock + seconds, BEFORE.busy + (others + 1) * seconds, BEFORE.own + seconds)


@pytest.fixture(autouse=True)
def _four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(4), raising=False)
    monkeypatch.setattr(cpus, "usable", lambda: 4.0)


def chosen(now: Look | None, **environ: str) -> dict[str, str]:
    choose(environ, BEFORE, now)
    return environ


def test_what_other_processes_use_is_what_is_busy_without_this_one() -> None:
    assert cores_of_others(BEFORE, after(others=1.5)) == pytest.approx(1.5)


@pytest.mark.parametrize("now", [None, after(others=0.0, seconds=0.01)])
def test_a_system_that_does_not_tell_and_too_short_a_time_say_nothing(now: Look | None) -> None:
    assert cores_of_others(BEFORE, now) is None
    assert chosen(now) == SLEEP


@pytest.mark.parametrize(("others", "expected"), [(0.0, SPIN), (0.4, SPIN), (0.8, SLEEP), (7.0, SLEEP)])
def test_threads_wait_a_moment_only_where_each_has_a_core(others: float, expected: dict[str, str]) -> None:
    assert chosen(after(others=others)) == expected


def test_a_part_of_the_cores_is_enough_for_as_many_threads() -> None:
    """One of two jobs at a time, which the runner gives half of the threads each."""
    assert chosen(after(others=2.1), OMP_NUM_THREADS="2") == SPIN | {"OMP_NUM_THREADS": "2"}
    assert chosen(after(others=2.1)) == SLEEP


def test_time_that_a_container_lacks_is_not_spent_on_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpus, "usable", lambda: 2.0)
    assert chosen(after(others=0.0)) == SLEEP


@pytest.mark.parametrize("given", [{"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "7"}])
def test_what_the_user_has_set_stays(given: dict[str, str]) -> None:
    assert chosen(after(others=0.0), **given) == given


def test_a_look_reads_the_time_of_all_cores(tmp_path: Path) -> None:
    (stat := tmp_path / "stat").write_text("cpu  1000 200 300 90000 50 10 20 70 5 0\ncpu0 1 2 3 4 5 6 7 8 9 0\n")
    found = look(stat)
    assert found is not None
    assert found.busy == pytest.approx(1530 / os.sysconf("SC_CLK_TCK"))
    assert look(tmp_path / "none") is None
    stat.write_text("cpu of another kind\n")
    assert look(stat) is None


@pytest.fixture
def busy() -> Iterator[None]:
    """A busy process for each core."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
    yield
    for process in processes:
        process.kill()
        process.wait()


PROGRAM = """
import importlib, os, sys, types
import train_run

def load(name):
    print(os.environ["OMP_WAIT_POLICY"], os.environ.get("GOMP_SPINCOUNT"), "torch" in sys.modules)
    return types.SimpleNamespace(run=lambda settings: 0)

train_run.importlib = types.SimpleNamespace(import_module=load)
sys.exit(train_run.main(["config/quickstart/easy.py"]))
"""


@pytest.mark.linux
@pytest.mark.usefixtures("busy")
def test_a_training_beside_other_work_has_threads_that_sleep() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["PASSIVE", "None", "False"]  # before torch is loaded, which reads them
