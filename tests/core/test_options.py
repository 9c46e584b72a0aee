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


def test_the_defaults_are_those_that_the_documents_name() -> None:
    found = RunOptions().to_json()
    defaults = {
        "timeout": None, "stall_timeout": None, "fail_fast": False, "max_failures": None, "max_same_failures": 3,
        "retries": 0, "retry_on": ["failed", "signal", "timeout", "stalled"], "retry_delay": 10.0, "oom_retry": 0,
        "oom_keys": ["batch_size", "gradient_accumulation_steps"], "on_nan": "stop", "nan_patience": 3,
        "grace": [10.0, 5.0, 10.0], "config_timeout": 10.0, "keep_running": False, "log_timestamps": "all",
        "max_log_mb": None, "checkpoints": [], "metric_patterns": [], "causes": "", "max_workers": 1,
        "executor": "local", "gpus": "", "gpus_per_job": 1, "jobs_per_gpu": 1, "gpu_memory": 0,
        "gpu_pack_window": 60.0, "gpu_wait": None, "gpu_free_mb": 500, "gpu_settle": 30.0, "gpu_ignore_user": [],
        "gpu_ignore_pid": [], "gpu_ids": "uuid", "gpu_backfill": 10, "observers": [], "notify": [], "report": False,
        "not_secret": [],
    }  # fmt: skip
    assert {name: found[name] for name in defaults} == defaults
