"""Which GPU counts as free, in what order they are given, and who may overtake whom; with a false clock."""

from __future__ import annotations

import getpass
import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from runner.gpus import devices, leases
from runner.gpus.devices import MEBIBYTE, Snapshot
from runner.gpus.leases import Holder
from runner.gpus.pool import DRAIN, PATIENCE, Granted, Pool, Rules
from tests.gpus.machine import gpu, other_process, uuid

NOBODY = 1 << 30  # no process has this number
ME = Holder("me", os.getpid(), "batch", "job", "now")


class Driver:
    """In the place of a Looker: what it finds is what the test says, at once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.found: dict[str, Any] = {"driver": "1", "gpus": [gpu(0), gpu(1), gpu(2)]}
        self.looks = 0
        self._clock = clock
        self._ready: Snapshot | None = None

    def show(self, *gpus: dict[str, Any]) -> None:
        self.found = {"driver": "1", "gpus": list(gpus)}

    def begin(self) -> None:
        self.looks += 1
        self._ready = devices.read(json.dumps(self.found), self._clock())

    def take(self) -> Snapshot | None:
        found, self._ready = self._ready, None
        return found

    def fileno(self) -> int:
        return -1


class Bench:
    """A pool of three GPUs with its clock and its driver."""

    def __init__(self, folder: Path, rules: Rules, order: Sequence[int] = (0, 1, 2)) -> None:
        self.now = 1000.0
        self.driver = Driver(lambda: self.now)
        self.pool = Pool([uuid(n) for n in order], rules, str(folder), self.driver, lambda: self.now)  # type: ignore[arg-type]
        self.granted: list[Granted] = []

    def ask(self, job: str = "a", number: int = 1, after: float = 3.0) -> list[int] | str:
        """The indices of the GPUs that the job gets, or why it gets none."""
        self.now += after
        found = self.pool.offer(job, number, ME)
        self.pool.read()  # the look that it has begun, if one was due
        found = self.pool.offer(job, number, ME) if isinstance(found, str) else found
        if isinstance(found, str):
            return found
        self.granted.append(found)
        self.pool.started(found, NOBODY)
        return [one.index for one in found.gpus]

    def end(self, place: int = 0, supervisor: int = NOBODY) -> None:
        granted = self.granted.pop(place)
        leases.release(granted.descriptors)
        self.pool.ended(granted, NOBODY)
        self.pool.ended(granted, supervisor)


@pytest.fixture
def rules() -> Rules:
    return Rules()


@pytest.fixture
def bench(tmp_path: Path, rules: Rules) -> Iterator[Bench]:
    made = Bench(tmp_path, rules)
    yield made
    for granted in made.granted:
        leases.release(granted.descriptors)


@pytest.fixture
def stranger() -> Iterator[int]:
    """A process that no lease explains."""
    with other_process() as pid:
        yield pid


def test_gpus_are_given_in_the_order_of_preference(bench: Bench) -> None:
    assert bench.ask("a") == [0] and bench.ask("b", 2) == [1, 2]
    assert bench.granted[1].environment == {
        "CUDA_VISIBLE_DEVICES": f"{uuid(1)},{uuid(2)}", "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }  # fmt: skip
    (entry,) = bench.granted[0].entries()["gpus"]
    assert entry == {
        "uuid": uuid(0), "index": 0, "name": "Fake A100", "pci": "0000:00:00.0", "memory_total_mb": 81920,
        "driver": "1",
    }  # fmt: skip


def test_a_process_of_others_keeps_a_gpu_and_is_named(bench: Bench, stranger: int) -> None:
    bench.driver.show(gpu(0, stranger), gpu(1), gpu(2))
    assert bench.ask("a") == [1] and bench.ask("b") == [2]
    assert str(bench.ask("c")).startswith(f"no GPU is free: 0 {getpass.getuser()} python")
    assert "18.0 GiB since" in str(bench.ask("c"))


def test_memory_of_nobody_who_can_be_seen_counts_as_used(bench: Bench) -> None:
    bench.driver.show(gpu(0, used=499 * MEBIBYTE), gpu(1, used=501 * MEBIBYTE), gpu(2))
    assert bench.ask("a", 2) == [0, 2]
    assert "1 has memory in use, by a process that cannot be seen" in str(bench.ask("b"))


def test_a_gpu_that_others_used_must_look_free_for_a_while(bench: Bench, stranger: int) -> None:
    busy, free = [gpu(0, stranger), gpu(1, stranger), gpu(2, stranger)], [gpu(0), gpu(1), gpu(2)]
    bench.driver.show(*busy)
    bench.ask()
    bench.driver.show(*free)
    assert "0 was used by others until" in str(bench.ask(after=10))
    bench.driver.show(*busy)  # a neighbour's next job
    bench.ask(after=15)
    bench.driver.show(*free)
    assert "was used by others" in str(bench.ask(after=25))
    assert bench.ask(after=6) == [0]


def test_a_gpu_of_our_own_needs_no_such_while_but_a_look_after_its_job(bench: Bench, stranger: int) -> None:
    for name in "abc":
        bench.ask(name)
    bench.pool.started(bench.granted[0], stranger)
    bench.driver.show(gpu(0, stranger, used=9 << 30), gpu(1), gpu(2))
    assert bench.ask("d") == ""  # its own batch has them all: the usual wait
    bench.end(supervisor=stranger)
    bench.driver.show(gpu(0, used=9 << 30), gpu(1), gpu(2))  # the driver is slow to free what was used
    assert bench.ask("d", after=1) == ""
    bench.driver.show(gpu(0), gpu(1), gpu(2))
    assert bench.ask("d", after=3) == [0]


def test_what_a_job_left_on_its_gpu_is_named_after_a_while_and_never_leased(bench: Bench) -> None:
    for name in "abc":
        bench.ask(name)
    bench.end()
    bench.driver.show(gpu(0, NOBODY, used=9 << 30), gpu(1), gpu(2))
    assert bench.ask("d", after=DRAIN / 2) == ""
    assert "0 has 9.0 GiB in use since a job of this batch ended there" in str(bench.ask("d", after=DRAIN))
    assert "lsof /dev/nvidia*" in str(bench.ask("d", after=3600))
    bench.driver.show(gpu(0), gpu(1), gpu(2))
    bench.ask("d")
    assert bench.ask("d", after=Rules().settle) == [0]


def test_the_lease_of_another_batch_is_named(bench: Bench, tmp_path: Path) -> None:
    other = leases.take(str(tmp_path), [uuid(0), uuid(1), uuid(2)], 1, Holder("anna", 1, "night", "x", "21:04"))
    assert other is not None
    assert bench.ask("a") == "no GPU is free: " + "; ".join(f"{n} batch night job x of anna" for n in range(3))
    leases.release(other.values())
    assert bench.ask("a") == [0]


@pytest.mark.parametrize("rules", [Rules(places=2)])
def test_jobs_share_a_gpu_only_with_jobs_that_have_a_lease(bench: Bench, stranger: int) -> None:
    assert bench.ask("a") == [0]
    bench.pool.started(bench.granted[0], stranger)
    bench.driver.show(gpu(0, stranger, used=30 << 30), gpu(1), gpu(2))
    assert bench.ask("b") == [0] and bench.ask("c") == [1]
    bench.driver.show(gpu(0, stranger, used=30 << 30), gpu(1, 1), gpu(2))
    assert bench.ask("d") == [2]  # on 1 there is a process that is none of ours


@pytest.mark.parametrize("rules", [Rules(ignored_users=(getpass.getuser(),)), Rules(ignored_pids=(1,))])
def test_processes_that_do_not_count(bench: Bench, rules: Rules) -> None:
    pid = 1 if rules.ignored_pids else os.getppid()
    bench.driver.show(gpu(0, pid, used=9 << 30), gpu(1), gpu(2))
    assert bench.ask("a") == [0]


def test_a_driver_that_fails_gives_no_gpu_until_it_answers(bench: Bench) -> None:
    bench.driver.found = {"error": "nvmlInit_v2: Driver/library version mismatch (NVML error 18)"}
    assert "version mismatch" in str(bench.ask("a"))
    bench.driver.show({"index": 0, "uuid": uuid(0), "error": "GPU is lost"}, gpu(1), gpu(2))
    assert bench.ask("a") == [1] and bench.ask("b") == [2]
    assert "0 GPU is lost" in str(bench.ask("c"))


def test_an_old_look_is_not_believed(bench: Bench) -> None:
    bench.ask("a")
    before = bench.driver.looks
    bench.now += 3600
    assert bench.pool.offer("b", 1, ME) == "" and bench.driver.looks == before + 1
    bench.pool.read()
    found = bench.pool.offer("b", 1, ME)
    assert isinstance(found, Granted)
    bench.granted.append(found)


def test_a_job_that_waits_for_several_is_overtaken_for_a_while_only(bench: Bench) -> None:
    bench.ask("other")  # holds GPU 0
    assert bench.ask("large", 3) == ""
    for number in range(Rules().passes):
        assert bench.ask(f"small {number}") == [1]
        bench.end(1)
        bench.ask("large", 3)
    assert bench.ask("small") == ""  # from now on GPUs are kept free for it
    bench.end(0)
    assert bench.ask("large", 3) == [0, 1, 2]


def test_it_is_overtaken_for_half_an_hour_at_most(bench: Bench) -> None:
    bench.ask("other")
    bench.ask("large", 3)
    assert bench.ask("small") == [1]
    assert bench.ask("late", after=PATIENCE) == ""


def test_what_is_in_the_way_of_a_lock_is_a_reason_to_wait(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / f"{uuid(0)}.0").mkdir()
    assert f"{uuid(0)}.0: " in str(bench.ask("a"))


def test_two_batches_that_want_two_of_three_gpus_get_on_for_a_thousand_rounds(tmp_path: Path) -> None:
    """They prefer the GPUs in opposite orders. Whoever asks while the other has none gets them, always."""
    dice = random.Random(0)
    batches = [Bench(tmp_path, Rules(), order) for order in ((0, 1, 2), (2, 1, 0))]
    for _ in range(1000):
        one, other = dice.sample(batches, 2)
        if one.granted:
            one.end()
        elif other.granted:
            assert "fewer than 2 GPUs are free" in str(one.ask("job", 2))
        else:
            assert len(one.ask("job", 2)) == 2
    for batch in batches:
        for granted in batch.granted:
            leases.release(granted.descriptors)
