"""Run the program that evaluates configs, and leave none of the processes that they start in whatever session.

A program of its own, started as `python -I -S runner/configs/guard.py PROGRAM...`; PROGRAM gets its standard input.
"""

from __future__ import annotations

import os
import sys

# Last on the path: no file of ours may hide the standard library.
sys.path.append(__file__.rpartition("/runner/")[0])

import signal
import time

from runner.processes import process_tree
from runner.processes.prctl import PR_SET_CHILD_SUBREAPER, prctl

MOST = 500  # processes at a time; configs import packages that start threads, and hardly ever a process
LOOK = 0.25  # seconds between two counts of them
TOO_MANY = 3  # the exit code then


def main(argv: list[str]) -> int:
    """Returns the exit code of the program, or TOO_MANY."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored by a parent, it would hide how a child ends
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))
    program = os.posix_spawn(argv[0], argv, os.environ, setsigmask=())
    try:
        return _wait(program)
    finally:
        deadline = time.monotonic() + process_tree.GONE_WITHIN
        while process_tree.kill_below(os.getpid()) and time.monotonic() < deadline:
            process_tree.reap(None)


def _wait(program: int) -> int:
    next_count = time.monotonic() + LOOK
    while True:
        signal.sigtimedwait((signal.SIGCHLD,), LOOK)
        ended, status = os.waitpid(program, os.WNOHANG)
        if ended:
            return max(os.waitstatus_to_exitcode(status), 0)
        process_tree.reap(program)
        if time.monotonic() >= next_count:
            next_count = time.monotonic() + LOOK
            if len(process_tree.descendants(os.getpid())) > MOST:
                return TOO_MANY


if __name__ == "__main__":
    code = main(sys.argv[1:])
    os._exit(code)
