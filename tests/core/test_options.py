"""Run options: one value, written and read as a whole."""

from __future__ import annotations

import json

import pytest

from runner.core.options import NAMES, RunOptions


def test_a_record_holds_every_option_and_gives_the_same_value() -> None:
    options = RunOptions(timeout=5.0, retries=2, retry_on=("stalled",), grace=(1.0, 2.0, 3.0), observers=("pager",))
    record = json.loads(json.dumps(options.to_json()))
    assert set(record) == set(NAMES)
    assert RunOptions.from_json(record) == options


@pytest.mark.parametrize(
    ("record", "options"),
    [
        ({}, RunOptions()),
        ({"timeout": 5.0, "grace": [1.0, 2.0, 3.0]}, RunOptions(timeout=5.0, grace=(1.0, 2.0, 3.0))),  # of 0.1.0
        ({"retries": 1, "of_a_later_version": True}, RunOptions(retries=1)),
    ],
)
def test_a_record_of_another_version_can_be_read(record: dict[str, object], options: RunOptions) -> None:
    assert RunOptions.from_json(record) == options


def test_a_limit_of_failures_replaces_fail_fast() -> None:
    assert RunOptions(fail_fast=True).failure_limit == 1
    assert RunOptions(fail_fast=True).updated({"max_failures": 3}).failure_limit == 3
    assert RunOptions(fail_fast=True).updated({"retries": 3}).failure_limit == 1
