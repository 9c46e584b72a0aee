"""A program that runs a search, kills its runner at another moment each time, and resumes it: `killed_search.py 20`.

Each runner is forked by this process, which has imported all of it, so that twenty of them cost little.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import optuna  # noqa: F401 - for the runners

import runner.cli.batch  # noqa: F401 - for the runners
from runner.cli.main import main
from runner.search.space import name

#: What is there for a trial, in the sequence in which it appears: a path below the batch.
MOMENTS = ("{0}", "{0}/trial.json", "configs/{0}.yaml", "{0}/experiment_metadata.json", "{0}/supervisor.json",
           "{0}/metrics.jsonl", "{0}/experiment_result.json")  # fmt: skip


def forked(words: Sequence[str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        code = main(words)
        sys.stdout.flush()
    finally:
        os._exit(code)


def ended(pid: int) -> int | None:
    """The exit code of a runner, -9 if it was killed; None while it runs."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def killed_at(pid: int, place: Path) -> bool:
    """Kill a runner once a file is there; False if it ended by itself."""
    while ended(pid) is None:
        if place.exists():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return True
        time.sleep(0.001)
    return False


def story(kills: int) -> int:
    """Returns how often a runner was killed; the last one ends by itself."""
    words, killed = ["--exp", "s.yaml"], 0
    for number in range(kills):
        place = Path("experiments/latest", MOMENTS[number % len(MOMENTS)].format(name(number)))
        if not killed_at(forked(words), place):
            return killed
        killed, words = killed + 1, ["--resume"]
    pid = forked(words)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return killed


if __name__ == "__main__":
    print(f"killed {story(int(sys.argv[1]))}")
