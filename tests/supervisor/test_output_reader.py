"""What a job prints of itself becomes metrics in its result and warnings everywhere, with real processes."""

from __future__ import annotations

import json
import re
import resource
import signal
from pathlib import Path

import pytest

from tests.conftest import Workspace, read, wait_until
from tests.observers.test_screen import on_a_terminal

PROGRAM = ("--configs", "c/*.py", "--command", "{python} job.py {config}")


def rows(work: Workspace, name: str, file: str = "parsed_metrics.jsonl") -> list[dict[str, object]]:
    return [
        json.loads(line, parse_constant=pytest.fail) for line in (work.batch / name / file).read_text().splitlines()
    ]


def test_losses_that_nanogpt_prints_are_kept(work: Workspace) -> None:
    work.write(
        "job.py",
        "for i in range(0, 60, 10):\n"
        "    print(f'iter {i}: loss {3 - i / 20:.4f}, time 30.00ms, mfu 1.00%')\n"
        "    if i % 20 == 0: print(f'step {i}: train loss 2.5000, val loss {abs(i - 20) / 10 + 1:.4f}')\n",
    )
    work.write("c/a.py", "x = 1\n")
    work.run(*PROGRAM, code=0)
    result = work.result("a")
    assert result["final_metrics"] == {"iter": 50, "train/loss": 0.5, "val/loss": 3.0}
    assert result["best_metrics"]["val/loss"] == {"value": 1.0, "iter": 20, "better": "min"}
    assert result["warnings"] == [] and "unread_bytes" not in result
    assert rows(work, "a")[:2] == [{"iter": 0, "train/loss": 3.0}, {"iter": 0, "train/loss": 2.5, "val/loss": 3.0}]
    table = work.run("table", work.batch, "--sort", "val/loss", code=0).stdout
    assert "best/val/loss" in table.splitlines()[0]
    best = work.run("table", work.batch, "--json", code=0).stdout
    assert json.loads(best)[0]["best/val/loss/iter"] == 20


def test_metrics_of_the_job_itself_are_preferred(work: Workspace) -> None:
    work.write(
        "job.py",
        "import sys, time\n"
        "print('iter 1: loss 9.5', flush=True)\n"
        "time.sleep(0.6)\n"
        "with open(sys.argv[1] + '/metrics.jsonl', 'a') as file:\n"
        '    file.write(\'{"iter": 1, "val/loss": 2.5}\\n{"iter": 2, "val/loss": 3.5}\\n\')\n'
        "print('iter 2: loss 8.5')\n",
    )
    work.write("c/a.py", "x = 1\n")
    work.run("--configs", "c/a.py", "--command", "{python} job.py {out_dir} {config}", code=0)
    result = work.result("a")
    assert result["final_metrics"] == {"iter": 2, "val/loss": 3.5}
    assert result["best_metrics"] == {"val/loss": {"value": 2.5, "iter": 1, "better": "min"}}
    assert not (work.batch / "a/parsed_metrics.jsonl").exists()


def test_files_of_other_programs_are_read_at_the_end(work: Workspace) -> None:
    state = {"log_history": [{"step": 5, "eval_loss": 1.5, "epoch": 0.5}, {"step": 9, "eval_loss": 2.5, "epoch": 1.0}]}
    work.write("state.json", json.dumps(state))
    job = "mkdir $1/checkpoint-9; cp state.json $1/checkpoint-9/trainer_state.json; "
    work.write("job.sh", job + "echo \"{'loss': 0.5, 'epoch': 1.0}\"")
    work.write("c/a.py", "x = 1\n")
    work.run("--configs", "c/a.py", "--command", "sh job.sh {out_dir} {config}", code=0)
    result = work.result("a")
    assert result["final_metrics"]["val/loss"] == 2.5 and result["final_metrics"]["train/loss"] == 0.5
    assert result["best_metrics"]["val/loss"] == {"value": 1.5, "iter": 5, "better": "min"}


