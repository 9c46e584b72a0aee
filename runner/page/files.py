"""The files in the folder of a job: their list, and the content of one that is in this list. Follows no link."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from runner.core.errors import UserError
from runner.core.job import Job
from runner.disk.place import Place
from runner.disk.reading import open_below

MOST, DEEPEST = 1000, 3  # files, and folders one below the other
REMEMBERED = 64  # jobs whose list is kept
BLOCK = 1 << 16
PICTURES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp",
            ".gif": "image/gif", ".svg": "image/svg+xml"}  # fmt: skip
TEXTS = (".log", ".txt", ".json", ".jsonl", ".py", ".yaml", ".yml", ".toml", ".csv", ".md", ".sh", ".cfg", ".ini")
#: A file of a job runs nothing, wherever it is opened.
ALONE = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")


class Files:
    """Lists of files, and their content. For several threads."""

    def __init__(self) -> None:
        self._known: dict[Path, frozenset[str]] = {}  # names that were in the list of a job, of those asked for last

    def listed(self, job: Job) -> list[dict[str, Any]]:
        """Name, size and time of each file, and whether it is a picture."""
        found = sorted(_below(Place.of_job(job), "", 0), key=lambda one: str(one["name"]))[:MOST]
        self._known.pop(job.out_dir, None)
        self._known[job.out_dir] = frozenset(str(one["name"]) for one in found)
        for old in list(self._known)[:-REMEMBERED]:
            self._known.pop(old, None)
        return found

    def served(self, job: Job, name: str, wanted: str | None) -> Response:
        """The content of a file, or the part of it that a Range header asks for. Raises UserError."""
        if name not in self._known.get(job.out_dir, ()) and name not in {one["name"] for one in self.listed(job)}:
            raise UserError(f"{job.name}: has no file of this name")
        try:
            return _served(open_below(Place.of_job(job) / name), name, wanted)
        except OSError as error:
            raise UserError(f"{job.name}: the file cannot be read ({error.strerror})") from None


def _below(place: Place, before: str, depth: int) -> Iterator[dict[str, Any]]:
    try:
        with place.opened() as folder:
            names = sorted(os.listdir(folder))[: 2 * MOST]  # noqa: PTH208 - an open folder
            known = [(name, os.stat(name, dir_fd=folder, follow_symlinks=False)) for name in names]
    except OSError:
        return
    for name, about in known:
        if stat.S_ISREG(about.st_mode):
            picture = Path(name).suffix.lower() in PICTURES
            yield {"name": before + name, "size": about.st_size, "time": about.st_mtime, "picture": picture}
        elif stat.S_ISDIR(about.st_mode) and depth + 1 < DEEPEST and not name.startswith("."):
            yield from _below(place / name, f"{before}{name}/", depth + 1)


def _served(file: BinaryIO, name: str, wanted: str | None) -> Response:
    size = os.fstat(file.fileno()).st_size
    begin, end, code = _part(wanted, size)
    kind, shown = _kind(name)
    headers = {
        "content-disposition": f"{shown}; filename*=UTF-8''{quote(Path(name).name, safe='')}",
        "content-security-policy": ALONE,
        "content-length": str(end - begin),
        "accept-ranges": "bytes",
    }
    if code == 206:
        headers["content-range"] = f"bytes {begin}-{end - 1}/{size}"
    return StreamingResponse(_blocks(file, begin, end), code, headers, media_type=kind)


def _part(wanted: str | None, size: int) -> tuple[int, int, int]:
    """Where it begins and ends, and the status; a Range that cannot be met is ignored."""
    match = RANGE.fullmatch(wanted or "")
    if match is None or int(match[1]) >= size:
        return 0, size, 200
    last = int(match[2]) if match[2] else size - 1
    return (int(match[1]), min(last + 1, size), 206) if last >= int(match[1]) else (0, size, 200)


def _kind(name: str) -> tuple[str, str]:
    """The type that it is sent as, and whether a browser shows it or saves it."""
    ending = Path(name).suffix.lower()
    if ending in PICTURES:
        return PICTURES[ending], "inline"
    return ("text/plain; charset=utf-8", "inline") if ending in TEXTS else ("application/octet-stream", "attachment")


def _blocks(file: BinaryIO, begin: int, end: int) -> Iterator[bytes]:
    with file:
        file.seek(begin)
        while begin < end and (block := file.read(min(BLOCK, end - begin))):
            begin += len(block)
            yield block
        if begin < end:  # it was truncated meanwhile; what was promised is sent
            yield b"\0" * (end - begin)
