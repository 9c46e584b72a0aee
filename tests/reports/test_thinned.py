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

from runner.reports import row_blocks, thinned
from runner.reports.thinned import COLUMNS, SAMPLED, Thinned
from runner.reports.tracks import Tracks

WANTED = ("val/loss", "train/loss")


def text(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


values = st.floats(-1e6, 1e6) | st.integers(-5, 5)
#: What makes rows not plain: they are added one by one then, with the same result.
ODD: tuple[list[Any], ...] = (
    [{"iter": 2, "val/loss": 1.0}, {"iter": 1, "val/loss": 1.0}],
    [{"iter": 1, "val/loss": 1.0}, {"iter": 1, "val/loss": 2.0}],
    [{"iter": 1, "val/loss": None}],
    [{"iter": 1, "val/loss": None, "nonfinite": {"val/loss": "inf"}}],
    [{"iter": 1, "val/loss": math.nan}],
    [{"iter": 1, "val/loss": math.inf}],
    [{"iter": 1, "val/loss": 1.0}, {"iter": 2, "val/loss": "low"}],
    [{"iter": 1, "val/loss": 1.0}, {"iter": 2, "val/loss": True}],
    [{"iter": 1, "val/loss": 10**400}],
    [{"iter": 1, "val/loss": 10**308}, {"iter": 2, "val/loss": 10**308}],  # their sum is too large for a float
    [{"iter": 1.5, "val/loss": 1.0}],
    [{"iter": 10**16, "val/loss": 1.0}],
    [{"step": 1, "val/loss": 1.0}, {"iter": 2, "val/loss": 1.0}],
    [{"epoch": 1, "val/loss": 1.0}, {"step": 2, "val/loss": 1.0}],
    [{"epoch": math.nan, "val/loss": 1.0}],
    [{"val/loss": 1.0}],
    [],
)
PLAIN: tuple[list[Any], ...] = (
    [{"iter": 1, "val/loss": 1.0, "time": "now", "max_iters": 9, "done": True}],
    [{"iter": 1, "val/loss": 1}, {"iter": 5, "lr": 0.1}],
    [{"epoch": 0.5, "val/loss": 1.0}, {"epoch": 1, "val/loss": 2.0}],
    [{"step": -3, "stage": "a", "val/loss": 1.0}, {"step": 2, "stage": "b", "val/loss": 2.0}],
)


def one_by_one(rows: Sequence[Mapping[str, Any]]) -> Tracks:
    made = Tracks()
    for row in rows:
        made.add(row)
    return made


def said(found: Tracks) -> str:
    """All that it holds, as text: NaN is not equal to itself."""
    tracks = {name: (track.xs, track.ys, track.starts, track.lost) for name, track in found.of.items()}
    return repr((tracks, found.rows, found.segment, float(found.last), found.segments))


@settings(deadline=None, max_examples=60)
@given(st.data(), st.integers(1, 60), st.integers(1, 9))
def test_many_rows_give_the_points_that_single_ones_give(data: st.DataObject, length: int, every: int) -> None:
    losses = data.draw(st.lists(values, min_size=8, max_size=8))
    odd = data.draw(st.sampled_from([*ODD, *PLAIN]))
    rows: list[Any] = [
        {"iter": 3 * number, "train/loss": losses[number * number % 8] + number % 7}
        | ({"val/loss": losses[number % 8]} if number % every == 0 else {})
        for number in range(length)
    ]
    found = Tracks()
    for part in (rows[: length // 2], odd, rows[length // 2 :]):
        found.add_all(part)
    assert said(found) == said(one_by_one([*rows[: length // 2], *odd, *rows[length // 2 :]]))


@pytest.mark.parametrize("rows", ODD, ids=str)
def test_what_is_not_plain_is_added_row_by_row(rows: list[Any]) -> None:
    assert not Tracks().add_plain(rows)
    found = Tracks()
    found.add_all(rows)
    assert said(found) == said(one_by_one(rows))


@pytest.mark.parametrize("rows", PLAIN, ids=str)
def test_plain_rows_are_added_at_once(rows: list[Any]) -> None:
    found = Tracks()
    assert found.add_plain(rows) and said(found) == said(one_by_one(rows))


def test_what_is_not_wanted_is_left_out_and_says_which_losses_are_known() -> None:
    rows = [{"iter": 1, "train/loss": 1.0, "val/loss": None}, {"iter": 2, "train/loss": 1.0, "val/loss": 2.0}]
    found = Tracks(("val/loss",))
    found.add_all(rows)
    assert list(found.of) == ["val/loss"] and list(found.of["val/loss"].ys) == [2.0]


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 18])
def test_blocks_hold_every_row_and_end_at_a_line(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_blocks, "BLOCK", size)
    content = b'{"iter": 1}\n\nno row\n[1]\n{"iter": 2},{"iter": 3}\n\xff\n{"iter": 4}\n{"iter": 5}'
    found = list(row_blocks.blocks(io.BytesIO(content)))
    assert [row["iter"] for block in found for row in block.rows] == [1, 4]
    assert all(content[block.end - 1 : block.end] == b"\n" for block in found)
    assert found[-1].end == len(content) - len(b'{"iter": 5}')
    again = list(row_blocks.blocks(io.BytesIO(content), found[-1].end, unfinished=True))
    assert again == [([{"iter": 5}], len(content))]


def test_a_line_that_does_not_end_is_not_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_blocks, "BLOCK", 100)
    monkeypatch.setattr(row_blocks, "LONGEST", 500)
    found = list(row_blocks.blocks(io.BytesIO(b"x" * 5050)))
    assert found[-1] == ([], 5000) and all(block.rows == [] for block in found)


@pytest.mark.parametrize("content", [b"", b"\n", b"{}", b'{"iter": 1', b"x" * (3 << 20)])
def test_odd_files_have_no_curves(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(content)
    for whole in (True, False):
        assert thinned.read(tmp_path, WANTED, whole=whole).curves == {}


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


def test_epochs_stay_epochs_when_some_rows_are_read(tmp_path: Path) -> None:
    rows = [{"epoch": row["iter"] / 100, "train/loss": row["train/loss"]} for row in long_run()]
    (tmp_path / "metrics.jsonl").write_bytes(text(rows))
    found = thinned.read(tmp_path, ["train/loss"], whole=False)
    assert found.axis == "epoch" and len(found.curves["train/loss"].series().kept) == SAMPLED + 1


def test_a_metric_that_few_rows_have_is_not_missed(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(text(long_run(every=500)))
    found = thinned.read(tmp_path, WANTED, whole=False).curves
    assert len(found["val/loss"].series().kept) == 10
    assert SAMPLED < len(found["train/loss"].series().kept) + 5 <= 2 * COLUMNS + 7


def test_values_that_are_not_finite_stay_beside_the_extremes(tmp_path: Path) -> None:
    rows = [{"iter": step, "val/loss": math.nan if step % 10 == 5 else float(step % 7)} for step in range(4000)]
    rows[777]["val/loss"] = 99.0
    (tmp_path / "metrics.jsonl").write_bytes(text([*rows, {"iter": 2000, "val/loss": 1.0}]))
    found = thinned.read(tmp_path, WANTED).curves["val/loss"].series()
    first, second = found.segments
    assert (first.overtaken, second.overtaken) == (2000.0, math.inf) and second.points == ((2000.0, 1.0),)
    assert (777.0, 99.0) in first.kept and 100 < len(found.nonfinite) <= 400 and len(first.points) <= 2 * COLUMNS + 400
