"""Results of the library on disk: look one up, keep one, archive an old one. Runs nothing, and takes no lock.

There is a result when meta.json says `completed` and result.pkl has the checksum that meta.json gives. The
checksum protects against torn and damaged files; it does not make a pickle safe that somebody else has put there.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from runner.core import redact
from runner.core.canonical import canonical
from runner.disk import atomic, layout
from runner.disk.place import Place
from runner.disk.reading import LARGEST_OF_BATCH, read_bytes, read_json
from runner.disk.whole import copy_whole, remove_whole
from runner.library.identity import Identity, described
from runner.processes.process_id import own

SCHEMA = 2  # 1: `code` is that of earlier_fingerprint
ERROR_SCHEMA = 1
Code = Literal["ignore", "warn", "rerun"]


@dataclass(frozen=True, slots=True)
class Key:
    """What a result must have been computed from. `config` is the typed form with secrets hidden, `text` its text."""

    name: str
    digest: str
    config: Any
    text: str
    function: Identity
    code: str
    version: str | None = None
    earlier_code: Callable[[], str] = lambda: ""  # as version 0.1.0 computed it; needed for its results only

    def has_code_of(self, meta: Mapping[str, Any]) -> bool:
        """Whether the code is still the one that a record names."""
        return meta.get("code") == (self.earlier_code() if meta.get("schema") == 1 else self.code)


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Which results are used: those of changed code or not, and those that started at `since` (ISO 8601) or later."""

    code: Code = "warn"
    since: str | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """An existing result. `stale`: the code has changed since."""

    value: Any
    meta: Mapping[str, Any]
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Miss:
    """No result that can be used.

    `outdated`: there is one, but it must be computed again. `foreign`: it belongs to another function, and must not be
    touched. Otherwise what is there has no value.
    """

    why: str | None = None
    outdated: bool = False
    foreign: bool = False


def look(folder: Path, key: Key, policy: CachePolicy = CachePolicy()) -> Hit | Miss:
    """The result in `folder`. Never raises for what it finds there, whatever that is."""
    meta = read_meta(folder)
    if meta is None:
        return Miss("meta.json cannot be read" if (folder / layout.META).exists() else None)
    if meta.get("status") != "completed":
        return Miss()
    config = meta.get("config")
    if meta.get("hash") != key.digest or not is_config(config, key):
        return Miss("meta.json is of another config")
    if policy.since is not None and not str(meta.get("start_time")) >= policy.since:
        return Miss("is to be computed again", outdated=True)
    same_code = key.has_code_of(meta)
    if not key.function.is_of(meta) and not same_code:  # the second: its file was renamed
        return Miss(_foreign(folder, key, meta), foreign=True)
    if meta.get("version") != key.version:
        return Miss(f"version {meta.get('version')} became {key.version}", outdated=True)
    stale = not same_code and policy.code != "ignore"
    if stale and policy.code == "rerun":
        return Miss("the code has changed", outdated=True)
    try:
        content = read_bytes(folder / layout.PICKLE, _size(meta))
    except OSError as error:
        return Miss(f"result.pkl cannot be read ({error.strerror})")
    if hashlib.sha256(content).hexdigest() != meta.get("sha256"):
        return Miss("result.pkl does not have the checksum that meta.json gives")
    try:
        return Hit(pickle.loads(content), meta, stale)
    except Exception as error:  # whatever the classes in it raise
        return Miss(f"result.pkl cannot be loaded ({type(error).__name__}: {error})")


def is_config(config: Any, key: Key) -> bool:
    """Whether a recorded config is the one of the key, as far as it was written down."""
    return canonical(config) == key.text or redact.agree(config, key.config)


def _foreign(folder: Path, key: Key, meta: Mapping[str, Any]) -> str:
    other, ours = str(meta.get("function")), key.function.function
    if other == ours:  # of another file
        other, ours = described(other, meta.get("file")), str(key.function)
    cure = f"--adopt {meta.get('function')} if it was renamed, or --rerun"
    return f"{folder} holds a result of {other}, not of {ours}; give each its own output_dir, or use {cure}"


def read_meta(folder: Path) -> dict[str, Any] | None:
    """meta.json; None if there is none that can be read."""
    return read_json(folder / layout.META, LARGEST_OF_BATCH) or None


def _size(meta: Mapping[str, Any]) -> int:
    """The bytes of result.pkl, as meta.json gives them."""
    size = meta.get("bytes")
    return size if isinstance(size, int) else LARGEST_OF_BATCH


def keep(folder: Path, key: Key, value: Any, times: Mapping[str, Any], versions: Mapping[str, str]) -> None:
    """Write a result so that it is there as a whole or not at all. Raises OSError, or whatever pickling raises."""
    content = pickle.dumps(value, protocol=5)
    found = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    record = _record(key, "completed", times, versions, found)
    atomic.write_files(_place(folder), {layout.PICKLE: content, layout.META: atomic.json_bytes(record)})


