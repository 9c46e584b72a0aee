"""What the runner knows about a training script before it starts one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from runner.configs import config_file
from runner.configs.config_file import ConfigFile
from runner.configs.scripts import recognize
from runner.configs.training_script import Checked
from runner.core import checkout
from runner.core.errors import UserError
from tests.conftest import PROJECT

checkout.load_plugins()  # train_run.py is known by its own adapter

# As nanoGPT's configurator.py does it: exec the config, then literal_eval of each value, and exactly the same type.
CONFIGURATOR = """
import sys
from ast import literal_eval
for arg in sys.argv[1:]:
    if '=' not in arg:
        exec(open(arg).read())
    else:
        key, val = arg.split('=')
        key = key[2:]
        if key not in globals():
            raise ValueError(f"Unknown config key: {key}")
        try:
            attempt = literal_eval(val)
        except (SyntaxError, ValueError):
            attempt = val
        assert type(attempt) == type(globals()[key])
        globals()[key] = attempt
"""

TRAIN = """
import json, os
import platform
out_dir = 'out'
eval_interval = 2000
wandb_log = False
wandb_run_name = 'gpt2' # 'run' + str(time.time())
gradient_accumulation_steps = 5 * 8
batch_size = 12
learning_rate = 6e-4
grad_clip: float = 1.0
dtype = 'bfloat16' if platform.system() == 'Linux' else 'float16'
n_cpu = os.cpu_count()
_hidden = 1
config_keys = [k for k,v in globals().items() if not k.startswith('_') and isinstance(v, (int, float, bool, str))]
exec(open('configurator.py').read()) # overrides from command line or config file
config = {k: globals()[k] for k in config_keys}
later = 3
print(json.dumps(config))
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "configurator.py").write_text(CONFIGURATOR)
    path = tmp_path / "train.py"
    path.write_text(TRAIN)
    return path


def config(folder: Path, text: str, name: str = "x.py") -> ConfigFile:
    path = folder / name
    path.write_text(text)
    return config_file.read(path)


def check(script: Path | None, file: ConfigFile, overrides: dict[str, str]) -> Checked:
    return recognize(script).check(file, overrides)


def problems(script: Path | None, file: ConfigFile, **overrides: str) -> list[str]:
    with pytest.raises(UserError) as raised:
        check(script, file, overrides)
    return [problem.replace(f"{file.path.parent}/", "") for problem in raised.value.problems]


# A script that follows nanoGPT's convention

ACCEPTED = [
    ("learning_rate", "1", "1.0"), ("learning_rate", "1e-3", "0.001"), ("learning_rate", "inf", "1e999"),
    ("batch_size", "1e3", "1000"), ("batch_size", "5000.0", "5000"), ("gradient_accumulation_steps", "4", "4"),
    ("wandb_log", "false", "False"), ("wandb_log", "1", "True"), ("out_dir", "plain", "plain"),
    ("out_dir", "123", "'123'"), ("out_dir", "'123'", "'123'"), ("out_dir", "None", "'None'"),
    ("out_dir", "a=b", r"'a\x3db'"), ("dtype", "float32", "float32"), ("grad_clip", "0", "0.0"), ("n_cpu", "3", "3"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "given", "passed"), ACCEPTED)
def test_a_value_reaches_a_nanogpt_script_in_the_type_that_it_demands(
    script: Path, key: str, given: str, passed: str
) -> None:
    checked = check(script, config(script.parent, "eval_interval = 5\n"), {key: given})
    assert checked.overrides == {key: passed}
    command = [sys.executable, script.name, "x.py", f"--{key}={passed}"]
    ran = subprocess.run(command, cwd=script.parent, capture_output=True, text=True, check=True)
    assert f'"eval_interval": {checked.config["eval_interval"]}' in ran.stdout
    received = json.loads(ran.stdout)[key]
    assert (type(received), received) == (type(checked.config[key]), checked.config[key])


REFUSED = [
    ("batchsize", "3", "--batchsize: unknown key; did you mean --batch_size?"),
    ("batch_size", "sixteen", "--batch_size must be a whole number, not 'sixteen'"),
    ("batch_size", "1.5", "--batch_size must be a whole number, not '1.5'"),
    ("batch_size", "True", "--batch_size must be a whole number, not 'True'"),
    ("wandb_log", "maybe", "--wandb_log must be true or false, not 'maybe'"),
    ("learning_rate", "none", "--learning_rate must be a number, not 'none'"),
    ("learning_rate", "nan", "--learning_rate must be a number that Python can write, not nan"),
    ("_hidden", "3", "--_hidden: unknown key; train.py does not define it"),
    ("later", "3", "--later: unknown key; train.py does not define it"),
]


