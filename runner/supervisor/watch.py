"""Wait for what comes first: the job's exit, a limit, a word of the engine, its end, a signal. Decides when to stop."""

from __future__ import annotations

import os
import select
import signal
import time

from runner.disk import layout
from runner.processes import process_tree
from runner.processes.signals import Signals
from runner.supervisor.escalation import Ladder
from runner.supervisor.spawn import exit_descriptor
from runner.supervisor.streams import Streams

TYPE_CHECKING = False  # what typing.TYPE_CHECKING says, without the cost of its import
if TYPE_CHECKING:
    from typing import Any

LONGEST_POLL = 2000.0  # milliseconds; what the job's tree left behind as zombies is taken away this often
LOOKS = 8  # at the metrics in the time that a job may be silent, so that it is stopped at most an eighth too late


class Leash:
    """Standard input: commands of the engine, and its end."""

    def __init__(self, rest: bytes) -> None:
        *self._early, self._text = rest.split(b"\n")
        self.held = True

    def early(self) -> list[str]:
        """What came together with the order: no poll will tell of it."""
        return [line.decode() for line in self._early]

    def commands(self) -> list[str]:
        """What came since the last call; `gone` if the engine let go of the leash."""
        block = os.read(0, 4096)
        if not block:
            self.held = False
            return ["gone"]
        *lines, self._text = (self._text + block).split(b"\n")
        return [line.decode() for line in lines]


class Watch:
    """Wait for the job's exit, its time limit, the engine and signals, whichever comes first."""

    def __init__(self, pid: int, order: dict[str, Any], streams: Streams) -> None:
        self._pid = pid
        self._ladder = Ladder(pid, order["grace"])
        self._limit = time.monotonic() + order["timeout"] if order["timeout"] else None
        stall = order["stall_timeout"]
        self._silence = Silence(stall, streams, layout.JobPaths(order["out_dir"]).metrics) if stall else None
        self._keep_running = order["keep_running"]
        self.because: str | None = None  # why the job was stopped: interrupted, timeout or stalled
        self.unkillable: list[int] = []

    def until_exit(self, leash: Leash, signals: Signals) -> int:
        """The wait status of the job. Its exit is noticed at once, by its pidfd or by a thread that waits."""
        exited = exit_descriptor(self._pid)
        poll = select.poll()
        for descriptor in (exited, 0, signals.fileno()):
            poll.register(descriptor, select.POLLIN)
        self._obey(leash.early())
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(self._patience())}
            if exited in ready:
                return os.waitpid(self._pid, 0)[1]
            if 0 in ready:
                self._obey(leash.commands())
                if not leash.held:
                    poll.unregister(0)
            if signals.fileno() in ready:
                signals.drain()
                self._stop("interrupted", 0 if len(signals.received) == 1 else 2)
            if self._limit and time.monotonic() >= self._limit:
                self._stop("timeout", 0)
                self._limit = None
            if self._silence and self._silence.lasts():
                self._stop("stalled", 0)
                self._silence = None
            self._ladder.tick()
            process_tree.reap(self._pid)
            if self._ladder.exhausted:
                self.unkillable = [self._pid, *process_tree.descendants(os.getpid())]
                return signal.SIGKILL  # as a wait status: died by SIGKILL, as far as we could bring it

    def _obey(self, commands: list[str]) -> None:
        for command in commands:
            if command == "gone" and self._keep_running:
                continue
            self._stop("interrupted", 2 if command == "kill" else 0)

    def _stop(self, because: str, level: int) -> None:
        self.because = self.because or because
        self._ladder.climb(level)

    def _patience(self) -> float:
        """Milliseconds until something is due."""
        silence = self._silence.next_look if self._silence else None
        due = [moment for moment in (self._limit, silence, self._ladder.next_at) if moment is not None]
        return min(max(min(due) - time.monotonic(), 0) * 1000 + 1, LONGEST_POLL) if due else LONGEST_POLL


class Silence:
    """How long a job has printed nothing and measured nothing."""

    def __init__(self, limit: float, streams: Streams, metrics: str) -> None:
        self._limit = limit
        self._streams = streams
        self._metrics = metrics
        self._size = self._measured()  # not 0: an earlier attempt may have left its metrics
        self._grown = time.monotonic()
        self.next_look = self._grown + limit / LOOKS

    def lasts(self) -> bool:
        """True once the job was silent for the whole limit."""
        now = time.monotonic()
        if now < self.next_look:
            return False
        size = self._measured()
        if size != self._size:
            self._size, self._grown = size, now
        end = max(self._streams.last_spoke, self._grown) + self._limit
        self.next_look = min(end, now + self._limit / LOOKS)
        return now >= end

    def _measured(self) -> int:
        try:
            return os.path.getsize(self._metrics)
        except OSError:
            return -1
