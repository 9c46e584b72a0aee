"""Which columns of a table fit into a width."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner.core.text import width_of
from runner.reports.columns import Column, fit, lines

NAME = Column("name", ["night_lr0.02_a", "night_lr0.03_a"], least=8)


def test_without_a_width_nothing_is_cut_or_left_out() -> None:
    columns = [NAME, Column("loss", ["1.5", "12.25"], 1, right=True)]
    assert lines(fit(columns, None).columns) == [
        "name             loss",
        "night_lr0.02_a    1.5",
        "night_lr0.03_a  12.25",
    ]


def test_the_least_important_goes_first_and_names_are_cut() -> None:
    columns = [NAME, Column("loss", ["1.5", "2.5"], 1), Column("time", ["10 s", "20 s"], 2)]
    fitted = fit(columns, 15)
    assert fitted.left_out == ["time"]
    assert lines(fitted.columns) == ["name       loss", "…lr0.02_a  1.5", "…lr0.03_a  2.5"]


def test_two_columns_that_are_equal_are_left_out_one_by_one() -> None:
    twice = [Column("x", ["1"], 1), Column("x", ["1"], 1), Column("y", ["2"])]
    assert len(fit(twice, 4).columns) == 2


@given(st.lists(st.tuples(st.text("ab中", max_size=12), st.integers(1, 9)), min_size=1, max_size=6), st.integers(8, 60))
def test_a_table_is_never_wider_than_its_screen(cells: list[tuple[str, int]], width: int) -> None:
    columns = [Column("a job", ["x" * 30], least=6), *(Column("h", [text], rank) for text, rank in cells)]
    assert all(width_of(line) <= width for line in lines(fit(columns, width).columns))
