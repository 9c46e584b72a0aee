"""The time to gather the results of a large multirun, compared with a simple loop over pandas and OmegaConf.

Promised: 10,000 job folders in under three seconds on two cores. Measured: the folders are written first, as a sweep of
Hydra's leaves them (config.yaml of 33 lines, metrics_summary.csv with a row for each of two samplers; seed, size and
noise vary, and of each fiftieth job the metrics are missing). Then both read all of them in turn, from a warm page
cache; the figures are medians. What they found is compared: every value of the loop must be one of ours, too.

  this runner   runner.load_results: every key of every config, every metric, and the jobs that failed
  pandas loop   three keys and two metrics, of the jobs that have them
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pandas as pd
from omegaconf import OmegaConf
from overhead import environment_info, scratch

from runner import load_results

BAR = 3.0  # seconds
OURS, THEIRS = "this runner", "pandas loop"
SAMPLERS = ("sgld", "hmc")
CONFIG = """\
data:
  name: teacher_student
  n_data: {n_data}
  noise: {noise}
  x_dist: gauss_iso
  input_dim: 32
model:
  type: mlp
  target_params: {params}
  depth: 3
  activation: relu
  widths: null
teacher:
  width: 32
  depth: 2
  activation: relu
training:
  optimizer: adam
  lr: 0.001
  steps: 2000
  batch_size: 256
sampler:
  names:
  - sgld
  - hmc
  chains: 4
  warmup: 1000
  step_size: 1.0e-06
  batch_size: 256
seed: {seed}
runtime:
  device: cpu
  dtype: float32
  threads: 1
out: .
"""


def main(argv: Sequence[str] | None = None) -> int:
    given = arguments(argv)
    racers = {OURS: load_results, THEIRS: pandas_loop}
    times: dict[str, list[float]] = {name: [] for name in racers}
    busy: dict[str, list[float]] = {name: [] for name in racers}
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-aggregate-", dir=given.dir) as folder:
        write_multirun(Path(folder), given.jobs)
        for _ in range(given.rounds):
            for name, race in racers.items():
                began, spent = time.perf_counter(), time.process_time()
                found[name] = race(folder)
                times[name].append(time.perf_counter() - began)
                busy[name].append(time.process_time() - spent)
    print(f"{given.jobs} jobs, {given.rounds} rounds, {environment_info(given.dir)}\n")
    same = agree(found[OURS], found[THEIRS])
    return 0 if report(times, busy, given.jobs) and same else 1


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit code: 0 if the bar is held and both agree, 1 if not.",
    )
    parser.add_argument("--jobs", type=int, default=10_000, metavar="N", help="job folders (default 10000)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds (default 3)")
    parser.add_argument("--dir", default=scratch(), help="where the files go, and are deleted (default %(default)s)")
    given = parser.parse_args(argv)
    if min(given.jobs, given.rounds) < 1:
        parser.error("--jobs and --rounds are at least 1")
    return given


def write_multirun(root: Path, jobs: int) -> None:
    for number in range(jobs):
        folder = root / str(number)
        folder.mkdir()
        values = {"n_data": 500 * (number % 7 + 1), "noise": 0.1 * (number % 5), "params": 10 ** (2 + number % 4)}
        (folder / "config.yaml").write_text(CONFIG.format(seed=number, **values))
        if number % 50 == 49:
            continue
        rows = [f"{name},{10.5 + number / 7},{0.25},{1000 + number},{12.5},{2.0**-20}" for name in SAMPLERS]
        (folder / "metrics_summary.csv").write_text("\n".join([",llc_mean,llc_std,ess,time,step", *rows, ""]))


def pandas_loop(root: str) -> pd.DataFrame:
    """A job at a time: pandas reads its metrics, OmegaConf its config."""
    records = []
    for folder in Path(root).iterdir():
        metrics, config = folder / "metrics_summary.csv", folder / "config.yaml"
        if not (folder.name.isdigit() and metrics.exists() and config.exists()):
            continue
        loaded = OmegaConf.load(config)
        record = {"job": folder.name, "n_data": loaded.data.n_data, "params": loaded.model.target_params}
        record["seed"] = loaded.seed
        for sampler, values in pd.read_csv(metrics, index_col=0).to_dict("index").items():
            record |= {f"{sampler}_llc_mean": values["llc_mean"], f"{sampler}_ess": values["ess"]}
        records.append(record)
    return pd.DataFrame(records)


def agree(ours: Sequence[dict[str, Any]], theirs: pd.DataFrame) -> bool:
    """Whether all that the loop found is in our rows; prints a line if not."""
    names = {"n_data": "data.n_data", "params": "model.target_params"}
    rows = {row["name"]: row for row in ours}
    wrong = [
        (record["job"], key)
        for record in theirs.to_dict("records")
        for key, value in record.items()
        if key != "job" and rows[record["job"]][names.get(key, key)] != value
    ]
    numbers = [int(row["name"]) for row in ours]
    in_order = numbers == sorted(numbers)
    print(f"rows: {len(ours)} and {len(theirs)}; {len(wrong)} values differ; in numeric order: {in_order}\n")
    return not wrong and in_order


def report(times: dict[str, list[float]], busy: dict[str, list[float]], jobs: int) -> bool:
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    for name, seconds in times.items():
        cells = "".join(f"{value:>10.3f} s" for value in (medians[name], min(seconds), max(seconds)))
        print(f"{name:<14}{cells}{jobs / medians[name]:>12.0f} jobs/s{statistics.median(busy[name]):>10.3f} s of CPU")
    print(f"\n{medians[THEIRS] / medians[OURS]:.1f} times as fast as the loop")
    scaled = medians[OURS] * 10_000 / jobs
    print(f"{scaled:.2f} s for 10,000 jobs; the bar is {BAR:g} s: {'held' if scaled < BAR else 'MISSED'}")
    return scaled < BAR


if __name__ == "__main__":
    sys.exit(main())
