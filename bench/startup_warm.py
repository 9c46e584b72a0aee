"""Jobs with `--warm` compared with cold ones: how soon the first line of a script runs, memory, and equal results.

    python bench/startup_warm.py [--jobs 5] [--rounds 3] [--equal 30]

The bars: from the start of a job to the first line after `import torch` at least 20 times as fast as cold; a third of
the private memory for each job, with its supervisor; 30 trainings whose metrics and files are the same, bit for bit.
Batches take turns, cold and warm, in one run; medians over all jobs. Private memory is what a job and its supervisor
would give back (USS), while it runs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from overhead import environment_info, scratch

ROOT = Path(__file__).resolve().parents[1]
RUNNER = ROOT / "run_experiments.py"
SPEED_BAR, MEMORY_BAR = 20.0, 1 / 3
#: Says when it runs, then what it and its supervisor have in memory that no other process has.
SCRIPT = """\
import torch
import time
print("first", time.time())
import os
def private(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private"))
print("private", private(os.getpid()), private(os.getppid()))
"""
TRAINING = """\
import argparse, json, os, torch
parser = argparse.ArgumentParser()
parser.add_argument("config")
parser.add_argument("--out_dir")
given = parser.parse_args()
seed = int(open(given.config).read().split("=")[1])
torch.manual_seed(seed)
net = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.GELU(), torch.nn.Dropout(0.1), torch.nn.Linear(64, 1))
optimizer = torch.optim.AdamW(net.parameters())
with open(os.path.join(given.out_dir, "metrics.jsonl"), "w") as file:
    for step in range(30):
        x = torch.randn(128, 32)
        loss = (net(x) - x.sin().sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(f"iter {step}: loss {loss.item()!r}")
        file.write(json.dumps({"step": step, "train/loss": loss.item()}) + "\\n")
torch.save({name: value for name, value in net.state_dict().items()}, os.path.join(given.out_dir, "ckpt_final.pt"))
"""
CONTENT = ("metrics.jsonl", "ckpt_final.pt", "stdout.log", "stderr.log")


def main(argv: Sequence[str] | None = None) -> int:
    given = arguments(argv)
    with tempfile.TemporaryDirectory(prefix="bench-warm-", dir=given.dir) as name:
        folder = Path(name)
        print(f"{given.rounds} rounds of {given.jobs} jobs, {environment_info(given.dir)}\n")
        held = [*started(folder / "start", given.jobs, given.rounds), equal(folder / "equal", given.equal)]
    print(f"\n{'held' if all(held) else 'missed'}")
    return 0 if all(held) else 1


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=5, metavar="N", help="in a batch (default 5)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of a cold and a warm batch (default 3)")
    parser.add_argument("--equal", type=int, default=30, metavar="N", help="trainings that are compared (default 30)")
    parser.add_argument("--dir", default=scratch(), help="where the files go, and are deleted (default %(default)s)")
    return parser.parse_args(argv)


def batch(folder: Path, script: str, jobs: int, *options: str) -> list[Path]:
    """The folders of the jobs of a new batch, all of which have completed."""
    (folder / "c").mkdir(parents=True, exist_ok=True)
    (folder / "train.py").write_text(script)
    for number in range(jobs):
        (folder / "c" / f"job_{number:03}.py").write_text(f"seed = {number}\n")
    words = ["--configs", "c/*.py", "--train_script", "train.py", "--quiet", "--log_timestamps", "combined", *options]
    words += ["--name", "warm" if options else "cold"]
    done = subprocess.run(
        [sys.executable, str(RUNNER), *words], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}")
    found = sorted((folder / "experiments/latest").resolve().glob("job_*"))
    cold = [one for one in found if options and result(one).get("start") != "warm"]
    if cold:
        sys.exit(f"{cold[0].name} was started cold: {result(cold[0]).get('cold_because')}")
    return found


def result(folder: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((folder / "experiment_result.json").read_bytes())
    return found


def seen(folder: Path) -> tuple[float, float]:
    """Seconds from the start of a job to the first line of its script, and its private memory in MB."""
    text = (folder / "stdout.log").read_text()
    first, *private = map(float, re.findall(r"[\d.]+", text))
    return first - datetime.fromisoformat(result(folder)["start_time"]).timestamp(), sum(private) * 1024 / 1e6


def started(folder: Path, jobs: int, rounds: int) -> list[bool]:
    cold: list[tuple[float, float]] = []
    warm: list[tuple[float, float]] = []
    for _ in range(rounds):
        cold += map(seen, batch(folder, SCRIPT, jobs))
        warm += map(seen, batch(folder, SCRIPT, jobs, "--warm"))
    times, memory = table(cold, warm)
    faster, part = times[0] / times[1], memory[1] / memory[0]
    held = [faster >= SPEED_BAR, part <= MEMORY_BAR]
    words = ["held" if one else "MISSED" for one in held]
    print(f"\n{faster:.0f} times as fast as cold; the bar is {SPEED_BAR:g}: {words[0]}")
    print(f"{part:.2f} of the memory; the bar is {MEMORY_BAR:.2f}: {words[1]}")
    return held


def table(cold: list[tuple[float, float]], warm: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """The medians of times and of memory, cold and warm, printed."""
    print(f"{'':<46}{'cold':>12}{'warm':>12}")
    rows = []
    for place, (what, unit, factor) in enumerate((("to the first line", "ms", 1000), ("private memory", "MB", 1))):
        medians = [statistics.median(one[place] for one in each) for each in (cold, warm)]
        print(f"{what:<46}{medians[0] * factor:>9.0f} {unit}{medians[1] * factor:>9.0f} {unit}")
        rows.append(medians)
    return rows[0], rows[1]


def equal(folder: Path, jobs: int) -> bool:
    """Trainings cold and warm: the same files, the same bytes."""
    found = []
    for options in ((), ("--warm",)):
        folders = batch(folder, TRAINING, jobs, *options)
        found.append({one.name: about(one) for one in folders})
    same = sum(found[0][name] == found[1][name] for name in found[0])
    print(f"{same} of {jobs} trainings have the same files, metrics and weights, bit for bit")
    return same == jobs


def about(folder: Path) -> list[str]:
    """The files of a job, and the digests of those that its script has written.

    Without resources.jsonl, which only a job has that runs for more than a few moments.
    """
    names = {path.name for path in folder.iterdir()} - {"resources.jsonl"}
    digests = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in CONTENT]
    return [*sorted(names), *digests]


if __name__ == "__main__":
    raise SystemExit(main())
