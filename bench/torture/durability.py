"""Whether records survive a loss of power: the order of write, fsync, rename and fsync of a folder, as strace sees it.

Without a power cut, this order is all that can be seen of it. A record whose rename reaches the disk before its bytes
do is empty after a loss of power; one whose folder was not synced may be missing.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from runner.disk.layout import METADATA, RESULT, SUMMARY

#: supervisor.json is not one of them: it describes processes, and a loss of power ends those.
RECORDS = ("plan.json", METADATA, RESULT, SUMMARY)
CALLS = "write,pwrite64,writev,fsync,fdatasync,rename,renameat,renameat2"
CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+)")
DESCRIPTOR = re.compile(r"(?:\d+|AT_FDCWD)<(?P<path>[^>]*)>")
RENAME = re.compile(r'(?:\S+?<(?P<there>[^>]*)>, )?"(?P<old>[^"]*)", (?:\S+?<(?P<here>[^>]*)>, )?"(?P<new>[^"]*)"')


class Call(NamedTuple):
    """A system call that succeeded. `path` is the file, and for a rename the old name of `target`."""

    pid: str
    name: str
    path: Path
    target: Path | None = None


def available() -> bool:
    return shutil.which("strace") is not None


def traced(trace: Path) -> list[str]:
    """The words before a command whose calls, and those of all that it starts, are to be written into `trace`."""
    return ["strace", "-f", "-y", "-qq", "-s", "0", "-e", f"trace={CALLS}", "-e", "signal=none", "-o", str(trace)]


def faults(trace: Path, below: Path) -> list[str]:
    """A sentence for each way in which a record below a folder could be lost, or be incomplete."""
    return list(dict.fromkeys(broken_rules(calls(trace.read_text(errors="replace")), below.resolve())))


def broken_rules(made: Iterator[Call], below: Path) -> Iterator[str]:
    """The rules, over the calls in their order."""
    dirty: set[Path] = set()  # written since their last fsync
    renamed: dict[Path, str] = {}  # folder -> the record whose rename is not synced yet
    seen: set[str] = set()
    for call in made:
        if not call.path.is_relative_to(below):
            continue
        name = (call.target or call.path).name
        if call.target is not None:
            if name not in RECORDS or call.path.name == name:  # the second: it is archived
                continue
            seen.add(name)
            if call.path in dirty:
                yield f"{name}: renamed before it was synced"
            if before := renamed.get(call.target.parent):
                yield unsynced(before)
            renamed[call.target.parent] = name
        elif "sync" in call.name:
            dirty.discard(call.path)
            renamed.pop(call.path, None)
        else:
            dirty.add(call.path)
            if name in RECORDS:
                yield f"{name}: written in place"
    yield from map(unsynced, renamed.values())
    yield from (f"{name}: no rename was seen, so nothing is known of it" for name in RECORDS if name not in seen)


def unsynced(name: str) -> str:
    return f"{name}: its folder was not synced after it was renamed"


def calls(trace: str) -> Iterator[Call]:
    """The calls of a trace that succeeded, in the order in which they ended."""
    begun: dict[str, str] = {}  # pid -> the first half of a call during which another process made one
    for line in trace.splitlines():
        pid, _, text = line.partition(" ")
        text = text.strip()
        if text.endswith("<unfinished ...>"):
            begun[pid] = text.removesuffix("<unfinished ...>").rstrip()
            continue
        if text.startswith("<... "):
            text = begun.pop(pid, "") + text.partition("resumed>")[2]
        match = CALL.match(text)
        if match is None or match["result"].startswith("-"):
            continue
        if match["name"].startswith("rename"):
            names = RENAME.match(match["arguments"])
            if names is not None:
                old, new = Path(names["there"] or "", names["old"]), Path(names["here"] or "", names["new"])
                yield Call(pid, match["name"], old, new)
        elif (descriptor := DESCRIPTOR.match(match["arguments"])) is not None:
            yield Call(pid, match["name"], Path(descriptor["path"]))
