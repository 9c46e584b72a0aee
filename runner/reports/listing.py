"""The lines of `list`: one for each batch, in columns, as wide as the terminal allows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runner.core.names import cut_middle
from runner.core.text import ago, duration, plain, width_of
from runner.reports.batch_row import BatchRow
from runner.reports.best import number
from runner.reports.status import BestValue

SHORTEST = 20  # characters of a name that is cut
GAP = "  "


@dataclass(frozen=True, slots=True)
class Shape:
    """What the lines show, from all of it to as much as a narrow terminal has room for."""

    best_job: bool = True
    details: bool = True  # the seconds beside minutes, and `val/` of val/loss
    name: int | None = None  # characters


def lines(batches: Sequence[BatchRow], now: float, width: int | None) -> list[str]:
    """A line for each batch; `width` is that of the terminal, None: of any length."""
    found = _rows(batches, now, Shape())
    if width is None:
        return _joined(found)
    if _too_wide(found, width):
        found = _rows(batches, now, Shape(best_job=False))
    if _too_wide(found, width):
        found = _rows(batches, now, Shape(best_job=False, details=False))
    if over := _too_wide(found, width):
        longest = max(width_of(plain(batch.name)) for batch in batches)
        found = _rows(batches, now, Shape(False, False, max(SHORTEST, longest - over)))
    return [plain(line, width) for line in _joined(found)]


def _too_wide(rows: Sequence[Sequence[str]], width: int) -> int:
    """By how many characters the longest line does not fit, without its labels: they get the room that is left."""
    return max(max(map(width_of, _joined([row[:-1] for row in rows])), default=0) - width, 0)


def _rows(batches: Sequence[BatchRow], now: float, shape: Shape) -> list[tuple[str, ...]]:
    return [_cells(batch, now, shape) for batch in batches]


def _joined(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of columns; one that is empty in all rows is left out."""
    widths = [max(map(width_of, column)) for column in zip(*rows, strict=True)]
    shown = [place for place, width in enumerate(widths) if width]
    return [GAP.join(_padded(row[place], widths[place]) for place in shown).rstrip() for row in rows]


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - width_of(cell))


def _cells(batch: BatchRow, now: float, shape: Shape) -> tuple[str, ...]:
    """Name, state, age, duration, best value, counts, tags and note."""
    name = plain(batch.name)
    age = batch.age(now)
    return (
        name if shape.name is None else cut_middle(name, shape.name),
        batch.state,
        "" if age is None else ago(age),
        _duration(batch.seconds, shape),
        _best(batch.best, shape),
        plain(batch.error or "") or batch.counts,
        _labels(batch),
    )


def _duration(seconds: float, shape: Shape) -> str:
    """`4 min 05 s`, or only `4 min`; empty if nothing ran."""
    words = duration(seconds).split() if seconds else []
    return " ".join(words if shape.details else words[:2])


def _best(found: BestValue | None, shape: Shape) -> str:
    if found is None:
        return ""
    metric = found.metric if shape.details else found.metric.rpartition("/")[2]
    job = f" ({plain(found.job)})" if shape.best_job else ""
    return f"{plain(metric)} {number(found.value)}{job}"


def _labels(batch: BatchRow) -> str:
    """`[baseline, paper] second try`"""
    tags = f"[{', '.join(batch.tags)}]" if batch.tags else ""
    return plain(" ".join(filter(None, (tags, batch.note))))
