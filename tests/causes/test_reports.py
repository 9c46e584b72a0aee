"""The end of a batch, the table and `status --json` say why jobs failed."""

from __future__ import annotations

import json
import shlex

from tests.conftest import Workspace

JOB = """\
import sys
kind = open(sys.argv[1]).read().split("'")[1]
if kind == 'memory':
    raise RuntimeError('CUDA out of memory. Tried to allocate 2.00 GiB')
if kind == 'module':
    import no_such_module_of_ours
if kind == 'odd':
    raise RuntimeError('CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling cublasCreate')
"""


def batch(work: Workspace) -> str:
    for name, kind in (("a", "memory"), ("b", "module"), ("c", "memory"), ("d", "fine"), ("e", "odd")):
        work.write(f"c/{name}.py", f"kind = '{kind}'\n")
    work.write("job.py", JOB)
    return work.run("--configs", "c/*.py", "--train_script", "job.py", code=1).stdout


def test_the_end_groups_failures_by_cause_with_advice_and_a_command(work: Workspace) -> None:
    lines = batch(work).splitlines()
    at = lines.index("2 gpu_oom: a, c")
    assert "gradient_accumulation_steps" in lines[at + 1]
    assert lines[at + 2].startswith("    to run them again: ") and lines[at + 2].endswith(" a c")
    assert lines.index("1 import (No module named 'no_such_module_of_ours'): b") > at
    assert "1 perhaps gpu_oom: e" in lines
    words = shlex.split(lines[at + 2].partition("again: ")[2])
    work.run(*words[words.index("rerun") :], code=1)
    assert [work.result(name)["attempt"] for name in "abc"] == [2, 1, 2]


def test_the_table_and_the_status_have_the_cause(work: Workspace) -> None:
    batch(work)
    status = json.loads(work.run("status", "--json", code=0).stdout)["jobs"]
    assert (status["a"]["cause"], status["a"]["cause_sure"]) == ("gpu_oom", True)
    assert (status["e"]["cause"], status["e"]["cause_sure"]) == ("gpu_oom", False)
    assert "cause" not in status["d"]
    text = work.run("table", work.batch, code=0).stdout
    assert "failed, gpu_oom" in text and "failed, import" in text and "failed, gpu_oom?" in text
    rows = json.loads(work.run("table", work.batch, "--json", code=0).stdout)
    assert [row.get("cause") for row in rows] == ["gpu_oom", "import", "gpu_oom", None, "gpu_oom?"]
