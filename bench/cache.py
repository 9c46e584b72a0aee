"""The cost of a cached result: hits per second, a fingerprint, and results that are new, compared with joblib.Memory.

Promised: at least as fast as joblib.Memory on the same work, in one run; of results that are new, which joblib writes
without a lock, a sync or a record of their own, 3,000 in less than 10 s. Measured: both take turns, so that a slow
minute meets both of them; the figures are medians over the rounds. Both know every config already (the round before the
first computes them, and is not counted), and a new process would do the same: no result is kept in memory.

  hits         the same configs as small dicts, all of them in the cache: loaded and returned. Ours reads meta.json,
               compares the stored config, and checks the SHA-256 of each pickle; joblib does neither of the last two.
  fingerprint  the configs alone: what is hashed before anything is looked up
  one array    the fingerprint of one config that holds an array of --megabytes

  new          --new configs of a function that does nothing, none of them in the cache: computed and stored, in a
               folder of their own each time. Ours has for each a lock, a folder, a pickle and a record that are
               synced, and two lines on the screen. At most three rounds.

Files lie on a tmpfs where there is one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import joblib
import numpy as np
from overhead import environment_info, scratch

import runner
from runner.core.canonical import fingerprint, typed

OURS, THEIRS = "this runner", "joblib.Memory"
BAR_OF_3000 = 10.0  # seconds


@runner.experiment
def ours(config: runner.Config) -> dict[str, float]:
    return work(config.learning_rate)


def theirs(config: dict[str, Any]) -> dict[str, float]:
    return work(config["learning_rate"])


def work(rate: float) -> dict[str, float]:
    return {"accuracy": 1 - rate, "loss": rate}


def main(argv: Sequence[str] | None = None) -> int:
    given = arguments(argv)
    configs = [config(number) for number in range(given.configs)]
    array = np.random.default_rng(1).random(given.megabytes * 125_000)  # eight bytes each
    with tempfile.TemporaryDirectory(prefix="bench-cache-", dir=given.dir) as folder, quiet():
        memory = joblib.Memory(Path(folder) / "joblib", verbose=0)
        remembered = memory.cache(theirs)
        races: dict[str, dict[str, Callable[[], object]]] = {
            "hits": {
                OURS: lambda: ours.run(configs=lambda: configs, output_dir=Path(folder) / "out", args=[]),
                THEIRS: lambda: [remembered(config) for config in configs],
            },
            "fingerprint": {
                OURS: lambda: [fingerprint(typed(config)) for config in configs],
                THEIRS: lambda: [joblib.hash(config) for config in configs],
            },
            "one array": {
                OURS: lambda: fingerprint(typed({"x": array})),
                THEIRS: lambda: joblib.hash({"x": array}),
            },
        }
        times = {what: take_turns(racers, given.rounds) for what, racers in races.items()}
        new = [config(number) for number in range(given.new)]
        times["new"], cpu = compute(new, min(given.rounds, 3), Path(folder))
    print(f"{given.configs} configs, {given.megabytes} MB, {given.rounds} rounds, {environment_info(given.dir)}\n")
    held = report(times, {"hits": given.configs, "fingerprint": given.configs, "new": given.new})
    per_thousand = ", ".join(f"{name} {seconds / given.new * 1000:.2f}" for name, seconds in cpu.items())
    print(f"new: CPU seconds per 1,000 configs: {per_thousand}")
    return 0 if report_new(times["new"], given.new) and held else 1


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit code: 0 if the bars are held, 1 if one is missed.",
    )
    parser.add_argument("--configs", type=int, default=1000, metavar="N", help="configs (default 1000)")
    parser.add_argument("--new", type=int, default=3000, metavar="N", help="configs without a result (default 3000)")
    parser.add_argument("--megabytes", type=int, default=100, metavar="N", help="size of the array (default 100)")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="rounds that are counted (default 7)")
    parser.add_argument("--dir", default=scratch(), help="where the files go, and are deleted (default %(default)s)")
    given = parser.parse_args(argv)
    if min(given.configs, given.new, given.megabytes, given.rounds) < 1:
        parser.error("--configs, --new, --megabytes and --rounds are at least 1")
    return given


def config(number: int) -> dict[str, Any]:
    """As large as a config of a training mostly is."""
    return {
        "name": f"config_{number}",
        "seed": number,
        "learning_rate": 1e-4 * number,
        "batch_size": 64,
        "model": {"n_layer": 6, "n_head": 6, "n_embd": 384, "dropout": 0.1, "bias": False},
        "optimizer": {"name": "adamw", "betas": [0.9, 0.99], "weight_decay": 0.1},
        "dataset": "shakespeare_char",
        "tags": ["sweep", "first"],
    }


class quiet:
    """No lines of ours on the screen: joblib prints none either."""

    def __enter__(self) -> None:
        self._before = sys.stderr
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123 - closed below

    def __exit__(self, *error: object) -> None:
        sys.stderr.close()
        sys.stderr = self._before


def take_turns(racers: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each round. A round before the first fills the caches and is not counted."""
    times: dict[str, list[float]] = {name: [] for name in racers}
    for number in range(rounds + 1):
        for name, race in racers.items():
            began = time.perf_counter()
            race()
            if number:
                times[name].append(time.perf_counter() - began)
    return times


