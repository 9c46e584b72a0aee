"""What it costs to read the metrics in a job's output: the MB/s of its logs with and without, in turns in one run.

    python bench/output_reading.py [--megabytes 400] [--rounds 5] [--dir DIR]

A child writes as fast as a pipe takes it: lines of nanoGPT, each with a loss, which is the worst case, and lines
without a metric. The readers of a supervisor write its three logs, and hand each block to the thread that reads the
metrics, or to nobody. Promised: at least 0.8 times the MB/s, since that thread works a thirtieth of the time at
most and skips what it cannot read. Printed too: how many lines a second are understood when nothing is skipped.
Medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from overhead import environment_info, scratch

from runner.disk.layout import JobPaths
from runner.disk.place import Place
from runner.output.lines import LineReader, Splitter
from runner.output.registry import FORMATS
from runner.supervisor.output_reader import OutputReader
from runner.supervisor.streams import Streams

BAR = 0.8
METRICS = b"iter 000100: loss 2.3456, time 12.34ms, mfu 1.23%\n"
PROSE = b"loading the next shard of the data from the disk, please wait a little while\n"
CHILD = """
import os, sys
block = memoryview(sys.argv[2].encode().decode("unicode_escape").encode() * 10_000)
left = int(sys.argv[1])
while left > 0:
    left -= os.write(1, block)
"""
SAMPLE = 5000  # lines that are understood one after another


def logged(folder: Path, line: bytes, size: int, *, reading: bool) -> tuple[float, float, float]:
    """MB/s of a child's output into three logs, its CPU seconds, and the fraction that was not looked at."""
    paths = JobPaths(folder)
    output = OutputReader(Place(folder), FORMATS.targets(), ())
    also: Callable[[int, bytes], None] = output.feed if reading else lambda stream, block: None
    (out, out_end), (err, err_end) = os.pipe(), os.pipe()
    streams = Streams(out, err, (paths.stdout, paths.stderr, paths.combined), "all")
    began, cpu = time.perf_counter(), time.process_time()
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", CHILD, str(size), line.decode().replace("\n", "\\n")], stdout=out_end
    )
    os.close(out_end)
    os.close(err_end)
    for reader in streams.readers(also):
        reader.start()
    if reading:
        output.start()
    child.wait()
    streams.join(60)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    skipped = output.measured().skipped if reading else 0
    for path in folder.iterdir():
        path.unlink()
    return size / seconds / 1e6, cpu, skipped / size


def lines_a_second(line: bytes) -> float:
    """Lines that are understood in a second when nothing else runs."""
    splitter, reader = Splitter(every=False), LineReader(FORMATS.targets())
    began = time.perf_counter()
    for text, _ in splitter.feed(line * SAMPLE):
        reader.read(text)
    return SAMPLE / (time.perf_counter() - began)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--megabytes", type=float, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dir", default=scratch(), help="where the logs go, and are deleted (default %(default)s)")
    given = parser.parse_args()
    size, held = int(given.megabytes * 1e6), True
    print(f"{given.megabytes:g} MB, {given.rounds} rounds, {environment_info(given.dir)}\n")
    print(f"{'':24}{'MB/s without':>14}{'with':>8}{'ratio':>8}{'CPU s':>8}{'with':>8}{'skipped':>9}{'lines/s':>10}")
    with tempfile.TemporaryDirectory(dir=given.dir) as folder:
        for name, line in (("lines with a metric", METRICS), ("lines without a metric", PROSE)):
            turns = [
                [logged(Path(folder), line, size, reading=reading) for reading in (False, True)]
                for _ in range(given.rounds)
            ]
            without, with_ = (statistics.median(turn[at][0] for turn in turns) for at in (0, 1))
            cpu, cpu_with = (statistics.median(turn[at][1] for turn in turns) for at in (0, 1))
            skipped = statistics.median(turn[1][2] for turn in turns)
            held &= with_ / without >= BAR
            speeds = f"{without:>14.0f}{with_:>8.0f}{with_ / without:>8.2f}"
            print(f"{name:24}{speeds}{cpu:>8.2f}{cpu_with:>8.2f}{skipped:>9.0%}{lines_a_second(line):>10,.0f}")
    print(f"\nthe bar is {BAR}: {'held' if held else 'missed'}")
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
