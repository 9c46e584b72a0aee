"""What docs/gpus.md claims, checked on a real GPU within six minutes: one line for each claim.

Needs an NVIDIA GPU that nobody else uses, and torch with CUDA. `--rehearse` runs what does not compute on the GPU, for
machines without one. Each claim runs batches in a folder of its own. The words of errors of torch and of the driver are
printed as they are: they differ between versions. Exit code 1: at least one claim did not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from runner.gpus.looker import Looker
from runner.gpus.selection import VISIBLE

PROJECT = Path(__file__).resolve().parent.parent
RUNNER = (sys.executable, str(PROJECT / "run_experiments.py"))
LIMIT = 120  # seconds for one batch
HOLDS = "import sys, torch; kept = torch.zeros(1 << 28, device='cuda'); print('holds', flush=True); sys.stdin.read()"
SEES = """
import json, sys, torch
found = [str(torch.cuda.get_device_properties(n).uuid) for n in range(torch.cuda.device_count())]
print("sees", json.dumps(found))
"""
ERRORS = {
    "memory of the GPU": "import torch; [torch.zeros(1 << 34, device='cuda') for _ in range(100)]",
    "cuBLAS": (
        "import torch; free, _ = torch.cuda.mem_get_info(); x = torch.ones(8, 8, device='cuda')\n"
        "kept = torch.empty(torch.cuda.mem_get_info()[0] - (4 << 20), dtype=torch.uint8, device='cuda'); x @ x"
    ),
    "an assertion on the device": (
        "import torch; x = torch.zeros(3, device='cuda'); x[torch.tensor([7], device='cuda')]; torch.cuda.synchronize()"
    ),
}
WORK = """
import time, torch
x = torch.randn(1024, 1024, device="cuda")
for _ in range(3): x @ x
torch.cuda.synchronize(); began = time.monotonic()
for _ in range(200):
    for _ in range(4): y = x @ x
    torch.cuda.synchronize(); time.sleep(0.002)
print(f"seconds {time.monotonic() - began:.3f}")
"""


class Failed(Exception):
    """A claim does not hold."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rehearse", action="store_true", help="only what needs no computation on the GPU")
    rehearse = parser.parse_args(argv).rehearse
    claims: list[tuple[str, Callable[[Path], str]]] = [("the driver is read", driver), ("a lease is exclusive", lease)]
    if not rehearse:
        claims += [
            ("a job sees its own GPU alone, by its UUID", sees_its_own),
            ("a process of somebody else is waited for", foreign),
            ("memory is free soon after a job", freed),
            ("two jobs share a GPU", shared),
            ("our trainer runs on the GPU", trainer),
            *((f"error text: {name}", partial(error_text, code)) for name, code in ERRORS.items()),
        ]
    held = [claim(text, check) for text, check in claims]
    print(f"{sum(held)} of {len(held)} claims held")
    return 0 if all(held) else 1


def claim(text: str, check: Callable[[Path], str]) -> bool:
    """Check one claim and print a line on it."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder:
        try:
            found, word = check(Path(folder)), "held"
        except (Failed, subprocess.SubprocessError, OSError, ValueError, LookupError) as error:
            found, word = f"{type(error).__name__}: {error}", "FAILED"
    print(f"{word:6}  {text}: {found}  [{time.monotonic() - began:.1f} s]", flush=True)
    return word == "held"


def batch(folder: Path, code: str, *words: str, jobs: int = 1, expected: int = 0) -> list[str]:
    """Run a batch of equal jobs; what each of them printed. Raises Failed for another exit code than expected."""
    (folder / "c").mkdir(exist_ok=True)
    for number in range(jobs):
        (folder / f"c/{number}.py").write_text("")
    (folder / "job.py").write_text(code)
    command = [*RUNNER, "--configs", "c/*.py", "--train_script", "job.py", "--log_timestamps", "none", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT, check=False)
    if done.returncode != expected:
        raise Failed(f"exit code {done.returncode}: {(done.stdout + done.stderr)[-400:]}")
    if expected:
        return [done.stdout]
    return [path.read_text() for path in sorted(folder.glob("experiments/latest/*/stdout.log"))]


@contextmanager
def holder() -> Iterator[int]:
    """A process that keeps a gigabyte of the first GPU; its number."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def driver(folder: Path) -> str:
    began = time.monotonic()
    found = Looker().look()
    if found.error or not found.gpus:
        raise Failed(found.error or "it lists no GPU")
    cards = ", ".join(f"{gpu.name} {gpu.uuid[:12]} {gpu.memory_used >> 20} MiB used" for gpu in found.gpus)
    return f"{cards}; driver {found.driver}; one look took {1000 * (time.monotonic() - began):.0f} ms"


