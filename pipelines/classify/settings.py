"""Every key that a classify config may set, with its default and its limits. Never imports torch or numpy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines.shared.settings_types import (
    Device,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Seed,
    dataset_folder,
    dataset_meta,
    dataset_of,
    unprepared_by_script,
)

# Of a dataset that is not prepared yet and has no meta.json: those of mnist, which are not less than those of digits.
CLASSES = 10
INPUTS = 784

KEEP_LAST = 2  # checkpoints that are kept
MOMENTS = {"adamw": 2, "adam": 2, "sgd": 1}  # tensors that an optimizer keeps for each weight


class ClassifySettings(BaseModel):
    """The settings of one training of a classifier."""

    model_config = ConfigDict(extra="forbid")

    # Which kind of job this is; the runner reads nothing else of it.
    pipeline: Literal["classify"] = "classify"

    # 'training' trains and evaluates; 'simulation' draws the results as well.
    mode: Literal["training", "simulation"] = "training"

    # Where it writes; none: runs/<dataset>/<model>/<time>. Whether it starts from scratch or continues from there.
    out_dir: str | None = None
    init_from: Literal["scratch", "resume"] = "scratch"

    # The images: a folder under data/, or the path of any folder that data/digits/prepare.py could have written.
    dataset: Annotated[str, dataset_of("images")] = "digits"
    train_examples: PositiveInt | None = None  # only the first ones; none: all

    # The network: 'mlp' trains end to end, 'greedy' layer by layer.
    model: Literal["mlp", "greedy"] = "mlp"
    layers: PositiveInt = 4  # hidden ones
    width: PositiveInt = 256  # of each; at least the number of classes

    # The prediction of a layer: softmax(similarity to the fixed anchors / tau).
    similarity: Literal["cosine", "l2"] = "cosine"
    tau: PositiveFloat = 0.1

    # greedy only: lambda_ace[i] weighs a reward of layer i for differing from layer i + 1, as ace_variant measures it.
    # One number for each layer but the last; none: zeros, so that layers only learn the classes. mlp reads neither.
    lambda_ace: list[Annotated[float, Field(allow_inf_nan=False)]] | None = None
    ace_variant: Literal["ce_i_next", "ce_next_i", "js", "sym_kl"] = "ce_i_next"

    # The optimizer. sgd has a momentum of 0.9; adam adds weight_decay to the gradient, adamw shrinks the weights.
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: PositiveFloat = 1e-3
    scheduler: Literal["cosine", "constant"] = "cosine"  # cosine: from lr to 0 at the last step
    weight_decay: NonNegativeFloat = 0.01
    batch_size: PositiveInt = 128
    epochs: PositiveInt = 10
    seed: Seed = 0  # of the weights, the anchors and the order of the images

    # The machine, and the interval of log lines in iterations.
    device: Device = "auto"  # auto, cuda, cuda:1, mps, cpu
    log_interval: PositiveInt = 20

    # Read in mode simulation only.
    show: bool = False  # open the figures in windows where there is a display, and wait until they are closed
    research_only: bool = False  # draw the three research questions and nothing else
    no_confusion: bool = False  # draw no confusion matrix
    advanced: bool = False  # compare with the other runs beside out_dir

    # Weights & Biases, beside metrics.jsonl, which is always written. An empty run name: wandb chooses.
    wandb_log: bool = False
    wandb_project: str = "experiments_classify"
    wandb_run_name: str = ""

    @model_validator(mode="after")
    def _a_lambda_for_each_pair_of_layers(self) -> ClassifySettings:
        needed = self.layers - 1
        if self.model == "greedy" and self.lambda_ace is not None and len(self.lambda_ace) != needed:
            raise ValueError(
                f"lambda_ace has {_values(len(self.lambda_ace))} and must have {needed} for the greedy model:"
                f" one for each of the {self.layers} layers but the last"
            )
        return self

    @model_validator(mode="after")
    def _anchors_fit_into_the_width(self) -> ClassifySettings:
        classes = _meta_number(self, "classes", CLASSES)
        if self.width < classes:
            raise ValueError(f"width ({self.width}) must be at least {classes}: each class has an anchor of its own")
        return self


def lambdas(settings: ClassifySettings) -> list[float]:
    """lambda_ace, written out: a number for each layer but the last."""
    return [0.0] * (settings.layers - 1) if settings.lambda_ace is None else settings.lambda_ace


def unread(config: Mapping[str, Any]) -> set[str]:
    """The keys that the chosen model does not read."""
    return {"lambda_ace", "ace_variant"} if config["model"] == "mlp" else set()


def unprepared(config: Mapping[str, Any]) -> list[str] | None:
    """The command that prepares the images of a resolved config; None where they are prepared, or cannot be."""
    return unprepared_by_script(config["dataset"])


def parameter_count(settings: ClassifySettings) -> int:
    """Trainable numbers of the network (model.classifiers): weights and biases; the anchors are fixed."""
    inputs = _meta_number(settings, "height", 0) * _meta_number(settings, "width", 0) or INPUTS
    width = settings.width
    return (inputs + 1) * width + (settings.layers - 1) * (width + 1) * width


def checkpoint_bytes(settings: ClassifySettings) -> int:
    """The peak disk usage of one job: the last checkpoints, and the one being written, in float32."""
    numbers = (1 + MOMENTS[settings.optimizer]) * parameter_count(settings) + CLASSES * settings.width
    return (KEEP_LAST + 1) * (4 * numbers + 2**17)


def _values(count: int) -> str:
    return "1 value" if count == 1 else f"{count} values"


def _meta_number(settings: ClassifySettings, key: str, otherwise: int) -> int:
    found = dataset_meta(dataset_folder(settings.dataset)).get(key)
    return found if isinstance(found, int) else otherwise
