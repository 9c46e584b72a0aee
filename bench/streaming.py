"""How fast output becomes logs: a child that writes as fast as a pipe takes it, in lines of 100 bytes.

Required, against a naive runner that reads line by line: at least 8 times its MB/s and at most an eighth of its CPU
seconds; against tee: at least its MB/s, and at most 1.2 times its CPU seconds; the supervisor's memory stays below
20 MB. Measured: the contestants below take turns in one run, and the figures are medians over the rounds.

  cat > file         the least that reading a pipe and keeping its bytes can cost
  tee file > file    the same bytes in two files, without timestamps
  naive runner       two threads, a line at a time, three logs flushed after every line
  this runner        one job under its supervisor, as the engine starts it: three logs with timestamps, durable records

MB/s are bytes of the child per second from the start of everything to its end. CPU seconds are user and system time of
the reading process alone, from its /proc/PID/stat when it has ended and before it is waited for, without the child.
Memory is the largest VmHWM seen in /proc/PID/status. The naive runner gets a tenth of the bytes (`--naive_share`), and
its CPU seconds are scaled up. cat writes one file, tee two, the two runners stdout.log and combined.log. Files lie on a
tmpfs where there is one, and each is deleted as soon as it was measured: 3 GB must be free for each gigabyte.

Before a turn of any contestant that much memory is touched and given back: on a virtual machine the first touch of a
page costs the host's time, several times what writing to it costs, and the one that writes most would pay the most.
"""

from __future__ import annotations

import argparse
import mmap
import os
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from naive import naive
from overhead import NAIVE, OURS, environment_info, scratch

from runner.core.job import Job
from runner.core.options import RunOptions
from runner.core.state import Record
from runner.executors.guard import Guard
from runner.executors.patience import Patience
from runner.executors.spawner import Spawner
from runner.executors.supervised import Room, Supervised

SPEED_BAR, CPU_BAR, MEMORY_BAR = 8.0, 8.0, 20.0  # times the naive MB/s, a fraction of its CPU seconds, MB
TEE_SPEED_BAR, TEE_CPU_BAR = 1.0, 1.2  # times the MB/s and the CPU seconds of tee
CAT, TEE = "cat > file", "tee file > file"
BLOCK = 1_000_000  # bytes the child writes at once: 10,000 lines
CHILD = f"""
import os, sys
block = memoryview((b"iter 000100: loss 2.3456, time 12.34ms, mfu 1.23%".ljust(99, b".") + b"\\n") * ({BLOCK} // 100))
for _ in range(int(sys.argv[1])):
    sent = 0
    while sent < len(block):
        sent += os.write(1, block[sent:])
"""
LOOK = 0.02  # seconds between two looks at the memory of a process


@dataclass(frozen=True, slots=True)
class Measured:
    """One contestant's turn: MB/s, and the CPU seconds and the peak memory (MB) of the process that reads."""

    speed: float
    cpu: float
    memory: float


Contestant = Callable[[Path, int], Measured]  # an empty folder of its own, and how many blocks the child writes


