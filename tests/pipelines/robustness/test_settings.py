"""The settings of robustness: what a config may contain, in sections too, and what is refused with its place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import configurator
from pipelines.llc.settings import LlcSettings
from pipelines.project_script import ProjectScript
from pipelines.robustness import classifier, data
from pipelines.robustness.settings import RobustnessSettings, checkpoint_bytes, parameter_count, unprepared
from runner.configs import config_file
from runner.core.errors import UserError
from src.api import ExperimentConfig
from tests.conftest import PROJECT

CONFIGS = sorted(path for kind in ("IMAGE", "TABULAR", "VECTOR") for path in (PROJECT / "config" / kind).glob("*.yaml"))


def resolve(folder: Path, text: str, **overrides: str) -> RobustnessSettings:
    path = folder / "a.yaml"
    path.write_text(text)
    settings = configurator.resolve(config_file.read(path), overrides)
    assert isinstance(settings, RobustnessSettings)
    return settings


def problems(folder: Path, text: str, **overrides: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        resolve(folder, f"pipeline: robustness\n{text}", **overrides)
    return [problem.replace(f"{folder}/", "") for problem in caught.value.problems]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_of_the_tree_fits_its_folder_and_its_name(path: Path) -> None:
    settings = ExperimentConfig.from_yaml(path)
    assert settings.dataset_name == path.parent.name
    assert settings.model_name == ("CNN" if path.parent.name == "IMAGE" else "MLP")
    assert settings.dataset is not None and path.stem.startswith(settings.dataset)
    assert settings.eval_only_successful_attacks and settings.config_path == str(path)


def test_there_are_configs_and_a_bare_name_means_one_file() -> None:
    assert len(CONFIGS) >= 9
    groups = PROJECT / "config/llc"  # of Hydra, which are named with their group: model=small
    names = [path.stem for path in (PROJECT / "config").rglob("*.*") if path.parent.parent != groups]
    assert len(set(names)) == len(names)


def test_a_config_without_a_pipeline_is_known_by_its_keys(tmp_path: Path) -> None:
    assert resolve(tmp_path, "dataset_name: TABULAR\nseed: 3\n").dataset == "breast_cancer"


def test_defaults_follow_from_the_kind_of_data(tmp_path: Path) -> None:
    image, vector = (resolve(tmp_path, f"dataset_name: {name}\n") for name in ("IMAGE", "VECTOR"))
    assert (image.dataset, image.model_name) == ("digits", "CNN")
    assert (vector.dataset, vector.model_name) == ("rings", "MLP")
    assert "blur" in (image.ood.kinds or []) and "blur" not in (vector.ood.kinds or [])
    assert not image.ood.enabled
    held_out = resolve(tmp_path, "dataset_name: VECTOR\nood: {held_out_class: 0}\n")
    assert held_out.ood.kinds is not None and held_out.ood.kinds[-1] == "held_out_class"
    assert RobustnessSettings().ood.kinds == image.ood.kinds  # no default is shared and changed


def test_sections_in_the_file_and_on_the_line_are_one(tmp_path: Path) -> None:
    text = "dataset_name: VECTOR\nattack: {eps: 0.3, steps: 7}\nood:\n  enabled: on\ndetector:\n"
    changed = resolve(tmp_path, text, **{"attack.steps": "9", "detector.name": "knn", "attack.random-start": "no"})
    assert (changed.attack.eps, changed.attack.steps, changed.attack.random_start) == (0.3, 9, False)
    assert changed.ood.enabled and changed.detector.name == "knn" and changed.detector.neighbours == 10
    whole = resolve(tmp_path, text, **{"attack": "{'eps': 1}", "attack.norm": "l2"})
    assert (whole.attack.eps, whole.attack.steps, whole.attack.norm) == (1.0, 20, "l2")


def test_sections_within_sections(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("pipeline: llc\nsampler: {gamma: 2.0, hmc: {draws: 40, warmup: 20}}\n")
    typed = {"sampler.hmc.draws": "50", "sampler.mala.draws": "60", "data.n-data": "70"}
    llc = configurator.resolve(config_file.read(path), typed)
    assert isinstance(llc, LlcSettings)
    assert (llc.sampler.gamma, llc.sampler.hmc.draws, llc.sampler.hmc.warmup) == (2.0, 50, 20)
    assert (llc.sampler.mala.draws, llc.sampler.mala.warmup, llc.data.n_data) == (60, 100, 70)
    typed = {"sampler.hmc.draws": "0", "sampler.hmc.drwas": "5", "sampler.hmc": "{'warmup': 9}"}
    with pytest.raises(UserError) as caught:
        configurator.resolve(config_file.read(path), typed)
    assert sorted(caught.value.problems) == [
        "--sampler.hmc.draws must be greater than or equal to 1, not 0",
        "--sampler.hmc.drwas: unknown key; did you mean --sampler.hmc.draws?",
    ]


def test_a_change_of_a_section_on_the_command_line_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("dataset_name: VECTOR\nattack: {eps: 0.3}\n")
    checked = ProjectScript().check(config_file.read(path), {"attack.eps": "0.5", "seed": "0"})
    assert checked.overrides == {"attack.eps": "0.5", "seed": "0"} and checked.changes == {"attack.eps": (0.3, 0.5)}
    assert checked.config["attack"]["eps"] == 0.5 and "config_path" not in checked.config


IN_THE_FILE = [
    ("attack:\n  name: pdg", "a.yaml:3: attack.name must be one of 'fgsm', 'pgd', not 'pdg'"),
    ("attack:\n  eps: 0.1\n  epsilon: 1", "a.yaml:4: attack.epsilon: unknown key; remove it"),
    ("attack:\n  stepsize: 1", "a.yaml:3: attack.stepsize: unknown key; did you mean 'step_size'?"),
    ("attack: {steps: 2.5}", "a.yaml:2: attack.steps must be a whole number, not 2.5"),
    ("attack: {eps: '0.1'}", "a.yaml:2: attack.eps must be a number, not '0.1'"),
    ("attack: {eps: -1}", "a.yaml:2: attack.eps must be greater than or equal to 0, not -1"),
    ("attack: {norm: L2}", "a.yaml:2: attack.norm must be one of 'linf', 'l2', not 'L2'; did you mean 'l2'?"),
    ("attack: {scale: [1, 2]}",
     "a.yaml:2: attack.scale is for the features of tables and points, and dataset_name is IMAGE; remove it"),
    ("dataset_name: VECTOR\nattack: {scale: [1, 2, 3]}",
     "a.yaml:3: attack.scale must have 2 values, one for each feature, and has 3"),
    ("dataset_name: VECTOR\nattack: {target: 3}",
     "a.yaml:3: attack.target is 3, and the classes are numbered from 0 to 2"),
    ("dataset_name: VECTOR\nattack: {target: 1}\nood: {held_out_class: 1}",
     "a.yaml:3: attack.target is the class that ood.held_out_class holds out; aim at another one"),
    ("attack: fgsm", "a.yaml:2: attack must be a dict, not 'fgsm'"),
    ("ood:\n  enabled: maybe", "a.yaml:3: ood.enabled must be true or false, not 'maybe'"),
    ("ood:\n  kinds:\n  - blur\n  - blurr",
     "a.yaml:5: ood.kinds[1] must be one of 'feature_shuffle', 'gaussian_noise', 'uniform_wide', 'patch_shuffle',"
     " 'blur', 'held_out_class', not 'blurr'; did you mean 'blur'?"),
    ("dataset_name: VECTOR\nood:\n  kinds: [blur]",
     "a.yaml:4: ood.kinds names blur, for images only, and dataset_name is VECTOR"),
    ("ood: {kinds: [held_out_class]}",
     "a.yaml:2: ood.kinds names held_out_class, and ood.held_out_class does not name the class"),
    ("dataset_name: VECTOR\nmodel_name: CNN", "a.yaml:3: model_name CNN needs images, and VECTOR has none; write MLP"),
    ("dataset_name: TABULAR\ndataset: rings",
     "a.yaml:3: dataset must be breast_cancer or wine for TABULAR, not 'rings'"),
    ("dataset_name: image",
     "a.yaml:2: dataset_name must be one of 'IMAGE', 'TABULAR', 'VECTOR', not 'image'; did you mean 'IMAGE'?"),
    ("export_features: csv", "a.yaml:2: export_features must be one of 'npy', 'npy+csv', 'npy+parquet', not 'csv'"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), IN_THE_FILE)
def test_an_error_in_the_file_is_one_sentence_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    assert problems(tmp_path, text) == [message]


ON_THE_LINE = [
    ({"attack.eps": "much"}, "--attack.eps must be a number, not 'much'"),
    ({"attack.eps": "-1"}, "--attack.eps must be greater than or equal to 0, not -1.0"),
    ({"attack.epz": "1"}, "--attack.epz: unknown key; did you mean --attack.eps?"),
    ({"seed.x": "1"}, "--seed.x: unknown key; did you mean --seed?"),
    ({"attack.eps.x": "1"}, "--attack.eps.x: unknown key; did you mean --attack.eps?"),
    ({"ood.kinds": "['held_out_class']"}, "--ood.kinds: ood.kinds names held_out_class, and"),
    ({"device": "gpu"}, "--device: 'gpu' is not a device; did you mean 'cuda'?"),
]


@pytest.mark.parametrize(("overrides", "message"), ON_THE_LINE)
def test_an_error_on_the_command_line_is_one_sentence_with_its_option(tmp_path: Path, overrides, message: str) -> None:
    (found,) = problems(tmp_path, "seed: 1", **overrides)
    assert found.startswith(message)


def test_mnist_is_taken_where_it_can_be_had(tmp_path: Path) -> None:
    assert resolve(tmp_path, "dataset_name: IMAGE\ndataset: mnist\n").dataset == "mnist"
    assert "there is no dataset 'mnits'" in problems(tmp_path, "dataset: mnits")[0]
    assert "holds characters" in problems(tmp_path, "dataset: pydoc_char")[0]


def test_patches_that_do_not_divide_the_image_are_refused_before_anything_starts(tmp_path: Path) -> None:
    data.open_images("digits")  # its size is known once it is prepared
    assert problems(tmp_path, "ood: {patches: 3}") == [
        "a.yaml:2: ood.patches (3) must divide the sides of an image, 8 x 8"
    ]


def test_settings_import_nothing_heavy() -> None:
    program = (
        "import src.api, sys; src.api.ExperimentConfig.from_dict({'dataset_name': 'VECTOR'})\n"
        "sys.exit(' '.join({'torch', 'numpy', 'matplotlib', 'sklearn', 'scipy', 'wandb'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_dictionary_is_checked_like_a_file() -> None:
    assert ExperimentConfig.from_dict({"dataset_name": "VECTOR", "attack": {"eps": 1}}).attack.eps == 1.0
    with pytest.raises(UserError, match=r"attack\.eps must be a number, not 'x'"):
        ExperimentConfig.from_dict({"dataset_name": "VECTOR", "attack": {"eps": "x"}})


@pytest.mark.parametrize(
    "given",
    [
        {"dataset_name": "IMAGE", "layers": 3, "channels": 4, "width": 20},
        {"dataset_name": "IMAGE", "model_name": "MLP", "layers": 3},
        {"dataset_name": "TABULAR", "dataset": "wine", "optimizer": "sgd"},
        {"dataset_name": "VECTOR", "vector": {"classes": 5}, "width": 300},
    ],
)
def test_the_size_of_a_checkpoint_is_predicted(tmp_path: Path, given) -> None:
    settings = RobustnessSettings(**given)
    rows = data.load(settings)
    network = classifier.build(settings, rows, torch.device("cpu"))
    assert network.parameter_count() == parameter_count(settings)
    optimizer = classifier.optimizer_of(network, settings)
    network(torch.from_numpy(rows.train.x[:4])).sum().backward()
    optimizer.step()
    path = tmp_path / "one.pt"
    torch.save(classifier.pack(network, optimizer, settings, rows, classifier.TrainState()), path)
    assert path.stat().st_size < checkpoint_bytes(settings) / 2


def test_images_that_are_not_prepared_are_prepared_before_the_batch(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new/prepare.py").write_text('KIND = "images"\n')
    images = RobustnessSettings(dataset=f"{tmp_path}/new").model_dump()
    assert unprepared(images) == [f"{tmp_path}/new/prepare.py"]
    assert unprepared(RobustnessSettings(dataset_name="VECTOR").model_dump()) is None


def test_a_config_without_the_later_keys_is_the_work_that_it_was(tmp_path: Path) -> None:
    plain = resolve(tmp_path, "dataset_name: VECTOR\n").model_dump(mode="json")["attack"]
    assert set(plain) == {"name", "norm", "eps", "examples", "steps", "step_size", "random_start"}
    more = resolve(tmp_path, "dataset_name: VECTOR\nattack: {scale: [1, 0], target: 0}\n").model_dump()["attack"]
    assert (more["scale"], more["target"]) == ([1.0, 0.0], 0)
