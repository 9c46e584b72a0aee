"""Jobs again with other settings: `rerun --set`, several at once, and `--resume --extend`, which trains longer."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import PROJECT, Workspace, read

#: A training in nanoGPT's manner: counts to max_iters from its checkpoint, and writes down where it was.
TRAIN = """\
import sys
max_iters = 4
lr_decay_iters = 4
learning_rate = 0.1
n_layer = 2
out_dir = 'out'
init_from = 'scratch'
exec(open('configurator.py').read())
import json, os
path = os.path.join(out_dir, 'ckpt.pt')
begin = json.load(open(path)) if init_from == 'resume' else 0
with open(os.path.join(out_dir, 'metrics.jsonl'), 'a') as file:
    for iteration in range(begin + 1, max_iters + 1):
        file.write(json.dumps({'iter': iteration, 'rate': learning_rate}) + chr(10))
json.dump(max_iters, open(path, 'w'))
print('from', begin, 'to', max_iters)
if learning_rate > 1:
    sys.exit('diverged')
"""
CONFIGURATOR = """\
import sys
for word in sys.argv[1:]:
    if '=' not in word:
        exec(open(word).read())
    else:
        key, value = word[2:].split('=')
        globals()[key] = type(globals()[key])(value)
"""


@pytest.fixture
def nano(work: Workspace) -> Workspace:
    work.write("train.py", TRAIN)
    work.write("configurator.py", CONFIGURATOR)
    work.write("c/a.py", "learning_rate = 0.5\n")
    work.write("c/b.py", "max_iters = 9\n")
    return work


def iterations(work: Workspace, name: str) -> list[int]:
    lines = (work.batch / name / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["iter"] for line in lines]


def statuses(work: Workspace) -> dict[str, str]:
    found = json.loads(work.run("status", "--json", code=0).stdout)["jobs"]
    return {name: job["status"] for name, job in found.items()}


def run(work: Workspace, *options: object, code: int = 0) -> None:
    work.run("--configs", "c/*.py", "--train_script", "train.py", *options, code=code)


# --extend


def test_completed_jobs_are_trained_longer_from_their_checkpoints(nano: Workspace) -> None:
    run(nano)
    before = read(nano.batch / "plan.json")["jobs"]
    done = nano.run("--resume", "--extend", "max_iters=7", code=0)
    assert iterations(nano, "a") == list(range(1, 8)) and iterations(nano, "b") == list(range(1, 10))
    assert "Note: lr_decay_iters stays 4, as max_iters was; --extend lr_decay_iters=7 changes it too" in done.stdout
    result = nano.result("a")
    assert (result["attempt"], result["status"]) == (2, "completed")
    assert result["command"][-2:] == ["--max_iters=7", "--init_from=resume"]
    assert (nano.result("b")["attempt"], nano.result("b")["status"]) == (1, "completed")  # it had more already
    earlier = nano.batch / "a" / "attempt_1"
    assert "from 0 to 4" in (earlier / "stdout.log").read_text()
    assert read(earlier / "experiment_result.json")["status"] == "completed"
    assert "from 4 to 7" in (nano.batch / "a" / "stdout.log").read_text()
    after = read(nano.batch / "plan.json")["jobs"]
    assert after[0]["fingerprint"] == result["fingerprint"] != before[0]["fingerprint"] and after[1] == before[1]
    assert after[0]["config"]["max_iters"] == 7
    nano.run("--resume", code=0)  # all of it has completed
    assert nano.result("a")["attempt"] == 2 and statuses(nano) == {"a": "completed", "b": "completed"}
    nano.run("resume", nano.batch.name, "--extend", "max_iters=12", "--extend=lr_decay_iters=12", code=0)
    assert iterations(nano, "a") == iterations(nano, "b") == list(range(1, 13))
    assert "--lr_decay_iters=12" in nano.result("a")["command"] and "--max_iters=12" in nano.result("a")["command"]
    assert sum("max_iters" in word for word in nano.result("a")["command"]) == 1


def test_jobs_that_did_not_complete_get_the_larger_setting_too(nano: Workspace) -> None:
    nano.write("c/b.py", "learning_rate = 2.0\n")
    run(nano, "--limit", "1")
    nano.run("--resume", "--extend", "max_iters=6", code=1)
    assert iterations(nano, "a") == iterations(nano, "b") == list(range(1, 7))
    assert "from 0 to 6" in (nano.batch / "b" / "stdout.log").read_text()


def test_an_extension_can_be_looked_at_first(nano: Workspace) -> None:
    run(nano)
    plan = (nano.batch / "plan.json").read_bytes()
    done = nano.run("--resume", "--extend", "max_iters=7", "--dry-run", code=0)
    assert "1 job would run" in done.stdout and "max_iters 4 -> 7" in done.stdout
    assert (nano.batch / "plan.json").read_bytes() == plan and iterations(nano, "a") == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--extend", "max_iters=4"], "every job has that or more already"),
        (["--extend", "max_iters=many"], "--max_iters must be a whole number"),
        (["--extend", "max_itres=9"], "--max_itres: unknown key; did you mean --max_iters?"),
        (["--extend", "max_iters"], "write --extend KEY=VALUE"),
        (["--extend", "out_dir=9"], "out_dir is not known to be a number"),
        (["--extend", "max_iters=9", "--extend", "n_layer=1"], "n_layer=1: is less than the 2 of a"),
        (["--extend", "max_iters=9", "--only", "failed"], "--extend and --only do not go together"),
        (
            ["--max_iters", "9"],
            "--max_iters cannot be changed by --resume; start a new batch, edit the configs, or use",
        ),
    ],
)
def test_an_extension_that_means_nothing_is_explained_and_nothing_starts(
    nano: Workspace, options: list[str], error: str
) -> None:
    (nano / "c/b.py").unlink()
    run(nano)
    plan = (nano.batch / "plan.json").read_bytes()
    done = nano.run("--resume", *options, code=2)
    assert error in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert (nano.batch / "plan.json").read_bytes() == plan and not (nano.batch / "a" / "attempt_1").exists()


def test_extend_needs_a_batch(nano: Workspace) -> None:
    done = nano.run("--configs", "c/a.py", "--train_script", "train.py", "--extend", "max_iters=9", code=2)
    assert "--extend needs --resume" in done.stderr


def test_a_job_without_a_checkpoint_is_not_trained_longer(nano: Workspace) -> None:
    run(nano)
    (nano.batch / "a" / "ckpt.pt").unlink()
    done = nano.run("--resume", "--extend", "max_iters=7", code=2)
    assert "a: has no checkpoint in" in done.stderr and nano.result("a")["attempt"] == 1


def test_a_program_whose_resume_arguments_are_not_known_is_not_trained_longer(work: Workspace) -> None:
    work.write("c/a.yaml", "steps: 3\n")
    work.write("t.sh", 'echo model > "$2/x.pt"; echo "$@" >> args\n')
    command = ("--command", "sh t.sh {config} {out_dir} {overrides}")
    work.run("--configs", "c/a.yaml", *command, code=0)
    done = work.run("--resume", "--extend", "steps=5", code=2)
    assert (
        "a: which arguments continue it from a checkpoint is not known; start a batch with --resume_args" in done.stderr
    )
    work.run("--configs", "c/a.yaml", *command, "--resume_args=--load {checkpoint}", "--name", "other", code=0)
    work.run("--resume", "--extend", "steps=5", code=0)
    words = (work / "args").read_text().splitlines()[-1].split()
    assert words[2:4] == ["--steps=5", "--load"] and words[4].endswith("a/x.pt")


def test_a_sweep_is_trained_longer(nano: Workspace) -> None:
    nano.write("s.yaml", "name: s\nmode: training\nbase_config: c/a.py\nsweep:\n  learning_rate: [0.1, 0.2]\n")
    nano.run("--exp", "s.yaml", "--train_script", "train.py", code=0)
    nano.run("--resume", nano.batch, "--extend", "max_iters=6", code=0)
    assert iterations(nano, "run_000") == iterations(nano, "run_001") == list(range(1, 7))
    rates = {json.loads(line)["rate"] for line in (nano.batch / "run_001/metrics.jsonl").read_text().splitlines()}
    assert rates == {0.2}


def test_the_runner_dies_between_the_old_attempt_and_the_new_one(nano: Workspace) -> None:
    """What is left then is a job that is pending and continues from its checkpoint."""
    (nano / "c/b.py").unlink()
    run(nano)
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from runner.cli.main import main\n"
        "from runner.disk import plan_file\n"
        "def die(*a): raise SystemExit(9)\n"
        "plan_file.write = die\nsys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, str(PROJECT), "--resume", "--extend", "max_iters=7"]
    assert subprocess.run(command, cwd=nano.folder, check=False, capture_output=True).returncode == 9
    assert statuses(nano) == {"a": "pending"} and (nano.batch / "a" / "ckpt.pt").exists()
    nano.run("--resume", "--extend", "max_iters=7", code=0)
    assert iterations(nano, "a") == list(range(1, 8)) and nano.result("a")["attempt"] == 2


# rerun


def test_several_jobs_are_run_again(nano: Workspace) -> None:
    run(nano)
    nano.run("rerun", "a", "b", code=0)
    assert (nano.result("a")["attempt"], nano.result("b")["attempt"]) == (2, 2)
    nano.run("rerun", nano.batch.name, "b", code=0)
    assert (nano.result("a")["attempt"], nano.result("b")["attempt"]) == (2, 3)


def test_jobs_are_run_again_by_how_they_ended(nano: Workspace) -> None:
    nano.write("c/b.py", "learning_rate = 2.0\n")
    nano.write("c/d.py", "learning_rate = 3.0\n")
    run(nano, code=1)
    nano.run("rerun", nano.batch.name, "--only", "failed", code=1)
    assert [nano.result(name)["attempt"] for name in "abd"] == [1, 2, 2]
    nano.run("rerun", "a", "b", "--only", "failed", "--set", "learning_rate=0.3", code=0)
    assert [nano.result(name)["attempt"] for name in "abd"] == [1, 3, 2]
    assert statuses(nano) == {"a": "completed", "b": "completed", "d": "failed"}


def test_a_job_is_run_again_with_another_setting_from_scratch(nano: Workspace) -> None:
    nano.write("c/a.py", "learning_rate = 2.0\n")
    run(nano, code=1)
    nano.run("rerun", nano.batch.name, "a", "--set", "learning_rate=0.25", "--set", "max_iters=2", code=0)
    result = nano.result("a")
    assert result["command"][-2:] == ["--learning_rate=0.25", "--max_iters=2"] and result["attempt"] == 2
    assert iterations(nano, "a") == [1, 2]  # its checkpoint is in attempt_1
    assert (nano.batch / "a" / "attempt_1" / "ckpt.pt").exists()
    metadata = read(nano.batch / "a" / "experiment_metadata.json")
    assert metadata["config"]["learning_rate"] == 0.25 and metadata["overrides"]["learning_rate"] == "0.25"
    assert statuses(nano) == {"a": "completed", "b": "completed"} and nano.result("b")["attempt"] == 1
    nano.run("rerun", "a", code=0)  # the setting stays
    assert "--learning_rate=0.25" in nano.result("a")["command"]
    again = read(nano.batch / "plan.json")["jobs"][0]["rerun"]
    assert again[-2:] == ["--learning_rate=0.25", "--max_iters=2"]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["rerun", "a", "--set", "learning_rat=1"], "--learning_rat: unknown key; did you mean --learning_rate?"),
        (["rerun", "a", "--set", "max_iters=x"], "--max_iters must be a whole number"),
        (["rerun", "a", "--set", "max_iters"], "write --set KEY=VALUE"),
        (["rerun", "a", "zzz", "--set", "max_iters=1"], "zzz: no such job"),
        (["rerun", "BATCH"], "name the jobs that are to be run again, or give --only"),
    ],
)
def test_a_setting_that_means_nothing_is_explained_and_nothing_starts(
    nano: Workspace, words: list[str], error: str
) -> None:
    run(nano)
    done = nano.run(*(nano.batch.name if word == "BATCH" else word for word in words), code=2)
    assert error in done.stderr and len(done.stderr.splitlines()) == 1
    assert not list(nano.batch.glob("*/attempt_1"))


def test_a_command_without_overrides_cannot_be_given_a_setting(work: Workspace) -> None:
    work.write("c/a.yaml", "lr: 1\n")
    work.run("--configs", "c/a.yaml", "--command", "true {config}", code=0)
    done = work.run("rerun", "a", "--set", "lr=2", code=2)
    assert "--set lr: the --command has no {overrides}" in done.stderr


def test_a_setting_of_a_program_of_the_users_is_changed(work: Workspace) -> None:
    work.write("c/a.yaml", "lr: 1\n")
    work.run("--configs", "c/a.yaml", "--command", "echo {config} {overrides}", "--lr", "5", "--size", "3", code=0)
    work.run("rerun", "a", "--set", "lr=2", code=0)
    assert work.result("a")["command"][2:] == ["--lr=2", "--size=3"]


def test_a_batch_of_another_version_is_run_again_with_a_setting(nano: Workspace) -> None:
    """0.1.0 did not record the arguments of a batch, but has them with each job."""
    run(nano, "--n_layer", "3")
    path = nano.batch / "plan.json"
    record = read(path)
    path.write_text(json.dumps({**record, "origin": {}}))
    nano.run("rerun", "a", "--set", "learning_rate=0.3", code=0)
    assert nano.result("a")["command"][-2:] == ["--n_layer=3", "--learning_rate=0.3"]
    nano.write("c/n.py", "")
    nano.run("add", "c/n.py", code=0)
    nano.run("--resume", code=0)
    assert nano.result("n")["command"][-1] == "--n_layer=3"


@pytest.mark.slow
def test_the_project_trainer_goes_on_to_a_larger_number_of_iterations(work: Workspace) -> None:
    small = ["--n_layer", "1", "--n_head", "2", "--n_embd", "32", "--eval_iters", "1", "--block_size", "64"]
    config = PROJECT / "config" / "quickstart" / "easy.py"
    options = ["--device", "cpu", "--compile", "false", "--max_iters", "6", "--eval_interval", "3", "--batch_size", "4"]
    work.run("--configs", config, *options, *small, "--log_interval", "1", code=0)
    work.run("--resume", "--extend", "max_iters=10", code=0)
    rows = [json.loads(line) for line in (work.batch / "easy" / "metrics.jsonl").read_text().splitlines()]
    trained = [row["iter"] for row in rows if "train/loss" in row and "lr" in row and "val/loss" not in row]
    assert trained == list(range(1, 11)), trained
    assert work.result("easy")["final_checkpoint"].endswith("_10.pt")
    assert "resuming from" in (work.batch / "easy" / "stdout.log").read_text()


def test_extend_is_for_all_jobs(nano: Workspace) -> None:
    """With a limit the others would have the new setting too, and lose what they completed."""
    run(nano)
    before = statuses(nano)
    assert "--limit" in nano.run("--resume", "--extend", "max_iters=9", "--limit", "1", code=2).stderr
    assert statuses(nano) == before


def test_a_completed_job_that_is_run_again_has_not_lost_a_checkpoint(nano: Workspace) -> None:
    run(nano)
    assert "no checkpoint" not in nano.run("rerun", "a", code=0).stdout


def test_a_dry_run_shows_the_command_that_continues_from_a_checkpoint(nano: Workspace) -> None:
    run(nano)
    shown = nano.run("--resume", "--extend", "max_iters=9", "--dry-run", code=0).stdout
    assert shown.count("--init_from=resume") == 1, shown
    nano.run("--resume", "--extend", "max_iters=9", code=0)
    assert "--init_from=resume" in " ".join(nano.result("a")["command"])
