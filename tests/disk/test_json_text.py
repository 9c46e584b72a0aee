"""Records as text: the same as that of the json module, also where the items of a long one are made one by one."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from runner.core import fields
from runner.core.config import Config
from runner.disk import json_text
from runner.disk.json_text import Each


class Color(StrEnum):
    RED = "red"


RECORDS: list[Any] = [
    {}, [], {"a": {}, "b": [], "c": ()}, {"a": [1, [2, {"b": None}], True, False], "c": (1.5, -0.0, 1e300, 10**30)},
    {"text": 'quote " line \n tab \t é \x7f 😀 \\'}, {1: "one", None: [1], False: {"a": {2.5: 1}}},
    Config({"a": {"b": [Config(c=1)]}}), {"path": Path("a/b"), "set": {1}, "enum": Color.RED, "object": [Path("x")]},
    "text", 3, None, [{"a": 1}, [], [[]]],
]  # fmt: skip


@pytest.mark.parametrize("record", RECORDS, ids=repr)
def test_the_text_is_that_of_the_json_module(record: Any) -> None:
    assert json_text.text(record) == json.dumps(record, indent=2, ensure_ascii=False, default=str)
    assert b"".join(json_text.blocks(record)) == json_text.text(record).encode() + b"\n"


def test_items_that_are_made_one_by_one_are_written_as_if_they_were_there() -> None:
    records = [{"name": f"job_{number}", "values": [number, {"a": {}}], "loss": 0.5} for number in range(3000)]
    named = {record["name"]: record for record in records}
    written = list(json_text.blocks({"schema": 1, "list": Each(iter(records)), "of": {"a": [1]},
                                     "object": Each(named.items(), named=True)}))  # fmt: skip
    whole = json_text.text({"schema": 1, "list": records, "of": {"a": [1]}, "object": named})
    assert b"".join(written) == whole.encode() + b"\n"
    assert len(written) > 2 and max(map(len, written)) < 2 * json_text.BLOCK
    nothing = b"".join(json_text.blocks({"list": Each(()), "object": Each((), named=True)}))
    assert json.loads(nothing) == {"list": [], "object": {}} and nothing == b'{\n  "list": [],\n  "object": {}\n}\n'


def test_an_item_that_json_does_not_have_changes_no_other_one() -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    items = [{"loss": float("nan")}, {"loss": 1.5}, deep]
    content = b"".join(json_text.blocks({"items": Each(items), "object": Each({"a": deep}.items(), named=True)}))
    read = fields.parsed(content)  # which refuses what is nested too deeply
    assert read["items"][:2] == [{"loss": None}, {"loss": 1.5}]
    assert content.count(json_text.TOO_DEEP.encode()) == 2
