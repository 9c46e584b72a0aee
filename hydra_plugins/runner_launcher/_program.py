"""How a job gets into a process of its own: the program that is running is started again or, where that is no program
that could be, the task function is pickled. Starts nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra._internal.utils import get_args_parser
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.runner_launcher._errors import LaunchError
from hydra_plugins.runner_launcher._order import Order
from hydra_plugins.runner_launcher.job import CONFIG

FUNCTION = Path(__file__).with_name("_function.py")


@dataclass(frozen=True, slots=True)
class Start:
    """`argv` starts a process for a job, `specify` makes its specification; `by_hand` is a command line for one."""

    argv: tuple[str, ...]
    specify: Callable[[DictConfig, str], bytes]
    by_hand: tuple[str, ...]


def of(context: HydraContext, task: TaskFunction) -> Start:
    """How the jobs of the running application are started."""
    callbacks = _portable(context.callbacks)
    program = _running()
    if program is None:
        return Start((sys.executable, str(FUNCTION)), _Shipped(context, task, callbacks), ())
    given = get_args_parser().parse_known_args()[0]
    # Without these the program may not find its own configs, and refuse to start.
    where = _words(("--config-path", given.config_path), ("--config-dir", given.config_dir))
    argv = (sys.executable, *program, *where, "--config-name", CONFIG, "--multirun")
    by_hand = ("python", *program, *where, *_words(("--config-name", given.config_name)))
    return Start(argv, lambda config, folder: _dumps(Order(config, folder, callbacks)), by_hand)


def _running() -> tuple[str, ...] | None:
    """The words that start this program, if Hydra reads its command line; None in a test or a notebook."""
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    if not file or not sys.argv or Path(sys.argv[0]).absolute() != Path(file).absolute() or not _called_by_hydra_main():
        return None
    spec = getattr(main, "__spec__", None)
    return ("-m", spec.name.removesuffix(".__main__")) if spec is not None else (str(Path(file).absolute()),)


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
