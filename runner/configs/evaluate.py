"""Execute one Python config and write what it set as JSON. A program of its own, of the standard library alone.

`python -c <this file> CONFIG SOURCE RESULT`: CONFIG is the name to show, SOURCE the copy that was read.
"""

from __future__ import annotations
import __future__

import json
import os
import resource
import sys
import traceback
import types
from pathlib import Path
from typing import Any

MAX_SIZE = 1_000_000  # elements and characters of one value: more than any config needs, and harmless
MAX_DEPTH = 100
MAX_BITS = 10_000  # Python refuses to print an int of more than 4300 digits
MAX_MEMORY = 8 * 2**30  # enough to import torch

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
            return {_name(key): _plain(item, budget, depth + 1) for key, item in value.items()}
        case os.PathLike():
            return os.fspath(value)
    if callable(getattr(value, "tolist", None)):  # a scalar or array of numpy or torch
        return _plain(value.tolist(), budget, depth + 1)
    kind = type(value).__name__
    fix = "write a number, text, list or dict, or begin its name with an underscore"
    raise UnsupportedValue(f"is of type {kind}, which a config cannot hold; {fix}")


def _integer(value: int) -> int:
    if value.bit_length() > MAX_BITS:
        raise UnsupportedValue("is too large for a config; make it smaller, or compute it where it is used")
    return value


def _name(key: Any) -> str:
    match key:
        case str():
            return str(key)
        case None | bool() | int() | float():
            return json.dumps(key)  # as json itself would write the key
    raise UnsupportedValue(f"has a key of type {type(key).__name__}, which a config cannot hold; write the key as text")


def is_setting(name: str, value: Any) -> bool:
    """Imported modules, functions and classes are the config's tools, not its settings."""
    tool = callable(value) or isinstance(value, (types.ModuleType, __future__._Feature))
    return not tool and not name.startswith("_")


def _evaluate(shown: str, source: str) -> dict[str, Any]:
    # __main__ as under nanoGPT's exec, so that a config has the same names as there.
    names: dict[str, Any] = {"__name__": "__main__", "__file__": shown}
    try:
        exec(compile(source, shown, "exec", dont_inherit=True), names)
    except BaseException as error:
        return {"error": type(error).__name__, "message": str(error), "line": _line(error, shown)}
    values: dict[str, Any] = {}
    unsupported: dict[str, str] = {}
    for name, value in names.items():
        if is_setting(name, value):
            try:
                values[name] = plain(value)
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


def _main(shown: str, source: Path, result: Path) -> None:
    _limit_memory()
    sys.argv = [shown]
    outcome = _evaluate(shown, source.read_text(encoding="utf-8"))
    unfinished = result.with_suffix(".part")
    unfinished.write_text(json.dumps(outcome), encoding="utf-8")
    unfinished.replace(result)
    os._exit(0)  # threads that the config started must not hold the answer back


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