def test_a_pattern_of_the_user_reads_what_no_format_does(work: Workspace) -> None:
    work.write("job.py", "for i in range(3): print(f'## {i} of 2 ~ {5 - i}.5')\n")
    work.write("c/a.py", "x = 1\n")
    pattern = r"^## (?P<step>\d+) of (?P<total>\d+) ~ (?P<val_loss>\S+)"
    work.run(*PROGRAM, "--metric_pattern", pattern, "--metric-pattern", "(?P<other>never)", code=0)
    assert work.result("a")["final_metrics"] == {"iter": 2, "max_iters": 2, "val/loss": 3.5}
    assert read(work.batch / "plan.json")["options"]["metric_patterns"] == [pattern, "(?P<other>never)"]


def test_patterns_are_checked_before_the_start(work: Workspace) -> None:
    work.write("c/a.py", "x = 1\n")
    done = work.run(*PROGRAM, "--metric_pattern", "(a", "--metric_pattern", "loss", code=2)
    first, second, *_ = done.stderr.splitlines()
    assert "--metric_pattern: '(a' is not a regular expression" in first
    assert "--metric_pattern: 'loss' does not name a metric" in second
    assert not (work / "experiments").exists()


def test_a_resumed_batch_keeps_its_patterns(work: Workspace) -> None:
    work.write("job.py", "import os\nprint('## 3 ~ 2.5')\nraise SystemExit(not os.path.exists('ok'))\n")
    work.write("c/a.py", "x = 1\n")
    work.run(*PROGRAM, "--metric_pattern", r"## (?P<step>\d+) ~ (?P<val_loss>\S+)", code=1)
    assert work.result("a")["final_metrics"] == {"iter": 3, "val/loss": 2.5}
    work.write("ok", "")
    work.run("--resume", code=0)
    assert work.result("a")["final_metrics"] == {"iter": 3, "val/loss": 2.5}
    assert (work.batch / "a/attempt_1/parsed_metrics.jsonl").exists()


def test_a_loss_that_became_nan_is_a_warning_everywhere(work: Workspace) -> None:
    text = "import sys\nfor i in range(10, 70, 10): print(f'iter {i}: loss {float(\"nan\") if i >= 40 else 2.5}')\n"
    work.write("job.py", text + "sys.exit('b.py' in sys.argv[1])\n")
    work.write("c/a.py", "x = 1\n")
    work.write("c/b.py", "x = 2\n")
    done = work.run(*PROGRAM, "--on_nan", "continue", code=1)
    sentence = "loss is NaN since iteration 40"
    assert [work.result(name)["warnings"] for name in "ab"] == [[sentence]] * 2
    assert re.search(rf"^\[1/2\] a: completed in .*; warning: {sentence}$", done.stdout, re.MULTILINE)
    assert re.search(rf"^! a: completed in .*; warning: {sentence}$", done.stdout, re.MULTILINE)
    assert re.search(rf"^✗ b: failed in .*; warning: {sentence}$", done.stdout, re.MULTILINE)
    assert "✓" not in done.stdout and "1 completed (1 with warnings), 1 failed" in done.stdout
    assert work.master_log().count(sentence) >= 3
    assert work.summary["completed_with_warnings"] == 1 and work.summary["completed"] == 1
    status = work.run("status", code=0).stdout
    assert status.count(sentence) == 2 and "1 completed (1 with warnings)" in status
    jobs = json.loads(work.run("status", "--json", code=0).stdout)["jobs"]
    assert jobs["a"]["warnings"] == [sentence]
    assert "1 completed (1 with warnings)" in work.run("list", code=0).stdout
    table = work.run("table", work.batch, code=0).stdout
    assert "completed, 1 warning" in table and "failed, 1 warning" in table
    assert f"a: completed earlier; warning: {sentence}" in work.run("--resume", "--only", "failed", code=1).stdout


@pytest.mark.parametrize(
    ("rows_", "sentence"),
    [
        ('{"iter": 5, "val/loss": 2.5}\\n{"iter": 6, "val/loss": NaN}\\n', "val loss is NaN since iteration 6"),
        ('{"iter": 5, "train/loss": null}\\n', "loss is NaN since iteration 5"),
        ('{"iter": 5, "train/loss": null}', "loss is NaN since iteration 5"),  # its last line has no end
        ('{"iter": 5, "loss": NaN}\\n{"iter": 9, "loss": 1.5}\\n', "loss was NaN at iteration 5"),
    ],
)
def test_a_metrics_file_is_enough_for_the_warning(work: Workspace, rows_: str, sentence: str) -> None:
    work.write("job.sh", f"printf '{rows_}' > $1/metrics.jsonl")
    work.write("c/a.py", "x = 1\n")
    work.run("--configs", "c/a.py", "--command", "sh job.sh {out_dir} {config}", code=0)
    assert work.result("a")["warnings"] == [sentence]


