"""Eight jobs on three false GPUs, while a process of somebody else comes and goes: the transcript in docs/gpus.md.

Needs no GPU: a file takes the place of the driver. The process on GPU 1 is a real one; which GPU it uses is what the
file says. Prints what the runner prints, and in between what the neighbour does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RUNNER = Path(__file__).resolve().parent.parent / "run_experiments.py"
GIB = 1 << 30
JOB = "import os, time; print('uses', os.environ['CUDA_VISIBLE_DEVICES']); time.sleep(1.5)"
OPTIONS = ("--gpus", "all", "--gpu_settle", "1", "--train_script", "job.py", "--configs", "c/*.py")
LIMIT = 120.0  # seconds until the neighbour gives up waiting for the moment to come or go


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="gpu-sharing-") as name:
        folder = Path(name)
        (folder / "c").mkdir()
        for letter in "abcdefgh":
            (folder / f"c/{letter}.py").write_text("")
        (folder / "job.py").write_text(JOB)
        show(folder)
        environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
        environment |= {"RUNNER_GPU_PROBE": f"cat {folder / 'gpus.json'}", "RUNNER_GPU_LOCKS": str(folder / "locks")}
        command = [sys.executable, str(RUNNER), *OPTIONS]
        print(f"$ run_experiments.py {' '.join(OPTIONS)}", flush=True)
        runner = subprocess.Popen(command, cwd=folder, env=environment)
        wait_for(folder, runner, ended=1)
        with neighbour(folder):
            wait_for(folder, runner, ended=5)
        code = runner.wait()
        print_gpus(folder)
        return code


def show(folder: Path, pid: int | None = None) -> None:
    """What the driver says from now on: `pid` computes on GPU 1."""
    gpus = []
    for index in range(3):
        busy = pid if index == 1 else None
        gpus.append({
            "index": index, "uuid": f"GPU-{index}a2b3c4d-0000-0000-0000-000000000000", "name": "False GPU",
            "memory_total": 80 * GIB, "memory_used": 0 if busy is None else 18 * GIB,
            "processes": [] if busy is None else [{"pid": busy, "memory": 18 * GIB}],
        })  # fmt: skip
    unfinished = folder / "gpus.json.tmp"
    unfinished.write_text(json.dumps({"driver": "false", "gpus": gpus}))
    unfinished.replace(folder / "gpus.json")


@contextmanager
def neighbour(folder: Path) -> Iterator[None]:
    """Somebody else's process on GPU 1, which takes it as soon as a job has left it."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        show(folder, process.pid)
        print(f"          (a neighbour's process, pid {process.pid}, takes 18 GiB of GPU 1)", flush=True)
        yield
        show(folder)
        process.kill()
        print("          (it ends)", flush=True)


def wait_for(folder: Path, runner: subprocess.Popen[bytes], *, ended: int) -> None:
    """Until so many jobs have ended."""
    deadline = time.monotonic() + LIMIT
    while runner.poll() is None and time.monotonic() < deadline:
        if len(list(folder.glob("experiments/latest/*/experiment_result.json"))) >= ended:
            return
        time.sleep(0.02)


def print_gpus(folder: Path) -> None:
    """Which job had which GPU."""
    for path in sorted(folder.glob("experiments/latest/*/experiment_result.json")):
        result = json.loads(path.read_text())
        words = f"GPU {result['gpus'][0]['index']}, waited {result['gpu_wait_seconds']:.1f} s"
        print(f"  {path.parent.name}: {words}")


if __name__ == "__main__":
    sys.exit(main())
