"""Curves that are reduced while they are read: the same points as when every row is read for itself."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.reports import thinned
from runner.reports.thinned import COLUMNS, SAMPLED, Thinned

WANTED = ("val/loss", "train/loss")


def text(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def plain(content: bytes) -> Thinned | None:
    return thinned._plain(io.BytesIO(content), WANTED)


values = st.floats(-1e6, 1e6) | st.integers(-5, 5)


@settings(deadline=None, max_examples=60)
@given(st.data(), st.integers(1, 900), st.integers(1, 40), st.booleans())
def test_blocks_give_the_points_that_rows_give(data: st.DataObject, length: int, every: int, is_whole: bool) -> None:
    losses = data.draw(st.lists(values, min_size=8, max_size=8))
    rows = [
        {"iter": 3 * number, "train/loss": losses[number * number % 8] + number % 7}
        | ({"val/loss": losses[number % 8]} if number % every == 0 else {})
        for number in range(length)
    ]
    content = text(rows)
    content = content if is_whole else content[:-1]
    found = plain(content)
    by_rows = thinned._by_rows(io.BytesIO(content), WANTED)
    assert found is not None and found.axis == by_rows.axis == "step"
    assert {name: one.series() for name, one in found.curves.items()} == {
        name: one.series() for name, one in by_rows.curves.items()
    }


@pytest.mark.parametrize(
    "rows",
    [
        [{"iter": 2, "val/loss": 1.0}, {"iter": 1, "val/loss": 1.0}],
        [{"iter": 1, "val/loss": 1.0}, {"iter": 1, "val/loss": 2.0}],
        [{"iter": 1, "val/loss": None}],
        [{"iter": 1, "val/loss": math.nan}],
        [{"iter": 1, "val/loss": math.inf}],
        [{"iter": 1, "val/loss": "low"}],
        [{"iter": 1, "val/loss": True}],
        [{"iter": 1, "val/loss": 10**400}],
        [{"iter": 1.5, "val/loss": 1.0}],
        [{"epoch": 1, "val/loss": 1.0}],
        [{"iter": 10**16, "val/loss": 1.0}],
        [{"step": 1, "val/loss": 1.0}, {"iter": 2, "val/loss": 1.0}],
        [[1]],
    ],
)
def test_what_is_not_plain_is_read_by_rows(rows: list[Any], tmp_path: Path) -> None:
    assert plain(text(rows)) is None
    (tmp_path / "metrics.jsonl").write_bytes(text(rows))
    by_rows = thinned._by_rows(io.BytesIO(text(rows)), WANTED)
    assert repr(thinned.read(tmp_path, WANTED)) == repr(by_rows)  # NaN is not equal to itself


@pytest.mark.parametrize("content", [b"", b"\n", b"{}", b'{"iter": 1', b'{"iter": 1},{"iter": 2}\n', b"x" * (3 << 20)])
def test_odd_files_are_not_plain(content: bytes) -> None:
    assert plain(content) is None


def test_a_torn_line_at_the_end_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(text([{"iter": 1, "val/loss": 2.0}]) + b'{"iter": 2, "val')
    assert thinned.read(tmp_path, WANTED).curves["val/loss"].series().kept == [(1.0, 2.0)]
    assert thinned.read(tmp_path / "missing", WANTED) == Thinned("", {})


def long_run(every: int = 1) -> list[dict[str, float]]:
    rows = [{"iter": number, "train/loss": 1 / (1 + number)} for number in range(5000)]
    return [row | ({"val/loss": 2.0} if number % every == 0 else {}) for number, row in enumerate(rows)]


def test_of_a_curve_that_is_not_drawn_some_hundred_rows_are_read(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(text(long_run()))
    points = thinned.read(tmp_path, WANTED, whole=False).curves["train/loss"].series().kept
    assert len(points) == SAMPLED + 1 and points[0] == (0, 1.0) and points[-1] == (4999, 1 / 5000)
    assert max(b[0] - a[0] for a, b in pairwise(points)) < 2 * 5000 / SAMPLED
    assert all(y == 1 / (1 + x) for x, y in points)


def test_a_metric_that_few_rows_have_is_not_missed(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(text(long_run(every=500)))
    found = thinned.read(tmp_path, WANTED, whole=False).curves
    assert len(found["val/loss"].series().kept) == 10
    assert SAMPLED < len(found["train/loss"].series().kept) + 5 <= 2 * COLUMNS + 7
