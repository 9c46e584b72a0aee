"""The state of a training: network, optimizers, progress; to and from checkpoints."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from typing import Any

import torch

from model.classifiers import MLP, Classifier, Greedy, Shape
from pipelines.classify.settings import ClassifySettings, lambdas
from pipelines.shared.errors import InputError
from pipelines.shared.images import Images
from pipelines.shared.optimization import optimizer_of

KIND = "classify"  # of its checkpoints
IDENTITY = ("model", "similarity", "tau")  # settings that the weights of a checkpoint depend on


@dataclass
class TrainState:
    """The progress of a training. A checkpoint has all of it."""

    iteration: int = 0  # steps done
    evaluated: int = -1  # the iteration of the last evaluation, which a resumed training does not repeat


@dataclass(frozen=True, slots=True)
class ModelState:
    model: Classifier
    optimizers: list[torch.optim.Optimizer]  # one for each of model.parts()


def build(settings: ClassifySettings, data: Images, device: torch.device) -> ModelState:
    torch.manual_seed(settings.seed)
    shape = Shape(data.inputs, data.classes, settings.layers, settings.width)
    readout = (settings.similarity, settings.tau, settings.seed)
    model: Classifier = (
        MLP(shape, *readout)
        if settings.model == "mlp"
        else Greedy(shape, *readout, lambdas(settings), settings.ace_variant)
    )
    model = model.to(device)
    return ModelState(model, [optimizer_of(part, settings) for part in model.parts()])


def pack(model_state: ModelState, state: TrainState, settings: ClassifySettings, data: Images) -> dict[str, Any]:
    """The content of a checkpoint: tensors and plain values only, so that it loads with weights_only=True."""
    return {
        "iteration": state.iteration,
        "state": dataclasses.asdict(state),
        "shape": dataclasses.asdict(model_state.model.shape),
        "settings": settings.model_dump(mode="json"),
        "data_sha256": data.sha256,
        "model": model_state.model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in model_state.optimizers],
    }


def unpack(content: dict[str, Any], model_state: ModelState, settings: ClassifySettings, data: Images) -> TrainState:
    """Load a checkpoint into the model state. Raises InputError when it does not fit the settings."""
    there = content["shape"] | {key: content["settings"][key] for key in (*IDENTITY, "optimizer")}
    here = dataclasses.asdict(model_state.model.shape) | settings.model_dump(include={*IDENTITY, "optimizer"})
    differing = [f"{key} {there[key]} there, {here[key]} here" for key in here if there[key] != here[key]]
    if differing:
        raise InputError(f"the checkpoint does not fit the settings: {'; '.join(differing)}")
    if content["data_sha256"] != data.sha256:
        print(f"warning: the images of '{data.name}' have changed since the checkpoint", file=sys.stderr)
    model_state.model.load_state_dict(content["model"])
    for optimizer, kept in zip(model_state.optimizers, content["optimizers"], strict=True):
        optimizer.load_state_dict(kept)
        for group in optimizer.param_groups:
            group["weight_decay"] = settings.weight_decay  # the current setting wins over that of the checkpoint
    return TrainState(**content["state"])
