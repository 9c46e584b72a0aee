"""What the page asks the commands for, so that both show the same: the batches, their states, and the orders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.core.job import Plan
from runner.reports.batch_row import BatchRow
from runner.reports.status import BatchStatus


@dataclass(frozen=True, slots=True)
class Source:
    """`base`: the folder of the batches. `order_words`: the words that start one of our commands."""

    base: Path
    batches: Callable[[], Sequence[Path]]
    rows: Callable[[], Sequence[BatchRow]]
    status: Callable[[Path, Plan], BatchStatus]
    order_words: Sequence[str]
    read_only: bool = False
