"""Every key that a robustness config may set, with its default and its limits. Never imports torch or numpy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from pipelines.shared.settings_types import (
    Device,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Seed,
    dataset_folder,
    dataset_meta,
    dataset_of,
    unprepared_by_script,
)

DatasetName = Literal["IMAGE", "TABULAR", "VECTOR"]
Kind = Literal["feature_shuffle", "gaussian_noise", "uniform_wide", "patch_shuffle", "blur", "held_out_class"]
DetectorName = Literal["msp", "energy", "mahalanobis", "knn"]

#: The datasets of each kind; the first one is the default. IMAGE accepts any prepared images.
DATASETS = {"IMAGE": ("digits", "mnist"), "TABULAR": ("breast_cancer", "wine"), "VECTOR": ("rings", "blobs")}
KINDS: dict[str, list[Kind]] = {
    "IMAGE": ["gaussian_noise", "uniform_wide", "patch_shuffle", "blur"],
    "TABULAR": ["feature_shuffle", "gaussian_noise", "uniform_wide"],
    "VECTOR": ["feature_shuffle", "gaussian_noise", "uniform_wide"],
}
ONLY_IMAGES = {"patch_shuffle", "blur"}
IMAGES_EXIST = dataset_of("images").func


def _or_defaults(value: Any) -> Any:
    return {} if value is None else value  # a section with every line commented out


OR_DEFAULTS = BeforeValidator(_or_defaults)


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class VectorSettings(Section):
    """The points of a VECTOR dataset, drawn from the seed."""

    examples: Annotated[int, Field(ge=50)] = 1500
    classes: Annotated[int, Field(ge=2, le=10)] = 3
    noise: PositiveFloat = 0.15  # standard deviation of a point about its ring, or about the middle of its blob


class AttackSettings(Section):
    """The attack. Lengths are in the units of the network's input: pixels from 0 to 1,
    or standard deviations of a feature."""

    name: Literal["fgsm", "pgd"] = "pgd"
    norm: Literal["linf", "l2"] = "linf"
    eps: NonNegativeFloat = 0.1
    # A factor of eps for each feature of a table or of points, 0 where a feature stays as it is; none: 1 for all.
    scale: list[NonNegativeFloat] | None = None
    target: NonNegativeInt | None = None  # the class that the rows of other classes shall get; none: any wrong one
    examples: PositiveInt | None = None  # only the first test rows are attacked; none: all

    # pgd only.
    steps: PositiveInt = 20
    step_size: PositiveFloat | None = None  # none: 2.5 eps / steps, which can cross the ball
    random_start: bool = True

    @model_serializer(mode="wrap")
    def _without_what_is_not_used(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """So that such a run is the same work as before there were these keys, and its results are kept."""
        found: dict[str, Any] = handler(self)
        return {key: value for key, value in found.items() if key not in ("scale", "target") or value is not None}


class DetectorSettings(Section):
    """All four detectors are scored; the threshold of `name` decides what counts as detected."""

    name: DetectorName = "mahalanobis"
    percentile: Annotated[float, Field(gt=0, lt=100)] = 95.0  # of the clean validation scores: the threshold
    temperature: PositiveFloat = 1.0  # of the energy
    neighbours: PositiveInt = 10  # knn: the distance to the k-th nearest training row
    normalise: bool = False  # knn compares directions only, as Sun et al. 2022 do for deep networks


class OodSettings(Section):
    """Out-of-distribution rows, made from the test rows."""

    enabled: bool = False
    kinds: Annotated[list[Kind], Field(min_length=1)] | None = None  # none: all that need no further key
    noise: PositiveFloat = 1.0  # gaussian_noise: standard deviation, in that of the training values
    wide: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 3.0  # uniform_wide: in training ranges
    patches: Annotated[int, Field(ge=2)] = 4  # patch_shuffle: an image is cut into patches x patches
    blur: PositiveFloat = 1.0  # blur: standard deviation of the Gaussian, in pixels
    held_out_class: NonNegativeInt | None = None  # the class that the network is not trained on


class RobustnessSettings(BaseModel):
    """The settings of one training, attack and evaluation."""

    model_config = ConfigDict(extra="forbid")

    # Which kind of job this is; the runner reads nothing else of it.
    pipeline: Literal["robustness"] = "robustness"

    # Where it writes, and whether it starts from scratch or continues from the checkpoint there.
    out_dir: str = "out"
    init_from: Literal["scratch", "resume"] = "scratch"
    # The file that this was read from: set by its reader, written to metadata.json, not a setting of the job.
    config_path: str | None = Field(default=None, exclude=True)

    # The data. dataset: digits or mnist (or any prepared folder of images), breast_cancer or wine, rings or
    # blobs; none: the first of them.
    dataset_name: DatasetName = "IMAGE"
    dataset: str | None = None
    train_examples: PositiveInt | None = None  # only this many training rows, drawn by the seed; none: all
    vector: Annotated[VectorSettings, OR_DEFAULTS] = Field(default_factory=VectorSettings)

    # The network. none: CNN for images, MLP for everything else.
    model_name: Literal["CNN", "MLP"] | None = None
    layers: PositiveInt = 2  # hidden ones of the MLP, convolutions of the CNN
    width: PositiveInt = 64  # of a hidden layer, and of the features that mahalanobis and knn look at
    channels: PositiveInt = 16  # of the CNN's first convolution; each further one has twice as many

    # Its training.
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: PositiveFloat = 3e-3
    scheduler: Literal["cosine", "constant"] = "cosine"  # cosine: from lr to 0 at the last step
    weight_decay: NonNegativeFloat = 0.01
    batch_size: PositiveInt = 64
    epochs: PositiveInt = 20
    seed: Seed = 0  # of all random numbers: splits, weights, order, random starts, noise

    # The attack, the detectors, the ood rows.
    attack: Annotated[AttackSettings, OR_DEFAULTS] = Field(default_factory=AttackSettings)
    eval_only_successful_attacks: bool = True  # detectors are evaluated on successful attacks only; False: on all
    detector: Annotated[DetectorSettings, OR_DEFAULTS] = Field(default_factory=DetectorSettings)
    ood: Annotated[OodSettings, OR_DEFAULTS] = Field(default_factory=OodSettings)

    # What is written beside the .npy files of the scores.
    export_features: Literal["npy", "npy+csv", "npy+parquet"] = "npy"

    # The machine. On a CPU the same config gives the same numbers, bit for bit, if the number of threads is the same.
    device: Device = "auto"  # auto, cuda, cuda:1, mps, cpu
    threads: PositiveInt = 1  # of the CPU; these networks are so small that a second one makes them slower
    log_interval: PositiveInt = 20

    # Weights & Biases, beside metrics.jsonl, which is always written. An empty run name: wandb chooses.
    wandb_log: bool = False
    wandb_project: str = "experiments_robustness"
    wandb_run_name: str = ""

    @model_validator(mode="after")
    def _dataset_exists(self) -> RobustnessSettings:
        known = DATASETS[self.dataset_name]
        if self.dataset is None:
            self.dataset = known[0]
        elif self.dataset_name == "IMAGE":
            IMAGES_EXIST(self.dataset)
        elif self.dataset not in known:
            raise ValueError(f"dataset must be {' or '.join(known)} for {self.dataset_name}, not {self.dataset!r}")
        return self

    @model_validator(mode="after")
    def _network_fits_the_data(self) -> RobustnessSettings:
        if self.model_name is None:
            self.model_name = "CNN" if self.dataset_name == "IMAGE" else "MLP"
        if self.model_name == "CNN" and self.dataset_name != "IMAGE":
            raise ValueError(f"model_name CNN needs images, and {self.dataset_name} has none; write MLP")
        return self

    @model_validator(mode="after")
    def _kinds_fit_the_data(self) -> RobustnessSettings:
        held_out = self.ood.held_out_class is not None
        if self.ood.kinds is None:
            self.ood.kinds = KINDS[self.dataset_name] + (["held_out_class"] if held_out else [])
        if wrong := sorted(ONLY_IMAGES & set(self.ood.kinds)) if self.dataset_name != "IMAGE" else []:
            raise ValueError(
                f"ood.kinds names {' and '.join(wrong)}, for images only, and dataset_name is {self.dataset_name}"
            )
        if "held_out_class" in self.ood.kinds and not held_out:
            raise ValueError("ood.kinds names held_out_class, and ood.held_out_class does not name the class")
        return self

    @model_validator(mode="after")
    def _attack_fits_the_data(self) -> RobustnessSettings:
        classes, features = _sizes(self)
        if (scale := self.attack.scale) is not None and self.dataset_name == "IMAGE":
            raise ValueError(
                "attack.scale is for the features of tables and points, and dataset_name is IMAGE; remove it"
            )
        if scale is not None and len(scale) != features:
            raise ValueError(f"attack.scale must have {features} values, one for each feature, and has {len(scale)}")
        if (target := self.attack.target) is None:
            return self
        if target >= classes:
            raise ValueError(f"attack.target is {target}, and the classes are numbered from 0 to {classes - 1}")
        if target == self.ood.held_out_class:
            raise ValueError("attack.target is the class that ood.held_out_class holds out; aim at another one")
        return self

    @model_validator(mode="after")
    def _patches_divide_the_image(self) -> RobustnessSettings:
        meta, patches = dataset_meta(dataset_folder(self.dataset or "")), self.ood.patches
        sides = [side for key in ("height", "width") if isinstance(side := meta.get(key), int)]
        shuffled = self.dataset_name == "IMAGE" and "patch_shuffle" in (self.ood.kinds or ())
        if shuffled and any(side % patches for side in sides):
            shape = " x ".join(map(str, sides))
            raise ValueError(f"ood.patches ({patches}) must divide the sides of an image, {shape}")
        return self


def unprepared(config: Mapping[str, Any]) -> list[str] | None:
    """The command that prepares the images of a resolved config; None where they are prepared, or cannot be."""
    return unprepared_by_script(config["dataset"]) if config["dataset_name"] == "IMAGE" else None


def parameter_count(settings: RobustnessSettings) -> int:
    """Trainable numbers of the network (model.feedforward)."""
    width, classes, inputs = settings.width, *_sizes(settings)
    if settings.model_name == "MLP":
        count = (inputs + 1) * width + (settings.layers - 1) * (width + 1) * width
    else:
        count, before, side = 0, 1, math.isqrt(inputs)
        for number in range(settings.layers):
            channels = settings.channels * 2**number
            count, before, side = count + (9 * before + 1) * channels, channels, side // 2 if side >= 4 else side
        count += (before * side**2 + 1) * width
    return count + (width + 1) * classes


def _sizes(settings: RobustnessSettings) -> tuple[int, int]:
    """Classes and inputs; those of MNIST for images that are not prepared yet."""
    match settings.dataset:
        case "breast_cancer":
            return 2, 30
        case "wine":
            return 3, 13
        case "rings" | "blobs":
            return settings.vector.classes, 2
    meta = dataset_meta(dataset_folder(settings.dataset or ""))
    height, width, classes = (meta.get(key) for key in ("height", "width", "classes"))
    known = isinstance(height, int) and isinstance(width, int) and isinstance(classes, int)
    return (classes, height * width) if known else (10, 784)


def checkpoint_bytes(settings: RobustnessSettings) -> int:
    """The peak disk usage of one job: the checkpoint, and the one being written, in float32."""
    moments = 1 if settings.optimizer == "sgd" else 2
    return 2 * (4 * (1 + moments) * parameter_count(settings) + 2**17)


def unread(config: Mapping[str, Any]) -> set[str]:
    """The keys that the chosen data and model do not read."""
    return ({"channels"} if config["model_name"] == "MLP" else set()) | (
        {"vector"} if config["dataset_name"] != "VECTOR" else set()
    )
