"""What starts a job: a script, a module, a launcher, an interpreter, a template; on the command line or in a spec."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from runner.cli.starting import KEYS, Given, start
from runner.core.job import Job
from runner.disk import attempts, plan_file
from runner.planners import files, recorded
from runner.planners.files import Files
from runner.planners.jobs import Request
from runner.planners.launchers import starting
from runner.planners.patterns import Search
from tests.conftest import PROJECT, Workspace, read

NOW = datetime.now().astimezone()
SHOW = "import os, sys; print(*sys.argv[1:], sep='\\n'); print(sys.executable); print(__spec__ and __spec__.name)\n"
MOVES = """\
import os, sys
config, out = sys.argv[1], sys.argv[2].partition("=")[2]
os.chdir("/")
open(config).close()
open(out + "/ckpt.pt", "w").write("weights")
"""
NANOGPT = """\
out_dir = 'out'
init_from = 'scratch'
learning_rate = 6e-4
exec(open('configurator.py').read())
print(learning_rate, init_from)
open(out_dir + '/ckpt.pt', 'w').write('weights')
assert init_from == 'resume'
"""
CONFIGURATOR = """\
import sys
from ast import literal_eval
for arg in sys.argv[1:]:
    if '=' not in arg:
        exec(open(arg).read())
    else:
        key, value = arg[2:].split('=')
        try: value = literal_eval(value)
        except (SyntaxError, ValueError): pass
        assert type(value) == type(globals()[key]), key
        globals()[key] = value
"""


def started(cwd: Path, **values: str) -> tuple[tuple[str, ...], list[str]]:
    """The beginning of a job's command, and the errors."""
    command, errors = start(Given(values, {key: f"--{key}" for key in values}, cwd))
    return starting(
        command.launcher, command.interpreter, ("-m", command.module) if command.module else (command.shown,)
    ), errors


def planned(work: Workspace, **values: str) -> Job:
    """The one job of c/a.py."""
    command, errors = start(Given(values, {key: f"--{key}" for key in values}, work.folder))
    assert errors == []
    request = Request({}, work / "experiments", command, work.folder, {})
    plan = files.plan(request, Files(["c/*.py"], Search(work.folder), lambda config: ()), NOW)
    plan.root.mkdir(parents=True)
    plan_file.write(plan)
    return recorded.plan(plan.root).jobs[0]