def lease(folder: Path) -> str:
    """Four jobs on one GPU, with as many workers: never two at once."""
    code = "import os, time; open('claim', 'x'); time.sleep(0.2); os.unlink('claim'); print(os.environ['{}'])"
    jobs = batch(folder, code.format(VISIBLE), "--gpus", "0", "--max_workers", "4", jobs=4)
    found = {text.strip() for text in jobs}
    if len(found) != 1 or not found.pop().startswith("GPU-"):
        raise Failed(f"{VISIBLE} was {found}")
    return "4 jobs, one after another, each with the whole UUID"


def sees_its_own(folder: Path) -> str:
    (text,) = batch(folder, SEES, "--gpus", "0")
    (seen,) = json.loads(text.partition("sees ")[2])
    result = json.loads(next(folder.glob("experiments/latest/0/experiment_result.json")).read_text())
    if seen not in result["gpus"][0]["uuid"]:
        raise Failed(f"torch sees {seen}, recorded is {result['gpus']}")
    return seen


def foreign(folder: Path) -> str:
    with holder() as pid:
        (text,) = batch(folder, "", "--gpus", "0", "--gpu_wait", "0", expected=1)
        said = next((line for line in text.splitlines() if "waiting" in line), "")
        if "python" not in said and "cannot be seen" not in said:
            raise Failed(f"process {pid} is not named in: {said!r}")
    batch(folder, "", "--gpus", "0", "--gpu_settle", "1")
    return said


def freed(folder: Path) -> str:
    """How long the next job waits after one that used memory."""
    batch(folder, "import torch; torch.zeros(1 << 30, device='cuda')", "--gpus", "0", jobs=3)
    paths = sorted(folder.glob("experiments/latest/*/experiment_result.json"))
    waits = [json.loads(path.read_text())["gpu_wait_seconds"] for path in paths]
    return "the jobs waited for " + ", ".join(f"{seconds:.2f} s" for seconds in waits)


def shared(folder: Path) -> str:
    times = {}
    for places in ("1", "2"):
        began = time.monotonic()
        batch(folder, WORK, "--gpus", "0", "--jobs_per_gpu", places, jobs=2)
        times[places] = time.monotonic() - began
    return f"two jobs took {times['1']:.1f} s in turn, {times['2']:.1f} s at once, ratio {times['1'] / times['2']:.2f}"


def trainer(folder: Path) -> str:
    config = PROJECT / "config/quickstart/easy.py"
    command = [*RUNNER, "--configs", str(config), "--device", "cuda", "--gpus", "0", "--max_iters", "200"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT, check=False)
    if done.returncode:
        raise Failed((done.stdout + done.stderr)[-400:])
    result = json.loads(next(folder.glob("experiments/latest/*/experiment_result.json")).read_text())
    return f"200 iterations in {result['duration_seconds']:.1f} s, val/loss {result['final_metrics'].get('val/loss')}"


def error_text(code: str, folder: Path) -> str:
    """The last line of what the error prints, with the program's exit code."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT, check=False)
    if done.returncode == 0:
        raise Failed("there was no error")
    lines = done.stderr.strip().splitlines()
    return f"exit code {done.returncode}: {lines[-1][:300] if lines else ''}"


if __name__ == "__main__":
    os.environ.pop(VISIBLE, None)
    sys.exit(main())
