"""CSV that a spreadsheet opens: formulas become texts, numbers stay numbers."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.core.csv_text import as_csv, cell

FORMULAS = [
    "=1+1", "=cmd|' /C calc'!A0", "+1+1", "-1+1", "-cmd", "@SUM(1)", "\t=1", "\r=1", " =1", "\n=1", "＝1", "-", "+",
    "--x",
]  # fmt: skip


@pytest.mark.parametrize("text", FORMULAS)
def test_what_begins_like_a_formula_gets_an_apostrophe(text: str) -> None:
    safe = "'" + text.replace("\r", " ")
    assert cell(text) == safe
    assert list(csv.reader(io.StringIO(as_csv([text], [[text]])), strict=True)) == [[safe], [safe]]


ORDINARY = [-1, -1.5, 0, 1e-9, True, None, "-1", "-1e-3", "+2.5", "-inf", "a=b", "a-b", "", "'x", "1,2"]


@pytest.mark.parametrize("value", ORDINARY)
def test_numbers_and_ordinary_texts_stay(value: Any) -> None:
    assert cell(value) == value


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_every_cell_can_be_read_back_and_none_is_a_formula(texts: list[str]) -> None:
    rows = list(csv.reader(io.StringIO(as_csv(texts, [texts]), newline="")))
    assert rows[0] == [str(cell(text)) for text in texts]
    for text in rows[0]:
        assert text[:1] not in ("=", "+", "-", "@", "\t", "\r") or cell(text) == text
