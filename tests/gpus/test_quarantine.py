"""Which GPUs are given to no job any more, and which error of a job is one of its GPU."""

from __future__ import annotations

import json

import pytest

from runner.core.result import Result
from runner.gpus import devices, faults
from runner.gpus.devices import Gpu
from runner.gpus.faults import Fault
from runner.gpus.quarantine import MOVES, Quarantine
from tests.gpus.machine import gpu, uuid


def card(index: int) -> Gpu:
    return devices.read(json.dumps({"gpus": [gpu(index)]}), 0.0).gpus[0]


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        ("RuntimeError: CUDA error: uncorrectable ECC error encountered", Fault.BROKEN),
        ("Unable to determine the device handle for GPU0000:07:00.0: GPU is lost.", Fault.BROKEN),
        ("NVRM: Xid (PCI:0000:07:00): 79, pid=4711, GPU has fallen off the bus.", Fault.BROKEN),
        ("kernel: NVRM: Xid (PCI:0000:07:00): 48, pid=1, DBE", Fault.BROKEN),
        ("NVRM: Xid (PCI:0000:07:00): 31, pid=1, Ch 00000008, MMU Fault", None),  # of the program
        ("RuntimeError: CUDA error: device-side assert triggered", Fault.SUSPECTED),
        ("torch.AcceleratorError: CUDA error: an illegal memory access was encountered", Fault.SUSPECTED),
        ("CUDA error: all CUDA-capable devices are busy or unavailable", Fault.SUSPECTED),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", None),
        ("ValueError: the GPU list is empty", None), ("KeyError: 'ECC'", None), (None, None),
    ],
)  # fmt: skip
def test_the_last_error_tells_what_is_wrong_with_a_gpu(error: str | None, fault: Fault | None) -> None:
    found = faults.of(Result({"status": "failed", "error": error}))
    assert (found and found[0]) == fault
    assert found is None or found[1] == error


def test_a_cause_that_is_known_counts_and_its_line_is_kept() -> None:
    record = {"status": "failed", "error": "exit code 1", "cause": "device", "cause_evidence": {"line": "GPU error 7"}}
    assert faults.of(Result(record)) == (Fault.SUSPECTED, "GPU error 7")


def test_what_is_wrong_with_the_whole_machine_is_held_against_no_gpu() -> None:
    line = "RuntimeError: CUDA error: no kernel image is available for execution on the device"
    assert faults.of(Result({"status": "failed", "error": line, "cause": "device"})) is None


def test_a_broken_gpu_is_not_given_again() -> None:
    kept = Quarantine()
    kept.failed("a", [card(1)], Fault.BROKEN, "GPU is lost")
    assert kept.reasons() == {uuid(1): "is in quarantine (GPU is lost)"} and kept.may_move("a", 2, 1)
    assert kept.entries() == [{"uuid": uuid(1), "index": 1, "name": "Fake A100", "reason": "GPU is lost"}]
    kept.worked([card(1)])
    assert kept.reasons()


def test_two_jobs_in_a_row_that_fail_on_a_gpu_put_it_into_quarantine() -> None:
    kept = Quarantine()
    kept.failed("a", [card(0)], Fault.SUSPECTED, "illegal memory access")
    assert not kept.reasons()
    kept.worked([card(0)])
    kept.failed("b", [card(0)], Fault.SUSPECTED, "illegal memory access")
    assert not kept.reasons()
    kept.failed("c", [card(0)], Fault.SUSPECTED, "illegal memory access")
    assert list(kept.reasons()) == [uuid(0)]


def test_a_job_that_fails_on_two_gpus_is_itself_to_blame() -> None:
    kept = Quarantine()
    for job in "ab":
        kept.failed(job, [card(0)], Fault.SUSPECTED, "assert")
    assert list(kept.reasons()) == [uuid(0)]
    kept.failed("a", [card(1)], Fault.SUSPECTED, "assert")
    assert not kept.reasons() and set(kept.left_by("a")) == {uuid(0), uuid(1)}


def test_code_that_fails_everywhere_costs_no_gpu() -> None:
    """Three jobs with one error, which run at once, and each of them again on the next GPU."""
    kept = Quarantine()
    for turn in range(3):
        for number, job in enumerate("abc"):
            kept.failed(job, [card((number + turn) % 3)], Fault.SUSPECTED, "assert")
    assert not kept.reasons()


def test_a_job_of_several_gpus_condemns_none_at_once() -> None:
    kept = Quarantine()
    kept.failed("a", [card(0), card(1)], Fault.BROKEN, "GPU is lost")
    assert not kept.reasons() and set(kept.left_by("a")) == {uuid(0), uuid(1)}


def test_a_job_is_moved_twice_at_the_most_and_only_where_there_is_room() -> None:
    kept = Quarantine()
    assert not kept.may_move("a", others=1, number=2)
    assert [kept.may_move("b", 3, 1) for _ in range(MOVES + 1)] == [True] * MOVES + [False]
