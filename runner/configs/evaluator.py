"""Answers to what a Python config sets, kept while a batch is planned. Starts no process itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

TIME_LIMIT = 10.0  # seconds for one config, where no batch sets another


@dataclass(frozen=True, slots=True)
class Context:
    """What a Python config finds where it is executed.

    `folder` is the working folder and the first one of its imports, None: the current one; `file` is its `__file__`,
    None: its own path; `names` are set before, `imports` (name -> statement) are executed before where the config reads
    the name; `unknown` are further names that are known in the running script only, `environ` are variables of its
    environment that are not set here: they get another value at each evaluation.
    """

    folder: Path | None = None
    file: str | None = None
    names: Mapping[str, Any] = field(default_factory=dict)
    imports: Mapping[str, str] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()
    environ: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """A config to be executed: its text, the names that its text assigns, those that it reads, what it imports."""

    path: Path
    text: str
    context: Context
    assigned: frozenset[str] = frozenset()
    read: frozenset[str] = frozenset()
    modules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What an evaluation gave: `values` and, of names whose value a config cannot hold, why; or the error at its end.

    `volatile` are the names that another evaluation gives another value. `missing` is the name of a NameError.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    unsupported: Mapping[str, str] = field(default_factory=dict)
    volatile: tuple[str, ...] = ()
    error: str | None = None
    message: str = ""
    line: int | None = None
    missing: str | None = None
    late: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether it came to its end."""
        return self.error is None and not self.late


class Evaluator:
    """Evaluates each config once; `twice`: a second time too, to find the values that differ at each evaluation."""

    def __init__(self, time_limit: float = TIME_LIMIT, *, twice: bool = False) -> None:
        self.time_limit = time_limit
        self._twice = twice
        self._answers: dict[tuple[Path, str], Answer] = {}

    def prefetch(self, tasks: Iterable[Task]) -> None:
        """Evaluate all of these at once."""
        from runner.configs import child  # subprocess, tempfile and threads, which most configs do not need

        new = [task for task in tasks if (task.path, task.text) not in self._answers]
        if not new:
            return
        for task, answers in zip(new, child.evaluate(new, self.time_limit, twice=self._twice), strict=True):
            first, *more = answers
            self._answers[task.path, task.text] = replace(first, volatile=_differing(first, *more)) if more else first

    def answer(self, task: Task) -> Answer:
        """What this config sets."""
        self.prefetch([task])
        return self._answers[task.path, task.text]


def _differing(first: Answer, second: Answer) -> tuple[str, ...]:
    """The names with two values; none if the second evaluation failed where the first did not."""
    if not (first.succeeded and second.succeeded):
        return ()
    names = {**first.values, **second.values}
    # By repr: 1 and True are equal, and nan is not even equal to itself.
    return tuple(
        name
        for name in names
        if (name in first.values) != (name in second.values)
        or repr(first.values.get(name)) != repr(second.values.get(name))
    )
