"""Prepare the folder of a dataset once: under a lock, from files whose hash is checked. Knows no file format.

A folder is prepared when it has all its parts. meta.json is written last, so a crash leaves an unprepared folder.
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

from pipelines.shared.errors import InputError


def prepare_once(folder: Path, parts: Collection[str], write: Callable[[], None], *, again: bool = False) -> bool:
    """Call `write`, which writes the parts into `folder`; False when they existed already.

    Several processes may call this at once: one works, the others wait for it and use its files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "prepare.lock"):
        if is_prepared(folder, parts) and not again:
            return False
        write()
        return True


def is_prepared(folder: Path, parts: Collection[str]) -> bool:
    return all((folder / name).is_file() for name in ("meta.json", *parts))


def run_script(name: str, folder: Path) -> None:
    """Run the dataset's own prepare.py, which may download files."""
    script = folder / "prepare.py"
    if not script.is_file():
        raise InputError(f"the dataset '{name}' is not prepared: {folder} is incomplete and has no prepare.py")
    spec = importlib.util.spec_from_file_location(f"prepare_{folder.name}", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        module.prepare()
    except OSError as error:
        raise InputError(f"could not prepare the dataset '{name}': {error}") from error


def download(url: str, sha256: str, *, title: str, hint: str) -> bytes:
    """The bytes at `url`, with a progress bar; an InputError that ends with `hint` if it fails or they differ."""
    from rich.progress import wrap_file

    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            total = int(response.headers.get("Content-Length") or 0)
            with wrap_file(response, total=total, description=title) as body:
                content = body.read()
    except (OSError, urllib.error.URLError) as error:
        raise InputError(f"could not download {url} ({error}); {hint}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise InputError(f"{url} is not the expected file (its sha256 differs); {hint}")
    return content


def main(folder: Path, prepare: Callable[[bool], bool]) -> None:
    """The command line of a prepare.py; `prepare(again)` returns whether it had to do anything."""
    try:
        done = prepare("--again" in sys.argv[1:])
    except InputError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    print(f"{folder}: {'prepared' if done else 'was prepared already'}")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock, which the system releases when the process ends, however it ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