@pytest.mark.parametrize(("key", "text", "expected"), REFUSED)
def test_what_a_nanogpt_script_would_refuse_is_refused_before(script: Path, key: str, text: str, expected: str) -> None:
    assert problems(script, config(script.parent, ""), **{key: text}) == [expected]


def test_the_config_of_a_nanogpt_script_resolves_over_its_defaults(script: Path) -> None:
    file = config(script.parent, "batch_size = 4\nlearning_rate = 1e-3\n")
    checked = check(script, file, {"batch-size": "8", "wandb_enabled": "true", "eval_interval": "2000"})
    assert checked.overrides == {"batch_size": "8", "wandb_log": "True", "eval_interval": "2000"}
    assert checked.changes == {"batch_size": (4, 8), "wandb_log": (False, True)}
    assert checked.config["learning_rate"] == 1e-3
    assert checked.config["gradient_accumulation_steps"] == 40
    assert "dtype" not in checked.config  # only the running script knows it


def test_a_typo_in_the_config_of_a_nanogpt_script_is_refused_and_an_unknown_key_is_only_mentioned(script: Path) -> None:
    file = config(script.parent, "eval_interval = 5\nbatchsize = 4\ncolour = 1\n")
    assert problems(script, file) == ["x.py:2: unknown key 'batchsize'; did you mean 'batch_size'?"]
    checked = check(script, config(script.parent, "colour = 1\n"), {})
    assert checked.warnings == (f"{file.path}:1: {script} does not know the key 'colour'",)


def test_a_nanogpt_script_does_not_take_yaml(script: Path) -> None:
    file = config(script.parent, "batch_size: 3\n", "x.yaml")
    assert problems(script, file) == ["x.yaml: train.py executes its config as Python; write a .py config"]


VARIANTS = [
    "exec(open('configurator.py').read())",
    "exec(Path('configurator.py').read_text())",
    "exec(compile(open(os.path.join(here, 'configurator.py')).read(), 'configurator.py', 'exec'))",
    "from configurator import configure\nconfigure(globals())",
    "import nano.configurator",
    "config_keys = [k for k, v in globals().items() if isinstance(v, int)]\nexec(open(conf).read())",
    "for arg in sys.argv[1:]:\n    key, value = arg[2:].split('=')\n    globals()[key] = type(globals()[key])(value)",
    "if len(sys.argv) > 1:\n    exec(open('configurator.py').read())",
]


@pytest.mark.parametrize("handover", VARIANTS)
def test_variants_of_the_convention_are_recognised(tmp_path: Path, handover: str) -> None:
    script = tmp_path / "train.py"
    script.write_text(f"import os, sys\nfrom pathlib import Path\nbatch_size = 4\n{handover}\nprint(batch_size)\n")
    assert problems(script, config(tmp_path, ""), batchsize="3") == [
        "--batchsize: unknown key; did you mean --batch_size?"
    ]


