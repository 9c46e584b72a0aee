"""Ask this machine what a report of an error needs to say: versions, limits, GPUs, the folder of the batches."""

from __future__ import annotations

import locale
import os
import platform
import resource
import shutil
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import NamedTuple

import psutil

from runner import __version__
from runner.cli.preflight import LEAST_FREE
from runner.core.checkout import PROJECT
from runner.core.errors import UserError
from runner.core.text import count, plain, size
from runner.disk import atomic
from runner.disk.lock import Lock
from runner.disk.place import Place
from runner.gpus.devices import MEBIBYTE
from runner.gpus.looker import Looker
from runner.notify import settings
from runner.processes import cpus

NEEDED = ("pydantic", "pyyaml", "psutil", "rich")
OPTIONAL = (
    "argcomplete", "starlette", "uvicorn", "optuna", "apprise", "hydra-core", "matplotlib", "torch", "numpy", "pandas",
)  # fmt: skip
LEAST_FILES = 256  # open files, below which a batch with several workers is short of them
TRIAL, TRIAL_LOCK = ".overnight_doctor", ".overnight_doctor.lock"


class Finding(NamedTuple):
    """One line. `bad`: it would disturb a batch."""

    name: str
    value: str
    bad: bool = False


def checked(base: Path) -> Mapping[str, list[Finding]]:
    """Everything, by section. `base` is the folder of the batches."""
    sections = {"Programs": _programs, "Machine": _machine, "Limits": _limits, "GPUs": _gpus,
                "Notifications": _notifications}  # fmt: skip
    found = {title: list(lines()) for title, lines in sections.items()}
    return {**found, "Folder of the batches": list(_folder(base))}


def _programs() -> Iterator[Finding]:
    where = "a checkout" if (PROJECT / "pyproject.toml").is_file() else "installed"
    yield Finding("overnight", f"{__version__}, {where}, {_short(PROJECT)}")
    yield Finding("python", f"{platform.python_version()}, {_short(Path(sys.executable))}")
    for name in (*NEEDED, *OPTIONAL):
        try:
            yield Finding(name, version(name))
        except PackageNotFoundError:
            yield Finding(name, "not installed", name in NEEDED)
    plugins = sorted({point.value for group in entry_points().groups if group.startswith("runner.")
                      for point in entry_points(group=group)})  # fmt: skip
    yield Finding("plugins", plain(", ".join(plugins)) or "none")


def _machine() -> Iterator[Finding]:
    yield Finding("system", platform.platform())
    yield Finding("CPUs", f"{cpus.usable():g} usable of {os.cpu_count()}")
    memory = psutil.virtual_memory()
    yield Finding("memory", f"{size(memory.available)} available of {size(memory.total)}")
    terminal = "yes" if sys.stdout.isatty() else "no"
    shape = shutil.get_terminal_size()
    term = plain(os.environ.get("TERM", "not set"))
    yield Finding("terminal", f"{terminal}, TERM {term}, {shape.columns} x {shape.lines}")
    yield Finding("encoding", locale.getpreferredencoding(False))
    signals = {name: getattr(os, name, None) is not None for name in ("pidfd_open", "waitid")}
    yield Finding("kernel", ", ".join(f"{name} {'yes' if there else 'no'}" for name, there in signals.items()))


def _limits() -> Iterator[Finding]:
    names = {
        "open files": resource.RLIMIT_NOFILE,
        "processes": resource.RLIMIT_NPROC,
    }
    for name, number in names.items():
        soft, hard = resource.getrlimit(number)
        few = number == resource.RLIMIT_NOFILE and 0 <= hard < LEAST_FILES
        yield Finding(name, f"{_limit(soft)}, can be raised to {_limit(hard)}", few)


def _limit(number: int) -> str:
    return "no limit" if number == resource.RLIM_INFINITY else str(number)


def _gpus() -> Iterator[Finding]:
    snapshot = Looker().look()
    if snapshot.error:
        yield Finding("driver", plain(snapshot.error))
    elif snapshot.driver:
        yield Finding("driver", plain(snapshot.driver))
    for gpu in snapshot.gpus:
        used = f"{gpu.memory_used // MEBIBYTE} of {gpu.memory_total // MEBIBYTE} MiB used"
        yield Finding(gpu.label, f"{gpu.name}, {used}, {count(len(gpu.processes), 'process')}"
                      + (f"; {gpu.error}" if gpu.error else ""))  # fmt: skip
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        yield Finding("CUDA_VISIBLE_DEVICES", plain(visible) or "empty")


def _notifications() -> Iterator[Finding]:
    try:
        names = settings.configured()
    except UserError as error:
        yield Finding("settings", plain(str(error)), True)
        return
    for name in names:
        wrong = settings.problems([name])
        yield Finding(plain(name), plain("; ".join(wrong)) or "ready", bool(wrong))
    if not names:
        yield Finding("channels", "none")


def _folder(base: Path) -> Iterator[Finding]:
    place = base
    while not place.is_dir() and place != place.parent:
        place = place.parent
    yield Finding("path", _short(base) + ("" if place == base else f", not made yet; checked: {_short(place)}"))
    yield Finding("file system", _file_system(place))
    try:
        free = shutil.disk_usage(place).free
        yield Finding("free", size(free), free < LEAST_FREE)
    except OSError as error:
        yield Finding("free", error.strerror or str(error), True)
    for name, attempt in (("write and rename", _written), ("lock", _locked)):
        try:
            attempt(place)
            yield Finding(name, "works")
        except OSError as error:
            yield Finding(name, f"fails: {error.strerror or error}", True)


def _file_system(folder: Path) -> str:
    """Its type, as the system mounts it."""
    mounted = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    for place in (folder.resolve(), *folder.resolve().parents):
        if str(place) in mounted:
            return f"{mounted[str(place)]} at {_short(place)}"
    return "unknown"


def _written(folder: Path) -> None:
    atomic.write_bytes(folder / TRIAL, b"a trial\n")
    Place.of(folder / TRIAL).remove()


def _locked(folder: Path) -> None:
    with Lock(str(folder / TRIAL_LOCK)):
        pass
    Place.of(folder / TRIAL_LOCK).remove()


def _short(path: Path) -> str:
    """A path without the name of the user."""
    home = Path.home()
    return plain(f"~/{path.relative_to(home)}" if path.is_relative_to(home) and path != home else str(path))
