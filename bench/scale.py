"""Many jobs: what the runner costs when there are thousands of them.

    python bench/scale.py [--jobs 10000] [--batches 300] [--at_once 200] [--dir DIR]

Required: of 10,000 jobs of /bin/true, eight at a time, the last tenth takes at most 1.2 times as long per job as the
first, and the engine stays below 60 MB; `list` and `status` over 300 batches of 30 jobs take at most 0.5 s, `table` of
10,000 jobs 2 s, planning 10,000 configs with all checks 20 s, with its progress shown on a terminal; 200 jobs at once
run within the limits of the system, or are refused with the reason before the first one starts.

Seconds of a command are CPU seconds of all its processes, the least of some rounds (of planning: of one), so that
other work on the machine counts as little as possible; the time by the clock is printed beside them. `list` is
measured with what an earlier `list` has kept, as it is met every day; the first one is printed too. The jobs are
measured by the clock, both tenths in the same run. A smaller `--jobs` is for a quick look.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from overhead import environment_info, scratch
from records import write_batch

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = str(ROOT / "run_experiments.py")
GROWTH_BAR, MEMORY_BAR = 1.2, 60.0  # times the first tenth, MB
LIST_BAR, TABLE_BAR, PLANNING_BAR = 0.5, 2.0, 20.0  # seconds
LASTS = 30  # seconds of a job that runs beside all others, so that all have been started before it ends
WORKERS = 8
CONFIG = "learning_rate = 1e-3\nseed = {}\nmax_iters = 10\n"
SCRIPT = """\
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("config")
parser.add_argument("--learning_rate", type=float, default=1e-3)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--max_iters", type=int, default=1)
parser.add_argument("--out_dir")
parser.parse_args()
"""


def main(argv: Sequence[str] | None = None) -> int:
    given = arguments(argv)
    held = []
    with tempfile.TemporaryDirectory(prefix="bench-scale-", dir=given.dir) as name:
        folder = Path(name)
        print(f"{given.jobs} jobs, {given.batches} batches, {environment_info(given.dir)}\n")
        print(f"{'':<46}{'CPU s':>9}{'clock s':>9}")
        held += looked_at(folder / "many", given.batches, given.rounds)
        held += tabled(folder / "large", given.jobs, given.rounds)
        held += planned(folder / "planned", given.jobs)
        held += at_once(folder / "at_once", given.at_once)
        held += ran(folder / "ran", given.jobs)
    print(f"\n{'held' if all(held) else 'missed'}")
    return 0 if all(held) else 1


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000, metavar="N", help="at least 10 (default 10000)")
    parser.add_argument("--batches", type=int, default=300, metavar="N", help="of 30 jobs (default 300)")
    parser.add_argument("--at_once", type=int, default=200, metavar="N", help="jobs at the same time (default 200)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of each command (default 3)")
    parser.add_argument("--dir", default=scratch(), help="where the files go, and are deleted (default %(default)s)")
    given = parser.parse_args(argv)
    if given.jobs < 10 or given.batches < 1:
        parser.error("--jobs is at least 10, --batches at least 1")
    return given


def report(what: str, cpu: float, clock: float, bar: float) -> bool:
    """Print a line; whether the CPU seconds are within the bar."""
    print(f"{what:<46}{cpu:>9.2f}{clock:>9.2f}   at most {bar:g}: {'held' if cpu <= bar else 'MISSED'}", flush=True)
    return cpu <= bar


def command(folder: Path, *words: str, rounds: int, stderr: int = subprocess.DEVNULL) -> tuple[float, float]:
    """CPU seconds of the runner with these words, and seconds by the clock; it has to succeed."""
    found = []
    for _ in range(rounds):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(
            [sys.executable, PROGRAM, *words], cwd=folder, stdout=subprocess.DEVNULL, stderr=stderr, check=False
        )
        after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        if done.returncode:
            sys.exit(f"{' '.join(words)}: exit code {done.returncode}")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found.append((cpu, ended - began))
    return min(found)


def looked_at(folder: Path, batches: int, rounds: int) -> list[bool]:
    """`list` and `status` over many batches."""
    folder.mkdir()
    (folder / "config.sh").write_text("exit 0\n")
    for number in range(batches):
        write_batch(folder / "experiments" / f"batch_{number:04}", 30, folder / "config.sh")
    first = command(folder, "list", rounds=1)
    print(f"{f'the first list of {batches} batches':<46}{first[0]:>9.2f}{first[1]:>9.2f}")
    return [
        report(f"list, {batches} batches of 30 jobs", *command(folder, "list", rounds=rounds), LIST_BAR),
        report("status of one of them", *command(folder, "status", "batch_0000", rounds=rounds), LIST_BAR),
    ]


def tabled(folder: Path, jobs: int, rounds: int) -> list[bool]:
    folder.mkdir()
    (folder / "config.sh").write_text("exit 0\n")
    write_batch(folder / "experiments" / "batch", jobs, folder / "config.sh")
    return [report(f"table of {jobs} jobs", *command(folder, "table", "experiments", rounds=rounds), TABLE_BAR)]


def planned(folder: Path, jobs: int) -> list[bool]:
    """A dry run of many configs, with a terminal as standard error."""
    (folder / "c").mkdir(parents=True)
    for number in range(jobs):
        (folder / "c" / f"job_{number:05}.py").write_text(CONFIG.format(number))
    (folder / "train.py").write_text(SCRIPT)
    shown: list[bytes] = []
    terminal, end = os.openpty()
    reader = threading.Thread(target=read_all, args=(terminal, shown))
    reader.start()
    words = ["--configs", "c/*.py", "--train_script", "train.py", "--dry-run"]
    try:
        found = command(folder, *words, rounds=1, stderr=end)
    except SystemExit:
        sys.stdout.buffer.write(b"".join(shown))
        raise
    finally:
        os.close(end)
        reader.join()
        os.close(terminal)
    progress = b"configs" in b"".join(shown)
    print(f"{'its progress on a terminal':<46}{'shown' if progress else 'NOT SHOWN':>18}")
    return [report(f"planning {jobs} configs", *found, PLANNING_BAR), progress or jobs < 1000]


def read_all(terminal: int, found: list[bytes]) -> None:
    try:
        while block := os.read(terminal, 1 << 16):
            found.append(block)
    except OSError:  # EIO: the other side is closed
        pass


def shell_configs(folder: Path, jobs: int, text: str) -> None:
    (folder / "c").mkdir(parents=True)
    for number in range(jobs):
        (folder / "c" / f"job_{number:05}.sh").write_text(f"# {number}\n{text}\n")


def at_once(folder: Path, jobs: int) -> list[bool]:
    """As many jobs at once as one may ask for: they run, or the reason why not is said before the start."""
    shell_configs(folder, jobs, f"sleep {min(LASTS, jobs)}")
    words = ["--configs", "c/*.sh", "--command", "sh {config}", "--max_workers", str(jobs), "--quiet"]
    done = subprocess.run([sys.executable, PROGRAM, *words], cwd=folder, capture_output=True, text=True, check=False)
    what = f"{jobs} jobs at once"
    if done.returncode == 2:
        lines = done.stderr.strip().splitlines() or [""]
        print(f"{what}: refused before the start: {lines[0]}")
        return [bool(lines[0]) and not (folder / "experiments").exists()]
    results = summary(folder)
    events = sorted((moment, step) for result in results for moment, step in ((began(result), 1), (ended(result), -1)))
    running = most = 0
    for _, step in events:
        running += step
        most = max(most, running)
    completed = sum(result["status"] == "completed" for result in results)
    print(f"{what}: {completed} completed, {most} of them at the same time")
    return [completed == jobs]


def ran(folder: Path, jobs: int) -> list[bool]:
    """A batch of many jobs that do nothing."""
    shell_configs(folder, jobs, "exit 0")
    words = ["--configs", "c/*.sh", "--command", "/bin/true {config}", "--max_workers", str(WORKERS), "--quiet"]
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, PROGRAM, *words], cwd=folder, stdout=subprocess.DEVNULL) as engine:
        memory = 0.0
        while engine.poll() is None:
            memory = max(memory, peak_memory(engine.pid))
            time.sleep(0.1)
    seconds = time.perf_counter() - start
    if engine.returncode:
        sys.exit(f"the batch has exit code {engine.returncode}")
    moments = sorted(ended(result) for result in summary(folder))
    tenth = max(len(moments) // 10, 1)
    first, last = ((part[-1] - part[0]) * 1000 / tenth for part in (moments[: tenth + 1], moments[-tenth - 1 :]))
    growth = last / first if first else 1.0
    print(f"\n{jobs} jobs of /bin/true, {WORKERS} at a time: {seconds:.0f} s, {seconds * 1000 / jobs:.1f} ms a job")
    print(
        f"the first tenth {first:.1f} ms a job, the last tenth {last:.1f}: {growth:.2f} times, at most {GROWTH_BAR:g}"
    )
    print(f"the engine took {memory:.0f} MB at the peak, at most {MEMORY_BAR:g}")
    return [growth <= GROWTH_BAR, memory <= MEMORY_BAR]


def summary(folder: Path) -> list[dict[str, object]]:
    record = json.loads((folder / "experiments/latest/experiment_summary.json").read_bytes())
    return list(record["results"].values())


def began(result: dict[str, object]) -> float:
    return datetime.fromisoformat(str(result["start_time"])).timestamp()


def ended(result: dict[str, object]) -> float:
    return datetime.fromisoformat(str(result["end_time"])).timestamp()


def peak_memory(pid: int) -> float:
    """VmHWM in MB; 0 when the process is ending and has no memory any more."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:")), 0.0)


if __name__ == "__main__":
    sys.exit(main())
