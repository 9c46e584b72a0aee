"""The lines of `list`, for terminals of any width."""

from __future__ import annotations

import pytest

from runner.core.text import ago
from runner.reports.batch_row import BatchRow
from runner.reports.listing import lines
from runner.reports.status import BatchStatus, JobStatus

NOW = 1_790_000_000.0  # 2026-09-21T14:13:20+00:00


def batch(name: str, state: str = "done", **more: object) -> BatchRow:
    """One that was started two hours before NOW, whose job ran for 133 seconds."""
    best = {"val/loss": {"value": 2.09321, "iter": 900, "better": "min"}}
    began, ended = "2026-09-21T12:13:20+00:00", "2026-09-21T12:15:33+00:00"
    one = JobStatus("completed", True, 1, 133.0, best=best, started_at=began, ended_at=ended)
    read = BatchStatus(name, f"/x/{name}", began, state, None, {"moderate": one}, **more)  # type: ignore[arg-type]
    return BatchRow.of(read, NOW)


def test_everything_is_said_where_there_is_room() -> None:
    one = batch("experiment_20260921_121320", note="the best one", tags=["a", "b"])
    (line,) = lines([one], NOW, None)
    assert line == (
        "experiment_20260921_121320  done  2 h ago  2 min 13 s  val/loss 2.0932 (moderate)  1 completed"
        "  [a, b] the best one"
    )
    assert lines([one], NOW, 200) == [line]


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    found = [batch("experiment_20260921_121320"), batch("a" * 60, "running without a runner", note="n" * 100)]
    assert all(len(line) <= width for line in lines(found, NOW, width))


def test_eighty_columns_show_every_column() -> None:
    names = ("experiment_20260921_121320", "gpt_small_rope_20260921_121555")
    for line, name in zip(lines([batch(name, "stopped") for name in names], NOW, 80), names, strict=True):
        assert [word in line for word in ("stopped", "2 h ago", "2 min", "loss 2.0932", "1 completed")] == [True] * 5
        assert line.startswith(name[:9]) and name[-6:] in line


def test_a_note_does_not_take_the_room_of_the_name() -> None:
    (line,) = lines([batch("experiment_20260921_121320", note="n" * 200)], NOW, 100)
    assert line.startswith("experiment_20260921_121320  ") and line.endswith("n…")


def test_without_a_batch_there_is_no_line() -> None:
    assert lines([], NOW, 80) == [] == lines([], NOW, None)


def test_what_is_not_known_is_left_out() -> None:
    unreadable = BatchStatus("x", "/x", None, "unreadable", None, {}, "plan.json: cannot be read")
    assert lines([BatchRow.of(unreadable, NOW)], NOW, None) == ["x  unreadable  plan.json: cannot be read"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s ago"), (0, "0 s ago"), (59.9, "59 s ago"), (60, "1 min ago"), (3599, "59 min ago"), (7300, "2 h ago"),
     (47.9 * 3600, "47 h ago"), (48 * 3600, "2 d ago"), (1e8, "1157 d ago")],
)  # fmt: skip
def test_an_age_in_whole_units(seconds: float, text: str) -> None:
    assert ago(seconds) == text
