"""At the end of a batch: say that --warm would spare its jobs an import, where that was much of their time."""

from __future__ import annotations

import re
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from runner.core.job import Plan
from runner.core.result import Result
from runner.core.state import COMPLETED, Finished, Record
from runner.core.text import count, duration
from runner.disk.reading import read_bytes
from runner.executors.git_state import ask
from runner.executors.warm import kind_of

LEAST_JOBS = 5
MUCH = 0.05  # of the median job
LONGEST = 60.0  # seconds of a median job; of a longer one no usual import is so much
PATIENCE = 20.0  # seconds for the import that is measured
MOST_FILES = 40  # of a program that are looked through
MODULE = "torch"
LEAST_MEMORY = 150_000_000  # bytes of a process that has imported it
_NAMED = re.compile(rb"\b%s\b" % MODULE.encode())
_IMPORT = re.compile(rb"^[ \t]*(?:from|import)[ \t]+([\w.]+)", re.MULTILINE)
_MEASURED = f"import time; t = time.perf_counter(); import {MODULE}; print(time.perf_counter() - t)"


def sentence(plan: Plan, records: Sequence[Record]) -> str | None:
    """What to do, for the user; None where there is nothing to gain. Measures an import once where it may matter."""
    ran = [
        (record.job, record.state)
        for record in records
        if isinstance(record.state, Finished) and record.status == COMPLETED and not record.cached
    ]
    if plan.options.warm or len(ran) < LEAST_JOBS or not sys.platform.startswith("linux"):
        return None
    median = statistics.median(state.seconds for _, state in ran)
    job, state = ran[0]
    if median > LONGEST or not _used_memory(state.result) or isinstance(kind_of(job, {}), str):
        return None
    if not _names_it(_script(job.argv, job.cwd)):
        return None
    answer = ask([sys.executable, "-c", _MEASURED], patience=PATIENCE)
    try:
        seconds = float((answer or "0").splitlines()[-1])  # after what the start of Python and the import print
    except ValueError:
        return None
    if seconds <= MUCH * median:
        return None
    part = f"{duration(seconds)} of the {duration(median)} of a job ({min(seconds / median, 1):.0%})"
    return f"import {MODULE} takes {part}; --warm does it once for all {count(len(plan.jobs), 'job')}"


def _script(argv: Sequence[str], cwd: Path) -> Path:
    return cwd / next(word for word in argv[1:] if not word.startswith("-"))


def _used_memory(result: Result) -> bool:
    used = result.to_json().get("resources")
    return isinstance(used, dict) and used.get("max_rss", 0) >= LEAST_MEMORY


def _names_it(script: Path) -> bool:
    """Whether a program has the name of MODULE, in its file or in those that it imports from beside it."""
    waiting, seen = [script], {script}
    while waiting and len(seen) < MOST_FILES:
        try:
            text = read_bytes(waiting.pop(), links=True)
        except OSError:
            continue
        if _NAMED.search(text):
            return True
        names = map(bytes.decode, _IMPORT.findall(text))
        new = {path for name in names for path in _files(script.parent, name)} - seen
        seen |= new
        waiting += new
    return False


def _files(folder: Path, name: str) -> Iterator[Path]:
    path = folder.joinpath(*name.split("."))
    yield from (file for file in (path.with_name(f"{path.name}.py"), path / "__init__.py") if file.is_file())
