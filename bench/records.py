"""CPU time to look at many batches, and to resume a large one that is done, compared with json.loads of the records.

    python bench/records.py [--batches 300] [--jobs 30] [--large 3000]

`list`, `list --json` and `table` over many batches; `status` and `--resume` of one with thousands of completed jobs.
The bound is measured in the same run: every record that is needed (plan.json and the results) is read and parsed once,
by a program that does nothing else. Without the start of Python and of the command line; the least of three rounds.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from runner.core.job import Attempt, Job, Plan
from runner.disk import atomic, plan_file, results
from runner.disk.layout import RESULT, BatchPaths
from runner.planners.files import KIND

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 3
BARS = {"list": 8.0, "list --json": 9.0, "table": 9.0, "status": 7.0, "--resume": 20.0}  # times the bound
BOUND = """\
import json, pathlib, sys
for path in pathlib.Path(sys.argv[1]).glob("**/*.json"):
    if path.name in ("plan.json", "experiment_result.json"):
        json.loads(path.read_bytes())
"""
METRICS = {"iter": 500, "train/loss": 1.8123, "val/loss": 2.0123, "learning_rate": 0.0003, "tokens_per_second": 81234.5}


def job(root: Path, number: int, config: Path, varied: int) -> Job:
    """One of thirty settings, as a search would have it; so many of them differ."""
    values = {f"setting_{key}": key * (number if key <= varied else 1) / 7 for key in range(30)}
    argv = ("sh", str(config), f"--out_dir={root}/job_{number:04}", f"--seed={number}")
    rerun = ("python", "run_experiments.py", "--configs", str(config))
    return Job(f"job_{number:04}", argv, root / f"job_{number:04}", values, source=config, source_argument=str(config),
               snapshot="config_used.sh", cwd=root.parent, rerun=rerun)  # fmt: skip


def write_batch(root: Path, jobs: int, config: Path, varied: int = 30) -> None:
    """A batch whose jobs have completed."""
    planned = tuple(job(root, number, config, varied) for number in range(jobs))
    root.mkdir(parents=True)
    plan = Plan(root.name, root, planned, KIND, "2026-11-26T21:00:00.000+00:00", cwd=root.parent)
    plan_file.write(replace(plan, origin={"arguments": ["--command", "sh {config}"]}))
    best = {name: {"value": METRICS[name], "iter": 500, "better": "min"} for name in ("train/loss", "val/loss")}
    for one in planned:
        one.out_dir.mkdir()
        result = results.entries(Attempt(one, 1, one.argv, {})).updated(
            status="completed", start_time="2026-11-26T21:00:00.000+00:00", end_time="2026-11-26T21:00:09.000+00:00",
            duration_seconds=9.0, return_code=0, signal=None, error=None, final_checkpoint=None,
            final_metrics=METRICS, best_metrics=best, warnings=[], run_dir=None,
        )  # fmt: skip
        atomic.write_json(one.out_dir / RESULT, result.to_json(), durable=False)
    assert Path(BatchPaths(root).plan).exists()


def seconds(argv: list[str], folder: Path) -> float:
    """CPU seconds of a program, the least of some rounds; it has to succeed."""
    found = []
    for _ in range(ROUNDS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        output = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        done = subprocess.run([sys.executable, *argv], check=False, cwd=folder, **output)
        if done.returncode:
            sys.exit(f"{argv}: exit code {done.returncode}\n{done.stderr.decode()}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    for name, number in (("batches", 300), ("jobs", 30), ("large", 3000)):
        parser.add_argument(f"--{name}", type=int, default=number)
    given = parser.parse_args()
    program = str(ROOT / "run_experiments.py")
    with tempfile.TemporaryDirectory() as name:
        many, large = Path(name, "many"), Path(name, "large")
        config = Path(name, "config.sh")
        config.write_text("exit 0\n")
        for number in range(given.batches):
            write_batch(many / "experiments" / f"batch_{number:03}", given.jobs, config)
        write_batch(large / "experiments" / "batch", given.large, config)
        nothing = seconds(["-c", "import json, pathlib"], large)
        bounds = {folder: seconds(["-c", BOUND, "experiments"], folder) - nothing for folder in (many, large)}
        start = seconds([program, "list"], Path(name))
        print(f"{given.batches} batches of {given.jobs} jobs, and one of {given.large}; load {os.getloadavg()[0]:.1f}")
        print(f"json.loads of all records: {bounds[many]:.2f} s, {bounds[large]:.2f} s; a start alone: {start:.2f} s\n")
        held = True
        for command, bar in BARS.items():
            folder = large if command in ("status", "--resume") else many
            words = [*command.split(), "experiments"] if command == "table" else command.split()
            spent = seconds([program, *words], folder) - start
            held &= spent / bounds[folder] <= bar
            print(f"{command:12}{spent:8.2f} s{spent / bounds[folder]:8.1f} times, at most {bar:g}")
    print(f"\n{'held' if held else 'missed'}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
