"""Check whether this machine can run the plan: device and disk, before anything starts. Functions return sentences."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from runner.configs.preparation import preparations, prepare
from runner.core import program
from runner.core.errors import UserError
from runner.core.job import Plan
from runner.core.options import RunOptions
from runner.core.text import shown, size
from runner.executors.registry import EXECUTORS
from runner.notify import choices
from runner.observers.registry import OBSERVERS

LEAST_FREE = 256 << 20  # bytes that must be free in any case
PATIENCE = 60.0  # seconds for `import torch` on a cold disk
_NODES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # NVIDIA, AMD, Windows Subsystem for Linux
_COUNT_GPUS = """
import json, torch
count = torch.cuda.device_count() if torch.cuda.is_available() else 0
print(json.dumps([count, torch.version.cuda or torch.version.hip]))
"""


def devices(requested: Mapping[str, str], environ: Mapping[str, str]) -> list[str]:
    """Errors about the devices of the jobs; `requested` maps each to its place: the option or the config.

    torch is imported in a process of its own, if at all.
    """
    found = {device: _misspelled(device) for device in requested}
    valid = {device: index for device in requested if not found[device] and (index := _index(device)) is not None}
    if valid:
        highest = max(valid, key=valid.__getitem__)
        found[highest] = _cuda(valid[highest], environ)
    if "mps" in requested and sys.platform != "darwin":
        found["mps"] = "Apple's GPUs are found on macOS only; use --device cuda or --device cpu"
    return [f"{requested[device]}: {problem}" for device, problem in found.items() if problem]


def device_notes(requested: Mapping[str, str], environ: Mapping[str, str]) -> list[str]:
    """What a program that is not ours may not find here. It may run elsewhere, or do without; torch is not imported."""
    return [
        f"{place}, but {problem}; right if the job runs elsewhere or does without"
        for device, place in requested.items()
        if re.fullmatch(r"cuda(:\d+)?", device) and (problem := _no_gpu(environ))
    ]


def environment_note(environ: Mapping[str, str]) -> str:
    """A note where another environment is active than ours, as with pipx: the jobs do not see its packages."""
    conda = environ.get("CONDA_PREFIX", "") if environ.get("CONDA_DEFAULT_ENV") != "base" else ""
    active = environ.get("VIRTUAL_ENV") or conda
    if not active or Path(active).resolve() == Path(sys.prefix).resolve() or not Path(active, "bin/python").exists():
        return ""
    used, fix = shown(sys.executable), program.pasted(("--python", shown(active)))
    return f"jobs run with {used}, without the packages of the active environment; for that one give {fix}"


def _misspelled(device: str) -> str | None:
    kind, colon, index = device.partition(":")
    if kind.lower() in ("gpu", "nvidia", "rocm", "hip") or (kind != "cuda" and kind.lower() == "cuda"):
        return f"the GPU is called cuda here; use --device cuda{colon}{index}"
    if kind == "cuda" and colon and not index.isdigit():
        return f"{index!r} is not the number of a GPU; use --device cuda:0"
    return None


def _index(device: str) -> int | None:
    """The number of a CUDA device; None for other kinds."""
    kind, _, index = device.partition(":")
    return int(index or 0) if kind == "cuda" else None


def _no_gpu(environ: Mapping[str, str]) -> str | None:
    """Why no program here can find a GPU; None if one may."""
    if environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"):
        return "CUDA_VISIBLE_DEVICES hides every GPU"
    if not any(os.path.exists(node) for node in _NODES):  # noqa: PTH110 - three names, no need of Path
        return "this machine has no usable GPU (no driver is loaded)"
    return None


def _cuda(highest: int, environ: Mapping[str, str]) -> str | None:
    instead = "use --device cpu to run without one"
    if missing := _no_gpu(environ):
        return f"{missing}; {instead}"
    try:
        answer = subprocess.run(
            [sys.executable, "-c", _COUNT_GPUS],
            capture_output=True, text=True, timeout=PATIENCE, check=True, stdin=subprocess.DEVNULL, env=dict(environ),
        )  # fmt: skip
        count, build = json.loads(answer.stdout.strip().rpartition("\n")[2])
    except (OSError, subprocess.SubprocessError, ValueError):
        return f"{sys.executable} cannot import torch, which lists the GPUs; {instead}"
    if build is None:
        return f"the installed torch was built without GPU support; install one with it, or {instead}"
    if count == 0:
        return f"torch finds no usable GPU on this machine; {instead}"
    if highest >= count:
        return f"there are {count} GPUs, numbered from 0; use --device cuda:{count - 1}"
    return None


def prepare_datasets(plan: Plan) -> None:
    """Prepare what the jobs need before the first one starts: a download that fails must not fail job by job.

    Raises UserError.
    """
    if errors := prepare(preparations(plan.jobs)):
        raise UserError(*errors)


def plugins(options: RunOptions) -> list[str]:
    """What is wrong with the names of the executor and of the observers, and with the channels of notifications."""
    errors: list[str] = []
    for registry, names in ((EXECUTORS, (options.executor,)), (OBSERVERS, options.observers)):
        for name in names:
            try:
                registry.get(name)
            except UserError as error:
                errors += error.problems
    return [*errors, *(choices.problems(options.notify) if options.notify else [])]


def disk(base: Path, needed: int = 0, option: str = "--base_out_dir") -> list[str]:
    """Errors about the folder of the outputs: `needed` are the bytes of checkpoints; logs need some as well.

    `option` is the one that gives the folder.
    """
    try:
        return [f"{option} {base}: {problem}" for problem in _disk(base, needed)]
    except OSError as error:
        return [f"{option} {base}: {error.strerror}; name another folder"]


def _disk(base: Path, needed: int) -> list[str]:
    place = base
    while not place.exists() and place != place.parent:
        if place.is_symlink():
            return [f"{place} is a link that leads nowhere; fix it or name another folder"]
        place = place.parent
    if not place.is_dir():
        return [f"{place} is a file; name a folder"]
    if not os.access(place, os.W_OK | os.X_OK) or os.statvfs(place).f_flag & os.ST_RDONLY:
        return [f"{place} cannot be written; name another folder or change its permissions"]
    free = shutil.disk_usage(place).free
    if free < LEAST_FREE + needed:
        least = f"{size(needed)} of checkpoints and {size(LEAST_FREE)} for logs" if needed else size(LEAST_FREE)
        return [f"only {size(free)} are free there, {least} are needed; free some or name another"]
    return []
