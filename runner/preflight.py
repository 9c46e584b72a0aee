"""Can this machine run the plan? Device and disk, checked before anything starts. Each function returns sentences."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

ROOM = 256 << 20  # bytes that must be free whatever the jobs say
PATIENCE = 60.0  # seconds for `import torch` on a cold disk
_NODES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # NVIDIA, AMD, Windows Subsystem for Linux
_ASK_TORCH = """
import json, torch
count = torch.cuda.device_count() if torch.cuda.is_available() else 0
print(json.dumps([count, torch.version.cuda or torch.version.hip]))
"""


def devices(wanted: Collection[str], environ: Mapping[str, str]) -> list[str]:
    """What is wrong with the devices that the jobs ask for; torch is asked in a process of its own, if at all."""
    problems = [problem for device in sorted(wanted) if (problem := _misspelled(device))]
    indices = [_index(device) for device in wanted if device == "cuda" or device.startswith("cuda:")]
    valid = [index for index in indices if index is not None]
    if valid and (problem := _cuda(max(valid), environ)):
        problems.append(problem)
    if "mps" in wanted and sys.platform != "darwin":
        problems.append("--device mps: Apple's GPUs are found on macOS only; type --device cuda or --device cpu")
    return problems


def _misspelled(device: str) -> str | None:
    kind, _, index = device.partition(":")
    if kind.lower() in ("gpu", "nvidia", "rocm", "hip") or (kind != kind.lower() and kind.lower() == "cuda"):
        mend = "cuda" + (f":{index}" if index else "")
        return f"--device {device}: the GPU is called cuda here; type --device {mend}"
    if kind == "cuda" and _index(device) is None:
        return f"--device {device}: {index!r} is no number of a GPU; type --device cuda:0"
    return None


def _index(device: str) -> int | None:
    _, colon, index = device.partition(":")
    return int(index) if index.isdigit() else None if colon else 0


def _cuda(highest: int, environ: Mapping[str, str]) -> str | None:
    instead = "type --device cpu to run without one"
    if "CUDA_VISIBLE_DEVICES" in environ and environ["CUDA_VISIBLE_DEVICES"].strip() in ("", "-1"):
        return f"--device cuda: CUDA_VISIBLE_DEVICES hides every GPU; unset it, or {instead}"
    if not any(os.path.exists(node) for node in _NODES):  # noqa: PTH110 - three names, no need of Path
        return f"--device cuda: this machine has no usable GPU (no driver is loaded); {instead}"
    try:
        answer = subprocess.run(
            [sys.executable, "-c", _ASK_TORCH],
            capture_output=True, text=True, timeout=PATIENCE, check=True, stdin=subprocess.DEVNULL, env=dict(environ),
        )  # fmt: skip
        count, build = json.loads(answer.stdout.strip().rpartition("\n")[2])
    except (OSError, subprocess.SubprocessError, ValueError):
        return f"--device cuda: torch cannot be asked for its GPUs with {sys.executable}; {instead}"
    if build is None:
        return f"--device cuda: the installed torch was built without GPU support; install one with it, or {instead}"
    if count == 0:
        return f"--device cuda: torch finds no usable GPU on this machine; {instead}"
    if highest >= count:
        return f"--device cuda:{highest}: there are {count} GPUs, numbered from 0; type --device cuda:{count - 1}"
    return None


def disk(base: Path, needed: int = 0) -> list[str]:
    """What is wrong with the place where the outputs shall lie: `needed` bytes of checkpoints, and room for logs."""
    place = base
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        return [f"--base_out_dir {base}: {place} is a file; name a folder"]
    if not os.access(place, os.W_OK | os.X_OK) or os.statvfs(place).f_flag & os.ST_RDONLY:
        return [f"--base_out_dir {base}: {place} cannot be written; name another folder or change its permissions"]
    free = shutil.disk_usage(place).free
    if free < ROOM + needed:
        want = f"{_size(needed)} of checkpoints and {_size(ROOM)} for logs" if needed else _size(ROOM)
        return [
            f"--base_out_dir {base}: only {_size(free)} are free there, {want} are needed; free some or name another"
        ]
    return []


def _size(number: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"
