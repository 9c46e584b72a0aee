"""An interrupted batch is resumed: nothing that completed runs again, nothing that runs is started twice."""

from __future__ import annotations

import json
import signal
import time

import pytest

from tests.conftest import Workspace, kill, read, runs, wait_until
from tests.interrupted_batch import COMMAND, GRACE, WAITING, started, statuses, three_jobs


@pytest.fixture
def three(work: Workspace) -> Workspace:
    return three_jobs(work)


# After the engine was killed


def test_what_was_interrupted_runs_again_and_what_completed_does_not(three: Workspace) -> None:
    kill(started(three))
    wait_until((three.batch / "b" / "experiment_result.json").exists, "its supervisor records the end")
    assert three.result("b")["status"] == "interrupted"
    (three / "go").touch()
    done = three.run("--resume", code=0)
    assert (three / "done").read_text() == "a\nc\n" and len(runs(three)) == 2
    assert statuses(three) == ["completed"] * 3
    assert (three.result("a")["attempt"], three.result("b")["attempt"]) == (1, 2)
    assert "a: completed earlier" in done.stdout and "b: completed in" in done.stdout
    earlier = three.batch / "b" / "attempt_1"
    assert read(earlier / "experiment_result.json")["status"] == "interrupted"
    assert "saved" in (earlier / "stdout.log").read_text()
    assert "saved" not in (three.batch / "b" / "stdout.log").read_text()
    assert not (three.batch / "b" / "supervisor.json").exists()


def test_a_resume_at_once_waits_for_the_job_that_is_being_stopped(three: Workspace) -> None:
    leave = "trap 'while test ! -e leave; do sleep 0.02; done; rmdir running; exit 0' INT"
    waiting = WAITING.replace("trap 'echo saved; exit 0' INT", leave)
    three.write("c/b.sh", f"mkdir running || echo both >> overlap\n{waiting}rmdir running\n")
    kill(started(three, "--grace", "20,1,5"))
    process = three.start("--resume")
    wait_until(lambda: "runs already" in three.master_log(), "the job is found")
    (three / "leave").touch()
    wait_until(lambda: len(runs(three)) == 2, "the job runs again")
    (three / "go").touch()
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0 and not (three / "overlap").exists()
    assert "b runs already" in out and three.result("b")["attempt"] == 2


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.04, 0.06, 0.08, 0.12])
def test_an_engine_killed_while_a_job_starts_leaves_no_second_copy_of_it(three: Workspace, delay: float) -> None:
    three.write("c/a.sh", "trap '' INT; trap 'rmdir running; exit 1' TERM; test -e go || echo $$ >> runs; "
                              "mkdir running || echo both >> overlap; "
                          "sleep 0.4; rmdir running")  # fmt: skip
    process = three.start("--configs", "c/a.sh", *COMMAND, *GRACE)
    wait_until(lambda: list(three.folder.glob("experiments/*/a/experiment_metadata.json")), "the job is prepared")
    time.sleep(delay)  # not a handshake: the moment of the kill is what is tested
    kill(process)
    (three / "go").touch()
    done = three.run("--resume", code=0)
    assert not (three / "overlap").exists(), done.stdout
    assert three.result("a")["status"] == "completed"
    assert "lost" not in three.run("status", code=0).stdout


def test_only_picks_what_is_run_again(work: Workspace) -> None:
    work.write("c/fails.sh", "echo fails >> done; test -e mended")
    work.write("c/passes.sh", "echo passes >> done")
    work.write("c/waits.sh", WAITING)
    work.write("c/x.sh", "echo x >> done")
    process = work.start("--configs", "c/*.sh", *COMMAND, *GRACE)
    wait_until(lambda: runs(work), "the third job runs")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert statuses(work) == ["failed", "completed", "interrupted", "pending"]
    (work / "done").unlink()
    (work / "mended").touch()
    work.run("--resume", "--only", "failed", code=1)
    assert statuses(work) == ["completed", "completed", "interrupted", "pending"]
    work.run("--resume", "--only", "pending", code=1)
    assert statuses(work) == ["completed", "completed", "interrupted", "completed"]
    (work / "go").touch()
    work.run("--resume", "--only", "interrupted", code=0)
    assert statuses(work) == ["completed"] * 4
    assert (work / "done").read_text() == "fails\nx\n" and len(runs(work)) == 2
    assert "Traceback" not in work.run("--resume", code=0).stderr  # nothing is left to do
    assert (work / "done").read_text() == "fails\nx\n"


