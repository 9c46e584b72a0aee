"""Resuming programs that are not ours: which checkpoint they are given, and what is said where there is none."""

from __future__ import annotations

import pytest

from tests.conftest import Workspace, read

TEMPLATE = "sh train.sh {config} {out_dir}"
NONE_FOUND = "a: no checkpoint found; starts from the beginning"


@pytest.fixture
def trainer(work: Workspace) -> Workspace:
    """A program that saves what `saves` names, writes its arguments into `args`, and fails until `mended` is there."""
    work.write(
        "train.sh",
        'echo "$@" >> args; cd "$2"; for f in $(cat "$OLDPWD/saves"); do mkdir -p $(dirname $f); echo 1 > $f; done\n'
        'cd "$OLDPWD"; test -e mended\n',
    )
    work.write("c/a.txt", "x")
    return work


@pytest.mark.parametrize(
    ("saves", "options", "found"),
    [
        ("checkpoints/last.ckpt", [], "checkpoints/last.ckpt"),
        ("checkpoint-10/model.safetensors checkpoint-10/trainer_state.json", [], "checkpoint-10"),
        ("model.pth", [], "model.pth"),
        ("state/7.bin", ["--checkpoints", "state/*.bin"], "state/7.bin"),
        ("a.weights b/c.model", ["--checkpoints", "*.weights", "--checkpoints=**/*.model"], "b/c.model"),
    ],
)
def test_a_program_resumes_from_whatever_it_saves(
    trainer: Workspace, saves: str, options: list[str], found: str
) -> None:
    trainer.write("saves", saves)
    resume = ("--resume_args=--load {checkpoint}", *options)
    trainer.run("--configs", "c/*.txt", "--command", TEMPLATE, *resume, code=1)
    path = str(trainer.batch / "a" / found)
    assert trainer.result("a")["final_checkpoint"] == path
    assert read(trainer.batch / "plan.json")["options"]["checkpoints"] == [
        word.removeprefix("--checkpoints=") for word in options if word != "--checkpoints"
    ]
    trainer.write("mended", "")
    done = trainer.run("--resume", code=0)
    assert (trainer / "args").read_text().splitlines()[1].endswith(f" --load {path}")
    assert "no checkpoint" not in done.stdout


def test_where_no_checkpoint_is_found_it_is_said(trainer: Workspace) -> None:
    trainer.write("saves", "out/data.bin")
    first = trainer.run("--configs", "c/*.txt", "--command", TEMPLATE, "--resume_args=--load {checkpoint}", code=1)
    assert "no checkpoint" not in first.stdout
    done = trainer.run("--resume", code=1)
    assert NONE_FOUND in done.stdout and NONE_FOUND in trainer.master_log()
    trainer.write("mended", "")
    trainer.run("--resume", "--checkpoints", "out/*.bin", code=0)  # the option may come later
    assert (trainer / "args").read_text().splitlines()[2].endswith(f" --load {trainer.batch}/a/out/data.bin")


def test_a_retry_says_so_too_and_a_program_that_cannot_resume_says_nothing(trainer: Workspace) -> None:
    trainer.write("saves", "")
    retry = ("--retries", "1", "--retry_delay", "0.05")
    resume = "--resume_args=--load {checkpoint}"
    done = trainer.run("--configs", "c/*.txt", "--command", TEMPLATE, resume, *retry, code=1)
    assert done.stdout.count(NONE_FOUND) == 1
    assert "no checkpoint" not in trainer.run("--configs", "c/*.txt", "--command", TEMPLATE, *retry, code=1).stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--resume_args=--load {ckpt}"],
         "--resume_args: {ckpt} is not a placeholder; there are {checkpoint} and {out_dir}"),
        (["--resume_args={}"], "--resume_args: {} is not a placeholder"),
        (["--resume_args=--load '{checkpoint}"], "--resume_args: no closing quotation; check its quotes"),
        (["--checkpoints", "/abs/*.pt"], "--checkpoints: '/abs/*.pt' is not a pattern below a job's folder"),
        (["--checkpoints", "a/*", "--checkpoints", "../x"], "--checkpoints: '../x' is not a pattern"),
    ],
)  # fmt: skip
def test_errors_are_reported_before_the_start(trainer: Workspace, options: list[str], message: str) -> None:
    done = trainer.run("--configs", "c/*.txt", "--command", TEMPLATE, *options, code=2)
    assert message in done.stderr and "Traceback" not in done.stderr and not (trainer / "experiments").exists()


def test_braces_are_written_twice(trainer: Workspace) -> None:
    trainer.write("saves", "last.ckpt")
    resume = "--resume_args=--state '{{\"path\":\"{checkpoint}\"}}'"
    trainer.run("--configs", "c/*.txt", "--command", TEMPLATE, resume, code=1)
    trainer.write("mended", "")
    trainer.run("--resume", code=0)
    path = trainer.batch / "a" / "last.ckpt"
    assert (trainer / "args").read_text().splitlines()[1].endswith(f' --state {{"path":"{path}"}}')


def test_a_sweep_that_is_resumed_keeps_the_arguments_that_resume_its_jobs(trainer: Workspace) -> None:
    trainer.write("saves", "last.ckpt")
    trainer.write("base.yaml", "lr: 1\n")
    trainer.write("s.yaml", "name: s\nmode: training\nbase_config: base.yaml\nsweep:\n  lr: [1, 2]\n")
    sweep = ("--exp", "s.yaml", "--command", TEMPLATE, "--resume_args=--load {checkpoint}", "--limit", "1")
    trainer.run(*sweep, code=1)
    trainer.write("mended", "")
    trainer.run("--exp", "s.yaml", "--resume", code=0)
    arguments = (trainer / "args").read_text().splitlines()
    loaded = f" --load {trainer.batch}/run_000/last.ckpt"
    assert len(arguments) == 3 and sum(line.endswith(loaded) for line in arguments) == 1
