"""The most memory that a job has used on one of its GPUs, from one look to the next."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runner.gpus.devices import Gpu, Snapshot

#: How a peak was found: by the processes below the supervisor; as the growth of a GPU that nobody else used; not at
#: all, but the user declared it; not at all.
PID, DEVICE, DECLARED, NONE = "pid", "device", "declared", "none"


@dataclass(slots=True)
class Peak:
    """One job's. `before`: UUID -> bytes in use when it began, on the GPUs that it leased; empty if that is not known.

    `value` in bytes; None until something was measured.
    """

    supervisor: int
    before: Mapping[str, int] = field(default_factory=dict)
    value: int | None = None
    source: str = NONE

    def look(self, snapshot: Snapshot, parents: Mapping[int, int], *, exclusive: bool) -> bool:
        """Take over what a look found; True if the peak has risen. `exclusive`: nobody else has a lease on its GPUs."""
        found = [used for gpu in snapshot.gpus if (used := self._by_processes(gpu, parents)) is not None]
        source = PID
        if not found and exclusive and self.source != PID:
            grown = [self._grown(gpu) for gpu in snapshot.gpus if gpu.uuid in self.before]
            found, source = [used for used in grown if used], DEVICE
        if not found or (source == self.source and max(found) <= (self.value or 0)):
            return False
        kept = self.value if source == self.source else None
        self.value, self.source = max(*found, kept or 0), source
        return True

    def _by_processes(self, gpu: Gpu, parents: Mapping[int, int]) -> int | None:
        """What the processes below the supervisor use on a GPU; None if none of them is seen there."""
        ours = [one.memory for one in gpu.processes if is_below(one.pid, self.supervisor, parents)]
        known = [memory for memory in ours if memory is not None]
        return sum(known) if known else None

    def _grown(self, gpu: Gpu) -> int:
        """By how much a GPU is fuller than at the start; 0 if another process can be seen there."""
        strangers = [one for one in gpu.processes if Path(f"/proc/{one.pid}").exists()]
        alone = all(one.memory is None for one in strangers)
        return max(gpu.memory_used - self.before[gpu.uuid], 0) if alone else 0


def is_below(pid: int, top: int, parents: Mapping[int, int]) -> bool:
    """Whether a process is `top`, or below it."""
    seen: Collection[int] = set()
    while pid != top and pid in parents and pid not in seen:
        seen = {*seen, pid}
        pid = parents[pid]
    return pid == top
