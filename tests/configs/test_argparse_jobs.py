"""Jobs of argparse scripts: overrides are checked before the start and written as the script takes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner.cli import starting
from runner.configs import config_file, opaque
from runner.configs.argparse_script import ArgparseScript, recognize
from runner.configs.training_script import Checked
from runner.core.errors import UserError
from tests.conftest import Workspace

TRAIN = """\
import argparse, json
parser = argparse.ArgumentParser()
parser.add_argument("config")
parser.add_argument("--out_dir", default="out")
parser.add_argument("--lr", type=float, default=1e-3)
parser.add_argument("--batch-size", type=int, default=8)
parser.add_argument("--betas", type=float, nargs=2, default=[0.9, 0.99])
parser.add_argument("--amp", action="store_true")
parser.add_argument("--optimizer", choices=["adam", "sgd"], default="adam")
args = parser.parse_args()
print(json.dumps(vars(args)))
"""
OPTIONS = TRAIN.replace('"config"', '"--cfg"').replace("--out_dir", "--output-dir")
POSITIONAL = 'parser.add_argument("config")\n'


def script(folder: Path, text: str) -> ArgparseScript:
    path = folder / "train.py"
    path.write_text(text)
    found = recognize(path)
    assert found is not None
    return found


def check(folder: Path, text: str, config: str = "lr: 0.5\n", **overrides: str) -> Checked:
    path = folder / "a.yaml"
    path.write_text(config)
    return script(folder, text).check(config_file.read(path), overrides)


def errors(folder: Path, text: str, **overrides: str) -> list[str]:
    with pytest.raises(UserError) as raised:
        check(folder, text, **overrides)
    return [problem.replace(f"{folder}/", "") for problem in raised.value.problems]


def test_overrides_reach_the_script_as_it_takes_them(work: Workspace) -> None:
    work.write("train.py", TRAIN)
    work.write("c/a.yaml", "depth: 3\n")
    words = ("--batch_size", "1e2", "--betas", "[0.5, 0.75]", "--amp", "true", "--lr", "1")
    work.run("--configs", "c/a.yaml", "--train_script", "train.py", *words, code=0)
    given = json.loads((work.batch / "a/stdout.log").read_text()[24:])
    assert given == {
        "config": str(work / "c/a.yaml"), "out_dir": f"{work.batch}/a", "lr": 1.0, "batch_size": 100,
        "betas": [0.5, 0.75], "amp": True, "optimizer": "adam",
    }  # fmt: skip


def test_every_error_is_found_before_anything_starts(work: Workspace) -> None:
    work.write("train.py", TRAIN)
    work.write("c/a.yaml", "depth: 3\n")
    words = ("--batchsize", "4", "--lr", "fast", "--optimizer", "adan")
    stderr = work.run("--configs", "c/a.yaml", "--train_script", "train.py", *words, code=2).stderr
    assert "--batchsize: unknown key; did you mean --batch_size?" in stderr
    assert "--lr must be a number, not 'fast'" in stderr
    assert "--optimizer must be one of 'adam', 'sgd', not 'adan'; did you mean 'adam'?" in stderr
    assert not (work / "experiments").exists()


def test_what_an_override_changes_is_known(tmp_path: Path) -> None:
    checked = check(tmp_path, TRAIN, lr="0.25", batch_size="16", optimizer="adam")
    assert checked.changes == {"lr": (0.5, 0.25), "batch_size": (8, 16)}
    assert checked.config == {"lr": 0.25, "batch_size": 16, "optimizer": "adam"}


def test_a_record_keeps_the_literal_where_the_word_is_passed_as_it_is(tmp_path: Path) -> None:
    """So the config of a job is the same as in a record that was written before scripts were read."""
    assert repr(check(tmp_path, TRAIN, lr="1").config["lr"]) == "1"
    assert repr(check(tmp_path, TRAIN, batch_size="1e1").config["batch_size"]) == "10"


@pytest.mark.parametrize(
    ("text", "cause", "command"),
    [
        (OPTIONS, "a config as its first argument", "--cfg {config} --output-dir {out_dir} {overrides}"),
        (OPTIONS.replace("--output-dir", "--out_dir"), "a config as its", "--cfg {config} --out_dir {out_dir} {over"),
        (TRAIN.replace("--out_dir", "--save-dir"), "does not take --out_dir", "{config} --save-dir {out_dir} {over"),
        (TRAIN.replace("--out_dir", "--seed"), "does not take --out_dir", "{config} {overrides}"),
    ],
)
def test_a_script_that_cannot_take_the_arguments_is_an_error_that_names_the_command(
    tmp_path: Path, text: str, cause: str, command: str
) -> None:
    (error,) = errors(tmp_path, text)
    assert error.startswith("train.py: ") and cause in error
    assert '; start it with --command "python ' in error and f"train.py {command}" in error


#: Scripts of which the settings are options, and nothing else.
ALONE = TRAIN.replace(POSITIONAL, "")
SAVES = ALONE.replace("--out_dir", "--save-dir")


def test_a_script_that_takes_no_config_gets_its_settings_as_options(tmp_path: Path) -> None:
    settings = "lr: 0.5\nbatch_size: 4\nbetas: [0.5, 0.75]\namp: true\noptimizer: null\n"
    checked = check(tmp_path, SAVES, settings, lr="0.25")
    assert checked.arguments == ("--lr=0.25", "--batch-size=4", "--betas", "0.5", "0.75", "--amp")
    assert not checked.takes_config and checked.out_dir_option == "--save-dir" and checked.warnings == ()
    assert checked.overrides == {"lr": "0.25"} and checked.changes == {"lr": (0.5, 0.25)}
    assert check(tmp_path, SAVES, "amp: false\n").arguments == ()
    (warning,) = check(tmp_path, ALONE.replace("--out_dir", "--seed")).warnings
    assert "has no option for a folder" in warning


@pytest.mark.parametrize(
    ("config", "error"),
    [
        ("seed: 1\nlr: 0.1\nbach_size: 3\n", "a.yaml:3: bach_size: unknown key; did you mean --batch_size?"),
        ("lr: 0.1\noptimizer: rms\n", "a.yaml:2: optimizer must be one of 'adam', 'sgd', not 'rms'"),
        ("save_dir: x\n", "a.yaml:1: save_dir is set by the runner for each job; leave it out"),
    ],
)
def test_an_error_in_the_config_of_such_a_script_has_its_place(tmp_path: Path, config: str, error: str) -> None:
    text = SAVES.replace('"--amp"', '"--seed", type=int)\nparser.add_argument("--amp"')
    with pytest.raises(UserError) as raised:
        check(tmp_path, text, config)
    assert [problem.replace(f"{tmp_path}/", "") for problem in raised.value.problems] == [error]


def test_a_config_of_which_not_all_is_known_cannot_be_given_as_options(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import os\nlr = float(os.environ['LR'])\n")
    adapter = script(tmp_path, SAVES)
    with pytest.raises(UserError, match=r"write plain values, since .*train\.py takes no config file"):
        adapter.check(opaque.read(tmp_path / "a.py"), {})


def printed(work: Workspace, job: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((work.batch / job / "stdout.log").read_text().splitlines()[0][24:])
    return found


def test_sweeps_and_searches_of_such_a_script(work: Workspace) -> None:
    work.write("train.py", f"{SAVES}print('step 1: val loss 0.5')\n")
    work.write("a.yaml", "batch_size: 4\n")
    spec = "name: s\nbase_config: a.yaml\ntrain_script: train.py\n"
    work.write("grid.yaml", f"{spec}sweep: {{optimizer: [adam, sgd]}}\n")
    work.write("find.yaml", f"{spec}search: {{lr: {{log: [0.1, 1]}}, metric: val/loss, trials: 2}}\n")
    work.write("flag.yaml", f"{spec}search: {{amp: {{choice: [true, false]}}, metric: val/loss, trials: 2}}\n")
    work.run("--exp", "grid.yaml", code=0)
    given = [printed(work, f"run_00{number}") for number in range(2)]
    assert [one["optimizer"] for one in given] == ["adam", "sgd"] and given[0]["batch_size"] == 4
    assert given[1]["save_dir"] == f"{work.batch}/run_001"
    work.run("--exp", "find.yaml", code=0)
    for number in range(2):
        trial = json.loads((work.batch / f"trial_000{number}/trial.json").read_text())
        out = printed(work, f"trial_000{number}")
        assert out["lr"] == pytest.approx(trial["params"]["lr"]) and out["batch_size"] == 4
    assert "takes no config file, and has no option --amp" in work.run("--exp", "flag.yaml", code=2).stderr


def test_a_script_in_the_place_of_a_config_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "DEFAULT_SCRIPT", tmp_path / "train_run.py")  # as outside of a checkout
    programs = {"train.py": SAVES, "train.sh": "python train.py\n"}
    for name, text in {**programs, "a.py": "lr = 1\n", "a.yaml": "lr: 1\n"}.items():
        (tmp_path / name).write_text(text)
        _, (error,) = starting.start(starting.Given({}, {}, tmp_path, configs=(name,)))
        assert error.startswith(f"{name}: is a program, not a config; ") == (name in programs)
        assert ("--command 'bash {config}'" if name == "train.sh" else "--train_script") in error
        assert ("if a.py is the program" in error) == (name == "a.py")


MORE = [
    ("parser.parse_args()", "parser.parse_known_args()[0]"),
    ("args = ", "import more; more.add(parser)\nargs = "),
]


@pytest.mark.parametrize("change", MORE)
def test_a_script_that_may_take_more_gets_the_usual_command_line(tmp_path: Path, change: tuple[str, str]) -> None:
    checked = check(tmp_path, OPTIONS.replace(*change), colour="red")
    assert checked.arguments == ("--colour=red",) and checked.out_dir_option == "--out_dir"
    assert len(checked.warnings) == 1 and checked.warnings[0].startswith("--colour: ")


def test_a_dry_run_reports_that_overrides_are_not_checked(work: Workspace) -> None:
    work.write("train.py", "import argparse\nfrom cli import parse\nprint(parse(argparse.ArgumentParser))\n")
    work.write("c/a.yaml", "depth: 3\n")
    command = ("--configs", "c/a.yaml", "--train_script", "train.py", "--dry-run")
    assert "unchecked" in work.run(*command, "--lr", "1", code=0).stdout
    assert "unchecked" not in work.run(*command, code=0).stdout


def test_the_folder_is_passed_in_the_scripts_own_spelling(work: Workspace) -> None:
    work.write("train.py", TRAIN.replace("--out_dir", "--out-dir"))
    work.write("c/a.yaml", "depth: 3\n")
    work.run("--configs", "c/a.yaml", "--train_script", "train.py", code=0)
    assert work.result("a")["command"][3] == f"--out-dir={work.batch}/a"
