"""Execute Python configs and write what they set as JSON. A program of its own, of the standard library alone.

It reads a request from its standard input, one line of JSON, and then a line with the numbers of the tasks to be done.
It forks a process for each config: none can change what another one finds, and a module that several of them import is
imported once. It ends when its input ends.
"""

from __future__ import annotations
import __future__

import contextlib
import datetime
import importlib
import os
import resource
import select
import signal
import sys
import time
import traceback
import types
from collections.abc import Mapping
from importlib.machinery import PathFinder
from json import dumps, loads  # by name: a config may change what the module json has
from pathlib import Path
from typing import Any

MAX_SIZE = 1_000_000  # elements and characters of one value: more than any config needs, and harmless
MAX_DEPTH = 100
MAX_BITS = 10_000  # Python refuses to print an int of more than 4300 digits
MAX_MEMORY = 8 * 2**30  # enough to import torch
MODULE = "__config__"  # the name of a config as a module; never __main__, under which it would run as a program
SHIFT = 4.1e7 + 12_345.678  # seconds by which a second evaluation is later: another year, month, day, hour and minute
POLL = 0.002  # seconds

_CONTAINERS = (list, tuple, range, dict)


class UnsupportedValue(ValueError):
    """A value that a config cannot hold; the message continues a sentence and names the fix."""


def plain(value: Any) -> Any:
    """The value in JSON's types: tuples become lists, paths become text, scalars of other libraries become numbers."""
    budget = [MAX_SIZE]
    return _plain(value, budget, 0)


