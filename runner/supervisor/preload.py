"""Import modules on behalf of jobs, make sure that a fork of this process is as good as a new one, and fork.

Standard library only, but for the modules that are asked for. None of our own modules can be seen by these, or by a
job. A process that has started a thread or has touched a GPU is not forked: the engine is told why.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import re
import sys
import time
from _socket import socket
from types import ModuleType

from runner.supervisor import script, spawner
from runner.supervisor.spawn import Forked

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import NoReturn

#: The devices of GPUs: NVIDIA's, AMD's, and those that render.
GPU = re.compile(r"/dev/(nvidia[^/]*|kfd|dri/.*)$")
SOURCES = (".py", ".so")
LONGEST = 1000  # letters of why it is refused
MOST_FILES = 200  # whose change is noticed: their names have room in a message


class Unsuited(Exception):
    """Why this process cannot be forked for jobs."""


def serve(about: str, path: list[str]) -> script.Job:
    """Import, tell the engine, and answer it. Returns in a job; where there is none, this process ends here.

    `path` is where a job's Python finds modules. `about` is a JSON object: `socket` to the engine; `out` and `err`, the
    other ends of standard output and standard error; `folder` of the script; `imports`.
    """
    given = json.loads(about)
    spawner.leave_signals_to_the_engine()
    engine = socket(fileno=given["socket"])
    outputs = given["out"], given["err"]
    ours = Ours([given["folder"], *path] if not getattr(sys.flags, "safe_path", False) else path)
    ours.hide()
    began = time.monotonic()
    try:
        check_names(given["folder"], path)
        for name in given["imports"]:
            import_module(name)
    except Unsuited as error:
        leave(engine, str(error))
    seconds = time.monotonic() - began
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    printed = tuple(map(taken, outputs))
    spawner.send(engine, {"ready": True, "seconds": round(seconds, 3), "files": files_of(given["imports"])})
    kept = descriptors() - {given["socket"], *outputs}
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (*outputs, 1, 2):
        os.dup2(nothing, descriptor, inheritable=descriptor < 3)
    gc.collect()
    gc.freeze()  # a collection in a child would copy all pages
    job = forked(engine, nothing, ours)
    return script.Job(job.argv, job.env, printed, kept, ours.hide)


def forked(engine: socket, nothing: int, ours: Ours) -> Forked:
    """Answer the engine until it is gone, which ends this process. Returns in a process that is a job."""
    (path, run) = spawner.PROGRAMS["supervisor"]

    def supervise() -> int | None:
        ours.show()
        return run()

    try:
        spawner.serve(engine, spawner.Spawner(engine.fileno(), nothing, {"supervisor": (path, supervise)}))
    except Forked as job:
        return Forked(job.argv, job.env)
    os._exit(0)


class Ours:
    """Our own modules and where they are found, apart from those of the jobs."""

    def __init__(self, path: list[str]) -> None:
        self._path, self._own_path = path, sys.path[:]
        self._modules: dict[str, ModuleType] = {}

    def hide(self) -> None:
        """Let jobs, and what is imported for them, see their own modules only."""
        for name in [name for name in sys.modules if name.partition(".")[0] == "runner"]:
            self._modules[name] = sys.modules.pop(name)
        sys.path[:] = self._path

    def show(self) -> None:
        """In a supervisor: see our modules, and no others of that name."""
        for name in [name for name in sys.modules if name.partition(".")[0] == "runner"]:
            del sys.modules[name]
        sys.modules.update(self._modules)
        sys.path[:] = self._own_path


def leave(engine: socket, why: str) -> NoReturn:
    try:
        spawner.send(engine, {"refused": why[:LONGEST]})
    finally:
        os._exit(0)


def check_names(folder: str, path: Sequence[str]) -> None:
    """No module of the script's folder has the name of one that is imported here already."""
    standard = os.path.dirname(os.__file__)
    before = [folder, *path[: next((i for i, entry in enumerate(path) if entry.startswith(standard)), 0)]]
    for place in before:
        try:
            found = os.listdir(place)
        except OSError:
            continue
        modules = {
            name.partition(".")[0]
            for name in found
            if name.endswith(SOURCES) or os.path.isfile(os.path.join(place, name, "__init__.py"))
        }
        if hidden := sorted(modules & {name.partition(".")[0] for name in sys.modules} - {"__main__"}):
            raise Unsuited(f"{place} has a module {hidden[0]!r}, which hides that of Python")


def import_module(name: str) -> None:
    try:
        importlib.import_module(name)
    except BaseException as error:
        raise Unsuited(f"{name} cannot be imported ({type(error).__name__}: {error})") from error
    if found := sorted(filter(GPU.search, opened())):
        raise Unsuited(f"importing {name} opens {found[0]}")
    if code := in_a_fork(name):
        raise Unsuited(f"importing {name} {code}")


def in_a_fork(name: str) -> str:
    """What is wrong with a fork now; empty if nothing is. A pool of threads that ends before each fork is no fault."""
    if (pid := os.fork()) == 0:
        torch = sys.modules.get("torch")
        os._exit(torch is not None and torch.cuda._is_in_bad_fork())
    if os.waitpid(pid, 0)[1]:
        return "initialises a GPU"
    threads = len(os.listdir("/proc/self/task"))
    return f"starts {'a thread' if threads == 2 else f'{threads - 1} threads'}" if threads > 1 else ""


def opened() -> Iterable[str]:
    """The files that this process has open, or in its memory."""
    for descriptor in descriptors():
        yield os.readlink(f"/proc/self/fd/{descriptor}")
    with open("/proc/self/maps") as file:
        for line in file:
            _, slash, path = line.rstrip().partition("/")
            yield slash + path


def descriptors() -> set[int]:
    """Those that are open, without that of the listing."""
    return {int(name) for name in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{name}")}


def files_of(imports: Sequence[str]) -> dict[str, int]:
    """The files whose change makes what was imported stale, with their times: those of the user, and of the packages
    that were asked for."""
    installed = (sys.prefix, sys.base_prefix, os.path.dirname(os.__file__))
    asked = {name.partition(".")[0] for name in imports}
    found = {}
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str) and (name in asked or not path.startswith(installed)) and path.endswith(SOURCES):
            try:
                found[path] = os.stat(path).st_mtime_ns
            except OSError:
                continue
    return dict(list(found.items())[:MOST_FILES])


def taken(pipe: int) -> bytes:
    """What was printed into a pipe."""
    os.set_blocking(pipe, False)
    found = b""
    try:
        while block := os.read(pipe, 1 << 16):
            found += block
    except BlockingIOError:
        pass
    return found
