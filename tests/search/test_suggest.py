"""Suggestions: each is a function of the search, its number and what is known."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from runner.search.space import COMPLETE, FAIL, RUNNING, SAMPLERS, Range, Search, Trial
from runner.search.suggest import inside, suggest

RANGES = {"lr": Range("log", (1e-5, 1e-1)), "n": Range("int", (2, 11, 2)), "p": Range("float", (0, 1)),
          "opt": Range("choice", ("a", [1, 2], 1, 1.0))}  # fmt: skip
KNOWN = [Trial(n, suggest(Search(RANGES, "loss"), n, ()), COMPLETE, float(n % 5)) for n in range(12)]
KNOWN += [Trial(12, KNOWN[0].params, FAIL), Trial(13, KNOWN[1].params, RUNNING)]


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_the_same_knowledge_gives_the_same_suggestion_inside_the_ranges(sampler: str) -> None:
    search = Search(RANGES, "loss", sampler=sampler, seed=3)
    found = [suggest(search, number, KNOWN) for number in range(14, 20)]
    assert found == [suggest(search, number, list(reversed(KNOWN))) for number in range(14, 20)]
    assert all(inside(search, params) for params in found) and len({params["lr"] for params in found}) == 6
    assert found != [suggest(Search(RANGES, "loss", sampler=sampler, seed=4), n, KNOWN) for n in range(14, 20)]


def test_what_tpe_knows_changes_what_it_suggests() -> None:
    search = Search(RANGES, "loss", sampler="tpe")
    turned = [Trial(one.number, one.params, one.state, None if one.value is None else -one.value) for one in KNOWN]
    assert suggest(search, 14, KNOWN) != suggest(search, 14, turned)
    assert suggest(search, 14, KNOWN) != suggest(Search(RANGES, "loss", "max", sampler="tpe"), 14, KNOWN)


def test_a_trial_outside_the_ranges_does_not_count() -> None:
    search = Search(RANGES, "loss", sampler="tpe")
    outside = Trial(14, {**KNOWN[0].params, "n": 100}, COMPLETE, -9.0)
    assert suggest(search, 15, [*KNOWN, outside]) == suggest(search, 15, KNOWN)
    assert suggest(search, 15, [*KNOWN, Trial(14, {"lr": 0.1}, COMPLETE, -9.0)]) == suggest(search, 15, KNOWN)


def test_a_grid_has_every_combination_once_after_what_is_enqueued() -> None:
    ranges = {"n": Range("int", (1, 6, 2)), "opt": Range("choice", ("a", "b"))}
    search = Search(ranges, "loss", trials=99, sampler="grid", enqueue=({"n": 5},))
    assert search.most == 7
    found = [suggest(search, number, ()) for number in range(7)]
    assert found[0]["n"] == 5
    assert found[1:] == [{"n": n, "opt": opt} for n in (1, 3, 5) for opt in ("a", "b")]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_is_enqueued_comes_first_and_other_settings_are_drawn(sampler: str) -> None:
    search = Search(RANGES, "loss", sampler=sampler, enqueue=({"lr": 0.01, "p": 1},))
    params = suggest(search, 0, ())
    assert (params["lr"], params["p"]) == (0.01, 1) and params["n"] in (2, 4, 6, 8, 10)


def test_ranges_are_reached_at_both_ends() -> None:
    for one, low, high in ((RANGES["lr"], 1e-5, 1e-1), (RANGES["n"], 2, 10), (RANGES["p"], 0.0, 1.0)):
        assert (one.at(0.0), one.at(1.0)) == (low, high) == tuple(one.ends)
    assert RANGES["n"].holds(4) and not RANGES["n"].holds(5) and not RANGES["n"].holds(4.0)
    assert not Range("choice", (1,)).holds(1.0) and not Range("float", (0, 1)).holds(True)


def test_a_search_is_equal_after_plan_json() -> None:
    search = Search(RANGES, "loss", "max", 7, "tpe", 2, ({"n": 4},), 60.0)
    assert Search.from_json(search.to_json()) == search
    with pytest.raises(ValueError, match=r"origin\.search cannot be read"):
        Search.from_json({"ranges": 3})


def test_tpe_finds_more_than_chance() -> None:
    """The median over 8 seeds of the best of 40 on a bowl with its minimum in a corner of the ranges."""
    ranges = {"x": Range("float", (-5, 5)), "y": Range("float", (-5, 5)), "z": Range("float", (-5, 5))}

    def loss(params: Mapping[str, Any]) -> float:
        return float(sum((params[key] - 3.7) ** 2 for key in ranges))

    found = {name: [_best(Search(ranges, "loss", sampler=name, seed=seed), loss, 40) for seed in range(8)]
             for name in ("random", "tpe")}  # fmt: skip
    assert statistics.median(found["tpe"]) < statistics.median(found["random"])


def _best(search: Search, loss: Callable[[Mapping[str, Any]], float], budget: int) -> float:
    known: list[Trial] = []
    for number in range(budget):
        params = suggest(search, number, known)
        known.append(Trial(number, params, COMPLETE, loss(params)))
    return min(trial.value or 0.0 for trial in known)