def test_a_script_is_never_executed(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    script = tmp_path / "train.py"
    script.write_text(f"batch_size = 4\nopen({str(marker)!r}, 'w')\nexec(open('configurator.py').read())\n")
    check(script, config(tmp_path, ""), {"batch_size": "3"})
    assert not marker.exists()


def test_a_script_that_cannot_be_parsed_is_refused_with_its_line(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("a = 1\nb = = 2\n")
    assert problems(script, config(tmp_path, "")) == ["train.py:2: invalid syntax in 'b = = 2'; correct this line"]
    assert problems(tmp_path / "nope.py", config(tmp_path, "")) == ["nope.py: no such file; check the name"]


# Any other program


@pytest.mark.parametrize("name", [None, "argparse_script.py", "train.sh", "train"])
def test_any_other_program_takes_the_overrides_as_they_are(tmp_path: Path, name: str | None) -> None:
    script = None if name is None else tmp_path / name
    if script is not None:
        script.write_text("import argparse\nargparse.ArgumentParser()\n")
    given = {"lr": "1", "flag": "true", "text": "a=b", "wandb_enabled": "false", "batch_size": "4"}
    checked = check(script, config(tmp_path, "lr = 1e-3\nother = 2\nbatch_size = 4\n"), given)
    renamed = {"wandb_log" if key == "wandb_enabled" else key: text for key, text in given.items()}
    assert checked.overrides == renamed
    assert checked.config == {
        "lr": 1, "other": 2, "batch_size": 4, "flag": True, "text": "a=b", "wandb_log": False,
    }  # fmt: skip
    assert checked.changes["lr"] == (1e-3, 1)
    assert "batch_size" not in checked.changes


SPELLINGS = [
    ("batch-size: 4\n", "batch_size", "batch-size"), ("batch-size: 4\n", "batch-size", "batch-size"),
    ("batch_size: 4\n", "batch-size", "batch_size"), ("lr: 4\n", "batch-size", "batch-size"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "given", "recorded"), SPELLINGS)
def test_an_unknown_program_gets_a_key_as_it_was_given_and_the_record_has_the_configs_spelling(
    tmp_path: Path, text: str, given: str, recorded: str
) -> None:
    checked = check(None, config(tmp_path, text, "x.yaml"), {given: "8"})
    assert checked.arguments == (f"--{given}=8",)
    assert checked.overrides == {recorded: "8"} and checked.config[recorded] == 8
    assert len(checked.config) == len({*text.split(":")[:1], recorded})


ARGPARSE = """\
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("config")
parser.add_argument("--out_dir")
parser.add_argument("--batch-size", "--bs", type=int, default=2)
parser.add_argument("--weight_decay", type=float)
args = parser.parse_args()
"""


@pytest.mark.parametrize("given", ["batch-size", "batch_size", "bs"])
@pytest.mark.parametrize(("text", "recorded"), [("batch-size: 4\n", "batch-size"), ("lr: 4\n", "batch_size")])
def test_an_argparse_script_gets_the_option_as_its_parser_defines_it(
    tmp_path: Path, given: str, text: str, recorded: str
) -> None:
    (tmp_path / "t.py").write_text(ARGPARSE)
    checked = check(tmp_path / "t.py", config(tmp_path, text, "x.yaml"), {given: "8", "weight-decay": "1"})
    assert checked.arguments == ("--batch-size=8", "--weight_decay=1")
    name = given if given == "bs" and recorded == "batch_size" else recorded
    assert checked.config[name] == 8 and checked.overrides == {name: "8", "weight_decay": "1"}


NANOGPT = "batch_size = 2\nwandb_log = False\nexec(open('configurator.py').read())\n"


@pytest.mark.parametrize("program", [ARGPARSE, NANOGPT, ""])
def test_two_names_of_one_setting_are_an_error_since_one_value_would_be_lost(tmp_path: Path, program: str) -> None:
    (tmp_path / "t.py").write_text(program)
    given = {"batch-size": "8", "bs": "9"} if program == ARGPARSE else {"wandb_enabled": "true", "wandb_log": "false"}
    first, second = given
    assert problems(tmp_path / "t.py", config(tmp_path, ""), **given) == [
        f"--{first.replace('-', '_')} and --{second} are the same setting; give one of them"
    ]


# The project's own


def test_the_projects_script_takes_what_its_settings_take(tmp_path: Path) -> None:
    file = config(tmp_path, "batch_size = 4\n")
    given = {"batch-size": "8", "wandb_enabled": "true", "bias": "0", "learning_rate": "1e-3", "max_iters": "1e3"}
    checked = check(PROJECT / "train_run.py", file, given)
    assert checked.overrides == {
        "batch_size": "8", "wandb_log": "True", "bias": "False", "learning_rate": "1e-3", "max_iters": "1e3",
    }  # fmt: skip
    assert checked.changes["batch_size"] == (4, 8)
    assert checked.changes["wandb_log"] == (False, True)
    assert checked.config["max_iters"] == 1000
    assert "bias" not in checked.changes


def test_all_errors_for_the_projects_script_are_reported_at_once(tmp_path: Path) -> None:
    file = config(tmp_path, "batchsize = 4\nblock_size = 'x'\n")
    assert problems(PROJECT / "train_run.py", file, device="gpu", max_iter="3") == [
        "x.py:1: unknown key 'batchsize'; did you mean 'batch_size'?",
        "x.py:2: block_size must be a whole number, not 'x'",
        "--max_iter: unknown key; did you mean --max_iters?",
        "--device: 'gpu' is not a device; did you mean 'cuda'?",
    ]


def test_an_override_may_fix_an_error_in_the_config(tmp_path: Path) -> None:
    file = config(tmp_path, "batch_size = 'many'\n")
    checked = check(PROJECT / "train_run.py", file, {"batch_size": "8", "compile": "1"})
    assert checked.changes == {"batch_size": ("many", 8), "compile": ("auto", True)}
