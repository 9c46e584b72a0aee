"""GPUs that failed: which of them no job of the batch gets again, and which a job does not get a second time.

A broken GPU is put into quarantine at once, another one after two jobs in a row that failed there. A job that fails on
a second GPU as well is itself to blame: then nothing is held against the GPUs on its account.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from runner.gpus.devices import Gpu
from runner.gpus.faults import Fault

IN_A_ROW = 2  # jobs that fail on a GPU
MOVES = 2  # times that a job is moved to other GPUs


class Quarantine:
    """What the jobs of one batch met on its GPUs."""

    def __init__(self) -> None:
        self._broken: set[str] = set()
        self._suspects: dict[str, list[str]] = {}  # UUID -> the jobs that failed there since the last that did not
        self._about: dict[str, tuple[Gpu, str]] = {}  # UUID -> the GPU, and the latest line
        self._left: dict[str, set[str]] = {}  # name of a job -> the GPUs on which it failed
        self._moves: dict[str, int] = {}

    def worked(self, gpus: Sequence[Gpu]) -> None:
        """A job ended on these GPUs without an error of theirs."""
        for gpu in gpus:
            self._suspects.pop(gpu.uuid, None)

    def failed(self, job: str, gpus: Sequence[Gpu], fault: Fault, line: str) -> None:
        """A job failed on these GPUs. Which of several it was is not known."""
        left = self._left.setdefault(job, set())
        is_first = not left
        left.update(gpu.uuid for gpu in gpus)
        self._about.update({gpu.uuid: (gpu, line) for gpu in gpus})
        if fault is Fault.BROKEN and len(gpus) == 1:
            self._broken.add(gpus[0].uuid)
        elif is_first:
            for gpu in gpus:
                self._suspects.setdefault(gpu.uuid, []).append(job)
        else:
            self._suspects = {uuid: [one for one in jobs if one != job] for uuid, jobs in self._suspects.items()}

    def may_move(self, job: str, others: int, number: int) -> bool:
        """Whether the job may run again on `number` of `others` GPUs; that counts as one move."""
        self._moves[job] = self._moves.get(job, 0) + 1
        return self._moves[job] <= MOVES and others >= number

    def reasons(self) -> dict[str, str]:
        """UUID -> why no job gets it."""
        return {uuid: f"is in quarantine ({self._about[uuid][1]:.100})" for uuid in self._all()}

    def left_by(self, job: str) -> Collection[str]:
        """The GPUs on which this job failed."""
        return self._left.get(job, set())

    def entries(self) -> list[dict[str, Any]]:
        """The GPUs in quarantine, as results name them."""
        return [self._about[uuid][0].named() | {"reason": self._about[uuid][1]} for uuid in self._all()]

    def _all(self) -> list[str]:
        return [uuid for uuid in self._about if uuid in self._broken or self._is_suspected(uuid)]

    def _is_suspected(self, uuid: str) -> bool:
        return len(self._suspects.get(uuid, ())) >= IN_A_ROW
