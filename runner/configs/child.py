"""Evaluate Python configs in a child program that has a time limit for each. Knows nothing of what the values mean."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from runner.configs import guard
from runner.configs.evaluator import Answer, Task

PROGRAM, GUARD = Path(__file__).with_name("evaluate.py"), Path(__file__).resolve().with_name("guard.py")
AT_ONCE = max(2, min(8, os.cpu_count() or 2))  # configs that a child executes at the same time


def evaluate(tasks: Sequence[Task], time_limit: float, *, twice: bool) -> list[list[Answer]]:
    """The answers to each task, one or two. The second is that of another process, at a later time.

    It begins when the first evaluations have ended, whose effects on files it must not disturb, and leaves out those
    that failed.
    """
    with ExitStack() as stack:
        first = stack.enter_context(_Round(tasks, time_limit, later=False))
        second = stack.enter_context(_Round(tasks, time_limit, later=True)) if twice else None
        answers = first.answers(range(len(tasks)))
        done = [number for number, answer in answers.items() if answer.succeeded]
        again = second.answers(done) if second is not None else {}
    return [[answers[number], *([again[number]] if number in again else [])] for number in range(len(tasks))]


class _Round:
    """One evaluation of all tasks, in a child of its own, which ends with this object."""

    def __init__(self, tasks: Sequence[Task], time_limit: float, *, later: bool) -> None:
        self._tasks = tasks
        self._options = {"limit": time_limit, "at_once": AT_ONCE, "later": later}

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="configs-")
        stems = [Path(self._folder.name, str(number)) for number in range(len(self._tasks))]
        self._requests = [_request(task, stem) for task, stem in zip(self._tasks, stems, strict=True)]
        self._modules = _shared(self._tasks, self._requests)
        self._start(self._modules)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._folder.cleanup()

    def answers(self, numbers: Sequence[int]) -> dict[int, Answer]:
        """Those to some of the tasks. What fails is evaluated again without shared imports, if there are any.

        One of them may have ended the child, or may not work in a fork of the process that imported it.
        """
        found = self._done(numbers)
        failed = [number for number, answer in found.items() if not answer.succeeded]
        if failed and self._modules:
            self._end()
            self._start([])
            found |= self._done(failed)
        return found

    def _start(self, modules: Sequence[str]) -> None:
        # -P: no folder of the user's comes before those of Python, so that a file called json.py there is not taken
        # for the module. -B: a dry run writes nothing, not even __pycache__ beside the modules that a config imports.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(GUARD), sys.executable, "-P", "-B", str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._send({**self._options, "tasks": self._requests, "modules": modules})

    def _done(self, numbers: Sequence[int]) -> dict[int, Answer]:
        results = {number: Path(self._requests[number]["result"]) for number in numbers}
        for result in results.values():
            result.unlink(missing_ok=True)
        self._send(list(numbers))
        self._process.wait()
        too_many = self._process.returncode == guard.TOO_MANY
        return {number: _answer(result, too_many=too_many) for number, result in results.items()}

    def _send(self, line: Any) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(line).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:  # it has ended: nothing is answered
            pass

    def _end(self) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()  # it stops what is still running
        except BrokenPipeError:
            pass
        self._process.wait()


def _request(task: Task, stem: Path) -> dict[str, Any]:
    """A task as evaluate.py reads it, with the text of the config in a file."""
    source = stem.with_suffix(".py")
    source.write_text(task.text, encoding="utf-8", newline="")
    context = task.context
    absent = [name for name in context.environ if name not in os.environ]
    return {
        "shown": str(task.path),
        "source": str(source),
        "result": str(stem.with_suffix(".json")),
        "folder": str(context.folder or Path.cwd()),
        "file": context.file or str(task.path),
        "names": context.names,
        "imports": [statement for name, statement in context.imports.items() if name in task.read],
        "assigned": sorted(task.assigned),
        "environ": {name: str(int.from_bytes(os.urandom(4))) for name in absent},
    }


def _shared(tasks: Sequence[Task], requests: Sequence[dict[str, Any]]) -> list[str]:
    """The modules that several configs import, without Python's own, and those that a file of the user's hides."""
    counted = Counter(name for task in tasks for name in task.modules if name not in sys.stdlib_module_names)
    folders = {request["folder"] for request in requests}
    places = {name: [Path(folder, file) for folder in folders for file in (name, f"{name}.py")] for name in counted}
    return [name for name, number in counted.items() if number > 1 and not any(map(Path.exists, places[name]))]


def _answer(result: Path, *, too_many: bool) -> Answer:
    try:
        found = json.loads(result.read_bytes())
    except FileNotFoundError:
        cause = f"was ended: more than {guard.MOST} processes were started" if too_many else "could not be started"
        return Answer(error="RuntimeError", message=f"its evaluation {cause}")
    if "died" in found:
        return Answer(error="RuntimeError", message=f"its evaluation died ({_death(found['died'])})")
    return Answer(**found)


def _death(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
