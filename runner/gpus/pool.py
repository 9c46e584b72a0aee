"""Which GPUs are free for the next job of a batch, and why the others are not.

A GPU is free if one of its places can be leased, no process computes on it that no lease explains, and its memory is
empty. Memory that is used by nobody who can be seen counts as used: its holder is in another container.
"""

from __future__ import annotations

import pwd
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from runner.core.clock import seconds as wall_seconds
from runner.core.text import size
from runner.gpus import leases, mps, visible
from runner.gpus.devices import MEBIBYTE, Gpu, GpuProcess, Snapshot
from runner.gpus.leases import BY_MEMORY, Holder
from runner.gpus.looker import Looker
from runner.gpus.packing import PLACES, foreign_memory
from runner.gpus.peaks import is_below
from runner.processes import process_tree

EVERY = 3.0  # seconds for which a look is believed, and between two of them while a job waits
DRAIN = 20.0  # seconds in which the driver may still show what a job of ours has left
PATIENCE = 1800.0  # seconds in which others may overtake a job that waits for more GPUs
SAMPLE = 2.0  # seconds between two looks at what running jobs use
FAILED, LONGEST = 60.0, 600.0  # the same after one that failed, then doubled up to the second

#: A GPU, its memory that no lease explains, who has a place on it -> why a job may not join them; None: it may. Empty:
#: for a reason of its own batch.
MayJoin = Callable[[Gpu, int, Sequence[Holder]], str | None]


NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Rules:
    """When a GPU counts as free, and how many jobs may share one (BY_MEMORY: as many as fit)."""

    places: int = 1
    free_bytes: int = 500 * MEBIBYTE  # in use at the most
    settle: float = 30.0  # seconds for which one that others used must look free
    ignored_users: tuple[str, ...] = ()
    ignored_pids: tuple[int, ...] = ()
    passes: int = 10  # jobs that may overtake one that waits for more GPUs
    ids: str = "uuid"  # how a job is told its GPUs
    sample: float = SAMPLE

    @property
    def most(self) -> int:
        """Jobs on one GPU."""
        return PLACES if self.places == BY_MEMORY else self.places


@dataclass(frozen=True, slots=True)
class Granted:
    """GPUs that were leased to one job: `descriptors` are the open files that hold the locks."""

    gpus: tuple[Gpu, ...]
    descriptors: tuple[int, ...]
    driver: str
    waited: float  # seconds
    environment: Mapping[str, str]  # what lets a program use these GPUs and no other

    def entries(self) -> dict[str, Any]:
        """What the result of the attempt says of them."""
        return {
            "gpus": [gpu.to_json(self.driver) for gpu in self.gpus],
            "gpu_wait_seconds": round(self.waited, 3),
        }


@dataclass(slots=True)
class _Use:
    """What this batch knows of one GPU beyond the last look."""

    released_at: float = float("-inf")  # when a job of ours left it: an older look shows that job still
    foreign_at: float = float("-inf")  # when it was last seen in use by others
    foreign_time: float = 0.0  # the same, by the clock on the wall
    ours: list[int] = field(default_factory=list)  # the supervisors of our jobs on it


