"""Size, time and memory of `overnight report`.

    python bench/report.py [--rows 10000]

A batch of 12 jobs and one of 1,000, each job with so many rows of five metrics and thirty settings. The bars: 300 KB
and 2 s for 12 jobs; 2 MB and 20 s for 1,000; 200 MB of memory; a second report has the same bytes. The median of
three rounds.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

from records import write_batch  # noqa: E402 - beside this file

ROUNDS = 3
MEMORY = 200.0  # MB
PROGRAM = """\
import resource, sys
sys.path.insert(0, sys.argv[1])
from runner.cli.main import main
code = main(["report", *sys.argv[2:]])
print(max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024)
sys.exit(code)
"""


class Bars(NamedTuple):
    jobs: int
    bytes: int
    seconds: float


SMALL, LARGE = Bars(12, 300_000, 2.0), Bars(1000, 2_000_000, 20.0)


def write_metrics(root: Path, rows: int) -> None:
    """Curves with noise: they are as hard to reduce as real ones."""
    draw = random.Random(1)
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        end, rate = draw.uniform(1.4, 2.2), draw.uniform(2, 9)
        lines = []
        for step in range(rows):
            loss = end + 2.5 * math.exp(-rate * step / rows) + draw.gauss(0, 0.03)
            measured = {
                "train/loss": loss,
                "val/loss": loss + 0.05,
                "val/accuracy": 1 / (1 + loss),
                "lr": 3e-4 / (1 + step),
            }
            lines.append(json.dumps({"iter": step, "max_iters": rows, **measured, "tokens_per_second": 81234.5}))
        (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")


def measure(root: Path, out: Path) -> tuple[float, float]:
    """Seconds and MB of one report; of several processes that read curves the largest one counts."""
    begin = time.monotonic()
    command = [sys.executable, "-c", PROGRAM, str(ROOT), str(root), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return time.monotonic() - begin, float(done.stdout.split()[-1])


def check(bars: Bars, rows: int, folder: Path) -> bool:
    """Print a line on one batch; returns whether it keeps within its bars."""
    root = folder / f"batch_{bars.jobs}"
    config = folder / "config.sh"
    config.write_text("exit 0\n")
    write_batch(root, bars.jobs, config)
    write_metrics(root, rows)
    outs = [folder / f"{number}.html" for number in range(ROUNDS)]
    measured = [measure(root, out) for out in outs]
    contents = [out.read_bytes() for out in outs]
    seconds, memory = (statistics.median(values) for values in zip(*measured, strict=True))
    same = len(set(contents)) == 1
    good = len(contents[0]) <= bars.bytes and seconds <= bars.seconds and memory <= MEMORY and same
    size = f"{len(contents[0]) / 1000:.0f} of {bars.bytes / 1000:.0f} KB"
    print(f"{bars.jobs:5} jobs: {size}, {seconds:.2f} of {bars.seconds:g} s, {memory:.0f} of {MEMORY:.0f} MB, "
          f"{'the same bytes' if same else 'other bytes'}: {'ok' if good else 'NOT WITHIN THE BARS'}")  # fmt: skip
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000, help="rows of metrics of each job (default: 10000)")
    parser.add_argument("--large", type=int, default=1000, help="jobs of the large batch (default: 1000)")
    parser.add_argument("--dir", help="where to write the batches, in a folder that is removed (default: /tmp)")
    given = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs; {given.rows} rows a job")
    batches = [SMALL, LARGE._replace(jobs=given.large)]
    with tempfile.TemporaryDirectory(dir=given.dir) as folder:
        good = [check(bars, given.rows, Path(folder)) for bars in batches]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
