"""The observers by name: the built-in ones, and those of installed packages."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TextIO

from runner.core.registry import Registry
from runner.core.state import Record
from runner.engine.protocols import Observer


@dataclass(frozen=True, slots=True)
class ObserverContext:
    """What an observer is made for. `stream` is where the user reads; `quiet`: failures and the end only.

    `verbose`: what the jobs print, too. `json`: standard output belongs to a JSON object, so `stream` is another one.
    `earlier` are jobs of the same batch that other plans had before.
    """

    stream: TextIO
    quiet: bool = False
    verbose: bool = False
    json: bool = False
    earlier: Sequence[Record] = ()


class ObserverFactory(Protocol):
    """An entry of the registry: a function, or a class whose constructor takes the context."""

    def __call__(self, context: ObserverContext) -> Observer: ...


OBSERVERS: Registry[ObserverFactory] = Registry(
    "runner.observers",
    "observer",
    {
        "journal": "runner.observers.journal:make",
        "plain": "runner.observers.plain:make",
        "live": "runner.observers.live:make",
        "notify": "runner.observers.notify:make",
        "resources": "runner.observers.resources:make",
    },
)


def make_observers(names: Iterable[str], context: ObserverContext) -> list[Observer]:
    """The observers with these names, each once. Raises UserError for an unknown name."""
    return [OBSERVERS.get(name)(context) for name in dict.fromkeys(names)]


def terminal_observer(context: ObserverContext) -> str:
    """The name of the one that suits the stream: `live` on a terminal whose cursor can move, else `plain`."""
    moves = context.stream.isatty() and os.environ.get("TERM") not in (None, "", "dumb")
    return "live" if moves and not context.quiet else "plain"
