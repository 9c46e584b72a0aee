"""Orders from the page: each runs the command that does it, in a process of its own, and is noted in master_log.txt."""

from __future__ import annotations

import itertools
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from runner.core.clock import Stamp
from runner.core.errors import UserError
from runner.core.text import plain
from runner.disk.append_log import Log
from runner.disk.layout import BatchPaths

#: What the page can order -> the words of the command; the batch and the jobs follow.
ORDERS: Mapping[str, Sequence[str]] = {
    "stop": ("stop",),
    "kill": ("stop", "--now"),
    "drain": ("stop", "--drain"),
    "rerun": ("rerun", "--detach", "--quiet"),
}
MOST = 200  # orders that are remembered
LONGEST = 20_000  # characters of the output that is shown


@dataclass(slots=True)
class _Order:
    what: str
    jobs: Sequence[str]
    process: subprocess.Popen[bytes]
    output: IO[bytes]


class Orders:
    """The orders since the page was started."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._numbers = itertools.count(1)
        self._known: dict[int, _Order] = {}
        self._keys: dict[str, int] = {}
        self._lock = threading.Lock()

    def give(self, what: str, root: Path, jobs: Sequence[str], key: str) -> int:
        """Start an order, and return its number; the same `key` twice is one order. Raises UserError."""
        if what not in ORDERS:
            raise UserError(f"{plain(what, 40)}: is not an order; there are {', '.join(ORDERS)}")
        if what == "rerun" and not jobs:
            raise UserError("rerun: no job is named; name the jobs that are to be run again")
        if what == "drain" and jobs:
            raise UserError("drain: is for a whole batch; name no job")
        with self._lock:
            if key in self._keys:
                return self._keys[key]
            number = self._keys[key] = next(self._numbers)
            self._known[number] = self._started(what, root, jobs)
            for old in [one for one in self._known if one <= number - MOST]:
                self._known.pop(old).output.close()
        return number

    def _started(self, what: str, root: Path, jobs: Sequence[str]) -> _Order:
        named = ", ".join(map(plain, jobs)) or "the batch"
        Log(BatchPaths(root).master_log).write(Stamp()() + f"From the page: {what} {named}\n".encode())
        output = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the order
        command, *options = ORDERS[what]
        argv = [*self._words, command, str(root), *jobs, *options]
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        return _Order(what, jobs, process, output)

    def look(self, number: int) -> dict[str, Any] | None:
        """How an order is; None for one that is not known."""
        with self._lock:
            order = self._known.get(number)
            if order is None:
                return None
            code = order.process.poll()
            order.output.seek(0)
            lines = order.output.read(LONGEST).decode(errors="replace").splitlines()
        about = {"order": number, "what": order.what, "jobs": list(order.jobs)}
        return {**about, "ended": code is not None, "exit_code": code, "lines": [plain(line) for line in lines]}
