"""Whether one more job fits onto a GPU: by what its jobs claim, not by what is free now. Pure.

A job that has just begun has not taken its memory yet, so it counts in full from its first moment.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from runner.gpus.devices import MEBIBYTE, Gpu

MARGIN = 1.1  # of what was declared or measured: what just fits fails later by another allocation
CONTEXT = 600 * MEBIBYTE  # of each process, beside what it allocates
SPARE = 0.05  # of the memory of a GPU, which stays free
PLACES = 16  # jobs on one GPU, however small they are


@dataclass(frozen=True, slots=True)
class Claim:
    """What one job claims of a GPU: `need` in bytes, declared or measured; None: all of it.

    `starting`: it may not have allocated all that it will.
    """

    need: int | None
    starting: bool = False


def claimed(need: int) -> int:
    """The bytes that a job with this need counts for."""
    return int(need * MARGIN) + CONTEXT


def fits(need: int | None, claims: Collection[Claim], total: int, foreign: int) -> bool:
    """Whether a job may join those that claim a GPU. `foreign` is the memory that no lease explains.

    The first job on a GPU gets it whatever it needs: nobody knows better than its own attempt.
    """
    if not claims:
        return True
    needs = [claim.need for claim in claims]
    known = [one for one in (*needs, need) if one is not None]
    return len(known) == len(needs) + 1 and sum(map(claimed, known)) <= total * (1 - SPARE) - foreign


def foreign_memory(gpu: Gpu, explained: Collection[int]) -> int:
    """The memory in use on a GPU beside that of these processes."""
    ours = [one.memory for one in gpu.processes if one.pid in explained]
    known = [memory for memory in ours if memory is not None]
    if explained and not known:  # they cannot be seen, or have allocated nothing yet
        return sum(one.memory or 0 for one in gpu.processes if one.pid not in explained)
    return max(gpu.memory_used - sum(known), 0)
