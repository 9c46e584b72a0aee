"""Which jobs share a GPU by their memory, with real leases, a false driver and a false clock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runner.core.job import Job
from runner.core.options import RunOptions
from runner.gpus import leases
from runner.gpus.devices import MEBIBYTE
from runner.gpus.leases import BY_MEMORY, Holder
from runner.gpus.packing import CONTEXT, MARGIN, Claim, claimed, fits, foreign_memory
from runner.processes import process_tree
from tests.gpus.machine import GIB, gpu, uuid
from tests.gpus.simulation import AUTO, Machine, steady
from tests.gpus.test_pool import Driver


@pytest.fixture(autouse=True)
def processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the simulation are not in /proc, which takes long to read."""
    monkeypatch.setattr(process_tree, "parents", dict)


def test_the_first_of_a_kind_runs_alone_and_later_ones_beside_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path, AUTO)
    machine.step()
    small = [machine.job(f"small{n}", width=1, seed=n) for n in range(3)]
    other = machine.job("other", width=2)
    assert machine.start(small[0], steady(10)) == 0
    machine.pass_by(110)
    assert machine.start(small[1], steady(10)) is None  # its start phase, 120 s, is not over
    machine.pass_by(140)  # and two windows in which it trains alone
    assert machine.start(small[1], steady(10)) == 0
    assert machine.start(small[2], steady(10)) is None  # one job at a time is in its start phase
    machine.pass_by(250)
    assert machine.start(other, steady(1)) is None  # of its kind nothing is known
    assert machine.start(small[2], steady(10)) == 0
    for one in small:
        machine.end(one.name)
    machine.step()
    assert machine.start(other, steady(1)) == 0


def test_a_slow_job_is_in_its_start_phase_until_its_fiftieth_iteration(tmp_path: Path) -> None:
    machine = Machine(tmp_path, RunOptions(jobs_per_gpu=4, gpu_memory=10 << 10, gpus="all"), speed=lambda jobs: 0.1)
    machine.step()
    machine.start(machine.job("a"), steady(5))
    machine.pass_by(490)
    assert machine.start(machine.job("b"), steady(5)) is None
    machine.pass_by(20)
    assert machine.start(machine.job("b"), steady(5)) == 0


def test_jobs_are_spread_before_they_share(tmp_path: Path) -> None:
    machine = Machine(tmp_path, RunOptions(jobs_per_gpu=BY_MEMORY, gpu_memory=10 << 10, gpus="all"), number=2)
    machine.step()
    assert [machine.start(machine.job(name), steady(9)) for name in "ab"] == [0, 1]


def test_declared_memory_bounds_the_jobs_on_a_gpu(tmp_path: Path) -> None:
    """Of 80 GiB 76 may be claimed: three times 24 GiB, with a tenth and 600 MiB each, are 81."""
    machine = Machine(tmp_path, RunOptions(jobs_per_gpu=8, gpu_memory=24 << 10, gpus="all"))
    machine.step()
    for name, expected in [("a", 0), ("b", 0), ("c", None)]:
        assert machine.start(machine.job(name), steady(2)) == expected, name
        machine.pass_by(130)
    machine.end("a")
    machine.step()
    assert machine.start(machine.job("c"), steady(2)) == 0


def test_a_job_that_uses_more_than_was_declared_counts_with_what_it_uses(tmp_path: Path) -> None:
    machine = Machine(tmp_path, RunOptions(jobs_per_gpu=8, gpu_memory=10 << 10, gpus="all"))
    machine.step()
    machine.start(machine.job("a"), steady(60))
    machine.pass_by(130)
    assert machine.start(machine.job("b"), steady(10)) is None


def test_no_job_is_added_when_the_sum_of_speeds_has_fallen(tmp_path: Path) -> None:
    speeds = {1: 1.0, 2: 0.9, 3: 0.4}
    machine = Machine(tmp_path, AUTO, speed=lambda jobs: speeds[jobs])
    machine.step()
    for name in "abc":
        assert machine.start(machine.job(name), steady(5)) == 0
        machine.pass_by(260)
    found = json.loads((tmp_path / "batch/a/gpu_use.json").read_text())
    assert found["gpu_packing"]["jobs"] == 2 and 1.6 < found["gpu_packing"]["times_one_alone"] < 2.0
    assert found["gpu_jobs_at_once"] == 3
    assert machine.start(machine.job("d"), steady(5)) is None
    machine.end("c")  # back to two: none comes in its place
    machine.pass_by(260)
    assert machine.start(machine.job("d"), steady(5)) is None
    machine.end("b")
    machine.step()
    assert machine.start(machine.job("d"), steady(5)) == 0