def test_a_dry_run_of_a_resume_shows_what_is_left_and_writes_nothing(three: Workspace) -> None:
    kill(started(three))
    wait_until((three.batch / "b" / "experiment_result.json").exists, "its supervisor records the end")
    wait_until(lambda: not (three.batch / "b" / "supervisor.json").exists(), "its supervisor leaves")
    before = sorted((path, path.stat().st_mtime_ns) for path in three.batch.rglob("*"))
    done = three.run("--resume", "--dry-run", code=0)
    assert "2 jobs would run" in done.stdout and "1. b" in done.stdout and "2. c" in done.stdout
    after = sorted((path, path.stat().st_mtime_ns) for path in three.batch.rglob("*"))
    assert [path for path, _ in after] == [path for path, _ in before] and len(runs(three)) == 1


def test_options_of_the_batch_are_kept_and_can_be_changed(work: Workspace) -> None:
    work.write("c/a.sh", "test ! -e slow || sleep 60")
    work.write("slow", "")
    work.run("--configs", "c/a.sh", *COMMAND, "--timeout", "0.3", "--grace", "0.1,0.1,5", code=1)
    work.run("--resume", code=1)
    assert work.result("a")["status"] == "timeout" and work.result("a")["attempt"] == 2
    assert "0.3 s" in work.result("a")["error"]
    work.run("--resume", "--timeout", "0.6", code=1)
    assert "0.6 s" in work.result("a")["error"] and work.result("a")["attempt"] == 3
    assert sorted(path.name for path in (work.batch / "a").glob("attempt_*")) == ["attempt_1", "attempt_2"]


# Checkpoints


def test_a_foreign_script_resumes_from_its_latest_checkpoint(work: Workspace) -> None:
    script = (
        'out=$3; echo "$@" >> args; if test -n "$5"; then echo loaded $(cat $5); exit 0; fi\n'
        'echo 1 > $out/old.pt; touch -d "1 hour ago" $out/old.pt; echo 2 > $out/new.pt; exit 1\n'
    )
    work.write("train.sh", script)
    work.write("c/a.sh", "")
    template = "sh train.sh {config} --out {out_dir}"
    work.run("--configs", "c/a.sh", "--command", template, "--resume_args=--load {checkpoint} --from={out_dir}", code=1)
    work.run("--resume", code=0)
    first, second = (work / "args").read_text().splitlines()
    out_dir, config = work.batch / "a", work / "c/a.sh"
    assert first == f"{config} --out {out_dir}"
    assert second == f"{config} --out {out_dir} --load {work.batch}/a/new.pt --from={work.batch}/a"
    assert "loaded 2" in (work.batch / "a" / "stdout.log").read_text()
    # The checkpoints stay where the job finds them; only what the runner wrote is archived.
    assert not list((work.batch / "a" / "attempt_1").glob("*.pt"))
    assert {"stdout.log", "experiment_result.json"} <= {p.name for p in (work.batch / "a/attempt_1").iterdir()}