def lines(work: Workspace, name: str = "a") -> list[str]:
    return [line[24:] for line in (work.batch / name / "stdout.log").read_text().splitlines()]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a script, a package, and an environment of its own."""
    for name in ("t.py", "pkg/train.py", "pkg/__init__.py", "pkg/app/__init__.py", "pkg/app/__main__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    for name in ("env/bin/python", "env/bin/torchrun", "torchrun", "nice", "conda", "deepspeed"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to("/bin/true")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"train_script": "t.py"}, "PYTHON t.py"),
        ({"module": "pkg.train"}, "PYTHON -m pkg.train"),
        ({"train_script": "t.py", "launcher": "torchrun --nproc_per_node=2"}, "torchrun --nproc_per_node=2 t.py"),
        ({"module": "pkg.app", "launcher": "torchrun"}, "torchrun -m pkg.app"),
        ({"module": "pkg.train", "launcher": "deepspeed"}, "deepspeed --module pkg.train"),
        ({"train_script": "t.py", "launcher": "nice -n 3"}, "nice -n 3 PYTHON t.py"),
        ({"train_script": "t.py", "launcher": "nice python -X dev"}, "nice python -X dev t.py"),
        ({"train_script": "t.py", "launcher": "conda run -n x"}, "conda run -n x python t.py"),
        ({"train_script": "t.py", "python": "env"}, "ENV/python t.py"),
        ({"train_script": "t.py", "python": "env/bin/python"}, "ENV/python t.py"),
        ({"train_script": "t.py", "python": "env", "launcher": "nice"}, "nice ENV/python t.py"),
        ({"train_script": "t.py", "python": "env", "launcher": "torchrun"}, "ENV/torchrun t.py"),
    ],
)
def test_a_script_is_started_by_its_launcher_or_interpreter(
    programs: Path, values: dict[str, str], expected: str
) -> None:
    found, errors = started(programs, **values)
    text = shlex.join(found).replace(f"{programs}/env/bin", "ENV").replace(sys.executable, "PYTHON")
    assert (text, errors) == (expected, [])


@pytest.mark.parametrize(
    ("values", "fix"),
    [
        ({"train_script": "torchrun --nproc_per_node=2 t.py"},
         'use --launcher "torchrun --nproc_per_node=2" --train_script t.py'),
        ({"train_script": "accelerate launch -m pkg.train"}, 'use --launcher "accelerate launch" --module pkg.train'),
        ({"train_script": "-m pkg.train"}, "use --module pkg.train"),
        ({"train_script": "pkg.train"}, "use --module pkg.train"),
        ({"train_script": "python t.py"}, "use --train_script t.py"),
        ({"train_script": "env/bin/python t.py"}, "use --python env/bin/python --train_script t.py"),
        ({"train_script": "t.py --amp"}, '--command "python t.py {config} --out_dir={out_dir} --amp {overrides}"'),
        ({"module": "t.py"}, "use --train_script for a file"),
        ({"module": "pkg.nope"}, "check its name"),
        ({"module": "pkg"}, "check its name"),
        ({"train_script": "t.py", "launcher": "torchrun t.py"}, "give that with --train_script"),
        ({"train_script": "t.py", "launcher": "nosuch"}, "check its name"),
        ({"train_script": "t.py", "launcher": "nice {gpu}"}, "there are {config}"),
        ({"train_script": "t.py", "launcher": "X=1"}, "env X=1"),
        ({"train_script": "t.py", "launcher": "'"}, "check its quotes"),
        ({"train_script": "t.py", "launcher": ""}, "leave it out"),
        ({"train_script": "t.py", "python": "nope"}, "check the path"),
        ({"train_script": "t.py", "python": "t.py"}, "chmod +x"),
        ({"train_script": "t.py", "python": "env", "launcher": "conda run -n x"}, "leave --python out"),
        ({"train_script": "t.py", "module": "pkg.train"}, "give one of them"),
        ({"command": "sh {config}", "train_script": "t.py"}, "give one of them"),
        ({"command": "sh {config}", "launcher": "nice"}, "write it at the beginning of the command"),
        ({"command": "sh {config}", "python": "env"}, "add it there"),
        ({"train_script": "/bin/sh", "python": "env"}, "would not be used"),
    ],
)  # fmt: skip
def test_a_wrong_guess_is_an_error_that_names_the_right_option(
    programs: Path, values: dict[str, str], fix: str
) -> None:
    (error,) = started(programs, **values)[1]
    assert error.startswith("--") and fix in error


# Jobs


def test_a_program_that_changes_its_folder_finds_its_config_and_its_outputs(work: Workspace) -> None:
    work.write("moves.py", MOVES)
    work.write("c/a.py", "lr = 1\n")
    work.run("--configs", "c/a.py", "--train_script", "moves.py", code=0)
    assert work.result("a")["final_checkpoint"] == str(work.batch / "a" / "ckpt.pt")
    template = "bash -c 'cd / && {python} {config} --out_dir={out_dir} {overrides}'"
    work.write("d/a b.txt", MOVES.replace("sys.argv[1], sys.argv[2]", "__file__, sys.argv[1]"))
    work.run("--configs", "d/a b.txt", "--command", template, "--lr", "3", code=0)
    assert work.result("a b")["final_checkpoint"] == str(work.batch / "a b" / "ckpt.pt")


@pytest.mark.parametrize(
    ("command", "copy"),
    [("sh {config}", "{}"), ("sh -c 'sh {config} {out_dir}'", "sh {} {out}"), ("t --config={config}", "--config={}")],
)
def test_a_config_that_was_edited_is_replaced_by_the_jobs_copy_also_within_a_word(
    work: Workspace, monkeypatch: pytest.MonkeyPatch, command: str, copy: str
) -> None:
    work.write("t", "#!/bin/sh\n").chmod(0o755)
    monkeypatch.setenv("PATH", f"{work.folder}:/usr/bin:/bin")
    monkeypatch.chdir(work.folder)
    config = work.write("c/a b.py", "lr = 1\n")
    job = planned(work, command=command)
    assert any("c/a b.py" in word for word in job.argv) and attempts.command(job, None) == job.argv
    config.write_text("lr = 2\n")
    written = shlex.quote if "sh -c" in command else str
    expected = copy.format(written(str(job.out_dir / "config_used.py")), out=written(str(job.out_dir)))
    assert attempts.command(job, None)[-1] == expected


def test_the_fingerprint_of_a_job_does_not_depend_on_how_its_paths_are_given(tmp_path: Path) -> None:
    """Earlier versions passed relative paths; their results must still count."""
    out = tmp_path / "experiments/x/a"
    job = Job(
        "a", ("python", "t.py", "c/a.py", "--out_dir=experiments/x/a"), out, {}, cwd=tmp_path, source_argument="c/a.py"
    )
    config = str(tmp_path / "c/a.py")
    absolute = replace(job, argv=("python", "t.py", config, f"--out_dir={out}"), source_argument=config)
    assert absolute.fingerprint == job.fingerprint
    assert replace(absolute, argv=(*absolute.argv, "--lr=1")).fingerprint != job.fingerprint


def test_a_launcher_keeps_what_is_known_of_the_script(work: Workspace) -> None:
    work.write("nano/train.py", NANOGPT)
    work.write("nano/configurator.py", CONFIGURATOR)
    work.write("c/a.py", "learning_rate = 1e-3\n")
    command = ("--configs", "c/a.py", "--train_script", "nano/train.py", "--launcher", "nice -n 1")
    assert "must be a number" in work.run(*command, "--learning_rate", "fast", code=2).stderr
    done = work.run(*command, "--learning_rate", "1", code=1)
    assert lines(work)[0] == "1.0 scratch" and work.result("a")["command"][:3] == ["nice", "-n", "1"]
    assert "--launcher 'nice -n 1'" in next(line for line in done.stdout.splitlines() if "again" in line)
    work.run("--resume", code=0)
    assert lines(work)[0] == "1.0 resume"


def test_a_module_is_run_by_the_interpreter_that_is_named(work: Workspace) -> None:
    work.write("pkg/__init__.py", "")
    work.write("pkg/train.py", SHOW)
    work.write("c/a.yaml", "batch-size: 4\n")
    python = work / "env/bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    done = work.run("--configs", "c/a.yaml", "--module", "pkg.train", "--python", "env", "--batch_size", "8", code=0)
    config, folder, override, executable, name = lines(work)
    assert (config, folder) == (str(work / "c/a.yaml"), f"--out_dir={work.batch}/a")
    assert (override, executable, name) == ("--batch_size=8", str(python), "pkg.train"), done.stdout
    metadata = read(work.batch / "a/experiment_metadata.json")
    assert metadata["config"] == {"batch-size": 8} and metadata["overrides"] == {"batch-size": "8"}


# Specs

SPEC = "name: s\nbase_config: c/a.yaml\nsweep: {lr: [1, 2]}\n"


def test_a_spec_that_names_its_program_needs_nothing_else(work: Workspace) -> None:
    work.write("c/a.yaml", "lr: 1\n")
    work.write("specs/t.py", SHOW + "if not os.path.exists('repaired'): sys.exit(1)\n")
    work.write("specs/s.yaml", SPEC + "train_script: t.py\nlauncher: nice -n 1\n")
    work.run("sweep", "specs/s.yaml", "--limit", "1", "--max-iters", "3", code=1)
    first = work.result("run_000")["command"]
    assert first[:3] == ["nice", "-n", "1"] and first[4] == "specs/t.py" and first[-1] == "--max-iters=3"
    work.write("repaired", "")
    work.run("sweep", "specs/s.yaml", "--resume", code=0)
    assert work.result("run_001")["command"][:3] == first[:3]
    done = work.run("sweep", "specs/s.yaml", "--train_script", "t.py", code=2)
    assert "--train_script: the spec gives it too (specs/s.yaml:4: train_script); give it once" in done.stderr


def test_what_the_command_line_named_first_stays_at_a_resume(work: Workspace) -> None:
    work.write("c/a.yaml", "lr: 1\n")
    work.write("s.yaml", SPEC)
    program = ("--command", "nice echo {config} {overrides:hydra}", "--seed", "7")
    work.run("sweep", "s.yaml", *program, "--limit", "1", code=0)
    work.run("sweep", "s.yaml", "--resume", code=0)
    assert work.result("run_001")["command"] == [
        "nice", "echo", f"{work.batch}/configs/run_001.yaml", "seed=7",
    ]  # fmt: skip
    done = work.run("sweep", "s.yaml", "--command", "echo {config}", "--seed", "7", code=2)
    assert done.stderr.startswith("run_experiments.py: --seed: the --command has no {overrides}")


def test_a_mode_is_required_by_a_script_that_has_modes_only(work: Workspace) -> None:
    work.write("c/a.yaml", "lr: 1\n")
    work.write("s.yaml", SPEC.replace("sweep: {lr: [1, 2]}", "fixed_overrides: {pipeline: classify}"))
    assert "s.yaml: mode is missing; add it" in work.run("sweep", "s.yaml", "--dry-run", code=2).stderr
    work.run("sweep", "s.yaml", "--command", "echo {config}", "--dry-run", code=0)
    assert set(KEYS) == {"train_script", "module", "command", "launcher", "python"}


def test_settings_that_a_template_leaves_out_are_an_error_before_the_start(work: Workspace) -> None:
    work.write("c/a.py", "lr = 1\n")
    given = ("--lr", "5", "--device", "cpu", "--max_iters", "3", "--wandb_enabled", "no", "--mode", "training")
    stderr = work.run("--configs", "c/a.py", "--command", "echo {config}", *given, code=2).stderr
    for name in ("lr", "device", "max_iters", "wandb_enabled", "mode"):
        assert f"--{name}: the --command has no {{overrides}}, so it would not reach the job" in stderr
    assert not (work / "experiments").exists()


def test_a_project_without_a_named_script_is_told_which_one_runs(work: Workspace) -> None:
    config = str(PROJECT / "config/quickstart/easy.py")
    assert "give --train_script PATH" in work.run("--configs", config, "--dry-run", code=0).stdout
    named = work.run("--configs", config, "--train_script", str(PROJECT / "train_run.py"), "--dry-run", code=0)
    assert "give --train_script PATH" not in named.stdout


def test_another_active_environment_is_named_where_the_jobs_do_not_use_it(work: Workspace) -> None:
    work.write("train.py", "import argparse\nargparse.ArgumentParser().parse_known_args()\n")
    work.write("a.yaml", "{}\n")
    work.write("their/bin/python", "")
    options = ("--configs", "a.yaml", "--train_script", "train.py", "--dry-run")
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        there = {"VIRTUAL_ENV": "", "CONDA_DEFAULT_ENV": "their", name: str(work / "their")}
        assert "for that one give --python their" in work.run(*options, code=0, env=there).stdout
    unseen = [{"VIRTUAL_ENV": sys.prefix}, {"VIRTUAL_ENV": "gone"}, {**there, "CONDA_DEFAULT_ENV": "base"}]
    for environment in unseen:
        assert "--python" not in work.run(*options, code=0, env={"CONDA_PREFIX": "", **environment}).stdout
    named = work.run(*options, "--python", sys.executable, code=0, env=there)
    assert "the active environment" not in named.stdout
