"""How a job gets into a process of its own: the program that is running is started again or, where there is no program
to start, the task function is pickled. Starts nothing.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra._internal.utils import get_args_parser
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.runner_launcher._errors import LaunchError
from hydra_plugins.runner_launcher._order import Order, name_of
from hydra_plugins.runner_launcher.job import CONFIG
from runner.core.interpreter_options import interpreter_options

FUNCTION = Path(__file__).with_name("_function.py")


@dataclass(frozen=True, slots=True)
class Start:
    """`argv` starts a process for a job, `specify` makes its specification.

    `by_hand` makes the command line that runs a job with these overrides outside a sweep; empty if there is none.
    """

    argv: tuple[str, ...]
    specify: Callable[[DictConfig, str], bytes]
    by_hand: Callable[[Sequence[str]], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class CommandLine:
    """The words that start the program, and those of its command line that it takes itself, before Hydra reads it.

    `before` and `after` are on either side of the words that Hydra gets, `options` are those of Python.
    """

    program: tuple[str, ...]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def with_words(self, *for_hydra: str) -> tuple[str, ...]:
        return (*self.options, *self.program, *self.before, *for_hydra, *self.after)


def of(context: HydraContext, task: TaskFunction) -> Start:
    """How the jobs of the running application are started."""
    callbacks = _portable(context.callbacks)
    line = running()
    if line is None:
        return Start((sys.executable, str(FUNCTION)), _Shipped(context, task, callbacks), lambda overrides: ())
    given = get_args_parser().parse_known_args()[0]
    # Without these the program may not find its own configs, and refuse to start.
    where = _words(("--config-path", given.config_path), ("--config-dir", given.config_dir))
    by_hand = (*where, *_words(("--config-name", given.config_name)))
    return Start(
        (sys.executable, *line.with_words(*where, "--config-name", CONFIG, "--multirun")),
        lambda config, folder: _dumps(Order(config, folder, callbacks, name_of(task))),
        lambda overrides: ("python", *line.with_words(*by_hand, *overrides)),
    )


def running() -> CommandLine | None:
    """How this program is started, if Hydra reads its command line; None in a test or a notebook."""
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    if not file or not sys.argv or Path(sys.argv[0]).absolute() != Path(file).absolute() or not _called_by_hydra_main():
        return None
    spec = getattr(main, "__spec__", None)
    program = ("-m", spec.name.removesuffix(".__main__")) if spec is not None else (str(Path(file).absolute()),)
    given = arguments(sys.orig_argv, program)
    return CommandLine(program, *split(given, sys.argv[1:]), options=interpreter_options(sys.orig_argv))


def arguments(started: Sequence[str], program: tuple[str, ...]) -> Sequence[str]:
    """What follows the program in the command line of its process; nothing if it is not found there.

    A debugger or a profiler may come first: `python -m pdb app.py x=1`.
    """
    for number, word in enumerate(started[1:], 1):
        if program[0] == "-m":
            previous = started[number - 1]
            named = word == program[1] and previous.startswith("-") and previous.endswith("m")
            found = named or word == f"-m{program[1]}"
        else:
            found = str(Path(word).absolute()) == program[0] or word == sys.argv[0]
        if found:
            return started[number + 1 :]
    return ()


def split(given: Sequence[str], for_hydra: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words of `given` that Hydra did not get: those before the first that it got, and those after it."""
    kept = list[str | None](given)
    left = Counter(for_hydra)
    for at, _, size in SequenceMatcher(None, given, for_hydra, autojunk=False).get_matching_blocks():
        left -= Counter(given[at : at + size])
        kept[at : at + size] = [None] * size
    for number, word in enumerate(kept):  # the program may have changed their order
        if word is not None and left[word] > 0:
            left[word] -= 1
            kept[number] = None
    first = kept.index(None) if None in kept else len(kept)
    before, after = ([word for word in part if word is not None] for part in (kept[:first], kept[first:]))
    return tuple(before), tuple(after)


def _called_by_hydra_main() -> bool:
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_name == "_run_hydra" and frame.f_globals.get("__name__") == "hydra._internal.utils":
            return True
    return False


def _words(*options: tuple[str, str | None]) -> tuple[str, ...]:
    return tuple(word for name, value in options if value is not None for word in (name, value))


def _portable(callbacks: Callbacks) -> Callbacks | None:
    try:
        _dumps(callbacks)
    except Exception:  # whatever the classes of the callbacks raise
        return None
    return callbacks


def _dumps(value: object) -> bytes:
    import pickle

    return pickle.dumps(value)


class _Shipped:
    """Makes specifications that contain the task function, and Hydra's state in this process, such as resolvers."""

    def __init__(self, context: HydraContext, task: TaskFunction, callbacks: Callbacks | None) -> None:
        self._context = HydraContext(context.config_loader, callbacks or Callbacks())
        self._task = task
        self._callbacks = callbacks

    def __call__(self, config: DictConfig, folder: str) -> bytes:
        import pickle

        import cloudpickle
        from hydra.core.singleton import Singleton

        specification: Any = (Order(config, folder, self._callbacks), self._context, self._task, Singleton.get_state())
        try:
            content: bytes = cloudpickle.dumps(specification)
        except (TypeError, pickle.PicklingError) as error:
            why = f"the task function cannot be sent to another process ({error}); start it as a program"
            raise LaunchError(why) from error
        return pickle.dumps(sys.path) + content
