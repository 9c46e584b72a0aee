"""YAML that is read piece by piece for a table gives what reading it at once gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import runner
from runner.configs import yamlfile
from runner.reports.load_results import Reader

SCALARS = st.none() | st.booleans() | st.integers(-99, 99) | st.floats(allow_nan=False) | st.text(max_size=8)
NESTED = st.recursive(
    SCALARS, lambda it: st.lists(it, max_size=2) | st.dictionaries(st.text("xy", min_size=1), it, max_size=2)
)
DOCUMENTS = st.dictionaries(st.text("abc_é. ", min_size=1, max_size=4), NESTED, max_size=5)


@given(DOCUMENTS, st.sampled_from([None, False]))
def test_reading_in_pieces_gives_what_reading_at_once_gives(document: Any, flow: bool | None) -> None:
    text = yaml.safe_dump(document, default_flow_style=flow, allow_unicode=True)
    try:
        expected = yamlfile.read(Path("x.yaml"), text)[0]
    except runner.UserError:
        return
    assert repr(Reader().in_pieces(text) or yamlfile.values(text)) == repr(expected)


ODD = [
    "a: &x 1\nb: *x\n", "a: |\n  b: 1\n\n  c: 2\nd: 3\n", 'a: "x\n  y: 1"\nb: 2\n', "a:\n- 1\n- 2\nb: 3\n",
    "# a: 1\nb: 2\n\n\n", "---\na: 1\n", "", "# nothing\n", "a:\nb: null\n", "{a: 1, b: 2}\n", "a: {b:\n  1}\nc: 2\n",
    "'a': 1\n\"b\": 2\nc: 3\n",
]  # fmt: skip


@pytest.mark.parametrize("text", ODD)
def test_odd_yaml_is_read_as_another_reader_reads_it(text: str) -> None:
    expected = yamlfile.read(Path("x.yaml"), text)[0]
    assert (Reader().in_pieces(text) or yamlfile.values(text)) == expected
