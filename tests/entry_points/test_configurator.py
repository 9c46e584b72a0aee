"""What a config resolves to: defaults <- file <- command line, and the sentence about every error on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

import configurator
from runner.configs import config_file
from runner.configs.config_file import ConfigFile
from runner.core.errors import UserError
from tests.conftest import PROJECT


class Stage(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["random", "sticky"] = "random"
    p1: float = Field(default=0.5, ge=0, le=1)


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")
    out_dir: str = "out"
    batch_size: int = Field(default=16, ge=1)
    max_iters: int = 5000
    n_embd: int = 384
    n_head: int = Field(default=6, ge=1)
    learning_rate: float = 1e-3
    min_lr: float | None = None
    seed: int | None = 1
    compile: bool = False
    wandb_log: bool = False
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    device: str = "auto"
    note: str | None = None
    betas: tuple[float, float] = (0.9, 0.99)
    stages: list[Stage] = []
    extra: dict[str, float] = {}
    anything: Any = None

    @field_validator("device")
    @classmethod
    def _known(cls, device: str) -> str:
        if device == "gpu":
            raise ValueError("'gpu' is no device; did you mean 'cuda'?")
        return device

    @model_validator(mode="after")
    def _divisible(self) -> Settings:
        if self.n_embd % self.n_head:
            raise ValueError(f"n_embd ({self.n_embd}) must be divisible by n_head ({self.n_head})")
        return self


def file(folder: Path, text: str, name: str = "x.py") -> ConfigFile:
    path = folder / name
    path.write_text(text)
    return config_file.read(path)


def on_line(**overrides: str) -> Settings:
    resolved = configurator.resolve_for(Settings, None, overrides)
    assert isinstance(resolved, Settings)
    return resolved


def problems(config: ConfigFile | None, **overrides: str) -> list[str]:
    with pytest.raises(UserError) as raised:
        configurator.resolve_for(Settings, config, overrides)
    folder = "" if config is None else f"{config.path.parent}/"
    return [problem.replace(folder, "") for problem in raised.value.problems]


def test_the_line_wins_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    config = file(tmp_path, "batch_size = 4\nmax_iters = 7\n")
    resolved = configurator.resolve_for(Settings, config, {"max_iters": "9"}).model_dump()
    assert (resolved["batch_size"], resolved["max_iters"], resolved["n_head"]) == (4, 9, 6)


LINE = [
    ("learning_rate", "1", 1.0), ("learning_rate", "1e-3", 1e-3), ("learning_rate", "inf", float("inf")),
    ("batch_size", "1e3", 1000), ("batch_size", "1_000", 1000), ("batch_size", "5000.0", 5000), ("seed", "-3", -3),
    ("compile", "true", True), ("compile", "True", True), ("compile", "1", True), ("compile", "yes", True),
    ("compile", "on", True), ("compile", "false", False), ("compile", "0", False), ("compile", "No", False),
    ("seed", "none", None), ("min_lr", "null", None), ("min_lr", "None", None), ("min_lr", "3", 3.0),
    ("note", "none", None),
    ("out_dir", "a=b=c", "a=b=c"), ("out_dir", "123", "123"), ("out_dir", "none", "none"), ("out_dir", "", ""),
    ("dtype", "bfloat16", "bfloat16"), ("betas", "[0.5, 1]", (0.5, 1.0)), ("betas", "(0.5, 0.6)", (0.5, 0.6)),
    ("extra", '{"a": 1}', {"a": 1.0}), ("extra", "{'a': 1e-3}", {"a": 1e-3}),
    ("stages", "[{'kind': 'sticky', 'p1': 1}]", [Stage(kind="sticky", p1=1.0)]), ("anything", "[1, true]", [1, True]),
    ("anything", "word", "word"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "text", "value"), LINE)
def test_text_on_the_line_means_what_its_field_takes(key: str, text: str, value: Any) -> None:
    meant = getattr(on_line(**{key: text}), key)
    assert (type(meant), meant) == (type(value), value)


WRITTEN = {
    "out_dir": st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    "batch_size": st.integers(1, 2**70),
    "max_iters": st.integers(-(2**70), 2**70),
    "learning_rate": st.floats(allow_nan=False),
    "min_lr": st.none() | st.floats(allow_nan=False),
    "seed": st.none() | st.integers(),
    "compile": st.booleans(),
    "dtype": st.sampled_from(["auto", "float32", "bfloat16"]),
    "betas": st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)),
    "extra": st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), st.floats(-1e9, 1e9), max_size=3),
    "stages": st.lists(st.builds(Stage, kind=st.sampled_from(["random", "sticky"]), p1=st.floats(0, 1)), max_size=3),
}


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(sorted(WRITTEN)).flatmap(lambda key: st.tuples(st.just(key), WRITTEN[key])))
def test_any_value_written_as_text_on_the_line_resolves_to_itself(row: tuple[str, Any]) -> None:
    key, value = row
    text = str([stage.model_dump() for stage in value] if key == "stages" else value)
    meant = getattr(on_line(**{key: text}), key)
    assert (type(meant), meant) == (type(value), value)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(sorted(Settings.model_fields)), st.text(max_size=12))
def test_no_text_on_the_line_ends_in_a_traceback(key: str, text: str) -> None:
    try:
        on_line(**{key: text})
    except UserError as error:
        assert all(problem.startswith("--") for problem in error.problems)


def test_both_spellings_of_a_key_and_the_alias_are_understood() -> None:
    resolved = configurator.resolve_for(Settings, None, {"batch-size": "3", "wandb-enabled": "on"}).model_dump()
    assert (resolved["batch_size"], resolved["wandb_log"]) == (3, True)


def test_a_file_is_checked_strictly_and_a_whole_number_is_a_number(tmp_path: Path) -> None:
    config = file(tmp_path, "learning_rate = 1\nbetas = [0, 1]\nmin_lr = None\n")
    resolved = configurator.resolve_for(Settings, config, {}).model_dump()
    assert (resolved["learning_rate"], resolved["betas"], resolved["min_lr"]) == (1.0, (0.0, 1.0), None)


@pytest.mark.parametrize("text", ["1e1", "10.0", "1_0"])
def test_a_whole_number_may_be_written_with_an_exponent(tmp_path: Path, text: str) -> None:
    resolved = configurator.resolve_for(Settings, file(tmp_path, f"batch_size = {text}\n"), {}).model_dump()
    assert resolved["batch_size"] == 10 and type(resolved["batch_size"]) is int


IN_THE_FILE = [
    ("batchsize = 8", "x.py:2: unknown key 'batchsize'; did you mean 'batch_size'?"),
    ("wandb_enabled = True", "x.py:2: unknown key 'wandb_enabled'; did you mean 'wandb_log'?"),
    ("colour = 8", "x.py:2: unknown key 'colour'; remove it (configurator.py --help lists the keys)"),
    ("batch_size = 'sixteen'", "x.py:2: batch_size must be a whole number, not 'sixteen'"),
    ("batch_size = '16'", "x.py:2: batch_size must be a whole number, not '16'"),
    ("batch_size = True", "x.py:2: batch_size must be a whole number, not True"),
    ("batch_size = 1.5", "x.py:2: batch_size must be a whole number, not 1.5"),
    ("batch_size = 0", "x.py:2: batch_size must be greater than or equal to 1, not 0"),
    ("learning_rate = True", "x.py:2: learning_rate must be a number, not True"),
    ("min_lr = 'x'", "x.py:2: min_lr must be a number or none, not 'x'"),
    ("compile = 1", "x.py:2: compile must be true or false, not 1"),
    ("dtype = 'bfloat'",
     "x.py:2: dtype must be one of 'auto', 'float32', 'bfloat16', not 'bfloat'; did you mean 'bfloat16'?"),
    ("device = 'gpu'", "x.py:2: device: 'gpu' is no device; did you mean 'cuda'?"),
    ("n_head = 5", "x.py:2: n_embd (384) must be divisible by n_head (5)"),
    ("stages = [{}, {'p1': 2}]", "x.py:2: stages[1].p1 must be less than or equal to 1, not 2"),
    ("stages = [{}, {'p1': 'x'}]", "x.py:2: stages[1].p1 must be a number, not 'x'"),
    ("stages = [{'kind': 'stiky'}]",
     "x.py:2: stages[0].kind must be one of 'random', 'sticky', not 'stiky'; did you mean 'sticky'?"),
    ("stages = [{'kid': 'sticky'}]", "x.py:2: stages[0].kid: unknown key; did you mean 'kind'?"),
    ("stages = 3", "x.py:2: stages must be a list such as [1, 2], not 3"),
    ("extra = {'a': 'b'}", "x.py:2: extra.a must be a number, not 'b'"),
    ("out_dir = '\\ud800'", "x.py:2: out_dir has half of a surrogate pair; write the character itself"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), IN_THE_FILE)
def test_an_error_in_the_file_is_refused_with_its_line(tmp_path: Path, line: str, expected: str) -> None:
    assert problems(file(tmp_path, f"# a config\n{line}\n")) == [expected]


ON_THE_LINE = [
    ("batchsize", "8", "--batchsize: unknown key; did you mean --batch_size?"),
    ("colour", "8", "--colour: unknown key; python train_run.py --help lists the keys"),
    ("batch_size", "sixteen", "--batch_size must be a whole number, not 'sixteen'"),
    ("batch_size", "1.5", "--batch_size must be a whole number, not '1.5'"),
    ("batch_size", "1e999999999", "--batch_size must be a whole number, not '1e999999999'"),
    ("batch_size", "none", "--batch_size must be a whole number, not 'none'"),
    ("batch_size", "0", "--batch_size must be greater than or equal to 1, not 0"),
    ("compile", "maybe", "--compile must be true or false, not 'maybe'"),
    ("min_lr", "x", "--min_lr must be a number or none, not 'x'"),
    ("dtype", "bfloat", "--dtype must be one of 'auto', 'float32', 'bfloat16', not 'bfloat'; did you mean 'bfloat16'?"),
    ("device", "gpu", "--device: 'gpu' is no device; did you mean 'cuda'?"),
    ("n_head", "5", "--n_head: n_embd (384) must be divisible by n_head (5)"),
    ("stages", "[{}, {'p1': 2}]", "--stages[1].p1 must be less than or equal to 1, not 2"),
    ("stages", "sticky", "--stages must be a list such as [1, 2], not 'sticky'"),
    ("out_dir", "\udcff", "--out_dir: is not UTF-8; check the encoding of the terminal"),
]


@pytest.mark.parametrize(("key", "text", "expected"), ON_THE_LINE)
def test_an_error_on_the_line_is_refused_with_its_option(key: str, text: str, expected: str) -> None:
    assert problems(None, **{key: text}) == [expected]


def test_all_errors_are_reported_at_once_the_files_by_line_then_the_options(tmp_path: Path) -> None:
    config = file(tmp_path, "dtype = 3\nbatchsize = 8\nseed = 'x'\ncompile = 'x'\n")
    assert [it.split(" ")[0] for it in problems(config, n_hed="3", max_iters="x", compile="no")] == [
        "x.py:1:", "x.py:2:", "x.py:3:", "--n_hed:", "--max_iters",
    ]  # fmt: skip


def test_an_error_in_yaml_names_its_line(tmp_path: Path) -> None:
    config = file(tmp_path, "compile: true\nlearning_rate: 1e-3\nbatchsize: 4\n", "easy.yaml")
    assert problems(config) == ["easy.yaml:3: unknown key 'batchsize'; did you mean 'batch_size'?"]


def test_an_unknown_pipeline_is_refused_with_its_place(tmp_path: Path) -> None:
    config = file(tmp_path, "\npipeline = 'difusion'\n")
    with pytest.raises(UserError, match=r"x\.py:2: unknown pipeline 'difusion'; did you mean 'diffusion'\?"):
        configurator.resolve(config, {})
    with pytest.raises(UserError, match=r"^--pipeline: unknown pipeline 'x'; there are classify, diffusion"):
        configurator.resolve(config, {"pipeline": "x"})


def test_the_command_line_gives_the_path_and_the_settings(tmp_path: Path) -> None:
    config = file(tmp_path, "batch_size = 4\n")
    path, resolved = configurator.from_command_line(
        [str(config.path), "--out_dir=a=b", "--max-iters", "1e3", "--min_lr", "0", "--wandb_enabled", "yes"]
    )
    values = resolved.model_dump()
    assert path == config.path
    assert [values[key] for key in ("batch_size", "out_dir", "max_iters", "min_lr", "wandb_log")] == [
        4, "a=b", 1000, 0.0, True,
    ]  # fmt: skip


INVALID_LINES = [
    ([], "no config; name one, such as config/quickstart/easy.py"),
    (["x.py", "y.py"], "y.py: one config at a time; options are written --key=value"),
    (["x.py", "--compile"], "--compile: has no value; write --compile=VALUE"),
    (["x.py", "-b=3"], "-b=3: unknown option; options are written --key=value"),
    (["missing.py"], "missing.py: no such file; check the name"),
    (["x.py", "--batchsize=3"], "--batchsize: unknown key; did you mean --batch_size?"),
]


@pytest.mark.parametrize(("argv", "expected"), INVALID_LINES)
def test_an_invalid_command_line_is_one_sentence_and_exit_code_2(
    argv: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.py").write_text("batch_size = 4\n")
    with pytest.raises(SystemExit) as raised:
        configurator.from_command_line(argv)
    assert (raised.value.code, capsys.readouterr().err) == (2, f"{expected}\n")


def test_the_program_prints_the_resolved_config_as_json(tmp_path: Path) -> None:
    config = file(tmp_path, "batch_size = 4\n")
    command = [sys.executable, "configurator.py", str(config.path), "--learning_rate=1"]
    resolved = json.loads(subprocess.check_output(command, cwd=PROJECT))
    assert (resolved["batch_size"], resolved["learning_rate"]) == (4, 1.0)


def test_resolving_never_loads_torch() -> None:
    program = (
        "import sys, configurator; configurator.resolve(None, {'batch_size': '3'});"
        "print([m for m in ('torch', 'numpy', 'wandb') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], cwd=PROJECT, text=True) == "[]\n"


@pytest.mark.parametrize(
    ("text", "pipeline"),
    [("model: mlp\nlr: 0.1\n", "classify"), ("n_layer: 2\nseed: 1\n", "diffusion"), ("seed: 1\n", "diffusion")],
)
def test_a_config_without_a_pipeline_gets_the_one_that_knows_most_of_its_keys(
    tmp_path: Path, text: str, pipeline: str
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    settings = configurator.resolve(config_file.read(path), {})
    assert settings.model_dump()["pipeline"] == pipeline