def test_a_job_that_cannot_resume_starts_from_scratch_in_an_empty_folder(work: Workspace) -> None:
    work.write("c/a.sh", 'ls "$2" > listing; echo 1 > "$2/model.pt"; echo x > "$2/output"; test -e mended')
    work.run("--configs", "c/a.sh", *COMMAND, code=1)
    (work / "mended").touch()
    work.run("--resume", code=0)
    assert "model.pt" not in (work / "listing").read_text() and "output" not in (work / "listing").read_text()
    assert (work.batch / "a/attempt_1/model.pt").exists() and (work.batch / "a/attempt_1/output").exists()


@pytest.mark.slow
def test_our_trainer_resumes_from_its_checkpoint(work: Workspace) -> None:
    settings = {
        "pipeline": "diffusion", "training_type": "unmasking", "dataset": "pydoc_char", "eval_interval": 20,
        "eval_iters": 1, "log_interval": 5, "batch_size": 4, "block_size": 32, "n_layer": 1, "n_head": 2,
        "n_embd": 32, "max_iters": 100000, "device": "cpu", "checkpoint_interval": 20,
        "unmasking_stages": [{"type": "random", "max_masked_ratio": 0.3, "val_loss_stale_count": 1}],
    }  # fmt: skip
    del settings["checkpoint_interval"]
    text = "".join(f"{key} = {value!r}\n" for key, value in settings.items())
    work.write("c/tiny.py", text)
    once = {"OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}
    process = work.start("--configs", "c/tiny.py", env=once)
    metrics = work / "experiments/latest/tiny/metrics.jsonl"
    wait_until(lambda: metrics.exists() and metrics.read_text().count("val/loss") >= 2, "two evaluations", 60)
    kill(process)
    path = work.batch / "tiny" / "experiment_result.json"
    wait_until(path.exists, "its supervisor records the end", 30)
    reached = read(path)["final_metrics"]["iter"]
    assert read(path)["status"] == "interrupted" and read(path)["final_checkpoint"]
    limit = reached + 40
    work.write("c/tiny.py", text.replace("100000", str(limit)))
    refused = work.run("--resume", code=2, env=once)
    assert f"max_iters 100000 -> {limit}" in refused.stderr
    work.run("--resume", "--accept_changes", code=0, env=once)
    result = work.result("tiny")
    assert result["attempt"] == 2 and "--init_from=resume" in result["command"]
    assert result["final_metrics"]["iter"] >= limit - 5
    rows = [json.loads(line)["iter"] for line in metrics.read_text().splitlines()]
    assert rows[0] < 20 and rows == sorted(rows)  # one run, which continues where it was


# Refusals


def test_a_locked_batch_is_refused(three: Workspace) -> None:
    process = started(three)
    for arguments in (("--resume",), ("--resume", three.batch.name, "--detach"), ("rerun", three.batch.name, "a")):
        done = three.run(*arguments, code=75)
        assert done.stdout == "" and len(done.stderr.splitlines()) == 1
        assert f"is locked by another runner (pid {process.pid} on " in done.stderr
    kill(process)
    (three / "go").touch()
    three.run("--resume", code=0)  # the lock died with its holder
    assert three.result("a")["attempt"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--configs", "c/a.sh"], "--configs cannot be changed by --resume"),
        (["--batch_size", "8"], "--batch_size cannot be changed by --resume"),
        (["--n_layer=8"], "--n_layer=8 cannot be changed by --resume"),
        (["--command", "true {config}"], "--command cannot be changed by --resume"),
        (["--resume_args=--load {checkpoint}"], "--resume_args cannot be changed by --resume"),
        (["--only", "completed"], "invalid choice: 'completed'"),
        (["one", "two"], "'two' was not expected here; options begin with --"),
    ],
)
def test_what_cannot_be_changed_is_refused(work: Workspace, options: list[str], message: str) -> None:
    done = work.run("--resume", *options, code=2)
    assert message in done.stderr and "Traceback" not in done.stderr
    assert list(work.folder.iterdir()) == []


