"""Wait for what comes first: the job's exit, a limit, the engine, its end, a signal. Decides when to stop the job."""

from __future__ import annotations

import os
import select
import signal
import time

from runner.disk import layout
from runner.processes import process_tree
from runner.processes.signals import Signals
from runner.supervisor.control_pipe import GONE, ControlPipe
from runner.supervisor.escalation import INTERRUPT, KILL, StopEscalation
from runner.supervisor.messages import KILL as KILL_COMMAND
from runner.supervisor.messages import Request
from runner.supervisor.spawn import exit_descriptor
from runner.supervisor.streams import Streams

LONGEST_POLL = 2000.0  # milliseconds; zombies that the job's tree left behind are reaped this often
SESSION_POLL = 100.0  # milliseconds between two looks at a session whose leader has left
LOOKS = 8  # at the metrics in the time that a job may be silent, so that it is stopped at most an eighth too late


class Watch:
    """Wait for the job's exit, its time limit, the engine and signals, whichever comes first."""

    def __init__(self, pid: int, request: Request, streams: Streams) -> None:
        self._pid = pid
        self._escalation = StopEscalation(pid, request.grace)
        self._limit = time.monotonic() + request.timeout if request.timeout else None
        stall = request.stall_timeout
        self._silence = Silence(stall, streams, layout.JobPaths(request.out_dir).metrics) if stall else None
        self._keep_running = request.keep_running
        self._exited = False  # after a stop request: what it started in its session may still be at work
        self.because: str | None = None  # why the job was stopped: interrupted, timeout or stalled
        self.unkillable: list[int] = []

    def until_exit(self, control: ControlPipe, signals: Signals) -> int:
        """The wait status of the job. Its exit is noticed at once, by its pidfd or by a thread that waits.

        A job that was asked to stop may be a shell or a launcher that leaves before what it started: then the rest of
        its session has the time that is left to it.
        """
        exited = exit_descriptor(self._pid)
        poll = select.poll()
        for descriptor in (exited, 0, signals.fileno()):
            poll.register(descriptor, select.POLLIN)
        self._obey(control.early_commands())
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(self._patience())}
            if exited in ready:
                if not self._escalation.begun:
                    return self._exit_status()
                poll.unregister(exited)
                self._exited = True
            if 0 in ready:
                self._obey(control.commands())
                if not control.open:
                    poll.unregister(0)
            if signals.fileno() in ready:
                signals.drain()
                self._stop("interrupted", INTERRUPT if len(signals.received) == 1 else KILL)
            self._check_limits()
            self._escalation.tick()
            process_tree.reap(self._pid)
            if self._exited and not process_tree.session(self._pid):
                return self._exit_status()
            if self._escalation.exhausted:
                self.unkillable = process_tree.descendants(os.getpid())
                # As a wait status: died by SIGKILL, which is all that we could do.
                return self._exit_status() if self._exited else signal.SIGKILL

    def _exit_status(self) -> int:
        return os.waitpid(self._pid, 0)[1]

    def _check_limits(self) -> None:
        if self._limit and time.monotonic() >= self._limit:
            self._stop("timeout", INTERRUPT)
            self._limit = None
        if self._silence and self._silence.lasts():
            self._stop("stalled", INTERRUPT)
            self._silence = None

    def _obey(self, commands: list[bytes]) -> None:
        for command in commands:
            if command == GONE and self._keep_running:
                continue
            self._stop("interrupted", KILL if command == KILL_COMMAND else INTERRUPT)

    def _stop(self, because: str, level: int) -> None:
        self.because = self.because or because
        self._escalation.escalate(level)

    def _patience(self) -> float:
        """Milliseconds until something is due."""
        silence = self._silence.next_look if self._silence else None
        due = [moment for moment in (self._limit, silence, self._escalation.next_at) if moment is not None]
        longest = SESSION_POLL if self._exited else LONGEST_POLL
        return min(max(min(due) - time.monotonic(), 0) * 1000 + 1, longest) if due else longest


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
        end = max(self._streams.last_output, self._grown) + self._limit
        self.next_look = min(end, now + self._limit / LOOKS)
        return now >= end

    def _measured(self) -> int:
        try:
            return os.path.getsize(self._metrics)
        except OSError:
            return -1
