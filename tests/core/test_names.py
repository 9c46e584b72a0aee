"""Names in the order that people expect, and shorter ones that still tell them apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.core.names import cut_middle, natural, shortened
from runner.core.text import width_of


@pytest.mark.parametrize(
    "names",
    [
        ["run2", "run10"], ["lr0.010", "lr0.09", "lr0.5"], ["lr1e-4", "lr3e-4", "lr1e-3"], ["wd1.25_a", "wd1.5_a"],
        ["v1.9", "v1.10"], ["a1.2.9", "a1.2.10"], ["c/2.py", "c/10.py"], ["lr0.001_seed2", "lr0.001_seed10"],
    ],
)  # fmt: skip
def test_numbers_are_in_their_order(names: list[str]) -> None:
    other_way = list(reversed(names))
    assert sorted(other_way, key=natural) == names


@pytest.mark.parametrize(
    ("names", "width", "expected"),
    [
        (["a", "b"], 3, ["a", "b"]),
        (["gpt_small_lr0.02", "gpt_small_lr0.03"], 10, ["…lr0.02", "…lr0.03"]),
        (["gpt_small_lr1_wide_8", "gpt_small_lr20_wide_8"], 10, ["…lr1…", "…lr20…"]),
        (["only_one_name"], 7, ["onl…ame"]),
        (["same_name", "same_name"], 5, ["sa…me", "sa…me"]),
    ],
)
def test_what_names_have_in_common_goes_first(names: list[str], width: int, expected: list[str]) -> None:
    assert shortened(names, width) == expected


@given(st.lists(st.text(alphabet="ab_-/1中", max_size=30), min_size=1, max_size=5), st.integers(1, 40))
def test_no_name_is_wider_than_its_column(names: list[str], width: int) -> None:
    assert all(width_of(name) <= width for name in shortened(names, width))


@given(st.text(alphabet="ab中é", max_size=30), st.integers(0, 40))
def test_what_fits_is_not_cut(text: str, width: int) -> None:
    assert (cut_middle(text, width) == text) == (width_of(text) <= width)
