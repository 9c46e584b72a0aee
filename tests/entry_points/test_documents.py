"""What the documents show works unchanged: README's commands, and those of document 002."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import PROJECT, RUN_EXPERIMENTS, Workspace, wait_until
from tests.entry_points.code_blocks import ALL, OURS, PAGES

HAS_GPU = Path("/dev/nvidiactl").exists()
SMALL = ["--n_layer", "1", "--n_head", "2", "--n_embd", "32", "--eval_iters", "1", "--block_size", "64"]

#: The command lines of the experiment runner's document, as it shows them.
DOCUMENT_002 = [
    "--configs config/shkspr_char_diff/*.py --device cuda --batch_size 8",
    "--configs easy_first.py moderate_first.py --batch_size 16",
    "--configs *.py --device cpu --wandb_enabled false --batch_size 4",
    "--configs config/shkspr_char_diff/easy_first.py --max_iters 1000 --batch_size 8 --base_out_dir quick_test",
    '--configs config/shkspr_char_diff/*.py --wandb_project "diffusion_experiments_v2" --batch_size 16 '
    "--base_out_dir production_run --learning_rate 1e-3",
    "--configs config/shkspr_char_diff/easy_first.py --device cpu --compile false --wandb_enabled false --batch_size 4 "
    "--max_iters 500",
    "--configs *.py --device cuda:1 --batch_size 32",
    "--configs *.py",
    "--configs *.py --wandb_enabled false",
    '--configs *.py --wandb_project "my_experiment_batch"',
    '--configs *.py --wandb_enabled true --wandb_project "override_project"',
    '--configs "config/shkspr_char_diff/*.py"',
    "--configs *.py --batch_size 4",
    "--configs *.py --device cpu",
    "--configs *.py --device cuda:0",
]


@pytest.fixture
def project(work: Workspace) -> Iterator[Workspace]:
    """A folder that looks like the project: its entry points and configs, and the scripts that README makes up."""
    parts = ("config", "configs", "data", "scripts", "run_experiments.py", "train_run.py", "configurator.py")
    for name in (*parts, "bg_experiment.sh"):
        (work / name).symlink_to(PROJECT / name)
    (work / "experiments").mkdir()
    (work / "experiments" / "specs").symlink_to(PROJECT / "experiments" / "specs")
    work.write("sweep/a.py", "learning_rate = 1e-3\n")
    work.write("book.txt", "It was a dark and stormy night. " * 100)
    work.write("conf/a.yaml", "lr: 0.1\n")
    work.write("train.py", (PROJECT / "docs/examples/spirals.py").read_text())
    work.write("base.yaml", "epochs: 100\n")
    work.write("sweep.yaml", "name: s\nbase_config: base.yaml\ntrain_script: train.py\nsweep: {lr: [1, 2]}\n")
    search = "{learning_rate: {log: [1e-4, 1e-2]}, metric: val/loss, trials: 3}"
    work.write("find_lr.yaml", f"name: find_lr\nbase_config: sweep/a.py\nsearch: {search}\n")
    work.write("t.py", "import sys\n")
    work.write("pkg/train.py", "import sys\n")
    work.write("nanoGPT/train.py", "learning_rate = 6e-4\ndevice = 'cpu'\nexec(open('configurator.py').read())\n")
    (work / "nanoGPT/.venv/bin").mkdir(parents=True)
    (work / "nanoGPT/.venv/bin/python").symlink_to(sys.executable)
    yield work


def test_each_test_that_the_table_of_faults_names_is_there() -> None:
    table = (PROJECT / "docs/reliability.md").read_text()
    rows = re.findall(r"^\| .* \| ([\w/]+/test_\w+\.py) \| `(test_\w+)` \|$", table, re.MULTILINE)
    assert len(rows) > 40
    assert [row for row in rows if f"def {row[1]}(" not in (PROJECT / "tests" / row[0]).read_text()] == []


def test_the_changelog_has_the_form_of_keep_a_changelog() -> None:
    text = (PROJECT / "CHANGELOG.md").read_text()
    titles = re.findall(r"^##+ .*$", text, re.MULTILINE)
    version = re.compile(r"## \[\d+\.\d+\.\d+\] - (unreleased|\d{4}-\d\d-\d\d)")
    kinds = {f"### {kind}" for kind in ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")}
    assert [title for title in titles if title not in kinds and not version.fullmatch(title)] == []
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        under = re.findall(r"^### .*$", section, re.MULTILINE)
        assert len(under) == len(set(under)) > 0  # each kind once
        assert not re.match(r"[^\n]*\n+- ", section)  # no line before the first kind


def test_the_workflow_names_what_there_is() -> None:
    jobs = yaml.safe_load((PROJECT / ".github/workflows/check.yml").read_text())["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    assert all(("run" in step) != ("uses" in step) for step in steps)
    said = "\n".join(step.get("run", "") for step in steps)
    assert [path for path in re.findall(r"\btests/\S+", said) if not (PROJECT / path).exists()] == []
    targets = re.findall(r"^(\w+):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"\bmake (\w+)", said)) <= set(targets)
    assert jobs["check"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]


PLANS = re.compile(r"^python train_run|--config|--exp |^overnight (run|sweep|tree) ")
TRAINING = "python train_run.py "
#: The commands of the blocks that no test of their own runs.
SHOWN = sorted({
    line for block in ALL if not block.is_run and not block.mark.startswith("tested by ")
    for line in block.commands if line.startswith((*OURS, TRAINING)) and "=owt" not in line  # which nobody has
})  # fmt: skip


def run_line(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    line = re.sub(r"^overnight ", "python -m runner ", line)
    line = re.sub(r"^python3? ", f"{shlex.quote(sys.executable)} ", line)
    environment = {**os.environ, "HOME": str(folder), "PYTHONPATH": str(PROJECT), "OVERNIGHT_NTFY_TOPIC": "a-topic"}
    if "--executor slurm" in line and shutil.which("sbatch") is None:
        environment["PATH"] += f":{slurm_commands(folder)}"
    command = ["bash", "-c", line]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def slurm_commands(folder: Path) -> Path:
    """A folder with commands of these names: a plan looks for them, and runs none of them."""
    (programs := folder / "programs").mkdir()
    for name in ("sbatch", "squeue", "scontrol", "scancel"):
        (programs / name).write_text("#!/bin/sh\nexit 1\n")
        (programs / name).chmod(0o755)
    return programs


@pytest.mark.parametrize("command", [line for line in SHOWN if PLANS.search(line)])
def test_every_command_of_the_documents_can_be_planned(project: Workspace, command: str) -> None:
    command = re.sub(r"^python train_run\.py (\S+)", r"python run_experiments.py --configs \1", command)
    command = command.replace(" --out_dir=out", "")
    if not HAS_GPU:
        command = command.replace("--device cuda", "--device cpu")
    done = run_line(f"{command} --dry-run", project.folder)
    assert not list(project.folder.glob("experiments/*_20*"))
    wrong_on_purpose = "--batchsize" in command or "--epoks" in command
    assert done.returncode == (2 if wrong_on_purpose else 0), done.stderr


OTHERS = re.compile(r"--help|background|bg_|--extend|\b(table|compare|notify|serve)\b")
ABOUT_A_BATCH = [line for line in SHOWN if not (PLANS.search(line) or OTHERS.search(line))]
ADD_OPTIONS = ("runner/cli/background_runs.py", *(str(path) for path in (PROJECT / "runner/cli/commands").glob("*.py")))


@pytest.mark.parametrize("command", ABOUT_A_BATCH)
def test_every_command_about_a_batch_works_on_one(project: Workspace, command: str) -> None:
    project.write("quick.sh", "echo done")
    project.run("--configs", "sweep/a.py", "--command", "sh quick.sh {config}", code=0)
    named = command.replace("experiment_20261120_214455", project.batch.name)
    done = run_line(named.replace("BATCH JOB", f"{project.batch.name} a"), project.folder)
    assert done.returncode == 0, done.stderr
    assert project.batch.name in done.stdout or "done" in done.stdout


@pytest.mark.parametrize("command", [line for line in SHOWN if re.search(r"\b(table|compare)\b", line)])
def test_every_command_about_a_table_shows_one(project: Workspace, command: str) -> None:
    job = "import sys; open(sys.argv[1] + '/metrics.jsonl', 'w').write('{\"val/loss\": 2.5}')"
    project.write("job.py", job)
    project.write("sweep/b.py", "learning_rate = 1e-3\nseed = 1\n")
    project.run("--configs", "sweep/?.py", "--command", "python job.py {out_dir} {config}", code=0)
    for folder in ("out", "multirun"):
        (project / folder).mkdir()
    done = run_line(command, project.folder)
    assert done.returncode == 0, done.stderr
    shown = (project / "results.csv").read_text() if "results.csv" in command else done.stdout
    assert "2.5" in shown


@pytest.mark.parametrize("arguments", DOCUMENT_002)
def test_every_command_of_the_runners_document_plans(project: Workspace, arguments: str) -> None:
    folder = project.folder
    if "--configs *.py" in arguments:  # it is run in the folder of the configs
        folder = project / "config" / "shkspr_char_diff"
    line = f"{shlex.quote(sys.executable)} {shlex.quote(str(RUN_EXPERIMENTS))} {arguments} --dry-run"
    done = subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, check=False)
    if "cuda" in arguments and not HAS_GPU:
        assert done.returncode == 2 and "--device cpu" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    assert "would run" in done.stdout


def test_links_between_documents_lead_somewhere() -> None:
    for path in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_the_documents_name_no_option_that_does_not_exist() -> None:
    from pipelines.diffusion.sampling.options import SampleSettings
    from runner.cli.options import parser
    from runner.configs import overrides
    from runner.core.checkout import load_plugins
    from runner.library import arguments

    load_plugins()  # which name settings of their own
    parsers = (parser(), arguments.parser("main.py"))
    known = {option for one in parsers for action in one._actions for option in action.option_strings}
    places = [path for place in ("bench/**/*.py", "data/*.py") for path in PROJECT.glob(place)]
    for path in [*places, *map(PROJECT.joinpath, ADD_OPTIONS)]:
        known |= set(re.findall(r'add_argument\(\s*"(--\w+)"', path.read_text()))
        names = re.findall(r'add\(parser, "(\w+)"', path.read_text())
        known |= {f"--{name}" for written in names for name in (written, written.replace("_", "-"))}
    known |= {"--out_dir", "--key", "--no-key", "--yes"}  # each job gets it; any setting; of rm and clean
    known |= {f"--{key}" for key in (*SampleSettings.model_fields, *overrides.FLAGS)}
    text = "\n".join(path.read_text() for path in PAGES)
    mentioned = set(re.findall(r"`(--[a-z][\w-]+)`", text))
    assert mentioned - known == set()


@pytest.mark.slow
def test_three_real_trainings_leave_the_documented_files(project: Workspace) -> None:
    project.run(
        "--configs", "config/shkspr_char_diff/*.py", "--dataset", "pydoc_char", "--device", "cpu", "--max_iters", 6,
        "--batch_size", 4, "--compile", "false", "--wandb_enabled", "false", "--eval_interval", 3, *SMALL, code=0,
    )  # fmt: skip
    names = ["easy_first", "moderate_first", "super_hard_first"]
    assert list(project.summary["results"]) == names and project.summary["completed"] == 3
    documented = {
        "stdout.log", "stderr.log", "combined.log", "config_used.py", "metrics.jsonl",
        "experiment_metadata.json", "experiment_result.json",
    }  # fmt: skip
    for name in names:
        found = {path.name for path in (project.batch / name).iterdir()}
        more = {path for path in found - documented if not path.endswith(".pt")}
        assert found >= documented and more <= {"resources.jsonl"}  # which a job of a second does not have
        assert project.result(name)["final_checkpoint"].endswith("ckpt_unmasking_6.pt")
        assert project.result(name)["final_metrics"]["val/loss"] > 0
        assert "step 6:" in (project.batch / name / "stdout.log").read_text()
    assert {path.name for path in project.batch.iterdir()} == {
        *names, "master_log.txt", "plan.json", "experiment_summary.json", "ended.json", ".lock",
    }  # fmt: skip


@pytest.mark.slow
def test_logs_can_be_followed_while_a_training_runs_and_ctrl_c_saves_it(project: Workspace) -> None:
    process = project.start(
        "--configs", "config/quickstart/easy.py", "--max_iters", 100000, "--eval_interval", 100000, *SMALL
    )  # fmt: skip
    log = project / "experiments/latest/easy/stdout.log"
    wait_until(lambda: log.exists() and "iter 20:" in log.read_text(), "the training trains", 60)
    followed = [
        project / f"experiments/latest/{name}" for name in ("master_log.txt", "easy/stdout.log", "easy/combined.log")
    ]
    for path in followed:
        tail = subprocess.Popen(["tail", "-n", "+1", "-f", str(path)], stdout=subprocess.PIPE, text=True)
        assert tail.stdout is not None
        assert any("iter" in line for line, _ in zip(tail.stdout, range(60), strict=False)), path
        tail.kill()
        tail.wait()
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143
    result = project.result("easy")
    assert result["status"] == "interrupted" and Path(result["final_checkpoint"]).exists()
    rows = [json.loads(line) for line in (project.batch / "easy" / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["iter"] >= 20


def test_the_figures_of_the_first_page_are_those_of_the_page_that_proves_them() -> None:
    from tests.planners import test_sweep_spec_errors as specs

    rows = re.findall(r"^\| \*\*.*$", (PROJECT / "README.md").read_text(), re.MULTILINE)
    kills, cost, errors = rows
    proof = (PROJECT / "docs/reliability.md").read_text()
    table = re.findall(r"^\| `python bench/torture.*?` \| (\d+) \|", proof, re.MULTILINE)
    assert f"**{sum(map(int, table)):,}** times" in kills
    ours, theirs = re.findall(r"(\d[\d.]*) ms", cost)
    bench = (PROJECT / "docs/performance.md").read_text()
    assert re.search(rf"^this runner +{ours} ", bench, re.MULTILINE)
    assert re.search(rf"^GNU parallel +{theirs} ", bench, re.MULTILINE)
    cases = specs.test_an_error_is_one_sentence_and_nothing_is_written.pytestmark[0].args[1]
    assert errors.startswith(f"| **{len(cases)}** of {len(cases)} ")
