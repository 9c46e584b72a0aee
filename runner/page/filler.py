"""Large files of metrics are read by a process of its own with a low priority, the ones asked for last first."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

from runner.core.printing import say
from runner.page import columns
from runner.page.columns import Columns, Source


class Filler:
    """The server's side: it starts the process when there is something to read, and ends it with `close`."""

    def __init__(self) -> None:
        self._wanted: list[Source] = []
        self._failed: set[Source] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[str] | None = None
        self._now: Source | None = None
        self._closed = False

    def want(self, sources: Iterable[Source]) -> None:
        """These are read next."""
        new = [source for source in sources if source not in self._failed and source != self._now]
        with self._changed:
            if self._closed or not new:
                return
            self._wanted = [one for one in self._wanted if one not in new] + new[::-1]
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()
            self._changed.notify()

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
                source = self._now = self._wanted.pop()
            if not self._filled(source):
                self._failed.add(source)
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
    words = [sys.executable, "-m", "runner.page.filler"]
    here = Path(__file__).resolve().parents[2]
    paths = os.pathsep.join(filter(None, (str(here), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        start_new_session=True, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip


def main() -> None:
    """Read the files that are named in the lines of the input, until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(10)
    for line in sys.stdin:
        path, axis, ends, links = json.loads(line)
        source = Source(path, axis, tuple(ends), links)
        made = Columns.kept(source) or Columns(source)
        try:
            done = made.advance()
            if done:
                made.save()
                columns.prune()
        except OSError:
            done = False
        say("kept" if done else "not kept", flush=True)


if __name__ == "__main__":
    main()
