"""A job whose loss is not finite any more is stopped: with real jobs that would go on for ever."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Workspace, read, wait_until

pytestmark = pytest.mark.slow

#: Writes its rows to metrics.jsonl, or prints them, and then waits to be stopped.
JOB = """\
import signal, sys, time
folder = next(word for word in sys.argv if word.startswith("--out_dir=")).partition("=")[2]
ROWS = {rows!r}
{begin}
for row in ROWS:
    {each}
{then}
"""
TO_FILE = {"begin": "file = open(folder + '/metrics.jsonl', 'a')", "each": "print(row, file=file, flush=True)"}
PRINTED = {"begin": "", "each": "print(row, flush=True)"}
PROGRAM = ("--configs", "c/a.py", "--train_script", "job.py")
WAITS = "time.sleep(600)"
NAN_ROWS = [f'{{"iter": {n}, "train/loss": NaN, "lr": 0.1}}' for n in range(3)]


def job(work: Workspace, rows: list[str], how: dict[str, str] = TO_FILE, then: str = WAITS) -> None:
    work.write("c/a.py", "x = 1\n")
    work.write("job.py", JOB.format(rows=rows, then=then, **how))


def test_rows_of_nan_stop_a_job_which_is_not_tried_again(work: Workspace) -> None:
    rows = ['{"iter": 0, "train/loss": 2.5}', *NAN_ROWS]
    job(work, rows)
    done = work.run(*PROGRAM, "--retries", "3", "--retry_delay", "0.1", "--grace", "60,5,10", code=1)
    result = work.result("a")
    assert result["status"] == "failed" and result["attempt"] == 1
    assert result["cause"] == "diverged" and result["cause_sure"] is True
    offset = len(rows[0]) + 1 + 2 * (len(rows[1]) + 1)
    assert result["cause_evidence"] == {"line": rows[3], "file": "metrics.jsonl", "offset": offset}
    sentence = "stopped by --on_nan stop: loss is NaN in 3 rows of metrics.jsonl, one after another"
    assert result["error"] == sentence and sentence in done.stdout
    assert result["return_code"] is None and result["signal"] == "SIGINT" and "command_signal" not in result


def test_what_a_job_prints_counts_as_well(work: Workspace) -> None:
    job(work, [f"step {n}: loss inf" for n in range(3)], PRINTED)
    work.run(*PROGRAM, code=1)
    result = work.result("a")
    assert result["cause"] == "diverged" and result["cause_evidence"]["file"] == "parsed_metrics.jsonl"
    text = (work.batch / "a" / "parsed_metrics.jsonl").read_text()
    row = json.loads(text[result["cause_evidence"]["offset"] :].partition("\n")[0])
    assert row == {"iter": 2, "train/loss": None, "nonfinite": {"train/loss": "inf"}}
    assert json.loads(result["cause_evidence"]["line"]) == row


def test_a_job_may_save_and_leave_with_0_and_has_failed_all_the_same(work: Workspace) -> None:
    leaves = "signal.signal(signal.SIGINT, lambda *_: (open(folder + '/saved', 'w').close(), sys.exit(0)))"
    job(work, NAN_ROWS, {**TO_FILE, "begin": f"{leaves}\n{TO_FILE['begin']}"})
    work.run(*PROGRAM, code=1)
    result = work.result("a")
    assert result["status"] == "failed" and result["return_code"] == 0 and result["cause"] == "diverged"
    assert (work.batch / "a" / "saved").exists()


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        (NAN_ROWS, ("--on_nan", "continue")),
        (NAN_ROWS, ("--nan_patience", "4")),
        (['{"iter": 1, "train/loss": 2.5, "grad_norm": NaN}'] * 5, ()),
    ],
)
def test_a_job_that_is_to_continue_does(work: Workspace, rows: list[str], options: tuple[str, ...]) -> None:
    then = "time.sleep(6)"  # longer than it takes to stop a job
    job(work, rows, then=then)
    work.run(*PROGRAM, *options, code=0)
    assert work.result("a")["status"] == "completed"


def test_rows_of_an_earlier_attempt_do_not_count(work: Workspace) -> None:
    """The second attempt, which continues from a checkpoint, finds the rows of the first in the file."""
    work.write("c/a.py", "x = 1\n")
    work.write(
        "job.py",
        "import sys, time\n"
        "folder = next(word for word in sys.argv if word.startswith('--out_dir=')).partition('=')[2]\n"
        "first = '--again' not in sys.argv\n"
        "open(folder + '/ckpt_1.pt', 'w').write('x')\n"
        "with open(folder + '/metrics.jsonl', 'a') as file:\n"
        "    for number in range(3 if first else 0): print('{\"iter\": %d, \"loss\": NaN}' % number, file=file)\n"
        "time.sleep(600 if first else 6)\n",
    )
    work.run(*PROGRAM, "--resume_args=--again", code=1)
    assert work.result("a")["cause"] == "diverged"
    work.run("--resume", code=0)
    assert work.result("a")["status"] == "completed" and "cause" not in work.result("a")


def test_a_running_job_is_stopped_by_its_own_supervisor(work: Workspace) -> None:
    """Without its engine, too: the supervisor alone reads the metrics."""
    job(work, NAN_ROWS, {**TO_FILE, "begin": f"{TO_FILE['begin']}\ntime.sleep(2)"})
    engine = work.start(*PROGRAM, "--keep_running")
    wait_until((work / "experiments/latest/a/supervisor.json").exists, "the job was started")
    wait_until(lambda: read(work.batch / "a" / "supervisor.json")["job"], "the job runs")
    engine.kill()
    engine.communicate()
    wait_until((work.batch / "a" / "experiment_result.json").exists, "the end was recorded", 60)
    assert work.result("a")["cause"] == "diverged"
