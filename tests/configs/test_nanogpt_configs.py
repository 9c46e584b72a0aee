"""Configs of a script in nanoGPT's manner: they are executed among the script's own names, as its configurator does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runner.configs.config_file import DIGEST, ConfigFile
from runner.configs.reading import read_all
from runner.configs.scripts import recognize
from runner.configs.training_script import checked
from runner.core.errors import UserError
from tests.configs.test_training_script import CONFIGURATOR

TRAIN = """
import json, os
from math import sqrt as root
import platform
out_dir = 'out'
dataset = 'shakespeare'
max_iters = 600
lr_decay_iters = 600
learning_rate = 6e-4
betas = [0.9, 0.95]
wandb_run_name = 'gpt2'
dtype = 'bfloat16' if platform.system() == 'Linux' else 'float16'
_hidden = 1
config_keys = [k for k,v in globals().items() if not k.startswith('_') and isinstance(v, (int, float, bool, str, list))]
exec(open('configurator.py').read()) # overrides from command line or config file
import random
print(json.dumps({k: globals()[k] for k in config_keys}))
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    project = tmp_path / "project"
    project.mkdir()
    (project / "configurator.py").write_text(CONFIGURATOR)
    (project / "mybase.py").write_text("max_iters = 50\nwidth = 8\n")
    (project / "data").mkdir()
    (project / "data/meta.json").write_text('{"vocab_size": 65}')
    path = project / "train.py"
    path.write_text(TRAIN)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return path


def read(script: Path, text: str) -> ConfigFile | UserError:
    Path("x.py").write_text(text)
    (found,) = read_all(recognize(script), [Path("x.py")], 30)
    return found


def ran(script: Path) -> dict[str, Any]:
    """The values with which the script itself runs."""
    command = [sys.executable, "train.py", str(Path("x.py").resolve())]
    done = subprocess.run(command, cwd=script.parent, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


TEXTS: list[tuple[str, dict[str, Any]]] = [
    ("max_iters = 20\nlr_decay_iters = max_iters", {"max_iters": 20, "lr_decay_iters": 20}),
    ("lr_decay_iters = max_iters", {"lr_decay_iters": 600}),
    ("wandb_run_name = 'lr' + str(learning_rate) + '-' + dataset", {"wandb_run_name": "lr0.0006-shakespeare"}),
    ("from mybase import *\nlr_decay_iters = max_iters", {"max_iters": 50, "lr_decay_iters": 50, "width": 8}),
    ("import json\nlearning_rate = json.load(open('data/meta.json'))['vocab_size'] / 1e4", {"learning_rate": 0.0065}),
    ("out_dir = os.path.join('out', dataset)", {"out_dir": "out/shakespeare"}),
    ("learning_rate = root(4)", {"learning_rate": 2.0}),
    ("wandb_run_name = os.path.basename(__file__)", {"wandb_run_name": "train.py"}),
    ("max_iters = 600", {"max_iters": 600}),
    ("for max_iters in range(3): pass", {"max_iters": 2}),
    ("betas.append(0.99)", {"betas": [0.9, 0.95, 0.99]}),
    ("betas += [0.99]", {"betas": [0.9, 0.95, 0.99]}),
    ("max_iters *= 2", {"max_iters": 1200}),
    ("exec(open('mybase.py').read())", {"max_iters": 50, "width": 8}),
    ("assert max_iters and dataset", {}),
    ("names = [max_iters for max_iters in (1, 2)]\nimport math", {"names": [1, 2]}),
]


@pytest.mark.parametrize(("text", "values"), TEXTS)
def test_a_config_has_the_values_that_it_has_in_the_script(script: Path, text: str, values: dict[str, Any]) -> None:
    config = read(script, text)
    assert isinstance(config, ConfigFile) and config.values == values and config.partial is None
    resolved = checked(recognize(script), config, {}).config
    assert {key: resolved[key] for key in ran(script) if key != "dtype"} == {
        key: value for key, value in ran(script).items() if key != "dtype"
    }


@pytest.mark.parametrize("text", ["wandb_run_name = dtype\nmax_iters = 5", "import math\nmax_iters = 5\nx = dtype"])
def test_a_name_that_only_the_running_script_knows_is_no_error(script: Path, text: str) -> None:
    config = read(script, text)
    assert isinstance(config, ConfigFile) and config.partial == "reads dtype, which only the running script knows"
    assert config.values.keys() == {"max_iters", DIGEST}
    assert not checked(recognize(script), config, {}).warnings


@pytest.mark.parametrize("name", ["datset", "random"])
def test_a_name_that_the_script_does_not_have_yet_is_an_error(script: Path, name: str) -> None:
    (sentence,) = read(script, f"max_iters = 5\nwandb_run_name = str({name})\n").problems  # type: ignore[union-attr]
    assert sentence.startswith(f"x.py:2: NameError: name '{name}' is not defined; ")


@pytest.mark.parametrize("name", ["WANDB_NAME", "WANDB_RUN_GROUP", "RUNNER_JOB_ID"])
def test_a_variable_that_only_the_job_has_is_another_value_each_time(
    script: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(name, raising=False)
    config = read(script, f"import os\nwandb_run_name = os.environ['{name}']\nmax_iters = 5\n")
    assert isinstance(config, ConfigFile) and config.volatile == ("wandb_run_name",)
    result = checked(recognize(script), config, {})
    assert result.volatile == ("wandb_run_name",) and "wandb_run_name" not in result.config
    assert checked(recognize(script), config, {"wandb_run_name": "mine"}).config["wandb_run_name"] == "mine"


def test_the_error_for_a_missing_file_names_the_folder_in_which_it_was_looked_for(script: Path) -> None:
    (sentence,) = read(script, "text = open('nothing.txt').read()\n").problems  # type: ignore[union-attr]
    assert str(script.parent) in sentence
