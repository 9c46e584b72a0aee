"""Which script and which Python a job runs, judged from the words of its command. Executes nothing."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from runner.core.job import Job
from runner.disk.reading import open_regular, read_bytes

PYTHON = re.compile(r"(?:python|pypy|ipython)[\d.]*(?:[dmt]|-dbg)?")
_MODULE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
#: Programs that run another one in the same environment.
_WRAPPERS = frozenset((
    "env", "nohup", "nice", "ionice", "time", "timeout", "stdbuf", "unbuffer", "setsid", "exec", "command", "taskset",
    "numactl", "chrt", "xvfb-run", "srun", "mpirun", "mpiexec", "orterun", "ibrun", "jsrun", "sudo", "doas", "strace",
    "ltrace", "perf", "nsys", "ncu", "rocprof", "script", "systemd-run",
))  # fmt: skip
#: Programs that run another one in an environment which only they know.
_SWITCHERS = frozenset((
    "conda", "mamba", "micromamba", "uv", "uvx", "pipx", "poetry", "pipenv", "pixi", "hatch", "rye", "pdm", "nox",
    "tox", "docker", "podman", "nerdctl", "singularity", "apptainer", "enroot", "ssh", "sbatch", "nix", "nix-shell",
    "guix", "flatpak", "wsl", "kubectl",
))  # fmt: skip
_SHELLS = frozenset(("sh", "bash", "dash", "zsh", "ksh", "fish"))
#: Programs that run a script and are none of the user's.
_INTERPRETERS = _SHELLS | frozenset((
    "node", "nodejs", "deno", "bun", "ruby", "perl", "Rscript", "R", "julia", "lua", "java", "php", "octave", "matlab",
    "torchrun", "accelerate", "deepspeed", "horovodrun", "composer", "lightning", "fabric", "papermill", "jupyter",
))  # fmt: skip
_SCRIPTS = frozenset((
    ".py", ".sh", ".bash", ".zsh", ".r", ".R", ".jl", ".js", ".mjs", ".cjs", ".ts", ".lua", ".pl", ".rb", ".m", ".php",
    ".ipynb", ".jar",
))  # fmt: skip


def code_folder(job: Job) -> Path:
    """The folder of the job's script; without a known one, that of its config, and then the one that it runs in."""
    script = script_of(job)
    if script is not None:
        return script.parent
    if job.source is not None and job.source.is_file() and not _of_the_batch(job, job.source):
        return job.source.resolve().parent
    return job.cwd


def script_of(job: Job) -> Path | None:
    """The file that the job's command runs, links resolved; None if the words do not tell."""
    if job.script is not None:
        return job.script.resolve()
    found = _module(job) or next(_files(job, job.argv), None)
    return found.resolve() if found is not None else None


def interpreter(job: Job) -> Path | None:
    """The Python that runs the job, as it is called; None for another program, and where the words do not tell."""
    if not job.argv:
        return Path(sys.executable)
    for position, word in enumerate(job.argv):
        name = Path(word).name
        if word.startswith("PATH=") or name in _SWITCHERS:
            return None
        if word.startswith("-") or _ASSIGNMENT.match(word) or name in _WRAPPERS:
            continue
        program = _program(job, word)
        if program is None:
            if position == 0:
                return None
            continue  # the value of a wrapper's option
        return program if PYTHON.fullmatch(name) else _shebang(job, program)
    return None


def _program(job: Job, word: str) -> Path | None:
    """The file that is executed for a word at the place of a program."""
    if "/" not in word:
        found = shutil.which(word, path=_environ(job).get("PATH"))
        return job.cwd / found if found else None
    path = job.cwd / word
    return path if path.is_file() and os.access(path, os.X_OK) else None


def _shebang(job: Job, script: Path) -> Path | None:
    """The Python that the first line of an executable file names; None for any other program."""
    try:
        with open_regular(script, links=True) as file:
            lines = file.read(1024).decode("utf-8", "replace").splitlines()
    except OSError:
        return None
    if not lines or not lines[0].startswith("#!"):
        return None
    words = lines[0][2:].split()
    if words and Path(words[0]).name in _SHELLS and len(lines) > 1 and lines[1].startswith("'''exec'"):
        words = [word.strip('"') for word in lines[1].split()[1:]]  # how pip writes a path that is too long for a line
    if words and Path(words[0]).name == "env":
        words = [word for word in words[1:] if not word.startswith("-") and not _ASSIGNMENT.match(word)]
    if not words or not PYTHON.fullmatch(Path(words[0]).name):
        return None
    return _program(job, words[0])