def _plain(value: Any, budget: list[int], depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    budget[0] -= 1 + (len(value) if isinstance(value, (str, *_CONTAINERS)) else 0)
    if budget[0] < 0:
        raise UnsupportedValue("is too large for a config; make it smaller, or compute it where it is used")
    if depth > MAX_DEPTH:
        raise UnsupportedValue("is nested too deeply for a config; make it flatter")
    match value:
        case int():
            return _integer(int(value))
        case float():
            return float(value)
        case str():
            return str(value)
        case list() | tuple() | range():
            return [_plain(item, budget, depth + 1) for item in value]
        case dict():
            return _named(value, budget, depth + 1)
        case os.PathLike():
            return os.fspath(value)
    if callable(getattr(value, "tolist", None)):  # a scalar or array of numpy or torch
        return _plain(value.tolist(), budget, depth + 1)
    kind = type(value).__name__
    fix = "write a number, text, list or dict, or begin its name with an underscore"
    raise UnsupportedValue(f"is of type {kind}, which a config cannot hold; {fix}")


def _named(value: dict[Any, Any], budget: list[int], depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in value.items():
        if (name := _name(key)) in found:
            raise UnsupportedValue(f"has the key {name!r} twice, as text and as another value; rename one")
        found[name] = _plain(item, budget, depth)
    return found


def _integer(value: int) -> int:
    if value.bit_length() > MAX_BITS:
        raise UnsupportedValue("is too large for a config; make it smaller, or compute it where it is used")
    return value


def _name(key: Any) -> str:
    match key:
        case str():
            return str(key)
        case None | bool() | int() | float():
            return dumps(key)  # as json itself would write the key
    raise UnsupportedValue(f"has a key of type {type(key).__name__}, which a config cannot hold; write the key as text")


def is_setting(name: str, value: Any) -> bool:
    """Imported modules, functions and classes are the config's tools, not its settings."""
    tool = callable(value) or isinstance(value, (types.ModuleType, __future__._Feature))
    return not tool and not name.startswith("_")


def _evaluate(task: Mapping[str, Any]) -> dict[str, Any]:
    shown = task["shown"]
    module = types.ModuleType(MODULE)
    sys.modules[MODULE] = module  # a dataclass looks its module up
    names = vars(module)
    for statement in task["imports"]:  # of the training script; a config that needs one that fails, fails itself
        with contextlib.suppress(Exception):
            exec(statement, names)
    names |= {"__file__": task["file"], **loads(dumps(task["names"]))}  # a copy: what it changes in a list is a setting
    before = dict(names)
    source = Path(task["source"]).read_text(encoding="utf-8")
    try:
        exec(compile(source, shown, "exec", dont_inherit=True), names)
    except BaseException as error:
        missing = error.name if isinstance(error, NameError) else None
        about = {"error": type(error).__name__, "message": str(error), "missing": missing}
        return {**about, "line": _line(error, shown)}
    values: dict[str, Any] = {}
    unsupported: dict[str, str] = {}
    for name, value in names.items():
        if not is_setting(name, value):
            continue
        try:
            found = plain(value)
            if value is not before.get(name, names) or name in task["assigned"] or found != task["names"].get(name):
                values[name] = found  # and not only a name that it was given
        except UnsupportedValue as error:
            unsupported[name] = str(error)
        except Exception as error:  # the value's own code (tolist, __fspath__) failed
            unsupported[name] = f"cannot be read ({type(error).__name__}); write a number, text, list or dict"
    return {"values": values, "unsupported": unsupported}


def _line(error: BaseException, shown: str) -> int | None:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == shown]
    return lines[-1] if lines else None


def _limit_memory() -> None:
    try:
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        limit = MAX_MEMORY if hard == resource.RLIM_INFINITY else min(MAX_MEMORY, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    except (OSError, ValueError):
        pass  # without it a config that fills the memory is stopped by the time limit alone


class _LaterType(type):
    """isinstance and issubclass as for the class of the standard library."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.__mro__[1])

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, cls.__mro__[1])


def _shift_clock() -> None:
    """Let the clock be later, so that a value that is made of the date or the hour differs from the first evaluation's.

    Two evaluations follow each other within milliseconds, a job its plan within minutes or days.
    """
    now, local, universal, text, formatted = time.time, time.localtime, time.gmtime, time.asctime, time.strftime

    def later() -> float:
        return now() + SHIFT

    class Date(datetime.date, metaclass=_LaterType):
        @classmethod
        def today(cls) -> Any:
            return cls.fromtimestamp(later())

    class Datetime(datetime.datetime, metaclass=_LaterType):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return cls.fromtimestamp(later(), tz)

        @classmethod
        def today(cls) -> Any:
            return cls.fromtimestamp(later())

        @classmethod
        def utcnow(cls) -> Any:
            return cls.fromtimestamp(later(), datetime.UTC).replace(tzinfo=None)

    changed: dict[str, Any] = {
        "time": later,
        "time_ns": lambda: int(later() * 1e9),
        "localtime": lambda seconds=None: local(later() if seconds is None else seconds),
        "gmtime": lambda seconds=None: universal(later() if seconds is None else seconds),
        "ctime": lambda seconds=None: text(local(later() if seconds is None else seconds)),
        "asctime": lambda parts=None: text(local(later()) if parts is None else parts),
        "strftime": lambda shape, parts=None: formatted(shape, local(later()) if parts is None else parts),
    }
    for name, function in changed.items():
        setattr(time, name, function)
    for kind, name in ((Date, "date"), (Datetime, "datetime")):
        kind.__name__ = kind.__qualname__ = f"datetime.{name}"  # so that its repr is the same
        setattr(datetime, name, kind)


def _import_shared(modules: list[str], limit: float) -> None:
    """Import what several configs import, if it is an installed package: a config finds it as it would find it itself.

    The alarm ends this program, and the configs are then evaluated without this.
    """
    signal.setitimer(signal.ITIMER_REAL, limit)
    for name in modules:
        try:
            spec = PathFinder.find_spec(name)
            if spec is not None and spec.origin is not None and "-packages/" in spec.origin:  # site-, dist-packages
                importlib.import_module(name)
        except BaseException:
            continue
    signal.setitimer(signal.ITIMER_REAL, 0)


def _start(task: Mapping[str, Any], later: bool) -> int:
    """A process of its own session that evaluates one config; its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.argv = [task["shown"]]
        os.environ.update(task["environ"])
        os.chdir(task["folder"])
        if not os.environ.get("PYTHONSAFEPATH"):
            sys.path.insert(0, task["folder"])
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed()  # a fork begins with the state of the others
        if later:
            _shift_clock()
        _write(task["result"], _evaluate(task))
    finally:
        os._exit(0)  # threads that the config started must not hold the answer back


def _write(result: str, answer: Mapping[str, Any]) -> None:
    unfinished = Path(f"{result}.{os.getpid()}")
    unfinished.write_text(dumps(answer), encoding="utf-8")
    unfinished.replace(result)


def _serve(request: Mapping[str, Any], numbers: list[int]) -> None:
    waiting = [request["tasks"][number] for number in reversed(numbers)]
    running: dict[int, tuple[Mapping[str, Any], float]] = {}
    while waiting or running:
        while waiting and len(running) < request["at_once"]:
            task = waiting.pop()
            running[_start(task, request["later"])] = task, time.monotonic() + request["limit"]
        abandoned = bool(select.select([0], [], [], POLL)[0])
        for pid, (task, deadline) in list(running.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            late = not ended and (abandoned or time.monotonic() > deadline)
            if not ended and not late:
                continue
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)  # not the process alone: what it started would live on
            if late:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)  # it may not lead its session yet
                os.waitpid(pid, 0)
            del running[pid]
            if not os.path.exists(task["result"]):  # noqa: PTH110
                _write(task["result"], {"late": True} if late else {"died": os.waitstatus_to_exitcode(status)})
        if abandoned:
            return


def _main() -> None:
    _limit_memory()
    lines = os.fdopen(os.dup(0), "rb", 0)
    request = loads(lines.readline())
    if request["modules"]:
        _import_shared(request["modules"], request["limit"])
    numbers = lines.readline()
    lines.close()
    if numbers:
        _serve(request, loads(numbers))


if __name__ == "__main__":
    _main()