@pytest.mark.parametrize("option", [["--only", "failed"], ["--accept_changes"]])
def test_words_of_a_resume_alone_are_refused_without_it(work: Workspace, option: list[str]) -> None:
    work.write("c/a.sh", "")
    done = work.run("--configs", "c/a.sh", *COMMAND, *option, code=2)
    assert "need --resume" in done.stderr and not (work / "experiments").exists()


def test_a_batch_that_is_none_is_refused_and_nothing_is_written_there(work: Workspace) -> None:
    assert "there is no batch yet" in work.run("--resume", code=2).stderr
    assert not (work / "experiments").exists()
    work.write("c/a.sh", "")
    work.run("--configs", "c/a.sh", *COMMAND, "--name", "morning", code=0)
    name = work.batch.name
    output = work.run("--resume", name.replace("morning", "mornign"), code=2).stderr
    assert "no such batch" in output and f"did you mean '{name}'?" in output
    output = work.run("--resume", "c", code=2).stderr
    assert "is not a batch (it has no plan.json)" in output and len(output.splitlines()) == 1
    assert [path.name for path in (work / "c").iterdir()] == ["a.sh"]


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ("{torn", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"schema": 1}', "cannot be read"),
        ('{"schema": 99}', "schema 99"),
    ],
)
def test_a_broken_plan_is_one_sentence(work: Workspace, plan: str, message: str) -> None:
    work.write("c/a.sh", "")
    work.run("--configs", "c/a.sh", *COMMAND, code=0)
    (work.batch / "plan.json").write_text(plan)
    for arguments in (("--resume",), ("status",), ("rerun", work.batch.name, "a")):
        done = work.run(*arguments, code=2)
        assert message in done.stderr and len(done.stderr.splitlines()) == 1 and "plan.json" in done.stderr
    # One broken batch does not hide the others.
    work.run("--configs", "c/a.sh", *COMMAND, "--name", "good", code=0)
    listed = work.run("list")
    assert "good_" in listed.stdout and "Traceback" not in listed.stderr


def test_a_batch_that_was_moved_is_refused_with_where_it_was(work: Workspace) -> None:
    work.write("c/a.sh", "exit 1")
    work.run("--configs", "c/a.sh", *COMMAND, code=1)
    before = work.batch
    before.rename(work / "moved")
    output = work.run("--resume", "moved", code=2).stderr
    assert f"was {before} when it was planned" in output


def options_of(work: Workspace) -> dict[str, object]:
    found: dict[str, object] = read(work.batch / "plan.json")["options"]
    return found


def test_what_a_batch_keeps_can_be_taken_back(work: Workspace) -> None:
    work.write("c/a.sh", "exit 1")
    kept = ("--timeout", "2h", "--stall_timeout", "1h30m", "--retries", 1, "--retry_delay", "0.01s", "--fail_fast")
    work.run("--configs", "c/a.sh", *COMMAND, *kept, "--keep_running", "--grace", "2m,5,10s", code=1)
    before = options_of(work)
    assert (before["timeout"], before["stall_timeout"], before["retry_delay"]) == (7200.0, 5400.0, 0.01)
    assert before["grace"] == [120.0, 5.0, 10.0] and before["retries"] == 1
    work.run("--resume", code=1)
    assert options_of(work) == before
    back = ("--no-timeout", "--no_stall_timeout", "--retries", 0, "--no-fail-fast", "--no-keep-running")
    work.run("--resume", *back, "--max_failures", 3, code=1)
    assert len(list((work.batch / "a").glob("attempt_*"))) == 4  # 2 + 2 + 1 in all, the last of them in the folder
    after = options_of(work)
    taken = {"timeout": None, "stall_timeout": None, "retries": 0, "fail_fast": False, "keep_running": False}
    assert after == {**before, **taken, "max_failures": 3}
    work.run("--resume", "--no-max-failures", "--timeout", "1d", code=1)
    assert options_of(work) == {**after, "max_failures": None, "timeout": 86400.0}


