"""Run a Python script in this process, as `python SCRIPT ARGUMENT...` would in a new one. Knows nothing of jobs."""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import sys
from importlib.machinery import SourceFileLoader
from types import ModuleType

from runner.disk.atomic import write_all
from runner.processes import command_line
from runner.supervisor.spawn import reset_signals

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from types import TracebackType
    from typing import Any

FIRST = 3  # descriptors below are standard input, output and error


class Job:
    """A command line `python [OPTION...] SCRIPT [ARGUMENT...]`, to be run in this process.

    `printed` is what its imports have written to standard output and to standard error. `kept` are the descriptors that
    they have opened. `hide` leaves the modules that a program starts with.
    """

    def __init__(
        self,
        argv: Sequence[str],
        env: dict[str, str],
        printed: Sequence[bytes],
        kept: Collection[int],
        hide: Callable[[], None],
    ) -> None:
        self._argv, self._env = list(argv), env
        self._printed, self._kept = printed, kept
        self._hide = hide

    def run(self) -> None:
        """Returns, and raises, as the script does."""
        gc.collect()  # what holds descriptors closes them now, and not once they are another file
        close_all(but=self._kept)
        at = first_argument(self._argv)
        command_line.replace(self._argv, cut=True)
        os.environ.clear()
        os.environ.update(self._env)
        sys.argv[:], sys.orig_argv[:] = self._argv[at:], self._argv
        self._hide()
        start_signals()
        for descriptor, text in enumerate(self._printed, 1):
            write_all(descriptor, text)
        new_seeds()
        execute(self._argv[at])


def first_argument(argv: Sequence[str]) -> int:
    """Where the script is in a command line."""
    return next(at for at, word in enumerate(argv[1:], 1) if not word.startswith("-"))


def close_all(but: Collection[int]) -> None:
    """Close what an exec would close."""
    for descriptor in set(map(int, os.listdir("/proc/self/fd"))) - set(but):
        try:
            if descriptor >= FIRST and fcntl.fcntl(descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC:
                os.close(descriptor)
        except OSError:  # that of the listing
            continue


def start_signals() -> None:
    """As a new Python has them."""
    reset_signals()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)


def new_seeds() -> None:
    """Let each job have random numbers of its own where it sets no seed; Python's own are new after each fork."""
    numpy, torch = sys.modules.get("numpy.random"), sys.modules.get("torch")
    if numpy is not None:
        numpy.seed()
    if torch is not None:
        torch.default_generator.seed()


def execute(name: str) -> None:
    """Run a script as the module `__main__`."""
    path = name if os.path.isabs(name) else os.path.join(os.getcwd(), name.removeprefix("./"))
    loader = SourceFileLoader("__main__", path)
    main = ModuleType("__main__")
    main.__dict__.update(
        __package__=None, __loader__=loader, __spec__=None, __annotations__={}, __builtins__=sys.modules["builtins"],
        __file__=path, __cached__=None,
    )  # fmt: skip
    sys.modules["__main__"] = main
    try:
        source = loader.get_data(path)
    except OSError as error:
        why = f"{sys.executable}: can't open file {path!r}: [Errno {error.errno}] {error.strerror}\n"
        write_all(2, why.encode(errors="surrogateescape"))
        raise SystemExit(2) from None
    try:
        exec(compile(source, path, "exec", dont_inherit=True), main.__dict__)
    except BaseException:
        sys.excepthook = Shown(sys.excepthook)
        raise


class Shown:
    """A hook for an exception that shows it without the frames that are not of the script."""

    def __init__(self, hook: Callable[..., Any]) -> None:
        self._hook = hook

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        own = os.path.dirname(os.path.abspath(__file__))
        while trace is not None and os.path.dirname(trace.tb_frame.f_code.co_filename) == own:
            trace = trace.tb_next
        self._hook(kind, error.with_traceback(trace), trace)
