"""Rows of metrics that no record could hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner.core import fields
from runner.core.fields import Malformed, parsed
from runner.disk import atomic
from runner.disk.layout import JobPaths
from runner.supervisor import outcome
from tests.conftest import Workspace

LEVELS = (60, 100, 500, 930, 980, 984, 985, 986, 987, 988, 990, 998, 5_000, 100_000)


def test_a_deeply_nested_row_of_metrics_breaks_no_record(work: Workspace) -> None:
    work.write("c/a.py", "")
    work.write("c/b.py", "")
    work.write(
        "job.py",
        "import sys\n"
        "out = next(a for a in sys.argv if a.startswith('--out_dir=')).partition('=')[2]\n"
        "with open(out + '/metrics.jsonl', 'w') as f:\n"
        "    print('{\"val/loss\": 1.5}', file=f)\n"
        f"    for n in {LEVELS}: print('{{\"a%d\": ' % n + '[' * n + ']' * n + '}}', file=f)\n",
    )
    work.run("--configs", "c/*.py", "--train_script", "job.py", code=0)
    assert work.result("a")["final_metrics"].keys() == {"val/loss", "a60"}
    assert work.summary["completed"] == 2
    for command in ("status", "list", "table"):
        assert work.run(command, code=0).stderr == ""
    assert work.run("--resume", code=0).stderr == ""


@pytest.mark.parametrize("levels", LEVELS)
def test_what_is_written_can_be_read(levels: int, tmp_path: Path) -> None:
    value: object = 1
    for _ in range(min(levels, 900)):  # Python's own limit for a value that is made here
        value = [value]
    atomic.write_json(tmp_path / "record", {"a": value, "b": float("nan"), "c": 10**100})
    found = parsed((tmp_path / "record").read_bytes())
    assert found["b"] is None and not fields.is_too_deep(found)


@pytest.mark.parametrize(
    "content", ["[" * 985 + "]" * 985, '{"a":' * 986 + "1" + "}" * 986, '{"a": ' + "[" * 10**6, "5", ""]
)
def test_what_is_nested_too_deeply_or_not_an_object_is_malformed(content: str) -> None:
    with pytest.raises(Malformed):
        parsed(content.encode())


def test_numbers_that_are_no_float_are_left_out(tmp_path: Path) -> None:
    rows = [{"a": 10**400, "b": 1}, {"c": [10**400], "d": None}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert outcome.final_metrics(JobPaths(tmp_path).metrics) == {"b": 1, "c": [10**400], "d": None}
