"""What is written as YAML is read back as the same values, by us and by any other reader."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runner.configs import yamlfile

#: Text that one reader or another takes for something else.
WORDS = """
on Off yes NO y null ~ true 1e3 1_000 007 0o7 12:30:45 2026-11-21 = << [ { *a &a !a % @ ' " 1. .5 .inf
"""
TRAPS = [*WORDS.split(), "", " ", "a ", "\n", "- a", "a: b", "#x", "\x85", "\u2028"]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
KEYS = st.text(max_size=8)
VALUES = st.recursive(
    LEAVES | st.sampled_from(TRAPS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
)
NAMES = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1)


def written(values: dict[str, Any]) -> Any:
    return yamlfile.read(Path("x.yaml"), yamlfile.write(values))[0]


@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_what_is_written_is_read_back(values: dict[str, Any]) -> None:
    assert repr(written(values)) == repr(values)


@pytest.mark.parametrize("text", TRAPS)
def test_text_stays_text_for_every_reader(text: str) -> None:
    values = {"key": text, "list": [text], text or "empty": 1}
    assert yaml.safe_load(yamlfile.write(values)) == values and written(values) == values


def test_a_key_has_a_line_of_its_own_and_short_lists_have_one() -> None:
    values = {"b": 1e-5, "a": [0.1, 0.2], "c": None, "d": math.inf, "e": {"x": [{"y": 1}]}}
    assert yamlfile.write(values) == "b: 1.0e-05\na: [0.1, 0.2]\nc: null\nd: .inf\ne:\n  x:\n  - {y: 1}\n"