def main(argv: Sequence[str] | None = None) -> int:
    given = arguments(argv)
    blocks = max(round(given.gigabytes * 1e9 / BLOCK), 1)
    found = take_turns(given.dir, given.rounds, blocks, max(round(blocks * given.naive_share), 1))
    medians = {name: middle(turns) for name, turns in found.items()}
    print(f"{blocks * BLOCK / 1e9:g} GB as lines of 100 bytes, {given.rounds} rounds, {environment_info(given.dir)}\n")
    print(table(medians, found))
    bars = limits_met(medians, max(turn.memory for turn in found[OURS]))
    print("\n" + "\n".join(f"{words}: {'held' if held else 'MISSED'}" for words, held in bars))
    return 0 if all(held for _, held in bars) else 1


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit code: 0 if all bars are held, 1 if one is missed. Needs Linux.",
    )
    parser.add_argument("--gigabytes", type=float, default=1.0, metavar="N", help="what the child writes (default 1)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="turns of each contestant (default 3)")
    parser.add_argument(
        "--naive_share", type=float, default=0.1, metavar="F", help="for the naive runner (default 0.1)"
    )
    parser.add_argument("--dir", default=scratch(), help="where the files go, and are deleted (default %(default)s)")
    given = parser.parse_args(argv)
    if given.gigabytes <= 0 or given.rounds < 1 or not 0 < given.naive_share <= 1:
        parser.error("--gigabytes is above 0, --rounds at least 1, --naive_share above 0 and at most 1")
    if not Path("/proc/self/stat").exists():
        parser.error("CPU seconds and memory are read from /proc, which this system does not have; use Linux")
    if not os.access(given.dir, os.W_OK):
        parser.error(f"--dir {given.dir}: no folder that can be written to")
    needed = round(given.gigabytes * 3e9)
    if shutil.disk_usage(given.dir).free < needed:
        parser.error(f"{given.dir} has less than the {needed / 1e9:g} GB that this takes; choose another --dir")
    return given


def take_turns(place: str, rounds: int, blocks: int, naive_blocks: int) -> dict[str, list[Measured]]:
    """Every contestant's turns, one of each a round. What a turn wrote is deleted before the next."""
    racers: dict[str, tuple[Contestant, int]] = {
        CAT: (cat, blocks),
        TEE: (tee, blocks),
        NAIVE: (naive_turn, naive_blocks),
        OURS: (ours, blocks),
    }
    found: dict[str, list[Measured]] = {name: [] for name in racers}
    for _ in range(rounds):
        for name, (run, share) in racers.items():
            with tempfile.TemporaryDirectory(prefix="bench-streaming-", dir=place) as folder:
                touch_memory(blocks * BLOCK * 3)
                turn = run(Path(folder), share)
                found[name].append(Measured(turn.speed, turn.cpu * blocks / share, turn.memory))
    return found


def touch_memory(size: int) -> None:
    """Let the host of a virtual machine provide the memory that the next turn will fill."""
    half_of_free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") // 2
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    mmap.mmap(-1, min(size, half_of_free), flags=flags).close()


def child(blocks: int) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", CHILD, str(blocks)]


def cat(folder: Path, blocks: int) -> Measured:
    with (folder / "output").open("wb") as file:
        return through(["cat"], file.fileno(), blocks)


def tee(folder: Path, blocks: int) -> Measured:
    with (folder / "combined").open("wb") as file:
        return through(["tee", str(folder / "output")], file.fileno(), blocks)


def through(reader: Sequence[str], output: int, blocks: int) -> Measured:
    """A program that reads the child's pipe."""
    began = time.perf_counter()
    writer = subprocess.Popen(child(blocks), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    with subprocess.Popen(reader, stdin=writer.stdout, stdout=output) as process:
        assert writer.stdout is not None
        writer.stdout.close()
        measured = watch(process.pid, began, blocks)
    writer.wait()
    return measured


def naive_turn(folder: Path, blocks: int) -> Measured:
    """The naive runner, in a process of its own."""
    began = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        try:
            naive(child(blocks), folder / "job")
        finally:
            os._exit(0)
    measured = watch(pid, began, blocks)
    os.waitpid(pid, 0)
    expect(folder / "job", blocks, stamps=(24, 33))
    return measured


def ours(folder: Path, blocks: int) -> Measured:
    """One job, as the engine starts it."""
    began = time.perf_counter()
    job = Job("job", tuple(child(blocks)), folder / "job")
    spawner = Spawner()
    handle = Supervised(job, RunOptions(), lambda job: {}, Patience(lambda: False), Guard(spawner), spawner, Room())
    measured = watch(handle.supervisor_pid, began, blocks)
    while not handle.done():
        handle.read_events()
    record = handle.record()
    if not isinstance(record, Record) or record.status != "completed":
        sys.exit(f"the job did not complete: {record}")
    expect(folder / "job", blocks, stamps=(24, 33))
    return measured


def watch(pid: int, began: float, blocks: int) -> Measured:
    """Look at a process until it has ended; it is left to be waited for."""
    ended = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    memory = 0.0
    while not poll.poll(LOOK * 1000):
        memory = max(memory, peak_memory(pid))
    seconds = time.perf_counter() - began
    os.close(ended)
    return Measured(blocks * BLOCK / 1e6 / seconds, cpu_seconds(pid), memory)


def peak_memory(pid: int) -> float:
    """VmHWM in MB; 0 when the process is ending and has no memory any more."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def cpu_seconds(pid: int) -> float:
    """User and system time of one process and its threads, without its children; at least one tick of the clock."""
    # "pid (name) state ppid ...": the name may hold spaces; utime and stime are the fields 14 and 15.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return max(int(fields[11]) + int(fields[12]), 1) / os.sysconf("SC_CLK_TCK")


def expect(folder: Path, blocks: int, stamps: tuple[int, int]) -> None:
    """Both logs hold every line, each behind its timestamp of this many bytes; else the figures mean nothing."""
    for name, width in zip(("stdout.log", "combined.log"), stamps, strict=True):
        size, expected = (folder / name).stat().st_size, blocks * (BLOCK + BLOCK // 100 * width)
        if size != expected:
            sys.exit(f"{folder / name} has {size} bytes and not {expected}")


def middle(turns: Sequence[Measured]) -> Measured:
    return Measured(
        statistics.median(turn.speed for turn in turns),
        statistics.median(turn.cpu for turn in turns),
        statistics.median(turn.memory for turn in turns),
    )


def table(medians: Mapping[str, Measured], found: Mapping[str, Sequence[Measured]]) -> str:
    rows = [f"{'':<16}{'MB/s':>8}{'slowest':>9}{'fastest':>9}{'CPU s':>9}{'peak MB':>9}"]
    for name, turn in medians.items():
        speeds = [each.speed for each in found[name]]
        rows.append(
            f"{name:<16}{turn.speed:>8.0f}{min(speeds):>9.0f}{max(speeds):>9.0f}{turn.cpu:>9.2f}{turn.memory:>9.1f}"
        )
    return "\n".join(rows)


def limits_met(medians: Mapping[str, Measured], memory: float) -> list[tuple[str, bool]]:
    """Each limit in words, and whether it is met."""
    ours, naive, tee = medians[OURS], medians[NAIVE], medians[TEE]
    faster, cheaper = ours.speed / naive.speed, naive.cpu / ours.cpu
    as_fast, as_dear = ours.speed / tee.speed, ours.cpu / tee.cpu
    return [
        (f"{faster:.1f} times the naive MB/s; the bar is {SPEED_BAR:g}", faster >= SPEED_BAR),
        (f"1/{cheaper:.1f} of the naive CPU seconds; the bar is 1/{CPU_BAR:g}", cheaper >= CPU_BAR),
        (f"{as_fast:.2f} times the MB/s of tee; the bar is {TEE_SPEED_BAR:g}", as_fast >= TEE_SPEED_BAR),
        (f"{as_dear:.2f} times the CPU seconds of tee; the bar is {TEE_CPU_BAR:g}", as_dear <= TEE_CPU_BAR),
        (f"{memory:.1f} MB at the peak; the bar is {MEMORY_BAR:g}", memory < MEMORY_BAR),
    ]


if __name__ == "__main__":
    sys.exit(main())