def migrate(folder: Path, key: Key) -> None:
    """Write a record of version 0.1.0, whose code is unchanged, as this version writes it. Raises OSError.

    Call with the lock held: another process may be computing it again.
    """
    meta = read_meta(folder) or {}
    if meta.get("schema") == 1 and meta.get("status") == "completed" and key.has_code_of(meta):
        atomic.write_json(_place(folder) / layout.META, _renewed(meta, key))


def adopt(folder: Path, key: Key) -> bool:
    """Make the result of another function one of this function, with a note; False if there is none any more."""
    meta = read_meta(folder) or {}
    if meta.get("status") != "completed" or not is_config(meta.get("config"), key):
        return False
    note = {name: meta.get(name) for name in ("function", "file", "code", "adopted_from")}
    atomic.write_json(_place(folder) / layout.META, {**_renewed(meta, key), "adopted_from": note})
    return True


def _renewed(meta: Mapping[str, Any], key: Key) -> dict[str, Any]:
    function = {"function": key.function.function, "file": key.function.file}
    return {**meta, "schema": SCHEMA, **function, "code": key.code, "config": key.config}


def fail(folder: Path, key: Key, error: BaseException, times: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    """Write why there is no result; returns it as one sentence. Raises OSError."""
    message = str(error).strip().partition("\n")[0]
    sentence = f"{type(error).__name__}: {message}" if message else type(error).__name__
    trace = redact.text("".join(traceback.format_exception(_from_the_function(error))))
    sentence, whole = redact.text(sentence), redact.text(str(error))
    report = {"schema": ERROR_SCHEMA, "type": type(error).__name__, "message": whole, "traceback": trace}
    record = _record(key, "failed", times, versions, {"sha256": None, "bytes": None, "error": sentence})
    contents = {
        layout.ERROR_DETAILS: trace.encode(errors="backslashreplace"),
        layout.META: atomic.json_bytes(record),
        layout.JOB_ERROR: atomic.json_bytes(report),
    }
    atomic.write_files(_place(folder), contents)
    return sentence


def _from_the_function(error: BaseException) -> BaseException:
    """The error without the frames of this library, where nobody has to look for an error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("runner."):
        trace = trace.tb_next
    return error.with_traceback(trace or error.__traceback__)


def _record(
    key: Key, status: str, times: Mapping[str, Any], versions: Mapping[str, str], more: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "name": key.name,
        "status": status,
        "hash": key.digest,
        "config": key.config,
        "function": key.function.function,
        "file": key.function.file,
        "code": key.code,
        "version": key.version,
        **times,
        "versions": dict(versions),
        "process": own(),
        "copied_from": None,
        "error": None,
        **more,
    }


def _place(folder: Path) -> Place:
    return Place(folder.parent, folder.name)


def _archive(folder: Path) -> Place:
    return Place(folder.parent, layout.OWN, "aside", folder.name)


def archived(root: Path) -> set[str]:
    """The names of the folders of which an old result was archived."""
    try:
        return {path.name for path in (root / layout.OWN / "aside").iterdir()}
    except OSError:
        return set()


def make_room(folder: Path, found: Miss) -> None:
    """Make `folder` empty: an existing result is archived, what else is there becomes an attempt."""
    place = _place(folder)
    if found.outdated:
        archive = _archive(folder)
        archive.parent.make()
        if os.path.lexists(archive):  # older still
            remove_whole(archive)
        place.move(archive)
    is_new = not os.path.lexists(place)
    place.make()
    if not is_new:
        _archive_attempt(place)


def recover(folder: Path) -> None:
    """Decide between an archived result and what is in its place now. Call with the lock held.

    A new result takes its place, and a failure waits for one; anything else is what a stop or a crash left.
    """
    archive = _archive(folder)
    if not os.path.lexists(archive) or not archive.is_folder():  # the first is quick, and true of most
        return
    meta = read_meta(folder) or {}
    if meta.get("status") == "completed":
        remove_whole(archive)
    elif not (folder / layout.JOB_ERROR).exists():
        if folder.exists():
            _place(folder).move(_next_attempt(archive))
        archive.move(_place(folder))


def copy_duplicate(folder: Path, key: Key, policy: CachePolicy, names: Iterable[str]) -> bool:
    """Copy the result of an equal config with another name, if there is one beside `folder`: one of these names."""
    for other in (folder.parent / name for name in names if name != folder.name):
        found = look(other, key, policy)
        if isinstance(found, Hit) and not found.stale:
            make_room(folder, Miss())
            source, target = _place(other), _place(folder)
            for name in source.names_in():
                if name != layout.META and not name.startswith(layout.ATTEMPT):
                    copy_whole(source / name, target / name)
            atomic.write_json(target / layout.META, {**found.meta, "name": key.name, "copied_from": str(other)})
            return True
    return False


def _archive_attempt(folder: Place) -> None:
    """Move what an earlier attempt left into a folder of its own: nothing is lost, and nothing is in the way."""
    left = [name for name in folder.names_in() if not name.startswith(layout.ATTEMPT)]
    if left:
        folder.move_into(_next_attempt(folder), left)


def _next_attempt(folder: Place) -> Place:
    number = 1
    while os.path.lexists(folder / f"{layout.ATTEMPT}{number}"):
        number += 1
    return folder / f"{layout.ATTEMPT}{number}"
