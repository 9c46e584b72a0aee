"""End what jobs leave behind when their supervisors were killed together with their engine.

A program of its own, one for each engine, started as `python -I -S runner/supervisor/guard.py`. Standard input has a
line for each job that starts or ends; its end means that the engine is gone. Then this program waits until each
supervisor is gone too, and kills what carries the mark of its job: nothing, if the supervisor has done its work.
"""

from __future__ import annotations

import os
import sys

# Last on the path: no file of ours may hide the standard library.
sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import json
import select
import signal
import time

from runner.processes import process_id, process_tree
from runner.processes.signals import unblock

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

POLL = 0.5  # seconds between two looks at supervisors, on a system without pidfds


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # they are for the engine, whose end is the sign
        signal.signal(number, signal.SIG_IGN)
    unblock()
    os.chdir("/")  # no folder that somebody may want to unmount
    jobs: dict[str, tuple[list[str], str]] = {}
    for line in _lines():
        mark, *about = json.loads(line)
        if about:
            supervisor, folder = about
            jobs[mark] = supervisor, folder
        else:
            jobs.pop(mark, None)
    while jobs:
        for mark, (supervisor, folder) in list(jobs.items()):
            if not process_id.alive(supervisor):
                process_tree.kill_marked(mark, folder)
                del jobs[mark]
        _wait_for_one([supervisor for supervisor, _ in jobs.values()])


def _lines() -> Iterator[bytes]:
    """The whole lines of standard input, until the engine is gone."""
    text = b""
    while block := os.read(0, 1 << 16):
        *lines, text = (text + block).split(b"\n")
        yield from lines


def _wait_for_one(supervisors: Iterable[list[str]]) -> None:
    """Wait until one of these processes has ended."""
    poll = select.poll()
    descriptors = []
    for supervisor in supervisors:
        try:
            descriptor = os.pidfd_open(int(supervisor[0]))
        except (OSError, AttributeError):  # it has just ended, or the system has no pidfds
            time.sleep(POLL)
            break
        descriptors.append(descriptor)
        poll.register(descriptor, select.POLLIN)
    else:
        if descriptors:
            poll.poll()
    for descriptor in descriptors:
        os.close(descriptor)


if __name__ == "__main__":
    main()
