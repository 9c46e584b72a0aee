"""Change the code a little, again and again: does a test notice? Prints the part that was noticed, and what was not.

Each change is one operator replaced, one condition negated, one number off by one, one loop or call left out. Only the
tests named in targets.py run for a change, so that a change takes seconds. All of them take hours: `--sample 100` draws
so many from each package. What cannot be noticed because it makes no difference stands in equivalent.txt with the
reason, and is not counted. Needs cosmic-ray. Copies the project; the copy is changed, and no file here.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import groupby
from pathlib import Path

from mutation.mutate import Mutant, mutant, places
from mutation.targets import PROJECT, modules, package_of, tests_of
from mutation.worker import SURVIVED, Worker

EQUIVALENT = Path(__file__).with_name("equivalent.txt")
ANY = "*"  # after a line of which no change makes a difference
BAR = 0.85  # of the changes must be noticed
_worker: Worker


def main(argv: Sequence[str] | None = None) -> int:
    given = arguments(argv)
    found = chosen(given)
    known = equivalents().keys()
    counted = [one for one in found if not known & {(one.module, one.before, to) for to in (one.after, ANY)}]
    print(f"{len(counted)} changes, and {len(found) - len(counted)} that make no difference", flush=True)
    if given.list:
        print("\n".join(map(str, counted)))
        return 0
    folder = Path(tempfile.mkdtemp(prefix="mutants-", dir=given.dir))
    try:
        results = tried(counted, given, folder)
    finally:
        shutil.rmtree(folder)
    return report(results)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="mutants.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"Exit code: 0 if at least {BAR:.0%} of the changes were noticed in each package, 1 otherwise.",
    )
    parser.add_argument("only", nargs="*", metavar="MODULE", help="beginnings of paths, such as runner/disk/atomic")
    parser.add_argument("--sample", type=int, metavar="N", help="at most N changes of each package, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default 0)")
    parser.add_argument(
        "--fast", action="store_true", help="without tests that start processes, and modules that have no others"
    )
    parser.add_argument("--list", action="store_true", help="print the changes, and try none")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), metavar="N", help="(default 2)")
    parser.add_argument("--dir", default=tempfile.gettempdir(), help="where the copies go (default %(default)s)")
    return parser.parse_args(argv)


def chosen(given: argparse.Namespace) -> list[Mutant]:
    """The changes to be tried, module by module."""
    sources = {
        module: (PROJECT / module).read_text()
        for module in modules()
        if (not given.only or any(module.startswith(start) for start in given.only))
        and (tests_of(module).fast or not given.fast)
    }
    packages = defaultdict(list)
    for module, source in sources.items():
        packages[package_of(module)] += places(module, source)
    rng = random.Random(given.seed)
    drawn = [
        place
        for found in packages.values()
        for place in (found if given.sample is None else rng.sample(found, min(given.sample, len(found))))
    ]
    print(f"{sum(map(len, packages.values()))} places in {len(sources)} modules", flush=True)
    return [mutant(place, sources[place.module]) for place in sorted(drawn)]


def equivalents() -> dict[tuple[str, str, str], str]:
    """module, the line before, the line after -> why no test can notice."""
    rows = [line.split(" | ") for line in EQUIVALENT.read_text().splitlines() if line and not line.startswith("#")]
    return {(module, before, after): why for module, before, after, why in rows}


def tried(found: Sequence[Mutant], given: argparse.Namespace, folder: Path) -> list[tuple[Mutant, str]]:
    """What became of each, module by module."""
    results: list[tuple[Mutant, str]] = []
    began = time.monotonic()
    by_module = [list(group) for _, group in groupby(found, key=lambda one: one.module)]
    with ProcessPoolExecutor(given.workers, multiprocessing.get_context("spawn"), begin, (folder,)) as pool:
        for done in as_completed([pool.submit(try_out, group, given.fast) for group in by_module]):
            results += done.result()
            for changed, result in done.result():
                if result == SURVIVED:
                    print(f"not noticed: {changed}", flush=True)
            seconds = time.monotonic() - began
            print(f"{len(results)} of {len(found)}, {seconds:.0f} s", file=sys.stderr, flush=True)
    return results


def begin(folder: Path) -> None:
    """In each process of the pool: a copy of its own."""
    global _worker
    _worker = Worker(folder / str(os.getpid()))


def try_out(group: Sequence[Mutant], fast: bool) -> list[tuple[Mutant, str]]:
    return [(changed, _worker.try_out(changed, fast=fast)) for changed in group]


def report(results: Sequence[tuple[Mutant, str]]) -> int:
    """Print a row for each package; returns 1 if one is below the bar."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for changed, result in results:
        counts[package_of(changed.module)][result] += 1
    print("\n| package | changes | noticed | not noticed |\n|---|---|---|---|")
    low = False
    for package, found in counts.items():
        noticed = found.total() - found[SURVIVED]
        low |= noticed < BAR * found.total()
        print(f"| {package} | {found.total()} | {noticed} ({noticed / found.total():.0%}) | {found[SURVIVED]} |")
    return int(low)
