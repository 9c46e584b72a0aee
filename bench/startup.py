"""How soon a training starts, and how soon it ends: compared with `import torch` alone, interleaved in one run.

    python bench/startup.py [--rounds 7]

A job of one step: from launch to its line `iter 1`, and from launch to its exit. The bars: at most 1.25 times the
launch of an interpreter that imports torch, prints a line, and exits. Medians. Jobs with --warm: startup_warm.py.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BAR = 1.25
ALONE = "import torch, sys; print('iter 1:'); sys.stdout.flush()"
JOB = [
    str(ROOT / "train_run.py"), str(ROOT / "config/quickstart/easy.py"), "--max_iters=1", "--eval_iters=1",
    "--final_evaluation=false", "--compile=false", "--device=cpu",
]  # fmt: skip


def launch(argv: list[str]) -> tuple[float, float]:
    """Seconds to the first step, and to the exit."""
    begun = time.perf_counter()
    child = subprocess.Popen([sys.executable, *argv], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    first = None
    for line in child.stdout or ():
        if first is None and line.startswith("iter 1:"):
            first = time.perf_counter() - begun
    if child.wait() or first is None:
        sys.exit(f"{argv} ended with {child.returncode} and without a first step")
    return first, time.perf_counter() - begun


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        job = [*JOB, f"--out_dir={folder}/job"]
        launch(job), launch(["-c", ALONE])  # the dataset is prepared, files are in memory
        alone, ours = zip(*((launch(["-c", ALONE]), launch(job)) for _ in range(rounds)), strict=True)
    print(f"{rounds} rounds, Python {sys.version.split()[0]}\n")
    print(f"{'':22}{'import torch':>14}{'train_run.py':>14}{'ratio':>8}")
    held = True
    for i, what in enumerate(("to the first step", "to the exit")):
        a, b = statistics.median(t[i] for t in alone), statistics.median(t[i] for t in ours)
        held &= b / a <= BAR
        print(f"{what:22}{a:>12.2f} s{b:>12.2f} s{b / a:>8.2f}")
    print(f"\nthe bar is {BAR}: {'held' if held else 'missed'}")
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
