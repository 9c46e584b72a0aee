"""Channel `command`: any program, which finds the message in its environment."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence

from runner.core.text import plain
from runner.notify.message import Message
from runner.notify.registry import NotSent

SHOWN = 200  # letters of what a program says about its failure


class Program:
    REQUIRED = ("run",)
    OPTIONAL = ()

    def __init__(self, values: Mapping[str, str]) -> None:
        self._run = values["run"]

    def problems(self) -> Iterator[tuple[str, str]]:
        try:
            words = shlex.split(self._run)
        except ValueError as error:
            yield "run", f"is not a command line ({str(error).lower()})"
            return
        if not words or shutil.which(words[0]) is None:
            yield "run", "names no program that can be run; give its whole path"

    def send(self, message: Message, seconds: float) -> None:
        environment = {
            "OVERNIGHT_EVENT": message.kind,
            "OVERNIGHT_TITLE": message.title,
            "OVERNIGHT_TEXT": message.text,
            "OVERNIGHT_URGENT": "1" if message.urgent else "0",
            "OVERNIGHT_BATCH": message.batch,
            "OVERNIGHT_FOLDER": message.folder,
            "OVERNIGHT_FAILED": str(len(message.failed)),
        }
        ran(shlex.split(self._run), seconds, environment)


def ran(words: Sequence[str], seconds: float, environment: Mapping[str, str] | None = None) -> None:
    """Run a program to its end; after `seconds` all its processes are killed. Raises NotSent."""
    environ = {**os.environ, **{name: text.replace("\0", " ") for name, text in (environment or {}).items()}}
    try:
        process = subprocess.Popen(
            words, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise NotSent(f"{words[0]} could not be started ({error.strerror})") from None
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise NotSent(f"the program did not end in {seconds:g} s", again=True) from None
    if process.returncode:
        last = plain(said.decode(errors="replace").strip().rpartition("\n")[2], SHOWN)
        raise NotSent(f"the program ended with {process.returncode}" + (f": {last}" if last else ""), again=True)
