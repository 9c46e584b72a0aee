"""The lock of one function and one config. Others wait for it; a computation that would wait for itself is an error."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.disk import layout
from runner.disk import lock as disk_lock
from runner.disk.lock import Held, Lock
from runner.disk.place import Place
from runner.library.cache import Key
from runner.processes import process_id, process_tree

_threads: dict[str, int] = {}  # path of a lock of this process -> the thread that holds it


class WaitsForItself(Exception):
    """The holder of the lock waits for us: it is this thread, or an ancestor of this process."""


class ConfigLock:
    """Held from its creation to `release`. Raises Held, WaitsForItself or OSError; it is tried once.

    The lock lies beside the folders and not in them: a folder may be moved while it is held. Two names of one config
    have one lock, so that the second can copy what the first has computed.
    """

    def __init__(self, folder: Path, key: Key) -> None:
        place = _locks(folder) / _name(key)
        self.path = str(place)
        self.last_used = _changed(self.path)  # by another process, mostly
        try:
            self._lock = Lock(place, patience=0)
        except FileNotFoundError:  # the first lock in this output folder
            place.parent.make()
            self._lock = Lock(place, patience=0)
        except Held as held:
            if self._is_ours(held.holder):
                raise WaitsForItself from None
            raise
        _threads[self.path] = threading.get_ident()

    def release(self) -> None:
        _threads.pop(self.path, None)
        self._lock.release()

    def _is_ours(self, holder: Mapping[str, Any]) -> bool:
        pid, identity = holder.get("pid"), holder.get("identity")
        if not isinstance(pid, int) or holder.get("host") != process_id.host():
            return False
        if pid == os.getpid():  # another thread computes it beside us, and can be waited for
            return _threads.get(self.path) == threading.get_ident()
        return pid in process_tree.ancestors() and process_id.of(pid) == identity


def used_by_another(folder: Path, key: Key) -> bool:
    """Whether another function, with an equal config of the same name, is at work in `folder` at this moment."""
    if not folder.exists() or ((folder / layout.META).exists() and not (folder / layout.SUPERVISOR).exists()):
        return False  # meta.json is moved away before, and comes last
    names = {name for name in _locks(folder).names_in() if name.startswith(key.digest)}
    return any(disk_lock.holder(str(_locks(folder) / name)) is not None for name in names - {_name(key)})


def _changed(path: str) -> float:
    """When a file was changed last; 0 if there is none."""
    try:
        return os.stat(path).st_mtime  # noqa: PTH116 - a path costs more than the call, for each config
    except OSError:
        return 0.0


def _locks(folder: Path) -> Place:
    return Place(folder.parent, layout.OWN, "locks")


def _name(key: Key) -> str:
    return f"{key.digest}-{hashlib.sha256(str(key.function).encode(errors='surrogatepass')).hexdigest()[:8]}"
