"""Jobs that run out of memory: started with smaller batches, after others, or alone. Stories with a fake executor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.options import RunOptions
from runner.core.plan_kind import PlanKind
from runner.engine import loop
from runner.engine.adjustments import Adjustments
from runner.engine.protocols import Lease
from runner.planners.smaller_batches import Sizes, sizes, smaller
from runner.processes.signals import NoSignals
from tests.engine.fakes import NOWHERE, Clock, FakeExecutor, Recorder, job

KEYS = ("batch_size", "gradient_accumulation_steps")
OOM, FOREIGN, HOST = "failed~gpu_oom~x", "failed~gpu_oom_foreign~x", "failed~host_oom~x"


def changed(planned: Job, now: Sizes) -> Job:
    before = sizes(planned.config, KEYS)
    assert before is not None
    return replace(planned, adjusted=dict(zip(KEYS, zip(before, now, strict=True), strict=True)))


class Recording(FakeExecutor):
    """Remembers with which micro-batch each job was started."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.started: list[str] = []

    def submit(self, job: Job, lease: Lease) -> Any:
        batch = job.adjusted[KEYS[0]][1] if job.adjusted else job.config.get(KEYS[0])
        self.started.append(f"{job.name}{batch}")
        return super().submit(job, lease)


def run(
    behaviours: Mapping[str, Sequence[str]],
    configs: Mapping[str, Mapping[str, Any]],
    change: Any = changed,
    earlier: Sequence[tuple[str, Sizes]] = (),
    slots: int = 1,
    **options: Any,
) -> tuple[list[str], str, Recorder]:
    """How jobs were started, the first letters of their statuses, and what was said."""
    run_options = RunOptions(max_workers=slots, retry_delay=1.0, **options)
    jobs = {name: replace(job(name), config=config) for name, config in configs.items()}
    plan = Plan("b", NOWHERE, tuple(jobs.values()), PlanKind("configs"), "", options=run_options)
    clock, seen = Clock({}), Recorder()
    executor = Recording(behaviours, slots, clock, {}, {})
    adjustments = Adjustments(run_options, change, [(jobs[name], now) for name, now in earlier])
    with NoSignals() as signals:
        records = loop.run(plan, executor, [seen], signals, clock=clock, adjustments=adjustments)
    assert [record.job for record in records] == list(plan.jobs)  # as planned, whatever they were started with
    return executor.started, "".join(record.status[0] for record in records), seen


def config(batch: int, steps: int = 1, **more: Any) -> dict[str, Any]:
    return dict(zip(KEYS, (batch, steps), strict=True)) | more


def test_a_job_runs_again_with_half_the_batch_until_it_fits() -> None:
    started, statuses, seen = run({"a": [OOM, OOM, "completed"]}, {"a": config(32)}, oom_retry=3)
    assert started == ["a32", "a16", "a8"] and statuses == "c"
    first = "a runs again with batch_size 32 -> 16, gradient_accumulation_steps 1 -> 2 after gpu_oom, try 1 of 3."
    assert seen.notices[0] == first
    assert "a: batch_size 32 -> 8, gradient_accumulation_steps 1 -> 4 after gpu_oom" in seen.notices


def test_no_more_tries_than_allowed_and_none_without_the_option() -> None:
    assert run({"a": [OOM] * 9}, {"a": config(32)}, oom_retry=2)[:2] == (["a32", "a16", "a8"], "f")
    assert run({"a": [OOM] * 9}, {"a": config(2)}, oom_retry=9)[:2] == (["a2", "a1"], "f")
    assert run({"a": [OOM] * 9}, {"a": config(32)})[:2] == (["a32"], "f")


def test_pending_jobs_of_the_same_kind_start_with_what_was_learned() -> None:
    configs = {"a": config(32, seed=1), "b": config(32, seed=2), "c": config(32, n_layer=2)}
    started, statuses, _ = run({"a": [OOM, "completed"]}, configs, oom_retry=1)
    assert started == ["a32", "a16", "b16", "c32"] and statuses == "ccc"


