"""--adopt OLD: results of a function become those of another one, which is what it was renamed to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from runner.core.errors import UserError
from runner.core.text import listed
from runner.disk.lock import Held
from runner.library import cache
from runner.library.cache import Key
from runner.library.config_lock import ConfigLock, WaitsForItself
from runner.library.duplicates import Duplicates
from runner.library.identity import described
from runner.library.plan import Call

Found = tuple[Path, Key, dict[str, Any]]


def adopt(calls: Sequence[Call], old: str) -> list[str]:
    """Give results of the function `old` to that of the calls; returns the names of the folders. Raises UserError.

    `old` is the name of the function, with or without its module, or `file.py:name`. The configs must be equal, and so
    must be the version. The record keeps a note of what it was.
    """
    keys = {call.key.digest: call.key for call in calls}
    there = list(_results(calls[0].job.out_dir.parent, keys)) if calls else []
    found = [it for it in there if not it[1].function.is_of(it[2]) and _is_called(it[2], old)]
    functions = {described(meta.get("function"), meta.get("file")) for _, _, meta in found}
    if len(functions) > 1:
        raise UserError(f"--adopt {old}: is the name of {listed(sorted(functions), 10)}; give one as file.py:name")
    if not found and len({key.digest for _, key, meta in there if key.function.is_of(meta)}) < len(keys):
        others = sorted({described(meta.get("function"), meta.get("file")) for _, _, meta in there})
        hint = f"there are results of {listed(others, 10)}" if others else "none of another function exists"
        raise UserError(f"--adopt {old}: has no result for these configs; {hint}")
    return [folder.name for folder, key, _ in found if _give(folder, key)]


def _results(root: Path, keys: dict[str, Key]) -> Iterator[Found]:
    """The completed results of any function for configs with these hashes."""
    folders = Duplicates(root).all()
    for digest, key in keys.items():
        for name in sorted(folders.get(digest, ())):
            meta = cache.read_meta(root / name)
            if meta is not None and _fits(meta, key):
                yield root / name, key, meta


def _fits(meta: dict[str, Any], key: Key) -> bool:
    done = meta.get("status") == "completed" and meta.get("hash") == key.digest and meta.get("version") == key.version
    return done and cache.is_config(meta.get("config"), key)


def _is_called(meta: dict[str, Any], old: str) -> bool:
    function, file = str(meta.get("function")), meta.get("file")
    name = function.rpartition(".")[2]
    return old in (function, name, f"{file}:{name}")


def _give(folder: Path, key: Key) -> bool:
    """False if the result is being computed at this moment."""
    try:
        lock = ConfigLock(folder, key)
    except (Held, WaitsForItself):
        return False
    try:
        return cache.adopt(folder, key)
    finally:
        lock.release()