def test_a_secret_that_was_not_written_down_cannot_be_used_again(work: Workspace) -> None:
    work.write("job.py", "import sys; open('seen', 'a').write(sys.argv[-1] + '\\n'); sys.exit(1)")
    work.write("a.py", "x = 1\n")
    work.run("--configs", "a.py", "--train_script", "job.py", "--wandb_api_key=hush", code=1)
    done = work.run("--resume", code=2)
    assert "a: its command holds a secret, which was not written down" in done.stderr and "hush" not in done.stderr
    assert (work / "seen").read_text() == "--wandb_api_key=hush\n"


def test_configs_edited_since_are_refused_with_the_difference_until_that_is_accepted(work: Workspace) -> None:
    work.write(
        "job.py", "import sys\nopen('seen', 'a').write(open(sys.argv[1]).read()); sys.exit('b.py' in sys.argv[1])"
    )
    work.write("c/a.py", "x = 1\n")
    work.write("c/b.py", "x = 2\nname = 'old'\n")
    work.run("--configs", "c/*.py", "--train_script", "job.py", code=1)
    work.write("c/a.py", "x = 100\n")  # completed: of no concern
    work.write("c/b.py", "x = 3\nname = 'old'\ny = True\n")
    (work / "seen").unlink()
    done = work.run("--resume", code=2)
    assert "c/b.py: x 2 -> 3" in done.stderr and "c/b.py: y null -> true" in done.stderr
    assert "use --accept_changes to continue" in done.stderr
    assert "name" not in done.stderr and "c/a.py" not in done.stderr
    assert not (work / "seen").exists() and work.result("b")["attempt"] == 1
    work.run("--resume", "--accept_changes", code=1)
    assert (work / "seen").read_text() == "x = 3\nname = 'old'\ny = True\n"
    assert (work.batch / "b" / "config_used.py").read_text() == "x = 3\nname = 'old'\ny = True\n"
    assert (work.batch / "b" / "attempt_1" / "config_used.py").read_text() == "x = 2\nname = 'old'\n"
    assert read(work.batch / "b" / "experiment_metadata.json")["config"] == {"x": 3, "name": "old", "y": True}
    # What was accepted is the plan now.
    work.run("--resume", code=1)
    work.write("c/b.py", "# only a remark\nx = 3\nname = 'old'\ny = True\n")
    work.run("--resume", code=1)


def test_a_config_that_we_cannot_read_and_that_was_edited_since_is_refused_too(work: Workspace) -> None:
    work.write("c/a.sh", "echo old >> seen; exit 1")
    work.write("c/b.sh", "echo old >> seen; exit 1")
    work.run("--configs", "c/*.sh", *COMMAND, "--fail_fast", code=1)
    work.write("c/b.sh", "echo new >> seen; exit 1")  # pending: nothing of it is in the batch yet
    done = work.run("--resume", code=2)
    assert "c/b.sh" in done.stderr and "use --accept_changes to continue" in done.stderr
    assert (work / "seen").read_text() == "old\n"
    work.run("--resume", "--accept_changes", "--only", "pending", code=1)
    assert (work / "seen").read_text() == "old\nnew\n"


def test_a_config_that_is_gone_runs_from_its_copy_if_there_is_one(work: Workspace) -> None:
    work.write("job.py", "import sys; open('seen', 'a').write(open(sys.argv[1]).read()); sys.exit(1)")
    work.write("c/a.py", "x = 1\n")
    work.write("c/b.py", "x = 2\n")
    work.run("--configs", "c/*.py", "--train_script", "job.py", "--fail_fast", code=1)
    (work / "c/b.py").unlink()
    done = work.run("--resume", code=2)
    assert "c/b.py" in done.stderr and "Traceback" not in done.stderr
    (work / "c/a.py").unlink()
    done = work.run("--resume", "--accept_changes", "--only", "failed", code=1)
    assert "Traceback" not in done.stderr and (work / "seen").read_text() == "x = 1\nx = 1\n"
