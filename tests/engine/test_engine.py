"""Stories of a batch: what happens to the others when one job ends badly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT, Workspace, read, wait_until

#: what it is about, what each job does, options, the statuses, the exit code
STORIES = [
    ("all succeed", ["exit 0", "exit 0"], [], ["completed", "completed"], 0),
    ("the first fails", ["exit 1", "exit 0"], [], ["failed", "completed"], 1),
    ("one dies by a signal", ["kill -SEGV $$", "exit 0"], [], ["killed", "completed"], 1),
    ("one runs too long", ["exec sleep 60", "exit 0"], ["--timeout", "0.3"], ["timeout", "completed"], 1),
    ("all fail", ["exit 3", "exit 4"], [], ["failed", "failed"], 1),
    ("fail fast", ["exit 0", "exit 1", "exit 0"], ["--fail_fast"], ["completed", "failed", "pending"], 1),
    ("two failures are one too many", ["exit 1"] * 3, ["--max_failures", "2"], ["failed", "failed", "pending"], 1),
    ("a failure below the limit", ["exit 1", "exit 0"], ["--max-failures=2"], ["failed", "completed"], 1),
]


@pytest.mark.parametrize(
    ("jobs", "options", "statuses", "code"), [story[1:] for story in STORIES], ids=[s[0] for s in STORIES]
)
def test_story(work: Workspace, jobs: list[str], options: list[str], statuses: list[str], code: int) -> None:
    for number, job in enumerate(jobs):
        work.write(f"c/job{number}.sh", job)
    work.run("--configs", "c/*.sh", "--command", "sh {config}", *options, code=code)
    results = work.summary["results"]
    assert [results[f"job{number}"]["status"] for number in range(len(jobs))] == statuses


def test_a_command_that_does_not_exist_is_an_error_and_the_next_job_runs(work: Workspace) -> None:
    work.write("c/a.sh", "mv interpreter elsewhere")
    work.write("c/b.sh", "exit 0")
    work.write("c/c.sh", "exit 0")
    (work / "interpreter").symlink_to("/bin/sh")
    work.write("broken", f"#!{work / 'interpreter'}\n. $1\n").chmod(0o755)
    work.run("--configs", "c/*.sh", "--command", "./broken {config}", code=1)
    result = work.result("b")
    assert (result["status"], result["return_code"], result["signal"]) == ("error", None, None)
    assert "broken" in result["error"] and "No such file" in result["error"]
    assert (work.summary["completed"], work.summary["errors"]) == (1, 2)


@pytest.mark.parametrize("code", [1, 2, 77, 127, 128, 130, 255])
def test_exit_codes_are_reported_truly(work: Workspace, code: int) -> None:
    work.write("c/a.sh", f"exit {code}")
    work.run("--configs", "c/a.sh", "--command", "sh {config}", code=1)
    result = work.result("a")
    assert (result["status"], result["return_code"], result["signal"]) == ("failed", code, None)


@pytest.mark.parametrize("signal", ["SIGKILL", "SIGTERM", "SIGINT", "SIGABRT", "SIGBUS", "SIGUSR1"])
def test_fatal_signals_are_named(work: Workspace, signal: str) -> None:
    work.write("c/a.sh", f"kill -{signal[3:]} $$")
    work.run("--configs", "c/a.sh", "--command", "sh {config}", code=1)
    result = work.result("a")
    assert (result["status"], result["return_code"], result["signal"]) == ("killed", None, signal)
    assert signal in result["error"]


def test_the_error_holds_the_last_lines_of_stderr(work: Workspace) -> None:
    work.write("c/a.sh", "echo first >&2; echo CUDA out of memory >&2; exit 1")
    work.run("--configs", "c/a.sh", "--command", "sh {config}", code=1)
    assert work.result("a")["error"] == "exit code 1: first | CUDA out of memory"


def test_a_traceback_is_kept_and_its_last_line_is_the_error(work: Workspace) -> None:
    work.write("job.py", "print('going')\ndef f():\n    raise ValueError('bad shape')\nf()\n")
    work.write("a.py", "x = 1")
    done = work.run("--configs", "a.py", "--train_script", "job.py", code=1)
    assert work.result("a")["error"] == "exit code 1: ValueError: bad shape"
    details = (work.batch / "a" / "error_details.txt").read_text()
    assert details.startswith("Traceback (most recent call last):") and details.endswith("ValueError: bad shape\n")
    assert "in f" in details
    assert "ValueError: bad shape" in done.stdout


@pytest.mark.parametrize(
    ("program", "error", "details"),
    [
        ("raise ValueError('loading:\\n\\tsize mismatch')", "ValueError: loading: size mismatch", "size mismatch"),
        ("try:\n  1/0\nexcept Exception as e: raise KeyError('x') from e", "KeyError: 'x'", "ZeroDivisionError"),
        ("raise ExceptionGroup('many', [ValueError(1)])", "ExceptionGroup: many (1 sub-exception)", "ValueError: 1"),
        ("import sys, traceback\ntry: 1/0\nexcept Exception: traceback.print_exc()\nsys.exit('FATAL: no quota')",
         "FATAL: no quota", "ZeroDivisionError"),
    ],
    ids=["a message of two lines", "a chain", "a group", "a traceback that was only logged"],
)  # fmt: skip
def test_the_true_cause_is_found_among_many_tracebacks(work: Workspace, program: str, error: str, details: str) -> None:
    work.write("job.py", program)
    work.write("a.py", "")
    work.run("--configs", "a.py", "--train_script", "job.py", code=1)
    assert error in work.result("a")["error"]
    assert details in (work.batch / "a" / "error_details.txt").read_text()


@pytest.mark.linux
def test_zombies_of_a_jobs_orphans_are_taken_away_while_it_runs(work: Workspace) -> None:
    orphans = "for i in 1 2 3 4 5 6 7 8; do (sleep 0.01 &) ; done"
    work.write("c/a.sh", f"{orphans}; touch ready; while [ ! -e enough ]; do sleep 0.05; done")
    process = work.start("--configs", "c/a.sh", "--command", "sh {config}")
    wait_until((work / "ready").exists, "the orphans are made")
    supervisor = read(work.batch / "a" / "supervisor.json")["supervisor"][0]
    own = Path(f"/proc/{supervisor}/task/{supervisor}/children")
    wait_until(lambda: len(own.read_text().split()) == 1, "only the job is left below the supervisor")
    (work / "enough").touch()
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_fault_of_our_own_leaves_records_and_stops_the_job(work: Workspace) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from runner.cli.main import main\n"
        "def broken(*a): raise ZeroDivisionError('ours')\n"
        "from runner.engine.progress import Follower\nFollower.advance = broken\n"
        "main(sys.argv[1:])"
    )
    work.write("c/a.sh", "trap 'touch saved; exit 1' INT; while :; do sleep 0.05; done")
    work.write("c/b.sh", "exit 0")
    command = [sys.executable, "-c", program, str(PROJECT), "--configs", "c/a.sh", "c/b.sh", "--command", "sh {config}"]
    done = subprocess.run(command, cwd=work.folder, capture_output=True, text=True, check=False)
    assert "ZeroDivisionError: ours" in done.stderr and "the runner itself failed" in work.master_log()
    wait_until((work / "saved").exists, "the job was asked to save")
    wait_until((work.batch / "a" / "experiment_result.json").exists, "its end is recorded")


def test_no_error_details_without_a_traceback(work: Workspace) -> None:
    work.write("c/a.sh", "exit 1")
    work.run("--configs", "c/a.sh", "--command", "sh {config}", code=1)
    assert not (work.batch / "a" / "error_details.txt").exists()


def test_a_job_that_explains_itself_in_error_json_is_believed(work: Workspace) -> None:
    work.write(
        "c/a.sh",
        'echo \'{"type": "DataError", "message": "no tokens", "traceback": "Traceback: x"}\' > "$2/error.json"; exit 1',
    )
    work.run("--configs", "c/a.sh", "--command", "sh {config} --out {out_dir}", code=1)
    assert work.result("a")["error"] == "exit code 1: DataError: no tokens"


def test_a_job_whose_folder_cannot_be_made_is_an_error_and_the_batch_continues(work: Workspace) -> None:
    # The first job plants a file where the second one's folder belongs.
    work.write("c/a.sh", 'touch "$2/../b"')
    work.write("c/b.sh", "exit 0")
    work.write("c/c.sh", "exit 0")
    work.run("--configs", "c/*.sh", "--command", "sh {config} --out {out_dir}", code=1)
    assert [work.summary["results"][name]["status"] for name in "abc"] == ["completed", "error", "completed"]
    assert "cannot be started" in work.summary["results"]["b"]["error"]


def test_jobs_get_what_the_environment_promises(work: Workspace) -> None:
    names = "WANDB_MODE WANDB_DIR WANDB_RUN_GROUP WANDB_NAME TORCHINDUCTOR_CACHE_DIR TQDM_MININTERVAL PYTHONUNBUFFERED"
    work.write("c/a.sh", f'for n in {names} RUNNER_JOB_ID; do eval "echo $n=\\$$n"; done')
    work.run(
        "--configs", "c/a.sh", "--command", "sh {config}", env={"WANDB_NAME": "mine", "HOME": str(work.folder)}, code=0
    )
    out = dict(
        line.split("=", 1)
        for line in (work.batch / "a" / "stdout.log").read_text().splitlines()
        for line in [line[24:]]
    )
    assert out["WANDB_MODE"] == "offline"
    assert out["WANDB_DIR"] == str(work.batch / "a")
    assert out["WANDB_RUN_GROUP"] == work.batch.name
    assert out["WANDB_NAME"] == "mine"  # what the user has set stays
    assert out["TORCHINDUCTOR_CACHE_DIR"].startswith(str(work.folder / "experiments"))
    assert out["TQDM_MININTERVAL"] and out["PYTHONUNBUFFERED"] == "1" and len(out["RUNNER_JOB_ID"]) == 32


def test_wandb_is_not_put_offline_when_a_key_is_configured(work: Workspace) -> None:
    work.write("c/a.sh", 'echo "mode=$WANDB_MODE."')
    work.run("--configs", "c/a.sh", "--command", "sh {config}", env={"WANDB_API_KEY": "k" * 40}, code=0)
    assert "mode=." in (work.batch / "a" / "stdout.log").read_text()
    work.write(".netrc", "machine api.wandb.ai login user password 123\n")
    work.run("--configs", "c/a.sh", "--command", "sh {config}", env={"HOME": str(work.folder)}, code=0)
    assert "mode=." in (work.batch / "a" / "stdout.log").read_text()


def test_standard_input_of_a_job_is_empty(work: Workspace) -> None:
    work.write("c/a.sh", "cat; read line || echo nothing to read")
    work.run("--configs", "c/a.sh", "--command", "sh {config}", code=0)
    assert "nothing to read" in (work.batch / "a" / "stdout.log").read_text()


def test_a_config_edited_while_the_batch_runs_does_not_change_what_was_planned(work: Workspace) -> None:
    work.write(
        "job.py",
        "import sys; print(open(sys.argv[1]).read())\nif 'a.py' in sys.argv[1]: open('c/b.py', 'w').write('x = 999')\n",
    )
    work.write("c/a.py", "x = 1")
    work.write("c/b.py", "x = 2")
    work.run("--configs", "c/*.py", "--train_script", "job.py", code=0)
    assert "x = 2" in (work.batch / "b" / "stdout.log").read_text()
    assert work.result("b")["command"][2].endswith("b/config_used.py")
    assert work.result("a")["command"][2] == str(work / "c/a.py")