def test_the_claims_of_another_batch_count(tmp_path: Path) -> None:
    machine = Machine(tmp_path, RunOptions(jobs_per_gpu=BY_MEMORY, gpu_memory=10 << 10, gpus="all"))
    machine.step()
    locks = str(tmp_path / "locks")
    for need, expected in [(57 * GIB, 0), (60 * GIB, None), (None, None)]:
        other = leases.take(locks, [uuid(0)], 16, Holder("anna", 1, "night", "x", "", BY_MEMORY, need))
        assert other is not None
        assert machine.start(machine.job(f"a{need}"), steady(1)) == expected, need
        if expected is not None:
            machine.end(f"a{need}")
        leases.release(other.values())
        machine.step()


@pytest.mark.parametrize("places", [1, 2])
def test_a_gpu_of_a_batch_that_does_not_count_memory_is_not_shared(tmp_path: Path, places: int) -> None:
    machine = Machine(tmp_path, RunOptions(jobs_per_gpu=BY_MEMORY, gpu_memory=1 << 10, gpus="all"))
    machine.step()
    other = leases.take(str(tmp_path / "locks"), [uuid(0)], places, Holder("anna", 1, "night", "x", "", places))
    assert machine.start(machine.job("a"), steady(1)) is None
    leases.release((other or {}).values())
    assert machine.start(machine.job("a"), steady(1)) == 0


def result_of_oom(job: Job) -> None:
    """The last attempt of a job ran out of memory beside another one."""
    job.out_dir.mkdir(parents=True)
    record = {"status": "failed", "cause": "gpu_oom", "cause_sure": True, "gpu_jobs_at_once": 2, "attempt": 1}
    (job.out_dir / "experiment_result.json").write_text(json.dumps(record))


@pytest.mark.parametrize("options", [AUTO, RunOptions(jobs_per_gpu=3, gpus="all")], ids=["auto", "three"])
def test_a_job_that_ran_out_of_memory_beside_others_gets_a_gpu_alone(tmp_path: Path, options: RunOptions) -> None:
    machine = Machine(tmp_path, options)
    machine.step()
    again = machine.job("again")
    result_of_oom(again)
    assert machine.start(machine.job("a"), steady(5)) == 0
    machine.pass_by(300)
    assert machine.start(again, steady(5)) is None
    machine.end("a")
    machine.step()
    assert machine.start(again, steady(5)) == 0
    machine.pass_by(300)
    assert machine.start(machine.job("b"), steady(5)) is None


def test_its_kind_counts_for_more_from_then_on(tmp_path: Path) -> None:
    machine = Machine(tmp_path, RunOptions(jobs_per_gpu=BY_MEMORY, gpu_memory=10 << 10, gpus="all"))
    again = machine.job("again")
    result_of_oom(again)
    assert machine.sharing.need(machine.job("before")) == 10 * GIB
    assert machine.sharing.need(again) is None
    assert machine.sharing.need(machine.job("later")) == 11 * GIB


def test_the_sum_of_claims() -> None:
    assert fits(None, [], 80 * GIB, 0) and fits(90 * GIB, [], 80 * GIB, 0)  # the first gets the GPU in any case
    assert claimed(10 * GIB) == int(10 * GIB * MARGIN) + CONTEXT
    two = [Claim(10 * GIB), Claim(20 * GIB)]
    room = int(80 * GIB * 0.95) - claimed(10 * GIB) - claimed(20 * GIB)
    most = int((room - CONTEXT) / MARGIN)
    assert fits(most, two, 80 * GIB, 0) and not fits(most + MEBIBYTE, two, 80 * GIB, 0)
    assert not fits(most, two, 80 * GIB, 1 * GIB)
    assert not fits(None, two, 80 * GIB, 0) and not fits(1, [Claim(None)], 80 * GIB, 0)


def test_memory_that_no_lease_explains() -> None:
    def found(*processes: tuple[int, int | None], used: int) -> Any:
        shown = gpu(0, used=used)
        shown["processes"] = [{"pid": pid, "memory": memory} for pid, memory in processes]
        driver = Driver(lambda: 0.0)
        driver.show(shown)
        driver.begin()
        snapshot = driver.take()
        assert snapshot is not None
        return snapshot.gpus[0]

    assert foreign_memory(found((1, 5), (2, 3), used=10), {1}) == 5
    assert foreign_memory(found((2, 3), used=10), {1}) == 3  # ours has allocated nothing yet
    assert foreign_memory(found(used=10), set()) == 10
    assert foreign_memory(found((1, None), used=10), {1}) == 0
