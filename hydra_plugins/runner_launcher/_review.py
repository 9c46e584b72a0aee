"""What is noticed about the configs of a batch of jobs before any of them starts: missing values, duplicates. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runner.core.canonical import canonical
from runner.core.job import Job
from runner.core.text import listed

MISSING = "???"  # as OmegaConf writes a value that has to be given
OF_THE_JOB = "${hydra:"  # in a value that is another one in each job


def missing(jobs: Mapping[int, Job]) -> Iterator[str]:
    """A sentence for each key without a value, with the numbers of its jobs."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for number, job in jobs.items():
        for key in _missing(job.config):
            found[key].append(number)
    for key, numbers in found.items():
        every = "every job" if len(numbers) == len(jobs) > 1 else f"job {listed([str(it) for it in numbers], 5)}"
        yield (
            f"{key} has no value ({MISSING}) in {every}; give it one, as in {key}=…, or allow this with "
            "hydra.launcher.allow_missing=true"
        )


def duplicates(jobs: Mapping[int, Job]) -> list[str]:
    """`job 3 repeats job 0`: jobs with equal configs."""
    first: dict[str, int] = {}
    found = []
    for number, job in jobs.items():
        config = canonical(job.config)
        earlier = first.setdefault(config, number)
        if earlier != number and OF_THE_JOB not in config:
            found.append(f"job {number} repeats job {earlier}")
    return found


def _missing(value: Any, key: str = "") -> Iterator[str]:
    """Where in a config the missing values are: `model.width`, `layers.1`."""
    if value == MISSING:
        yield key
    items: Sequence[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    for name, item in items:
        yield from _missing(item, f"{key}.{name}" if key else str(name))
