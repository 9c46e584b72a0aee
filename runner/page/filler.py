"""Large files of metrics are read by a process of its own with the lowest priority: what is on the screen first."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

from runner.core.printing import say
from runner.page import column_cache
from runner.page.columns import Columns, Source

NICE = 19


class Filler:
    """The server's side: it starts the process when there is something to read, and ends it with `close`."""

    def __init__(self) -> None:
        self._wanted: OrderedDict[Source, None] = OrderedDict()
        self._failed: set[Source] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[str] | None = None
        self._now: Source | None = None
        self._closed = False

    def want(self, sources: Iterable[Source], *, first: bool = True) -> None:
        """These are read `first`, or when nothing else is left to read."""
        with self._changed:
            new = [one for one in sources if one not in self._failed and one != self._now]
            if self._closed or not new:
                return
            for source in reversed(new) if first else new:
                self._wanted.setdefault(source)
                if first:
                    self._wanted.move_to_end(source, last=False)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()
            self._changed.notify()

    def drop(self, source: Source) -> None:
        """This one need not be read any more."""
        with self._changed:
            self._wanted.pop(source, None)

    def gave_up(self, source: Source) -> bool:
        """Whether this one could not be read and kept."""
        return source in self._failed

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
            if self._process is not None:
                self._process.kill()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._wanted and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                self._now, _ = self._wanted.popitem(last=False)
            if not self._filled(self._now):
                self._failed.add(self._now)
            self._now = None

    def _filled(self, source: Source) -> bool:
        try:
            with self._changed:
                if self._closed:
                    return False
                if self._process is None or self._process.poll() is not None:
                    self._process = _start()
                process = self._process
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps(source) + "\n")
            process.stdin.flush()
            return process.stdout.readline() == "kept\n"
        except OSError:
            return False


def _start() -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "runner.page.filler", str(NICE)]
    here = Path(__file__).resolve().parents[2]
    paths = os.pathsep.join(filter(None, (str(here), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        start_new_session=True, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip


def main() -> None:
    """Read the files that are named in the lines of the input, until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(int(sys.argv[1]))
    gc.disable()  # rows have no cycles, and looking for them takes a tenth of the time
    for line in sys.stdin:
        path, axis, ends, links = json.loads(line)
        try:
            done = _kept(Source(path, axis, tuple(ends), links))
            column_cache.prune()
        except OSError:
            done = False
        say("kept" if done else "not kept", flush=True)


def _kept(source: Source) -> bool:
    """Read all of a file, and keep it. Raises OSError."""
    made = Columns.kept(source)
    if made is None or not made.advance():
        made = Columns(source)
        if not made.advance():
            return False
    made.save()
    return True


if __name__ == "__main__":
    main()