def _module(job: Job) -> Path | None:
    """The file of `-m package.module`, where the folders that Python would search have it."""
    for option, name in zip(job.argv, job.argv[1:], strict=False):
        if (path := _named(job, option)) is not None and path.suffix in _SCRIPTS:  # what follows is its own
            return None
        if option in ("-m", "--module") and _MODULE.fullmatch(name):
            parts = name.split(".")
            return next((found for root in _roots(job) if (found := _within(root, parts)) is not None), None)
    return None


def _within(root: Path, parts: Sequence[str]) -> Path | None:
    """A module below a folder of the search path: its file, or that which runs its package."""
    path = root.joinpath(*parts)
    files = (path.with_name(f"{path.name}.py"), path / "__main__.py", path / "__init__.py")
    return next((file for file in files if file.is_file()), None)


def _roots(job: Job) -> Iterator[Path]:
    """The folders that Python searches for a module, without asking it."""
    yield job.cwd
    yield from (job.cwd / entry for entry in _environ(job).get("PYTHONPATH", "").split(os.pathsep) if entry)
    python = interpreter(job)
    for packages in sorted(python.parent.parent.glob("lib/python3*/site-packages")) if python is not None else ():
        yield packages
        for links in sorted(packages.glob("*.pth")):  # projects that are installed in place
            try:
                lines = read_bytes(links, links=True).decode(errors="replace").splitlines()
            except OSError:
                continue
            yield from (Path(line.strip()) for line in lines if line.startswith("/"))


def _files(job: Job, words: Sequence[str]) -> Iterator[Path]:
    """The existing files among the words that may be a script, the likely ones first."""
    likely: list[Path] = []
    others: list[Path] = []
    for position, word in enumerate(words):
        if " " in word and position and words[position - 1].startswith("-") and words[position - 1].endswith("c"):
            likely += _of_shell(job, word)
            continue
        path = _named(job, word)
        if path is None or _is_installed(job, path, first=position == 0):
            continue
        (likely if path.suffix in _SCRIPTS or os.access(path, os.X_OK) else others).append(path)
    yield from (*likely, *others)


def _of_shell(job: Job, text: str) -> list[Path]:
    """The scripts in the text of `sh -c TEXT`; none if it changes the folder that its words are relative to."""
    try:
        words = shlex.split(text)
    except ValueError:
        return []
    if {"cd", "pushd", "chdir"} & {word.strip(";&|()") for word in words}:
        return []
    paths = (_named(job, word.strip(";&|()")) for word in words)
    return [path for path in paths if path is not None and path.suffix in _SCRIPTS]


def _named(job: Job, word: str) -> Path | None:
    """The existing file that a word names, unless it is the job's config or an output of it."""
    if not word or word.startswith("-") or word == job.source_argument:
        return None
    path = job.cwd / word
    try:
        known = path == job.source or path.is_relative_to(job.out_dir) or not path.is_file()
    except (OSError, ValueError):
        return None
    return None if known else path


def _is_installed(job: Job, program: Path, *, first: bool) -> bool:
    """Whether a file is a program that runs the script, rather than the script; `first`: it is the command itself."""
    if program.name in _INTERPRETERS | _WRAPPERS | _SWITCHERS or PYTHON.fullmatch(program.name):
        return True
    if any((program.parent / name).is_file() for name in ("python", "python3")):  # the programs of an environment
        return True
    return first and str(program.parent) in _environ(job).get("PATH", "").split(os.pathsep)


def _of_the_batch(job: Job, path: Path) -> bool:
    """Whether a config was written by the planner: it is beside the job's folder, as those of a sweep are."""
    return path.is_relative_to(job.out_dir.parent)


def _environ(job: Job) -> Mapping[str, str]:
    return {**os.environ, **job.env}
