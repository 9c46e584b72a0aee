"""Rows of results as they are loaded, from settings and values."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runner.reports.table import Table, row


def table(
    *jobs: tuple[Mapping[str, Any], float | None], status: Mapping[int, str] | None = None, metric: str = "val/loss"
) -> Table:
    """A job for each pair of settings and value; `status` by number, `completed` for the others."""
    made = Table(
        row(
            f"run_{number}",
            (status or {}).get(number, "completed"),
            config,
            {metric: value},
            {"out_dir": f"/b/{number}"},
        )
        for number, (config, value) in enumerate(jobs)
    )
    made.measured = frozenset({metric})
    return made


def grid(truth: Callable[..., float], seeds: int, **settings: Sequence[Any]) -> Table:
    """Every combination of the settings, with each seed; the value is what `truth` says of it."""
    jobs = []
    for cell in itertools.product(*settings.values()):
        for seed in range(seeds):
            config = dict(zip(settings, cell, strict=True))
            jobs.append(({**config, "seed": seed}, truth(**config)))
    return table(*jobs)


def noise(seed: int) -> Callable[..., float]:
    """A truth in which nothing matters."""
    drawing = random.Random(seed)
    return lambda **_: drawing.gauss(2.0, 0.3)
