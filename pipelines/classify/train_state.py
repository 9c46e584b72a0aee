"""What a training changes: network and optimizers. Built from settings, packed into checkpoints and unpacked."""

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
MEANT = ("model", "similarity", "tau")  # what the weights of a checkpoint cannot be read without


@dataclass
class State:
    """How far a training has come. A checkpoint carries all of it."""

    iteration: int = 0  # steps done
    evaluated: int = -1  # the iteration of the last evaluation, which a resumed training does not repeat


@dataclass(frozen=True, slots=True)
class Learner:
    model: Classifier
    optimizers: list[torch.optim.Optimizer]  # one for each of model.parts()


def build(settings: ClassifySettings, data: Images, device: torch.device) -> Learner:
    torch.manual_seed(settings.seed)
    shape = Shape(data.inputs, data.classes, settings.layers, settings.width)
    readout = (settings.similarity, settings.tau, settings.seed)
    model: Classifier = (
        MLP(shape, *readout)
        if settings.model == "mlp"
        else Greedy(shape, *readout, lambdas(settings), settings.ace_variant)
    )
    model = model.to(device)
    return Learner(model, [optimizer_of(part, settings) for part in model.parts()])


def pack(learner: Learner, state: State, settings: ClassifySettings, data: Images) -> dict[str, Any]:
    """The content of a checkpoint: tensors and plain values only, so that it loads with weights_only=True."""
    return {
        "iteration": state.iteration,
        "state": dataclasses.asdict(state),
        "shape": dataclasses.asdict(learner.model.shape),
        "settings": settings.model_dump(mode="json"),
        "data_sha256": data.sha256,
        "model": learner.model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in learner.optimizers],
    }


def unpack(content: dict[str, Any], learner: Learner, settings: ClassifySettings, data: Images) -> State:
    """Put a checkpoint into the learner. Raises InputError when it does not fit the settings."""
    there = content["shape"] | {key: content["settings"][key] for key in (*MEANT, "optimizer")}
    here = dataclasses.asdict(learner.model.shape) | settings.model_dump(include={*MEANT, "optimizer"})
    differing = [f"{key} {there[key]} there, {here[key]} here" for key in here if there[key] != here[key]]
    if differing:
        raise InputError(f"the checkpoint does not fit the settings: {'; '.join(differing)}")
    if content["data_sha256"] != data.sha256:
        print(f"warning: the images of '{data.name}' have changed since the checkpoint", file=sys.stderr)
    learner.model.load_state_dict(content["model"])
    for optimizer, kept in zip(learner.optimizers, content["optimizers"], strict=True):
        optimizer.load_state_dict(kept)
        for group in optimizer.param_groups:
            group["weight_decay"] = settings.weight_decay  # what is said now wins over what was trained with
    return State(**content["state"])
