"""Other runners, closed descriptors, clocks, ends of every kind, torn files: nothing around a batch confuses it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runner.supervisor import outcome
from tests.conftest import PROJECT, RUN_EXPERIMENTS, Workspace, read
from tests.faults import ended, request, supervised, three

# Two runners, no descriptors, clocks


def test_of_two_runners_on_one_batch_one_gets_the_lock(work: Workspace) -> None:
    arguments = three(work, "raise SystemExit(1)")
    work.run(*arguments, code=1)
    work.write("job.py", "import time\nopen('runs', 'a').write('x')\ntime.sleep(0.5)\n")
    racers = [work.start("--resume", "--base_out_dir", "experiments") for _ in range(4)]
    output = [racer.communicate(timeout=60) for racer in racers]
    codes = sorted(racer.returncode for racer in racers)
    assert codes == [0, 75, 75, 75]
    for racer, (out, err) in zip(racers, output, strict=True):
        if racer.returncode == 75:
            assert out == "" and len(err.splitlines()) == 1
            assert f"{work.batch.name}: is locked by another runner (pid " in err
    assert (work / "runs").read_text() == "xxx"


def test_batches_that_start_in_the_same_second_get_folders_of_their_own(work: Workspace) -> None:
    arguments = three(work, "")
    racers = [work.start(*arguments) for _ in range(3)]
    assert [racer.wait(60) for racer in racers] == [0, 0, 0]
    summaries = [read(path) for path in work.folder.glob("experiments/experiment_*/experiment_summary.json")]
    assert [summary["completed"] for summary in summaries] == [3, 3, 3]


ALL = "<&- >&- 2>&-"


@pytest.mark.parametrize(
    ("closed", "option"), [("<&-", ""), (">&-", ""), ("2>&-", "--json"), (ALL, ""), (ALL, "--json"), (ALL, "--quiet")]
)
def test_closed_descriptors_change_nothing(work: Workspace, closed: str, option: str) -> None:
    work.write("c/a.sh", "echo out; echo err >&2; exit 0")
    work.write("c/b.sh", "exit 1")
    command = f"exec {sys.executable} {RUN_EXPERIMENTS} --configs 'c/*.sh' --command 'sh {{config}}' {option} {closed}"
    done = subprocess.run(["sh", "-c", command], cwd=work.folder, check=False, capture_output=True, timeout=60)
    assert (done.returncode, b"Traceback" in done.stderr) == (1, False), done.stderr.decode()
    assert [work.summary["results"][name]["status"] for name in "ab"] == ["completed", "failed"]
    output = (work.batch / "a" / "combined.log").read_text()
    assert "[stdout] out" in output and "[stderr] err" in output and len(output.splitlines()) == 2


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_jumps_changes_no_duration_and_ends_no_job(tmp_path: Path, hours: int) -> None:
    program = (
        f"import os, runpy, sys, time\nreal = time.time\nmark = {str(tmp_path / 'jump')!r}\n"
        f"time.time = lambda: real() + ({hours * 3600} if os.path.exists(mark) else 0)\n"
        f"sys.path.insert(0, {str(PROJECT)!r})\n"
        f"runpy.run_path({str(PROJECT / 'runner' / 'supervisor' / '__main__.py')!r}, run_name='__main__')\n"
    )
    work = "echo before; sleep 0.3; touch jump; sleep 0.3; echo after"
    event = ended(supervised(request(tmp_path / "a", "sh", "-c", work, timeout=20, stall_timeout=20), "-c", program))
    found = read(tmp_path / "a" / "experiment_result.json")
    assert found["status"] == "completed" and 0.5 < found["duration_seconds"] < 10
    assert event.result.to_json() == found
    jumped = found["end_time"] > found["start_time"]
    assert jumped is (hours > 0)  # the clock did jump, and the records contain its times
    output = (tmp_path / "a" / "stdout.log").read_text().splitlines()
    assert [line[24:] for line in output] == ["before", "after"]


def test_one_file_alone_asks_the_clock() -> None:
    asking = [
        path.name
        for path in (PROJECT / "runner").rglob("*.py")
        if "time.time(" in path.read_text() or "datetime.now(" in path.read_text()
    ]
    # cli names the folder of a batch after the date; all that measures or waits takes time.monotonic.
    assert sorted(asking) == ["clock.py", "planning.py"]


def test_a_limit_of_a_month_is_no_trouble(work: Workspace) -> None:
    work.write("c/a.sh", "exit 0")
    limits = ("--timeout", "2600000", "--stall_timeout", "9e9")
    work.run("--configs", "c/a.sh", "--command", "sh {config}", *limits, code=0)


# The truth about an end

_MANY = """\
import json, os, signal, sys
sys.path.insert(0, sys.argv[1])
from runner.supervisor import outcome
ends = {}
for case in json.loads(sys.argv[2]):
    pid = os.fork()
    if pid == 0:
        if case >= 0: os._exit(case)
        try: signal.signal(-case, signal.SIG_DFL)
        except OSError: pass  # KILL
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.kill(os.getpid(), -case)
        signal.pause()
    end = outcome.ending(os.waitpid(pid, 0)[1], None)
    ends[case] = {"status": end.status, "return_code": end.return_code, "signal": end.signal}
