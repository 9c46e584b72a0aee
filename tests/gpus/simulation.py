"""A batch on false GPUs whose jobs use memory by a curve, step by step: real leases, a false driver and clock."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.core.job import Attempt, Job
from runner.core.options import RunOptions
from runner.executors.sharing import Sharing
from runner.gpus import leases
from runner.gpus.leases import BY_MEMORY, Holder
from runner.gpus.pool import Granted, Pool, Rules
from tests.gpus.machine import GIB, gpu, uuid
from tests.gpus.test_pool import Driver

FIRST_PID = 1 << 23  # above every process of this machine


@dataclass
class Simulated:
    """A running job in the place of a handle: its one process is its supervisor."""

    job: Job
    attempt: Attempt
    supervisor_pid: int
    began: float
    granted: Granted
    curve: Callable[[float], float]  # seconds since its start -> bytes
    iterations: float = 0.0


@dataclass
class Machine:
    """A batch on GPUs of 80 GiB, step by step."""

    folder: Path
    options: RunOptions
    number: int = 1
    speed: Callable[[int], float] = lambda jobs: 1.0  # iterations per second of one of so many
    now: float = 1000.0
    running: list[Simulated] = field(default_factory=list)
    started: int = 0

    def __post_init__(self) -> None:
        self.driver = Driver(lambda: self.now)
        places = BY_MEMORY if self.options.jobs_per_gpu == 0 else self.options.jobs_per_gpu
        (self.folder / "locks").mkdir()
        locks = str(self.folder / "locks")
        uuids = [uuid(n) for n in range(self.number)]
        self.pool = Pool(uuids, Rules(places=places), locks, self.driver, lambda: self.now)  # type: ignore[arg-type]
        self.sharing = Sharing(self.options, locks, lambda: self.now)
        self.pool.watch = self.sharing.look

    def job(self, name: str, **config: Any) -> Job:
        config = {"width": 1, **config}
        return Job(name, ("train", name), self.folder / "batch" / name, config, script=Path("train.py"))

    def start(self, job: Job, curve: Callable[[float], float]) -> int | None:
        """The number of the GPU on which the job runs now; None: it may not start yet."""
        about = Holder("me", os.getpid(), "batch", job.name, "", BY_MEMORY, self.sharing.need(job))
        found = self.pool.offer(job.name, 1, about, may_join=self.sharing.may_join(job))
        if not isinstance(found, Granted):
            return None
        self.started += 1
        job.out_dir.mkdir(parents=True, exist_ok=True)
        attempt = Attempt(job, 1, job.argv, {})
        one = Simulated(job, attempt, FIRST_PID + self.started, self.now, found, curve)
        self.running.append(one)
        self.pool.started(found, one.supervisor_pid)
        self.sharing.started(one, found.gpus)  # type: ignore[arg-type]
        return found.gpus[0].index

    def end(self, name: str) -> None:
        one = next(one for one in self.running if one.job.name == name)
        self.running.remove(one)
        leases.release(one.granted.descriptors)
        self.pool.ended(one.granted, one.supervisor_pid)
        self.sharing.ended(name)

    def use(self, index: int) -> float:
        """The bytes in use on a GPU."""
        on = [one for one in self.running if one.granted.gpus[0].index == index]
        return sum(one.curve(self.now - one.began) for one in on)

    def step(self, seconds: float = 2.0) -> None:
        """Time passes; the jobs train, and the driver is looked at."""
        self.now += seconds
        shown = [gpu(index, used=int(self.use(index))) for index in range(self.number)]
        for one in self.running:
            index = one.granted.gpus[0].index
            beside = sum(other.granted.gpus[0].index == index for other in self.running)
            one.iterations += seconds * self.speed(beside)
            memory = int(one.curve(self.now - one.began))
            shown[index]["processes"].append({"pid": one.supervisor_pid, "memory": memory})
            with (one.job.out_dir / "metrics.jsonl").open("a") as file:
                file.write(json.dumps({"iter": int(one.iterations), "loss": 1.0}) + "\n")
        self.driver.show(*shown)
        self.pool.sample()
        self.pool.read()
        self.sharing.tick()

    def pass_by(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.step()


def steady(gib: float) -> Callable[[float], float]:
    """Memory that is there after ten seconds."""
    return lambda seconds: min(seconds / 10, 1.0) * gib * GIB


AUTO = RunOptions(jobs_per_gpu=BY_MEMORY, gpus="all")
