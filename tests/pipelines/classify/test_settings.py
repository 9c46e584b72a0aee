"""The settings of classify: what a config may contain, what is refused before anything starts, what a job will cost."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

import configurator
from pipelines.classify import train_state
from pipelines.classify.settings import ClassifySettings, checkpoint_bytes, lambdas, parameter_count
from pipelines.shared.images import open_images
from runner.configs import config_file
from runner.core.errors import UserError
from tests.conftest import PROJECT

CONFIGS = ["mlp/mlp_mnist", "mlp/mlp_digits", "greedy/greedy_mnist", "greedy/greedy_digits"]


def resolve(name: str, **overrides: str):
    return configurator.resolve(config_file.read(PROJECT / name), overrides)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_is_found_under_both_names_of_the_folder(name):
    settings = resolve(f"config/{name}.yaml")
    assert isinstance(settings, ClassifySettings)
    assert settings == resolve(f"configs/{name}.yaml")
    assert (settings.model, settings.dataset) == tuple(Path(name).name.split("_"))


def test_overrides_are_typed():
    settings = resolve("config/greedy/greedy_mnist.yaml", lr="1", lambda_ace="[0.1, 0, 1]", show="true", out_dir="x")
    assert settings.lr == 1.0 and settings.lambda_ace == [0.1, 0.0, 1.0] and settings.show and settings.out_dir == "x"
    assert resolve("config/greedy/greedy_mnist.yaml", lambda_ace="none").lambda_ace is None


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            {"lambda_ace": "[0.1]"},
            "--lambda_ace: lambda_ace has 1 value and must have 3 for the greedy model:"
            " one for each of the 4 layers but the last",
        ),
        ({"layers": "3"}, "--layers: lambda_ace has 3 values and must have 2 for the greedy model"),
        ({"width": "9"}, "--width: width (9) must be at least 10"),
        ({"lambda_ace": "[0.1, nan, 0.1]"}, "lambda_ace"),
        ({"ace_variant": "jss"}, "did you mean 'js'?"),
        ({"tau": "0"}, "--tau must be greater than 0"),
        ({"device": "gpu:1"}, "did you mean 'cuda:1'?"),
        ({"dataset": "mnits"}, "there is no dataset 'mnits'"),
        ({"dataset": "pydoc_char"}, "holds characters, but this pipeline trains on images; available: digits, mnist"),
        ({"learning_rate": "1"}, "unknown key"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_in_a_sentence(overrides, sentence):
    with pytest.raises(UserError) as caught:
        resolve("config/greedy/greedy_mnist.yaml", **overrides)
    assert len(caught.value.problems) == 1 and sentence in caught.value.problems[0]


def test_a_diffusion_config_refuses_images():
    with pytest.raises(UserError, match="'digits' holds images, but this pipeline trains on characters"):
        resolve("config/quickstart/easy.py", dataset="digits")


def test_an_mlp_does_not_read_lambda_ace():
    assert ClassifySettings(model="mlp", lambda_ace=[1.0]).lambda_ace == [1.0]


def test_no_lambda_means_zeros_and_one_layer_needs_none():
    assert lambdas(ClassifySettings(model="greedy", layers=3)) == [0.0, 0.0]
    assert lambdas(ClassifySettings(model="greedy", layers=1, lambda_ace=[])) == []
    with pytest.raises(ValidationError, match="must have 0"):
        ClassifySettings(model="greedy", layers=1, lambda_ace=[0.1])


def test_settings_import_nothing_heavy():
    program = (
        "import configurator, sys; configurator.settings_class('classify')\n"
        "sys.exit(' '.join({'torch', 'numpy', 'matplotlib', 'sklearn', 'wandb'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_configurator_prints_what_a_config_resolves_to():
    command = [sys.executable, "configurator.py", "config/greedy/greedy_mnist.yaml", "--lr=1"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert '"lr": 1.0' in done.stdout and '"pipeline": "classify"' in done.stdout


@pytest.mark.parametrize("words", [["config/mlp/mlp_digits.yaml"], ["--pipeline=classify"]])
def test_help_is_about_the_pipeline_of_the_config(words):
    command = [sys.executable, "configurator.py", *words, "--help"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert "--ace_variant=ce_i_next" in done.stdout and "--block_size" not in done.stdout


@pytest.mark.parametrize("model", ["mlp", "greedy"])
@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_the_size_of_a_checkpoint_is_predicted(tmp_path, model, optimizer):
    settings = ClassifySettings(model=model, optimizer=optimizer, layers=3, width=200)
    data = open_images("digits")
    built = train_state.build(settings, data, torch.device("cpu"))
    assert built.model.parameter_count() == parameter_count(settings)
    for loss, stepper in zip(built.model.losses(torch.rand(4, 64), torch.arange(4)), built.optimizers, strict=True):
        loss.backward()
        stepper.step()
    path = tmp_path / "one.pt"
    torch.save(train_state.pack(built, train_state.TrainState(), settings, data), path)
    assert 0.6 < 3 * path.stat().st_size / checkpoint_bytes(settings) < 1