print(json.dumps(ends))
"""


def ends(cases: list[int], folder: Path) -> dict[int, dict[str, Any]]:
    """What is recorded of processes that ended so: an exit code, or the negative number of a signal."""
    command = [sys.executable, "-c", _MANY, str(PROJECT), json.dumps(cases)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, preexec_fn=_no_core)
    return {int(case): end for case, end in json.loads(done.stdout).items()}


def _no_core() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def test_every_exit_code_is_reported_truly(tmp_path: Path) -> None:
    found = ends(list(range(256)), tmp_path)
    assert found[0] == {"status": "completed", "return_code": 0, "signal": None}
    for code in range(1, 256):
        assert found[code] == {"status": "failed", "return_code": code, "signal": None}


def test_every_fatal_signal_is_reported_truly(tmp_path: Path) -> None:
    harmless = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH, signal.SIGSTOP, signal.SIGTSTP,
                signal.SIGTTIN, signal.SIGTTOU}  # fmt: skip
    fatal = sorted(signal.valid_signals() - harmless)
    assert len(fatal) > 20
    found = ends([-number for number in fatal], tmp_path)
    for number in fatal:
        name = outcome.signal_name(number)
        assert found[-number] == {"status": "killed", "return_code": None, "signal": name}
        assert name == (number.name if isinstance(number, signal.Signals) else f"signal {number}")


@pytest.mark.parametrize("status", ["interrupted", "timeout", "stalled"])
def test_a_job_that_got_a_stop_request_never_completed(status: str) -> None:
    for wait_status in (0, 1 << 8, signal.SIGTERM):
        assert outcome.ending(wait_status, status).status == status


# Torn and strange files


def test_torn_and_stale_files_are_removed_by_a_resume(work: Workspace) -> None:
    arguments = three(work, "raise SystemExit('b.py' in __import__('sys').argv[1])")
    work.run(*arguments, code=1)
    work.write("job.py", "")
    batch = work.batch
    torn = (batch / "b" / "experiment_result.json").read_text()[:100]
    (batch / "b" / "experiment_result.json").write_text(torn)
    (batch / "b" / "metrics.jsonl").write_text('{"iter": 1, "train/loss": 2.0}\n{"iter": 2, "tr')
    (batch / "c" / "supervisor.json").write_text('{"supervisor": ["1"')
    (batch / "c" / "experiment_result.json").unlink()
    stale = [batch / "b" / ".experiment_result.json.4711.tmp", batch / ".experiment_summary.json.4711.tmp"]
    for path in stale:
        path.write_text('{"half')
    (batch / "experiment_summary.json").write_text("{")
    with (batch / "master_log.txt").open("a") as log:
        log.write("torn line without an end")
    assert work.run("status", code=0).stderr == ""
    work.run("--resume", code=0)
    assert work.summary["completed"] == 3
    assert [work.result(name)["attempt"] for name in "abc"] == [1, 2, 2]
    assert (batch / "b" / "attempt_1" / "experiment_result.json").read_text() == torn
    assert not any(path.exists() for path in stale)
    assert "torn line without an end" in work.master_log()
    assert all("torn line" not in line or line.endswith("without an end") for line in work.master_log().splitlines())


@pytest.mark.parametrize(
    "line",
    [
        "print('iter 5: loss 2.31.')",
        "print('step ' + '9' * 5000 + ': loss 1')",
        "metrics.write('[' * 50000 + '\\n')",
        "metrics.write('{\"iter\": 1' + '0' * 400 + '}\\n{\"iter\": 2' + '0' * 400 + '}\\n')",
        "metrics.write('{\"iter\": 1, \"loss\": 1' + '0' * 400 + '}\\n')",
        'metrics.write(\'{"iter": 1, "loss": NaN, "val/loss": Infinity}\\n\')',
        "metrics.write('\\x00\\udcff{torn')",
    ],
)
def test_metrics_that_make_no_sense_do_not_stop_the_batch(work: Workspace, line: str) -> None:
    script = (
        "import sys, time\nout = next(a for a in sys.argv if a.startswith('--out_dir=')).partition('=')[2]\n"
        f"metrics = open(out + '/metrics.jsonl', 'w', errors='surrogateescape')\n{line}\nmetrics.flush()\n"
        "sys.stdout.flush()\ntime.sleep(0.4)\n"
    )
    arguments = three(work, script)
    done = work.run(*arguments[:1], "c/a.py", *arguments[2:], code=0)
    assert "Traceback" not in done.stderr and work.summary["completed"] == 1