def compute(
    configs: Sequence[dict[str, Any]], rounds: int, folder: Path
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds of each round, in which each has to compute every config, and the median of the CPU seconds."""
    times: dict[str, list[float]] = {OURS: [], THEIRS: []}
    cpu: dict[str, list[float]] = {OURS: [], THEIRS: []}
    for number in range(rounds):
        remembered = joblib.Memory(folder / f"joblib_{number}", verbose=0).cache(theirs)
        out = folder / f"out_{number}"
        began, used = time.perf_counter(), time.process_time()
        ours.run(configs=lambda: configs, output_dir=out, args=[])
        times[OURS].append(time.perf_counter() - began)
        cpu[OURS].append(time.process_time() - used)
        began, used = time.perf_counter(), time.process_time()
        for config in configs:
            remembered(config)
        times[THEIRS].append(time.perf_counter() - began)
        cpu[THEIRS].append(time.process_time() - used)
    return times, {name: statistics.median(seconds) for name, seconds in cpu.items()}


def report_new(found: Mapping[str, Sequence[float]], configs: int) -> bool:
    seconds = statistics.median(found[OURS])
    bar = BAR_OF_3000 * configs / 3000
    ratio = seconds / statistics.median(found[THEIRS])
    held = seconds < bar
    verdict = "held" if held else "MISSED"
    print(f"new: {configs} in {seconds:.1f} s, {ratio:.1f} times as long as joblib.Memory; ", end="")
    print(f"the bar is {bar:g} s: {verdict}")
    return held


def report(times: Mapping[str, Mapping[str, Sequence[float]]], configs: Mapping[str, int]) -> bool:
    print(f"{'':<14}{'':<15}{'median':>10}{'fastest':>10}{'slowest':>10}{'':>16}")
    ratios = {}
    for what, found in times.items():
        for name, seconds in found.items():
            middle = statistics.median(seconds)
            rate = f"{configs[what] / middle:>12.0f} /s" if what in configs else ""
            cells = "".join(f"{value * 1000:>7.1f} ms" for value in (middle, min(seconds), max(seconds)))
            print(f"{what:<14}{name:<15}{cells}{rate}")
        if what == "new":
            continue
        ratios[what] = statistics.median(found[THEIRS]) / statistics.median(found[OURS])
    print()
    for what, ratio in ratios.items():
        print(f"{what}: {ratio:.2f} times as fast as joblib.Memory; the bar is 1: {'held' if ratio >= 1 else 'MISSED'}")
    return min(ratios.values()) >= 1


if __name__ == "__main__":
    sys.exit(main())
