"""The sampler: what it notes of real processes, how often, and what it costs at most."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from runner.core.job import Job
from runner.core.state import Finished, Outcome, Record, Running
from runner.core.text import duration
from runner.disk.place import Place
from runner.engine.events import JobEnded, JobStarted, Tick
from runner.gpus.devices import Gpu, GpuProcess, Snapshot
from runner.observers.resources import MOST, Resources, Watched
from runner.processes import usage
from runner.processes.usage import Process
from tests.conftest import PROJECT, wait_until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def started(folder: Path, pid: int) -> JobStarted:
    folder.mkdir(exist_ok=True)
    job = Job(name=folder.name, config=folder / "a.py", out_dir=folder, argv=())
    return JobStarted(Record(job, Running("2026-01-01T00:00:00.000+00:00", pid), 1))


def rows(folder: Path) -> list[dict[str, object]]:
    path = folder / "resources.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Clock:
    """A clock that a look moves forward by `cost`."""

    def __init__(self, cost: float = 0.0) -> None:
        self.now, self.cost, self.looks = 100.0, cost, 0

    def __call__(self) -> float:
        return self.now

    def table(self) -> dict[int, Process]:
        self.looks += 1
        self.now += self.cost
        return {7: Process(3, 0.0, 1.5, 1, 0), 8: Process(7, 2.0, 0.5, 4, 1 << 20), 9: Process(8, 1.0, 0.0, 1, 1 << 20)}


def test_processes_are_counted_with_those_that_ended(tmp_path):
    """A supervisor, a job with a child in a session of its own that burns time, and one that ended before."""
    code = (
        "import subprocess, sys, time\n"
        "burn = 'import time\\nwhile time.process_time() < 0.3: pass'\n"
        "subprocess.run([sys.executable, '-c', burn])\n"
        "kept = bytearray(64 << 20)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'kept = bytearray(32 << 20); input()'], "
        "stdin=subprocess.PIPE, start_new_session=True)\n"
        "print('ready', flush=True); input()"
    )
    shell = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"]
    with subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None and supervisor.stdout.readline() == "ready\n"
        found = wait_until(  # the kernel counts rss roughly, and the child still grows
            lambda: (
                (u := usage.usage(supervisor.pid, usage.table(), exact=True))
                and u.pss is not None and 96 << 20 <= u.pss <= 1.1 * u.rss and u
            ), "its memory is seen",
        )  # fmt: skip
        supervisor.communicate("\n")
    assert found.processes == 2 and found.cpu_seconds >= 0.3


def test_a_row_has_what_is_known(tmp_path):
    clock, folder = Clock(), tmp_path / "a"
    gpus = (Gpu("GPU-1", 1, memory_total=100, processes=(GpuProcess(9, 40), GpuProcess(1, 7)),
                activity={"utilization": 30}), Gpu("GPU-2", 2))  # fmt: skip
    looker = SimpleNamespace(fileno=lambda: 3, take=lambda: Snapshot(gpus, taken_at=clock.now), begin=lambda: None)
    watch = Resources(now=clock, look=looker, table=clock.table, cpu=clock)
    watch(started(folder, 8))
    for _ in range(2):
        clock.now += 1
        watch(Tick())
    first, second = rows(folder)
    assert 0 < first["memory_limit"] <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < first["disk_free"] <= shutil.disk_usage(folder).total and "disk_free" not in second
    assert first["cpu_seconds"] == 5.0 and "cpu_percent" not in first and second["cpu_percent"] == 0.0
    assert (first["processes"], first["threads"], first["rss"]) == (2, 5, 2 << 20)
    assert first["gpus"] == [
        {"uuid": "GPU-1", "index": 1, "memory_total": 100, "memory": 40, "others": 1, "utilization": 30}
    ]


@pytest.mark.parametrize(("cost", "looks", "written"), [(0.0, 120, 75), (0.02, 11, 11)])
def test_the_time_between_looks_and_rows_follows_the_age_and_the_cost(tmp_path, cost, looks, written):
    clock, folder = Clock(cost), tmp_path / "a"
    watch = Resources(now=clock, look=None, table=clock.table, cpu=clock)
    watch._look = None
    watch(started(folder, 8))
    while clock.now < 220:
        clock.now += 0.25
        watch(Tick())
    assert looks * 0.8 <= clock.looks <= looks and written * 0.8 <= len(rows(folder)) <= written
    assert clock.looks * cost <= MOST * 120 + cost


def test_a_week_has_about_ten_thousand_rows(tmp_path):
    job, now, written = Watched(Place(tmp_path), 8, 0.0, 0.0), 0.0, 0
    while now < 7 * 86400:
        now += job.wait(now)
        written += 1
    assert 8_000 <= written <= 12_000


@pytest.mark.parametrize(("status", "seconds"), [("failed", 58), ("completed", 12)])
def test_of_a_job_that_failed_the_last_minute_is_known_to_the_second(tmp_path, status, seconds):
    clock, folder = Clock(), tmp_path / "a"
    watch = Resources(now=clock, look=None, table=clock.table, cpu=clock)
    watch._look = None
    event = started(folder, 8)
    watch(event)
    while clock.now < 400:
        clock.now += 0.5
        watch(Tick())
    ended = Finished(None, "2026-01-01T00:05:00.000+00:00", 300.0, Outcome(status))
    before = rows(folder)
    watch(JobEnded(Record(event.record.job, ended, 1)))
    last = sorted(row["elapsed"] for row in rows(folder) if row["elapsed"] >= 240)
    assert seconds <= len(last) == len(set(last)) <= seconds + 3
    assert rows(folder)[: len(before)] == before and max(b - a for a, b in pairwise(last)) <= 5.5


def test_the_energy_of_processors_is_noted_where_it_can_be_read(tmp_path):
    clock = Clock()
    watch = Resources(now=clock, look=None, table=clock.table, cpu=clock)
    watch._look, watch._meter = None, SimpleNamespace(joules=lambda: 12.34)
    watch(started(tmp_path / "a", 8))
    clock.now += 1
    watch(Tick())
    assert [row["cpu_energy_j"] for row in rows(tmp_path / "a")] == [12.3]


def test_nothing_is_looked_at_without_jobs_and_a_folder_that_is_gone_ends_nothing(tmp_path):
    clock, folder = Clock(), tmp_path / "a"
    watch = Resources(now=clock, look=None, table=clock.table, cpu=clock)
    watch._look = None
    event = started(folder, 8)
    watch(event)
    folder.rmdir()
    clock.now += 2
    watch(Tick())
    watch(JobEnded(event.record))
    clock.now += 100
    watch(Tick())
    assert clock.looks == 1 and not folder.exists()


@pytest.mark.slow
def test_a_batch_of_a_foreign_script_notes_what_it_used(tmp_path):
    (tmp_path / "train.py").write_text(
        "import time\nkept = bytearray(50 << 20)\nbegun = time.monotonic()\n"
        "while time.process_time() < 1.5 or time.monotonic() - begun < 4: pass\n"
    )
    (tmp_path / "a.py").write_text("")
    words = [str(PROJECT / "run_experiments.py"), "--configs", "a.py", "--train_script", "train.py"]
    done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = tmp_path.glob("experiments/latest/a")
    used = json.loads((folder / "experiment_result.json").read_text())["resources"]
    assert used["cpu_seconds"] >= 1.5 and used["max_rss"] >= 50 << 20
    assert used["max_memory"] >= 50 << 20 and used["memory_how"] in ("pss", "rss") and used["max_processes"] >= 1
    assert max(row["cpu_seconds"] for row in rows(folder)) <= used["cpu_seconds"] + 0.1
    words = [str(PROJECT / "run_experiments.py"), "status", "--resources"]
    text = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert f"{duration(used['cpu_seconds'])} of processor time, " in text
