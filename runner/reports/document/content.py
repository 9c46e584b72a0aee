"""What a report says, as values. Every text in them is without secrets; knows nothing of files and formats."""

from __future__ import annotations

from dataclasses import dataclass

from runner.reports.series import Point, Series


@dataclass(frozen=True, slots=True)
class Failure:
    """Jobs that ended alike, the most frequent first. `log` are the last lines of the first of them."""

    names: tuple[str, ...]
    title: str
    error: str
    evidence: str
    advice: str
    again: str  # the command that runs them again
    log: tuple[str, ...]
    traceback: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """A metric of one job. `color`: of 24, for a job that stands out; None for one among many."""

    name: str
    series: Series
    color: int | None


@dataclass(frozen=True, slots=True)
class Chart:
    """The curves of one metric. `fan`: for a position the lowest, 25 %, 50 %, 75 % and highest value of `jobs` jobs."""

    metric: str
    axis: str
    curves: tuple[Curve, ...]
    jobs: int
    fan: tuple[tuple[float, tuple[float, ...]], ...] = ()

    @property
    def points(self) -> list[Point]:
        """Those that have to fit into the chart."""
        found = [point for curve in self.curves for one in curve.series.segments for point in one.points]
        return found + [(x, y) for x, parts in self.fan for y in parts]


@dataclass(frozen=True, slots=True)
class Cell:
    """`status`: the text is one; `right`: it is a number."""

    text: str
    right: bool = False
    status: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    best: int | None = None  # the row that is marked


@dataclass(frozen=True, slots=True)
class Block:
    """A part of the comparison: sentences, a table, sentences."""

    heading: str
    before: tuple[str, ...]
    table: Table | None
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Level:
    """A value of a setting: values of a metric in the jobs that have it, the mean of all `n`, and jobs without one."""

    label: str
    values: tuple[float, ...]
    mean: float | None
    n: int
    failed: int


@dataclass(frozen=True, slots=True)
class Effect:
    """A metric by the values of one setting."""

    setting: str
    metric: str
    levels: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """The end of a text file of a job. `path` is relative to the batch."""

    path: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG or JPEG file of a job. `path` is relative to the batch."""

    path: str
    kind: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Content:
    """A report, in the sequence in which it is read."""

    name: str
    sentence: str
    unfinished: str  # a sentence on jobs that had not ended; empty if all had
    period: str
    note: str
    failures: tuple[Failure, ...]
    more_failures: int
    warnings: tuple[str, ...]  # of jobs that went on, one for a job
    best: tuple[str, ...]
    table: Table
    charts: tuple[Chart, ...]
    same: tuple[tuple[str, str], ...]  # settings that all jobs have
    comparison: tuple[Block, ...]
    effects: tuple[Effect, ...]
    resources: Table | None
    findings: tuple[str, ...]  # on the use of the machine, one for a job
    samples: tuple[Sample, ...]
    pictures: tuple[Picture, ...]
    left_out: tuple[str, ...]  # pictures that were too large
    origin: tuple[tuple[str, str], ...]