def test_what_an_earlier_run_learned_is_kept() -> None:
    started, _, _ = run({}, {"a": config(32), "b": config(32)}, earlier=[("a", (8, 4))], oom_retry=1)
    assert started == ["a8", "b8"]
    assert run({}, {"a": config(32)}, earlier=[("a", (8, 4))])[0] == ["a32"]  # the option was taken back


@pytest.mark.parametrize("options", [{"slots": 2}, {"gpus": "GPU-1", "jobs_per_gpu": 2, "slots": 2}])
def test_a_job_that_shares_its_gpu_is_not_made_smaller(options: dict[str, Any]) -> None:
    assert run({"a": [OOM, "completed"]}, {"a": config(32)}, oom_retry=3, **options)[:2] == (["a32"], "f")


def test_workers_with_a_gpu_each_do_not_share() -> None:
    found = run({"a": [OOM, "completed"]}, {"a": config(32)}, oom_retry=3, gpus="GPU-1,GPU-2", slots=2)
    assert found[:2] == (["a32", "a16"], "c")


@pytest.mark.parametrize("values", [{}, {"batch_size": 32}, config(32) | {"batch_size": 0.5}, config(1)])
def test_a_job_whose_sizes_are_not_known_fails_as_before(values: dict[str, Any]) -> None:
    assert run({"a": [OOM, "completed"]}, {"a": values}, oom_retry=3)[1] == "f"


def test_a_change_that_does_not_reach_the_program_is_said() -> None:
    def refuses(planned: Job, now: Sizes) -> Job:
        raise UserError("the --command has no {overrides}")

    started, statuses, seen = run({"a": [OOM, OOM, OOM]}, {"a": config(32)}, refuses, oom_retry=3)
    assert started == ["a32", "a32"] and statuses == "f"
    assert "a: is started as planned: the --command has no {overrides}" in seen.notices


def test_smaller_tries_are_no_retries() -> None:
    behaviours = {"a": [OOM, "failed", "completed"]}
    started, statuses, _ = run(behaviours, {"a": config(4)}, oom_retry=1, retries=1)
    assert started == ["a4", "a2", "a2"] and statuses == "c"


def test_memory_that_others_had_is_waited_for_and_counts_as_no_retry() -> None:
    started, statuses, seen = run({"a": [FOREIGN, FOREIGN, "completed"]}, {"a": config(32)}, oom_retry=1)
    assert started == ["a32"] * 3 and statuses == "c"
    assert "others had the memory of its GPU; it runs again in 1.0 s" in seen.notices[0]
    assert run({"a": [FOREIGN] * 20}, {"a": config(32)}, oom_retry=1)[0] == ["a32"] * 6  # not for ever
    assert run({"a": [FOREIGN, "completed"]}, {"a": config(32)})[1] == "f"  # nothing is tried again by default


def test_after_the_memory_of_the_machine_ran_out_a_retry_runs_alone() -> None:
    behaviours = {"a": [HOST, "completed:5"], "b": ["completed:3"], "c": ["completed:3"], "d": ["completed"]}
    configs = {name: {} for name in "abcd"}
    _, statuses, seen = run(behaviours, configs, slots=2, retries=1)
    assert statuses == "cccc"
    starts = [line for line in seen.lines if "starts" in line]
    at = {line.split()[0]: float(line.partition("@")[2]) for line in starts}  # the last start of each
    assert at["d"] >= at["a"] + 5 or at["d"] < at["a"]
    assert all(other >= at["a"] + 5 or other + 3 <= at["a"] for name, other in at.items() if name in "bc")


@given(st.integers(1, 4096), st.integers(1, 64))
def test_the_product_stays_and_the_accumulation_grows_by_a_whole_factor(micro: int, steps: int) -> None:
    found = smaller((micro, steps))
    if found is None:
        assert micro == 1
        return
    part, more = found
    assert 1 <= part <= micro // 2 and part * more == micro * steps and more % steps == 0
    assert not any(micro % other == 0 for other in range(part + 1, micro // 2 + 1))
