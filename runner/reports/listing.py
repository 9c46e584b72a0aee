"""The lines of `list`: one for each batch, in columns, as wide as the terminal allows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runner.core.text import ago, duration, middle_cut, plain
from runner.reports.status import BatchStatus, BestValue

SHORTEST = 20  # characters of a name that is cut
GAP = "  "


@dataclass(frozen=True, slots=True)
class Shape:
    """What the lines show, from all of it to as much as a narrow terminal has room for."""

    best_job: bool = True
    folder_of_metric: bool = True
    name: int | None = None  # characters


def lines(batches: Sequence[BatchStatus], now: float, width: int | None) -> list[str]:
    """A line for each batch; `width` is that of the terminal, None: of any length."""
    found = _rows(batches, now, Shape())
    if width is None:
        return found
    if _too_wide(found, width):
        found = _rows(batches, now, Shape(best_job=False))
    if _too_wide(found, width):
        found = _rows(batches, now, Shape(best_job=False, folder_of_metric=False))
    if over := _too_wide(found, width):
        longest = max(len(plain(batch.name)) for batch in batches)
        found = _rows(batches, now, Shape(False, False, max(SHORTEST, longest - over)))
    return [plain(line, width) for line in found]


def _too_wide(found: Sequence[str], width: int) -> int:
    """By how many characters the longest line does not fit."""
    return max(max(map(len, found), default=0) - width, 0)


def _rows(batches: Sequence[BatchStatus], now: float, shape: Shape) -> list[str]:
    rows = [_cells(batch, now, shape) for batch in batches]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    shown = [place for place, width in enumerate(widths) if width]
    return [GAP.join(row[place].ljust(widths[place]) for place in shown).rstrip() for row in rows]


def _cells(batch: BatchStatus, now: float, shape: Shape) -> tuple[str, ...]:
    """Name, state, age, duration, best value, counts, tags and note."""
    name = plain(batch.name)
    age, seconds = batch.age(now), batch.seconds(now)
    return (
        name if shape.name is None else middle_cut(name, shape.name),
        batch.state,
        "" if age is None else ago(age),
        duration(seconds) if seconds else "",
        _best(batch.best(), shape),
        plain(batch.error or "") or batch.counts(),
        _labels(batch),
    )


def _best(found: BestValue | None, shape: Shape) -> str:
    if found is None:
        return ""
    metric = found.metric if shape.folder_of_metric else found.metric.rpartition("/")[2]
    job = f" ({plain(found.job)})" if shape.best_job else ""
    return f"{plain(metric)} {found.value:.5g}{job}"


def _labels(batch: BatchStatus) -> str:
    """`[baseline, paper] second try`"""
    tags = f"[{', '.join(batch.tags)}]" if batch.tags else ""
    return plain(" ".join(filter(None, (tags, batch.note))))
