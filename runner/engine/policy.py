"""What follows from the end of a job: whether it is tried again, whether the others would end the same way. Pure."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath

from runner.core.causes import COMMAND_LINE, GPU_OOM_FOREIGN, NEVER_RETRIED
from runner.core.job import Job
from runner.core.options import RETRY_CAUSES, RunOptions
from runner.core.state import INTERRUPTED, SUCCESSES, Finished, Outcome, Record
from runner.core.text import duration

LONGEST_DELAY = 600.0  # seconds
MOST_FOREIGN = 5  # tries of a job after others had the memory of its GPU
#: Programs that start another one, which is the next word; and words that they take themselves.
_STARTERS = re.compile(
    r"python[\d.]*|(?:ba|da|z|k)?sh|node|deno|bun|Rscript|julia|perl|ruby|env|time|nice|exec|nohup|timeout|stdbuf|"
    r"torchrun|accelerate|launch|uv|poetry|conda|pixi|run|srun|mpirun|mpiexec|xvfb-run|-.*|[\d.]+|\w+=.*"
)


def retry_delay(options: RunOptions, tries: int) -> float:
    """Seconds to wait before another try, after `tries` tries: doubled each time, up to LONGEST_DELAY."""
    return min(options.retry_delay * 2.0 ** min(tries - 1, 64), LONGEST_DELAY)


def delay_after(options: RunOptions, outcome: Outcome, tries: int, *, adopted: bool) -> float | None:
    """Seconds until a job that ended so is started again; None if it is not.

    An adopted job that was interrupted lost its engine and did not fail: it starts again at once. What is missing
    or refused is so again, and so is a loss that is not finite.
    """
    if adopted and outcome.status == INTERRUPTED:
        return 0.0
    if tries > options.retries or (outcome.cause in NEVER_RETRIED and outcome.cause_sure):
        return None
    killed = outcome.command_signal is not None and RETRY_CAUSES["signal"] in options.retry_statuses
    return retry_delay(options, tries) if killed or outcome.status in options.retry_statuses else None


@dataclass(frozen=True, slots=True)
class Again:
    """A job that ended is started again after `delay` seconds. `counts`: that is one of its retries."""

    delay: float
    sentence: str
    counts: bool = True


def after_others(options: RunOptions, outcome: Outcome, times: int) -> Again | None:
    """Another try of a job whose GPU was full of what others had; `times` is how often that was so before.

    None for any other end, and where nothing is tried again.
    """
    foreign = outcome.cause == GPU_OOM_FOREIGN and outcome.cause_sure
    if not foreign or times >= MOST_FOREIGN or not (options.retries or options.oom_retry):
        return None
    delay = retry_delay(options, times + 1)
    cause = "failed because others had the memory of its GPU"
    return Again(delay, f"{cause}; it runs again in {duration(delay)}, which counts as no retry", counts=False)


def uncounted(record: Record) -> str:
    """Why a job that failed runs again although it may have had all its tries; empty if it does not."""
    if isinstance(record.state, Finished) and record.state.result.moves:
        return "failed because of its GPU; it runs again on another one, which counts as no retry"
    if isinstance(record.state, Finished) and record.state.result.ran_out_beside_others:
        return "ran out of GPU memory beside other jobs; it runs again alone, which counts as no retry"
    return ""


def fails_for_all(failed: Record, records: Iterable[Record]) -> bool:
    """True if a program refused its command line, which all jobs have, but for what is their own.

    If another job of this call completed with it, something else was wrong.
    """
    if not isinstance(failed.state, Finished) or failed.state.outcome.cause != COMMAND_LINE:
        return False
    shape = _shape(failed.job)
    alike = all(_shape(record.job) == shape and not _completed_now(record) for record in records)
    return alike and not _runs_its_config(shape)


def _completed_now(record: Record) -> bool:
    return isinstance(record.state, Finished) and record.status in SUCCESSES and not record.cached


def _shape(job: Job) -> tuple[str, ...]:
    """The command without what belongs to this job alone: its config, its folder, its name."""
    values = {str(job.out_dir): "{out_dir}"}
    if job.out_dir.is_relative_to(job.cwd):
        values[str(job.out_dir.relative_to(job.cwd))] = "{out_dir}"
    for config in (str(job.source or ""), job.source_argument):
        if config:
            values[config] = "{config}"
    words = []
    for word in job.argv:
        for value, placeholder in values.items():
            word = word.replace(value, placeholder)
        option, equals, value = word.rpartition("=")
        words.append(f"{option}{equals}{{name}}" if value == job.name else word)
    return tuple(words)


def call_of(job: Job) -> tuple[str, ...]:
    """What the jobs of one program have in common: its script, or the command as far as it names the program."""
    if job.script is not None:
        return (str(job.script),)
    shape = _shape(job)
    starters = itertools.takewhile(lambda word: _STARTERS.fullmatch(PurePath(word).name), shape)
    return shape[: len(list(starters)) + 1]


def _runs_its_config(shape: tuple[str, ...]) -> bool:
    """True for `python {config}`: each job is another program."""
    before = next((place for place, word in enumerate(shape) if "{config}" in word), len(shape))
    return before < len(shape) and all(_STARTERS.fullmatch(PurePath(word).name) for word in shape[:before])
