"""Prepare a dataset's folder once, whatever it holds: under a lock, from files whose hash is checked.

A folder is prepared when all its parts stand in it. meta.json is written last, so a crash leaves an unprepared folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.shared.errors import Mistake


def once(folder: Path, parts: Collection[str], write: Callable[[], None], *, again: bool = False) -> bool:
    """Call `write`, which puts the parts into `folder`; False when they stood there already.

    Several processes may call this at once: one works, the others wait for it and find its files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "prepare.lock"):
        if is_prepared(folder, parts) and not again:
            return False
        write()
        return True


def is_prepared(folder: Path, parts: Collection[str]) -> bool:
    return all((folder / name).is_file() for name in ("meta.json", *parts))


def by_script(name: str, folder: Path) -> None:
    """Run the dataset's own prepare.py, which may download files."""
    script = folder / "prepare.py"
    if not script.is_file():
        raise Mistake(f"the dataset '{name}' is not prepared: {folder} lacks a part, and has no prepare.py")
    spec = importlib.util.spec_from_file_location(f"prepare_{folder.name}", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        module.prepare()
    except OSError as error:
        raise Mistake(f"could not prepare the dataset '{name}': {error}") from error


def download(url: str, sha256: str, *, title: str, mend: str) -> bytes:
    """The bytes at `url`, with a progress bar; a Mistake that ends with `mend` when they do not come or are others."""
    from rich.progress import wrap_file

    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            total = int(response.headers.get("Content-Length") or 0)
            with wrap_file(response, total=total, description=title) as body:
                content = body.read()
    except (OSError, urllib.error.URLError) as error:
        raise Mistake(f"could not download {url} ({error}); {mend}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise Mistake(f"{url} is not the file expected (its sha256 differs); {mend}")
    return content


def main(folder: Path, prepare: Callable[[bool], bool]) -> None:
    """The program that a prepare.py is when it is run itself; `prepare(again)` says whether it had to do anything."""
    try:
        done = prepare("--again" in sys.argv[1:])
    except Mistake as mistake:
        sys.exit(f"error: {mistake}")
    except KeyboardInterrupt:
        sys.exit(130)
    print(f"{folder}: {'prepared' if done else 'was prepared already'}")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock that the system lets go when the process ends, however it ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