class Pool:
    """The GPUs of one batch, in the order of preference. Owns the looks at them; the leases belong to the jobs."""

    def __init__(
        self,
        uuids: Sequence[str],
        rules: Rules,
        folder: str,
        looker: Looker,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._uuids = tuple(uuids)
        self._rules = rules
        self._folder = folder
        self._looker = looker
        self._clock = clock
        self._snapshot: Snapshot | None = None
        self._next_look = 0.0
        self._use = {uuid: _Use() for uuid in uuids}
        self._waiting: dict[str, float] = {}  # name of a job that waits -> since when
        self._first: str | None = None  # the first of them, which others may overtake for a while
        self._passed = 0
        self._said: dict[int, str] = {}  # a number of GPUs -> why there are not as many, at the last look
        self._described: dict[int, str] = {}  # a process of others -> what was first said of it
        self._next_sample = 0.0
        self._failed = FAILED
        self.watch: Callable[[Snapshot], None] = lambda found: None  # is given every look

    def offer(
        self,
        job: str,
        number: int,
        about: Holder,
        avoided: Mapping[str, str] = NOTHING,
        may_join: MayJoin | None = None,
    ) -> Granted | str:
        """`number` GPUs for a job, or why others have them; an empty reason: they are our own, or not known yet.

        `avoided`: UUIDs that it does not get, each with the reason. `may_join` decides about GPUs that others share.
        """
        now = self._clock()
        since = self._waiting.setdefault(job, now)
        if self._first is None:
            self._first, self._passed = job, 0
        snapshot = self._looked(now)
        if snapshot is None or self._is_kept_free(job, now):
            return self._said.get(number, "")
        if snapshot.error:
            return self._say(number, snapshot.error)
        try:
            with leases.choosing(self._folder) as chosen:
                if not chosen:
                    return self._said.get(number, "")
                found = {uuid: self._obstacle(uuid, snapshot, now, avoided, may_join) for uuid in self._uuids}
                free = self._in_order(uuid for uuid, obstacle in found.items() if obstacle is None)
                enough = len(free) >= number
                taken = leases.take(self._folder, free[:number], self._rules.most, about) if enough else None
        except OSError as error:
            return self._say(number, f"{error.filename or self._folder}: {error.strerror or error}")
        if taken is not None:
            return self._granted(job, snapshot, free[:number], taken, now - since)
        others = "; ".join(filter(None, found.values()))
        what = "no GPU is free" if number == 1 else f"fewer than {number} GPUs are free"
        return self._say(number, f"{what}: {others}" if others else "")

    def _in_order(self, free: Iterable[str]) -> list[str]:
        """By preference; where the memory counts, GPUs with fewer jobs of ours first."""
        if self._rules.places != BY_MEMORY:
            return list(free)
        return sorted(free, key=lambda uuid: len(self._use[uuid].ours))

    def _say(self, number: int, reason: str) -> str:
        """Keep what is said of those that wait for so many GPUs, until more is known."""
        self._said[number] = reason
        return reason

    def started(self, granted: Granted, supervisor: int) -> None:
        """A job of ours runs on these GPUs; its processes are below this one."""
        for gpu in granted.gpus:
            self._use[gpu.uuid].ours.append(supervisor)

    def ended(self, granted: Granted, supervisor: int) -> None:
        """It has left them."""
        for gpu in granted.gpus:
            use = self._use[gpu.uuid]
            use.released_at = self._clock()
            if supervisor in use.ours:
                use.ours.remove(supervisor)
        self._next_look = 0.0

    def forget(self, job: str) -> None:
        """The job does not wait any more."""
        self._waiting.pop(job, None)
        if self._first == job:
            self._first = None

    def fileno(self) -> int:
        """Readable when a look has ended; -1 while there is none."""
        return self._looker.fileno()

    def read(self) -> None:
        """Take over a look that has ended."""
        if (found := self._looker.take()) is not None:
            self._snapshot = found
            self.watch(found)
            is_late = any(use.released_at > found.taken_at for use in self._use.values())
            self._next_look = 0.0 if is_late else self._clock() + EVERY
            for uuid, use in self._use.items():
                gpu = found.gpu(uuid)
                is_drained = found.taken_at > use.released_at + DRAIN
                if gpu is not None and is_drained and self._foreign(gpu, self._known(gpu)):
                    use.foreign_at, use.foreign_time = found.taken_at, wall_seconds()

    def sample(self) -> None:
        """Begin a look at what running jobs use, if one is due. A driver that fails is left alone for a while."""
        now = self._clock()
        if now < self._next_sample:
            return
        is_failing = self._snapshot is not None and self._snapshot.error is not None
        self._failed = min(self._failed * 2, LONGEST) if is_failing else FAILED
        self._next_sample = now + (self._failed if is_failing else self._rules.sample)
        if (failed := self._looker.begin()) is not None:
            self._snapshot = failed

    def _looked(self, now: float) -> Snapshot | None:
        """The last look, while it is believed; then a new one is begun, and there is none until that has ended."""
        self.read()
        if now < self._next_look:
            return self._snapshot
        if (failed := self._looker.begin()) is not None:
            self._snapshot, self._next_look = failed, now + EVERY
            return failed
        return None

    def _is_kept_free(self, job: str, now: float) -> bool:
        """Whether the first job that waits has been overtaken often, or for long, and the next GPUs are for it."""
        if self._first in (None, job):
            return False
        return self._passed >= self._rules.passes or now - self._waiting[self._first] > PATIENCE

    def _granted(
        self, job: str, snapshot: Snapshot, uuids: Sequence[str], taken: Mapping[str, int], waited: float
    ) -> Granted:
        if self._first not in (None, job):
            self._passed += 1
        self.forget(job)
        gpus = tuple(gpu for uuid in uuids if (gpu := snapshot.gpu(uuid)) is not None)
        environment = visible.environment(gpus, snapshot.kind, self._rules.ids)
        return Granted(gpus, tuple(taken.values()), snapshot.driver, waited, environment)

    def _obstacle(
        self, uuid: str, snapshot: Snapshot, now: float, avoided: Mapping[str, str], may_join: MayJoin | None
    ) -> str | None:
        """Who has a GPU; empty if it is a job of this batch. None: it is free."""
        gpu, use, rules = snapshot.gpu(uuid), self._use[uuid], self._rules
        if gpu is None:
            return f"{uuid} is not there any more"
        if problem := gpu.error or avoided.get(uuid):
            return f"{gpu.label} {problem}"
        held = leases.holders(self._folder, uuid)
        if len(held) >= rules.most:
            return "" if use.ours else f"{gpu.label} {held[0]}"
        if snapshot.taken_at < use.released_at:
            return ""
        known = self._known(gpu, held)
        if foreign := self._foreign(gpu, known):
            return self._left_or(foreign, gpu, snapshot)
        if now - use.foreign_at < rules.settle:
            return f"{gpu.label} was used by others until {datetime.fromtimestamp(use.foreign_time):%H:%M:%S}"
        explained = known - set(rules.ignored_pids)
        return None if may_join is None else may_join(gpu, foreign_memory(gpu, explained), held)

    def _left_or(self, foreign: str, gpu: Gpu, snapshot: Snapshot) -> str:
        """What is said of a GPU in use: a job of ours that has just ended may still leave it."""
        released_at = self._use[gpu.uuid].released_at
        if released_at == float("-inf") or any(_user(one.pid) for one in gpu.processes):
            return f"{gpu.label} {foreign}"
        if snapshot.taken_at < released_at + DRAIN:
            return ""
        more = "since a job of this batch ended there, and who has it cannot be seen; try lsof /dev/nvidia*"
        return f"{gpu.label} has {size(gpu.memory_used)} in use {more}"

    def _known(self, gpu: Gpu, held: Iterable[Holder] | None = None) -> set[int]:
        """The processes that leases explain, and those that do not count."""
        if held is None:
            held = leases.holders(self._folder, gpu.uuid)
        tops = {*self._use[gpu.uuid].ours, *(holder.pid for holder in held if holder.pid is not None)}
        parents = process_tree.parents() if gpu.processes else {}
        below = {one.pid for one in gpu.processes if any(is_below(one.pid, top, parents) for top in tops)}
        return {*tops, *below, *self._rules.ignored_pids}

    def _foreign(self, gpu: Gpu, known: set[int]) -> str:
        """Who else uses a GPU; empty if nobody does."""
        ignored = self._rules.ignored_users
        unknown = [one for one in gpu.processes if one.pid not in known and _user(one.pid) not in ignored]
        strange = [one for one in unknown if not mps.is_mps(one.pid)]
        if strange:
            return ", ".join(self._described.setdefault(one.pid, _described(one)) for one in strange)
        if not gpu.processes and not known - set(self._rules.ignored_pids) and gpu.memory_used > self._rules.free_bytes:
            return "has memory in use, by a process that cannot be seen from here"
        return ""


def _user(pid: int) -> str:
    try:
        owner = Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return ""
    try:
        return pwd.getpwuid(owner).pw_name
    except KeyError:
        return str(owner)


def _described(process: GpuProcess) -> str:
    """`anna python 18.2 GiB since 21:04`"""
    folder = Path(f"/proc/{process.pid}")
    try:
        command = (folder / "comm").read_text(errors="replace").strip()
        since = f"since {datetime.fromtimestamp(folder.stat().st_ctime):%H:%M}"
    except OSError:
        command, since = f"process {process.pid}", ""
    memory = "" if process.memory is None else size(process.memory)
    return " ".join(filter(None, (_user(process.pid), command, memory, since)))