def test_a_loss_that_recovered_is_a_warning_too(work: Workspace) -> None:
    work.write("job.py", "for i in range(10, 90, 10): print(f'step {i}, loss: {\"nan\" if 40 <= i <= 60 else 2.5}')\n")
    work.write("c/a.py", "x = 1\n")
    assert "warning: loss was NaN at iteration 40 to 60" in work.run(*PROGRAM, "--on_nan", "continue", code=0).stdout


def test_quiet_shows_a_job_with_a_warning(work: Workspace) -> None:
    work.write("job.py", "import sys\nprint('step 5, loss:', 'nan' if 'b.py' in sys.argv[1] else 2.5)\n")
    work.write("c/a.py", "x = 1\n")
    work.write("c/b.py", "x = 2\n")
    lines = work.run(*PROGRAM, "--quiet", code=0).stdout.splitlines()
    assert [line.partition(":")[0] for line in lines if line.startswith("[")] == ["[2/2] b"]


def test_the_live_table_shows_a_nan_in_yellow(work: Workspace) -> None:
    loop = "for i in range(9): print('iter', i, 'loss nan', flush=True); time.sleep(0.2)"
    work.write("job.py", f"import time\n{loop}\n")
    work.write("c/a.py", "x = 1\n")
    work.write("c/b.py", "x = 2\n")
    written = on_a_terminal(work, *PROGRAM, "--on_nan", "continue")
    yellow = [line for line in written.splitlines() if "\x1b[33m" in line]
    assert any("running" in line and "nan" in line for line in yellow)
    assert any("completed !" in line for line in yellow)
    assert any("warning: loss is NaN since iteration 0" in line for line in yellow)


def test_a_log_that_was_cut_is_a_warning_everywhere(work: Workspace) -> None:
    work.write("job.py", "print('x' * 3_000_000)\nprint('iter 5: loss 2.5')\n")
    work.write("c/a.py", "x = 1\n")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))  # more than any file of bytecode
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = work.run(*PROGRAM, code=0, preexec_fn=limit)
    warnings = work.result("a")["warnings"]
    assert [re.sub(r"\d+", "N", warning) for warning in warnings] == [
        "stdout.log was cut: File too large, N bytes lost",
        "combined.log was cut: File too large, N bytes lost",
    ]
    assert warnings[0] in done.stdout and warnings[0] in work.run("status", code=0).stdout
    assert warnings[0] in work.master_log()
    assert work.result("a")["final_metrics"] == {"iter": 5, "train/loss": 2.5}  # read from the pipe, not from the log


def test_a_flood_is_skipped_and_counted_and_its_end_is_read(work: Workspace) -> None:
    work.write(
        "job.py",
        "import os\n"
        "block = b''.join(b'iter %d: loss 2.5, time 1ms\\n' % i for i in range(40_000))\n"
        "for _ in range(40): os.write(1, block)\n"
        "print('iter 99999: loss 1.5')\n",
    )
    work.write("c/a.py", "x = 1\n")
    work.run(*PROGRAM, code=0)
    result = work.result("a")
    assert result["final_metrics"] == {"iter": 99_999, "train/loss": 1.5}
    assert 0 < result["unread_bytes"] < (work.batch / "a/combined.log").stat().st_size


def test_a_running_job_is_followed_by_what_was_understood(work: Workspace) -> None:
    work.write(
        "job.py", "import os, time\nprint('Epoch 1/5\\nEpoch 2/5')\nwhile not os.path.exists('go'): time.sleep(0.05)\n"
    )
    work.write("c/a.py", "x = 1\n")
    process = work.start(*PROGRAM)
    wait_until(lambda: Path(work.batch / "a/parsed_metrics.jsonl").exists() and len(rows(work, "a")) == 2, "rows", 20)
    work.write("go", "")
    process.communicate(timeout=30)
    assert rows(work, "a") == [{"iter": 1, "max_iters": 5, "epoch": 1}, {"iter": 2, "max_iters": 5, "epoch": 2}]
