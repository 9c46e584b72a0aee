"""Which adapter a training script gets, what a checkout registers, and what is made ready before the first job."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from runner.configs import registry, scripts
from runner.configs.config_file import ConfigFile
from runner.configs.evaluator import Evaluator
from runner.configs.preparation import preparations, prepare
from runner.configs.registry import SCRIPTS
from runner.configs.scripts import recognize
from runner.configs.training_script import Checked, LeftOut, Preparation, TrainingScript
from runner.core import checkout
from runner.core.job import Job
from runner.core.registry import Registry
from runner.core.text import listed
from tests.conftest import PROJECT

checkout.load_plugins()

ARGPARSE = "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('config')\nparser.parse_args()\n"
NANOGPT = "lr = 1\nexec(open('configurator.py').read())\n"


@pytest.mark.parametrize(
    ("name", "text", "adapter"),
    [
        ("train.py", NANOGPT, "NanoGptScript"), ("train.py", ARGPARSE, "ArgparseScript"),
        ("train.py", NANOGPT + ARGPARSE, "NanoGptScript"), ("train.py", "print(1)\n", "UnknownScript"),
        ("train.sh", ARGPARSE, "UnknownScript"), ("train_run.py", "print(1)\n", "UnknownScript"),
    ],
)  # fmt: skip
def test_a_script_is_recognized_by_its_text(tmp_path: Path, name: str, text: str, adapter: str) -> None:
    (tmp_path / name).write_text(text)
    assert type(recognize(tmp_path / name)).__name__ == adapter


def test_the_projects_own_script_and_a_command_of_which_nothing_is_known() -> None:
    assert type(recognize(PROJECT / "train_run.py")).__name__ == "ProjectScript"
    assert type(recognize(None)).__name__ == "UnknownScript"


class Mine(TrainingScript):
    """An adapter with the least that it needs."""

    def check(self, config: ConfigFile, overrides: Mapping[str, str]) -> Checked:
        return Checked({**config.values, **overrides}, dict(overrides), {})

    def unprepared(self, config: Mapping[str, Any]) -> Preparation | None:
        return Preparation(config["data"], ("-c", config["program"])) if "data" in config else None


def recognize_mine(script: Path) -> Mine | None:
    return Mine() if script.name == "mine.py" else None


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A script that a registered adapter recognizes by its name."""
    own: Registry[registry.Recognizer] = Registry(
        "runner.scripts", "kind of training script", {name: f"runner.configs.{module}:recognize" for name, module in
        {"nanogpt": "nanogpt", "argparse": "argparse_script", "unknown": "unknown_script"}.items()}
    )  # fmt: skip
    own.register("mine", "tests.configs.test_scripts:recognize_mine")
    monkeypatch.setattr(scripts, "SCRIPTS", own)
    path = tmp_path / "mine.py"
    path.write_text(ARGPARSE)
    return path


def test_a_registered_adapter_comes_before_the_built_in_ones(mine: Path) -> None:
    assert isinstance(recognize(mine), Mine)
    other = mine.with_name("other.py")
    other.write_text(ARGPARSE)
    assert not isinstance(recognize(other), Mine)


def test_an_adapter_needs_nothing_but_check(mine: Path) -> None:
    adapter = recognize(mine)
    config = ConfigFile(Path("a.yaml"), b"", {"lr": 1}, {})
    assert adapter.check(config, {"lr": "2"}).arguments == ("--lr=2",)
    assert adapter.keys(config) is None and not adapter.unread({}) and not adapter.unmet_requirements()
    assert adapter.for_tree(config, "images", {"lr": "2"}, named=False) == {"lr": "2"} and not adapter.resolves


def test_what_jobs_need_is_made_once(mine: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    program = f"open({str(tmp_path / 'made')!r}, 'a').write('x')"
    config = {"data": "a dataset", "program": program}
    jobs = [Job(name, (), tmp_path / name, config=config, script=mine) for name in "ab"]
    jobs.append(Job("c", (), tmp_path / "c", script=mine))
    needed = preparations(jobs)
    assert not (tmp_path / "made").exists() and len(needed) == 1
    assert prepare(needed) == [] and (tmp_path / "made").read_text() == "x"
    assert capfd.readouterr().err == "preparing a dataset …\n"


def test_what_cannot_be_made_is_an_error_with_the_programs_last_line() -> None:
    failing = Preparation("a dataset", ("-c", "import sys; sys.exit('more\\nerror: no network')"))
    assert prepare([failing]) == ["a dataset: no network"]


def test_a_tree_runs_one_pipeline_unless_its_subdirectory_is_named() -> None:
    adapter = recognize(PROJECT / "train_run.py")
    config = adapter.read(PROJECT / "config/llc/" / next((PROJECT / "config/llc").glob("*.yaml")).name, Evaluator())
    assert adapter.for_tree(config, "llc", {}, named=False) == LeftOut("llc")
    assert adapter.for_tree(config, "llc", {"seed": "3"}, named=True) == {"seed": "3"}
    empty = ConfigFile(Path("a.yaml"), b"", {}, {})
    assert adapter.for_tree(empty, "IMAGE", {}, named=False) == {
        "pipeline": "robustness", "dataset_name": "IMAGE", "model_name": "CNN",
    }  # fmt: skip


def test_plugins_of_a_checkout_are_loaded_cheaply() -> None:
    assert next(SCRIPTS.by_priority()) == "project"
    program = (
        "import sys\nfrom runner.core.checkout import load_plugins\nload_plugins()\n"
        "sys.exit(bool({'pydantic', 'torch', 'configurator', 'importlib.metadata'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=True)


@pytest.mark.parametrize(("names", "text"), [("a", "a"), ("abc", "a, b, c"), ("abcde", "a, b, c and 2 more")])
def test_long_lists_of_names_are_cut_short(names: str, text: str) -> None:
    assert listed(list(names), 3) == text
