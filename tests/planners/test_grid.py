"""Which runs a sweep means, and in which order."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.planners.grid import Grid, axes, duplicates

LISTS = st.dictionaries(st.sampled_from("abcd"), st.lists(st.integers(0, 9), min_size=1, max_size=3), max_size=3)


def test_keys_keep_their_order_and_the_last_turns_fastest() -> None:
    runs = list(Grid(axes({"b": [1, 2], "a": ["x", "y"]}, {})))
    assert runs == [{"b": 1, "a": "x"}, {"b": 1, "a": "y"}, {"b": 2, "a": "x"}, {"b": 2, "a": "y"}]
    assert [list(run) for run in runs] == [["b", "a"]] * 4


@given(LISTS)
def test_the_grid_is_the_product(sweep: dict[str, list[int]]) -> None:
    runs = list(Grid(axes(sweep, {})))
    assert [tuple(run.values()) for run in runs] == list(itertools.product(*sweep.values()))
    assert len(Grid(axes(sweep, {}))) == len(runs)


def test_an_empty_sweep_is_one_run() -> None:
    assert list(Grid()) == [{}]


def test_lists_of_a_zip_go_together_and_turn_fastest() -> None:
    runs = list(Grid(axes({"lr": [1, 2]}, {"layers": [3, 4], "lambdas": [[0], [0, 0]]})))
    assert runs == [
        {"lr": 1, "layers": 3, "lambdas": [0]},
        {"lr": 1, "layers": 4, "lambdas": [0, 0]},
        {"lr": 2, "layers": 3, "lambdas": [0]},
        {"lr": 2, "layers": 4, "lambdas": [0, 0]},
    ]


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ([{"a": 1, "b": 2}], [(1, True), (2, True), (2, 2)]),
        ([{"a": 1}], [(2, True), (2, 2)]),
        ([{"a": 1.0}], [(2, True), (2, 2)]),  # 1 and 1.0 are one number
        ([{"b": 1}], [(1, True), (1, 2), (2, True), (2, 2)]),  # but True is not a number
        ([{"a": 1}, {"b": 2}], [(2, True)]),
    ],
)
def test_what_has_all_values_of_an_exclusion_is_left_out(exclude: list[dict], left: list[tuple]) -> None:
    runs = Grid(axes({"a": [1, 2], "b": [True, 2]}, {}), exclude=exclude)
    assert [(run["a"], run["b"]) for run in runs] == left


def test_further_runs_come_last_and_are_never_excluded() -> None:
    runs = list(Grid(axes({"a": [1, 2]}, {}), exclude=[{"a": 2}], include=[{"a": 2, "b": 0}, {"c": 1}]))
    assert runs == [{"a": 1}, {"a": 2, "b": 0}, {"c": 1}]


def test_a_sample_is_a_subset_in_order_and_its_seed_determines_it() -> None:
    sweep = axes({"a": list(range(50))}, {})
    once, again, other = (list(Grid(sweep, sample=(5, seed))) for seed in (0, 0, 1))
    assert once == again != other
    numbers = [run["a"] for run in once]
    assert len(set(numbers)) == 5 and numbers == sorted(numbers)
    assert len(list(Grid(sweep, sample=(99, 0)))) == 50


def test_a_sample_may_be_drawn_from_a_grid_that_nobody_could_list() -> None:
    grid = Grid(axes({key: list(range(1000)) for key in "abcdef"}, {}), exclude=[{"a": 1}], sample=(20, 0))
    runs = list(grid)
    assert len(grid) == len(runs) == len({tuple(run.values()) for run in runs}) == 20
    assert runs == list(grid) and not any(run["a"] == 1 for run in runs)


def test_each_run_is_repeated_with_every_seed() -> None:
    runs = list(Grid(axes({"a": [1, 2]}, {}), repeat=[7, 8]))
    assert runs == [{"a": 1, "seed": 7}, {"a": 1, "seed": 8}, {"a": 2, "seed": 7}, {"a": 2, "seed": 8}]


def test_duplicates_are_found_whatever_the_order_of_their_keys() -> None:
    assert duplicates([{"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1}, {"a": 1, "b": 2}]) == {1: 0, 3: 0}
