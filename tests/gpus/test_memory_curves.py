"""Over random memory curves the jobs that share a GPU never use more than it has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.core.options import RunOptions
from runner.gpus.leases import BY_MEMORY
from runner.gpus.packing import CONTEXT
from runner.processes import process_tree
from tests.gpus.machine import GIB
from tests.gpus.simulation import Machine

pytestmark = pytest.mark.slow

#: For each kind its peak in GiB, and for each job its kind, how far it is from that peak, and how long it runs.
KINDS = st.lists(st.floats(0.5, 60.0), min_size=1, max_size=4)
JOBS = st.lists(st.tuples(st.integers(0, 3), st.floats(0.96, 1.04), st.integers(130, 700)), min_size=2, max_size=6)


def curve(peak: float, delay: float, first: float) -> Callable[[float], float]:
    """Nothing at first, then a part, and the peak at an evaluation before the start phase is over."""
    return lambda seconds: 0.0 if seconds < delay else peak * (first if seconds < 100 else 1.0) * GIB + CONTEXT


@given(KINDS, JOBS, st.floats(0, 60), st.floats(0.1, 1.0), st.booleans())
@settings(max_examples=150, deadline=None)
def test_no_sum_is_ever_above_the_memory_of_a_gpu(
    kinds: list[float], jobs: list[tuple[int, float, int]], delay: float, first: float, declared: bool
) -> None:
    """Over random memory curves: two GPUs, kinds that differ, jobs that begin late to use what they need."""
    options = RunOptions(jobs_per_gpu=BY_MEMORY, gpus="all", gpu_memory=60 << 10 if declared else 0)
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(process_tree, "parents", dict)
        machine = Machine(Path(folder), options, number=2)
        waiting = []
        for place, (kind, factor, length) in enumerate(jobs):
            which = kind % len(kinds)
            job = machine.job(f"j{place}", width=which, seed=place)
            waiting.append((job, curve(kinds[which] * factor, delay, first), length))
        ends: dict[str, float] = {}
        while waiting or machine.running:
            machine.step(15.0)
            assert all(machine.use(index) <= 80 * GIB for index in range(2))
            for name in [name for name, end in ends.items() if machine.now >= end]:
                machine.end(name)
                del ends[name]
            for entry in list(waiting):
                job, memory, length = entry
                if machine.start(job, memory) is not None:
                    waiting.remove(entry)
                    ends[job.name] = machine.now + length
        assert machine.started == len(jobs)
