"""One long batch, and what its engine holds while it runs: descriptors, threads, zombies and memory must not grow."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNNER = Path(__file__).resolve().parents[2] / "run_experiments.py"
EVERY = 0.05  # seconds between two samples
SLACK = {
    "descriptors": 2.0,
    "threads": 0.0,
    "zombies": 1.0,
    "memory (MiB)": 4.0,
}  # how much the last may exceed the first


def soak(jobs: int, folder: Path) -> int:
    """Run `jobs` jobs of /bin/true; prints what the engine held, returns 1 if something grew."""
    configs = folder / "c"
    configs.mkdir(parents=True)
    for number in range(jobs):
        (configs / f"job_{number:04d}.py").write_text("")
    began = time.monotonic()
    command = [sys.executable, str(RUNNER), "--configs", "c/*.py", "--command", "true {config}", "--quiet"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as engine:
        samples = watch(engine, folder)
    seconds = time.monotonic() - began
    print(f"{jobs} jobs in {seconds:.1f} s, {len(samples)} samples, exit code {engine.returncode}\n")
    grown = table(samples)
    return 1 if grown or engine.returncode or len(samples) < 8 else 0


def watch(engine: subprocess.Popen[bytes], folder: Path) -> list[dict[str, float]]:
    """Samples from the first job to the last."""
    samples: list[dict[str, float]] = []
    while engine.poll() is None:
        if any(folder.glob("experiments/*/job_0000/stdout.log")):
            try:
                samples.append(sample(engine.pid))
            except (OSError, KeyError):  # it ended meanwhile
                break
        time.sleep(EVERY)
    engine.wait()
    return samples


def sample(pid: int) -> dict[str, float]:
    """What a process holds now."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {
        "descriptors": float(len(list(Path(f"/proc/{pid}/fd").iterdir()))),
        "threads": float(fields["Threads"]),
        "zombies": float(sum(map(dead, children))),
        "memory (MiB)": int(fields["VmRSS"].split()[0]) / 1024,
    }


def dead(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


def table(samples: list[dict[str, float]]) -> list[str]:
    """Print first, last and most of each; returns what is higher in the last quarter than in the first."""
    quarter = max(len(samples) // 4, 1)
    grown = []
    print(f"{'':<14}{'first':>8}{'last':>8}{'most':>8}{'1st quarter':>13}{'4th quarter':>13}")
    for name, slack in SLACK.items():
        values = [one[name] for one in samples]
        before, after = statistics.median(values[:quarter]), statistics.median(values[-quarter:])
        if after > before + slack:
            grown.append(name)
        row = f"{name:<14}{values[0]:>8.1f}{values[-1]:>8.1f}{max(values):>8.1f}{before:>13.1f}{after:>13.1f}"
        print(row + (f"   GREW by more than {slack:g}" if name in grown else ""))
    return grown
