"""The parts of packing: kinds of jobs, peaks of memory, speeds of jobs that share a GPU, and what is recorded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runner.cli.option_types import jobs_per_gpu, memory
from runner.core.job import Job
from runner.core.result import Result
from runner.core.state import COMPLETED, Finished, Outcome, Record
from runner.disk import gpu_use
from runner.disk.place import Place
from runner.gpus import devices, mps, preallocation
from runner.gpus.devices import MEBIBYTE, Snapshot
from runner.gpus.kinds import CHANGE_NO_SIZE, kind_of
from runner.gpus.peaks import DEVICE, NONE, PID, Peak
from runner.gpus.throughput import Pace, Throughput
from runner.reports import gpu_memory
from tests.conftest import PROJECT
from tests.gpus.machine import gpu, uuid

TRAIN = Path("/p/train.py")


def job(name: str, config: dict[str, Any], *argv: str, script: Path | None = TRAIN) -> Job:
    return Job(name, argv or ("train", name), Path("/b") / name, config, script=script)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"width": 8, "seed": 1}, {"width": 8, "seed": 2}, True),
        ({"width": 8}, {"width": 9}, False),
        ({"optimizer": {"lr": 1, "name": "x"}}, {"optimizer": {"lr": 2, "name": "y"}}, True),
        ({"optimizer.learning-rate": 1, "w": 1}, {"optimizer.learning-rate": 2, "w": 1}, True),
        ({"optimizer": {"kind": "adam"}}, {"optimizer": {"kind": "sgd"}}, False),
        ({"unknown": 1}, {"unknown": 2}, False),
        ({"layers": [{"seed": 1}]}, {"layers": [{"seed": 2}]}, True),
    ],
)
def test_jobs_are_of_one_kind_if_nothing_differs_that_changes_a_size(
    one: dict[str, Any], other: dict[str, Any], *, same: bool
) -> None:
    assert (kind_of(job("a", one)) == kind_of(job("b", other))) is same
    assert kind_of(job("a", one)) != kind_of(job("a", one, script=Path("/p/other.py")))


def test_the_kind_of_a_job_without_a_config_is_that_of_its_command() -> None:
    def kind(name: str, *words: str) -> str:
        return kind_of(job(name, {}, "sh", "t.sh", *words, f"/b/{name}", script=None))

    assert kind("a", "--seed", "1", "--lr=2") == kind("b", "--seed", "5", "--lr=3")
    assert kind("a", "--width", "1") != kind("a", "--width", "2")


def test_the_document_lists_the_settings_that_change_no_size() -> None:
    text = (PROJECT / "docs" / "gpus.md").read_text().split("change no size: ")[1].split(".\n")[0]
    assert {word.strip().strip("`") for word in text.replace("\n", " ").split(",")} == CHANGE_NO_SIZE


def look(*gpus: dict[str, Any]) -> Snapshot:
    return devices.read(json.dumps({"driver": "1", "gpus": gpus}), 0.0)


def using(index: int, used: int, **pids: int | None) -> dict[str, Any]:
    """A GPU; `p7=5` is a process 7 that uses 5 bytes."""
    processes = [{"pid": int(name[1:]), "memory": memory} for name, memory in pids.items()]
    return gpu(index, used=used) | {"processes": processes}


def test_a_peak_is_the_most_that_all_processes_below_the_supervisor_used_on_one_gpu() -> None:
    peak, parents = Peak(7, {uuid(0): 0, uuid(1): 0}), {8: 7, 9: 8, 5: 1}
    assert peak.look(look(using(0, 99, p8=10, p9=20, p5=60), using(1, 9, p9=9)), parents, exclusive=True)
    assert (peak.value, peak.source) == (30, PID)
    assert not peak.look(look(using(0, 99, p8=10), using(1, 9)), parents, exclusive=True)
    assert not peak.look(look(using(0, 500)), parents, exclusive=True)  # nothing less exact takes its place
    assert (peak.value, peak.source) == (30, PID)


def test_without_processes_a_peak_is_the_growth_of_a_gpu_that_nobody_else_uses() -> None:
    peak = Peak(1 << 30, {uuid(0): 100})
    assert not peak.look(look(using(0, 600)), {}, exclusive=False)
    assert not peak.look(look(using(0, 600, p1=400)), {}, exclusive=True)  # somebody else is there
    assert (peak.value, peak.source) == (None, NONE)
    assert peak.look(look(using(0, 600)), {}, exclusive=True)
    assert (peak.value, peak.source) == (500, DEVICE)
    pid = 1 << 30
    assert peak.look(look(using(0, 600, **{f"p{pid}": 50})), {}, exclusive=True)  # from now on it can be seen
    assert (peak.value, peak.source) == (50, PID)


def paces(number: int, iterations: float | None) -> dict[str, Pace]:
    count = None if iterations is None else int(iterations)
    return {str(one): Pace("k", count, settled=True) for one in range(number)}


def settle(found: Throughput, number: int, speed: float, now: float) -> float:
    """Let so many jobs train at this speed for two windows; returns the time after it."""
    start = now * 100
    for step in range(3):
        found.look(paces(number, start + step * 60 * speed), now + 60 * step)
    return now + 180


def test_the_sum_of_speeds_is_compared_with_one_alone() -> None:
    found = Throughput(60.0, {})
    assert not found.may_grow(paces(1, 0))
    now = settle(found, 1, 10, 0)
    assert found.may_grow(paces(1, 0)) and found.best is None
    now = settle(found, 2, 9, now)
    assert found.may_grow(paces(2, 0)) and found.best == (2, pytest.approx(1.8))
    settle(found, 3, 4, now)
    assert not found.may_grow(paces(3, 0)) and not found.may_grow(paces(2, 0)) and found.limit == 2
    assert found.may_grow(paces(1, 0)) and found.best == (2, pytest.approx(1.8))


def test_a_fall_in_one_window_is_none() -> None:
    found = Throughput(60.0, {"k": 10.0}, gains={1: 1.0})
    for second, iteration in [(0, 0), (60, 100), (120, 1000)]:
        found.look(paces(2, iteration), second)
    assert found.limit is None and found.may_grow(paces(2, 0))


def test_a_window_begins_again_when_the_jobs_change_or_one_starts() -> None:
    found = Throughput(60.0, {})
    found.look(paces(1, 0), 0)
    found.look(paces(1, 600) | {"new": Pace("k", 0, settled=False)}, 60)
    found.look(paces(1, 1200), 120)
    found.look(paces(1, 1800), 180)
    assert found.gains == {} and not found.may_grow(paces(1, 0))


def test_jobs_that_never_say_how_far_they_are_are_not_held_back() -> None:
    found = Throughput(60.0, {})
    found.look(paces(1, None), 0)
    assert found.may_grow(paces(1, None)) and found.best is None


def test_a_gain_without_the_speed_of_one_alone_is_not_known() -> None:
    found = Throughput(60.0, {})
    settle(found, 2, 5, 0)
    assert found.may_grow(paces(2, 0)) and found.best is None and found.limit is None


@pytest.mark.parametrize(
    ("environ", "added"),
    [
        ({}, {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}),
        ({"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}, {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}),
        ({"XLA_CLIENT_MEM_FRACTION": ".4"}, {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}),
        ({"TF_FORCE_GPU_ALLOW_GROWTH": "true"}, {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}),
    ],
)
def test_a_job_that_shares_a_gpu_takes_memory_as_it_needs_it(environ: dict[str, str], added: dict[str, str]) -> None:
    assert preallocation.environment(environ) == added
    assert preallocation.problem({**environ, **added}, 2) is None


@pytest.mark.parametrize(
    ("environ", "jobs", "said"),
    [
        ({"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.5"}, 2, "give 0.47 at most"),
        ({"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.5", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}, 2, None),
        ({"XLA_CLIENT_MEM_FRACTION": "0.3"}, None, None),
        ({"XLA_CLIENT_MEM_FRACTION": "all"}, None, "XLA_CLIENT_MEM_FRACTION=all is too much"),
        ({"XLA_PYTHON_CLIENT_PREALLOCATE": "True"}, None, "three quarters"),
        ({"TF_FORCE_GPU_ALLOW_GROWTH": "0"}, None, "TensorFlow take the whole GPU"),
    ],
)
def test_a_value_of_the_users_own_that_takes_too_much_is_refused(
    environ: dict[str, str], jobs: int | None, said: str | None
) -> None:
    found = preallocation.problem(environ, jobs)
    assert found is None if said is None else said in (found or "")


@pytest.mark.parametrize(
    ("text", "mebibytes"), [("8GiB", 8192), ("8 g", 8192), ("8GB", 7630), ("900MiB", 900), ("1.5GiB", 1536)]
)
def test_an_amount_of_memory(text: str, mebibytes: int) -> None:
    assert memory(text) == mebibytes and jobs_per_gpu("auto") == 0 and jobs_per_gpu("3") == 3


ENTRIES = {"gpu_memory_peak_mb": 900, "gpu_memory_source": "pid", "gpu_jobs_at_once": 2,
           "gpu_packing": {"jobs": 2, "times_one_alone": 1.8}}  # fmt: skip


def test_the_result_takes_over_what_belongs_to_its_attempt(tmp_path: Path) -> None:
    assert gpu_use.read(str(tmp_path), 1) == {}
    gpu_use.write(Place(tmp_path), 1, ENTRIES)
    assert gpu_use.read(str(tmp_path), 1) == ENTRIES and gpu_use.read(str(tmp_path), 2) == {}


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"attempt": 1, "gpu_memory_peak_mb": -1, "gpu_packing": {"jobs": "x", "times_one_alone": 1}}',
     '{"attempt": 1, "gpu_memory_peak_mb": true, "gpu_memory_source": 7, "gpu_packing": []}'],
)  # fmt: skip
def test_what_is_odd_in_the_file_is_left_out(tmp_path: Path, content: str) -> None:
    (tmp_path / "gpu_use.json").write_text(content)
    assert gpu_use.read(str(tmp_path), 1) == {}


def recorded(folder: Path, **entries: Any) -> None:
    folder.mkdir(parents=True)
    record = {"status": COMPLETED, "gpu_memory_kind": "k", "gpu_memory_source": "pid", **entries}
    (folder / "experiment_result.json").write_text(json.dumps(record))


def test_the_peak_of_a_kind_is_the_largest_of_all_batches(tmp_path: Path) -> None:
    recorded(tmp_path / "b1/a", gpu_memory_peak_mb=100)
    recorded(tmp_path / "b1/sub/c/attempt_1", gpu_memory_peak_mb=300)
    recorded(tmp_path / "b2/a", gpu_memory_peak_mb=200)
    recorded(tmp_path / "b2/declared", gpu_memory_peak_mb=9000, gpu_memory_source="declared")
    recorded(tmp_path / "b2/odd", gpu_memory_peak_mb="much")
    (tmp_path / "b2/torn").mkdir()
    (tmp_path / "b2/torn/experiment_result.json").write_text('{"gpu_mem')
    (found,) = gpu_memory.measured(str(tmp_path)).items()
    assert found == ("k", gpu_memory.Measured(300 * MEBIBYTE, str(tmp_path / "b1/sub/c/attempt_1")))
    assert gpu_memory.measured(str(tmp_path / "missing")) == {}


def test_what_packing_brought_is_said_for_each_gpu() -> None:
    def record(index: int, times: float) -> Record:
        packing = {"jobs": 3, "times_one_alone": times}
        result = Result({"gpus": [{"uuid": uuid(index), "index": index}], "gpu_packing": packing})
        return Record(job("a", {}), Finished(None, "", 1.0, Outcome(COMPLETED), result))

    records = [record(1, 2.1), record(1, 1.9), record(0, 1.0), Record(job("b", {}))]
    assert gpu_memory.gain_lines(records) == [
        "Packing: 3 jobs on GPU 0: 1.0 times one alone", "Packing: 3 jobs on GPU 1: 2.1 times one alone",
    ]  # fmt: skip
    assert gpu_memory.gain_lines(records[-1:]) == [] and gpu_memory.gains(records)[1]["uuid"] == uuid(1)


@pytest.mark.linux
def test_a_running_mps_is_seen_by_its_name() -> None:
    program = "open('/proc/self/comm', 'w').write('nvidia-cuda-mps-server'); print(flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    assert mps.is_mps(process.pid) and mps.runs() and not mps.is_mps(1)
    process.communicate()
    assert not mps.is_mps(process.pid)
