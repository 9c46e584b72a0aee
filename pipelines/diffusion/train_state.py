"""What a training changes: network, optimizer, average, random numbers. Built from settings, packed, unpacked."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from model.diffusion import weighted_cross_entropy
from model.transformer import Shape, Transformer
from pipelines.diffusion.batches import Batch
from pipelines.diffusion.optimizers import Optimizers
from pipelines.diffusion.schedule import Progress
from pipelines.diffusion.settings import DiffusionSettings, classes, prior_of
from pipelines.diffusion.text import vocabulary
from pipelines.diffusion.text.dataset import Dataset
from pipelines.shared import devices
from pipelines.shared.errors import Mistake


@dataclass
class State:
    """How far a training has come. A checkpoint carries all of it."""

    iteration: int = 0  # steps done
    evaluated: int = -1  # the iteration of the last evaluation, which a resumed training does not repeat
    best_val_loss: float = math.inf
    best_iteration: int | None = None  # of a checkpoint that exists
    skipped: int = 0  # steps whose gradient was no number
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True, slots=True)
class Learner:
    model: Transformer
    optimizer: Optimizers
    scaler: torch.amp.GradScaler
    average: list[Tensor]  # of the weights, one per parameter; empty where none is kept
    device: torch.device


class Cost(nn.Module):
    """The loss of a batch as one module, so that it can be compiled, and shared out over processes, as a whole."""

    def __init__(self, model: Transformer, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = model
        self._device, self._dtype = device, dtype

    def forward(self, inputs: Tensor, at: Tensor | None, targets: Tensor, weights: Tensor) -> Tensor:  # Batch -> ()
        with devices.autocast(self._device, self._dtype):
            logits = self.model(inputs, at)
        return weighted_cross_entropy(logits.flatten(0, -2), targets, weights)


def cost_of(network: nn.Module, batch: Batch) -> Tensor:
    return network(batch.inputs, batch.at, batch.targets, batch.weights)


def build(settings: DiffusionSettings, vocab_size: int, device: torch.device, dtype: torch.dtype) -> Learner:
    torch.manual_seed(settings.seed)
    model = Transformer(shape_of(settings, vocab_size), settings.dropout).to(device)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    average = [p.detach().clone() for p in model.parameters()] if settings.ema_decay else []
    return Learner(model, Optimizers(model, settings), scaler, average, device)


def shape_of(settings: DiffusionSettings, vocab_size: int) -> Shape:
    return Shape(
        tokens_in=vocab_size + 1,
        tokens_out=classes(settings, vocab_size),
        block_size=settings.block_size,
        n_layer=settings.n_layer,
        n_head=settings.n_head,
        n_embd=settings.n_embd,
        bias=settings.bias,
        attention_type=settings.attention_type,
        use_rope=settings.use_rope,
        norm=settings.norm,
        mlp=settings.mlp,
        qk_norm=settings.qk_norm,
        conv_width=settings.conv_width,
        prior=prior_of(settings),
    )


@torch.no_grad()
def follow(average: list[Tensor], model: nn.Module, decay: float, steps: int) -> None:
    """Move the average towards the weights. It follows fast at first, when they are far from what they will be."""
    if average:
        decay = min(decay, (1 + steps) / (10 + steps))
        torch._foreach_lerp_(average, list(model.parameters()), 1 - decay)


@contextmanager
def averaged(learner: Learner) -> Iterator[nn.Module]:
    """The network with the averaged weights, where there are such; with its own ones again afterwards."""
    swap(learner)
    try:
        yield learner.model
    finally:
        swap(learner)


@torch.no_grad()
def swap(learner: Learner) -> None:
    for weight, average in zip(learner.model.parameters(), learner.average, strict=False):
        kept = weight.clone()
        weight.copy_(average)
        average.copy_(kept)


def pack(learner: Learner, state: State, settings: DiffusionSettings, text: Dataset) -> dict[str, Any]:
    """The content of a checkpoint: tensors and plain values only, so that it loads with weights_only=True."""
    content = {
        "iteration": state.iteration,
        "state": dataclasses.asdict(state),
        "shape": dataclasses.asdict(learner.model.shape),
        "settings": settings.model_dump(mode="json"),
        "vocabulary": text.vocabulary.pack(),
        "text_sha256": text.sha256,
        "model": learner.model.state_dict(),
        "optimizer": learner.optimizer.state_dict(),
        "scaler": learner.scaler.state_dict(),
        "random": random_state(learner.device),
    }
    if learner.average:
        names = [name for name, _ in learner.model.named_parameters()]
        content["ema"] = dict(zip(names, learner.average, strict=True))
    return content


def unpack(content: dict[str, Any], learner: Learner, settings: DiffusionSettings, text: Dataset) -> State:
    """Put a checkpoint into the learner. Raises Mistake when it does not fit the settings or the text."""
    # Fields that were added since have the defaults of then.
    there, now = dataclasses.asdict(Shape(**content["shape"])), dataclasses.asdict(learner.model.shape)
    differing = [f"{key} {there[key]} there, {now[key]} here" for key in now if there[key] != now[key]]
    if differing:
        raise Mistake(f"the checkpoint does not fit the settings: {'; '.join(differing)}")
    if (optimizer := content["settings"].get("optimizer", "adamw")) != settings.optimizer:
        raise Mistake(
            f"the checkpoint was trained with the optimizer {optimizer}, whose state is no use to {settings.optimizer};"
            f" type --optimizer={optimizer}, or --init_from=scratch"
        )
    if vocabulary.of_checkpoint(content) != text.vocabulary:
        raise Mistake(f"the checkpoint was trained on other {text.vocabulary.title} than those of '{text.name}'")
    if content["text_sha256"] != text.sha256:
        print(f"warning: the text of '{text.name}' has changed since the checkpoint", file=sys.stderr)
    learner.model.load_state_dict(content["model"])
    learner.optimizer.load_state_dict(content["optimizer"], settings)
    learner.scaler.load_state_dict(content["scaler"])
    average = content.get("ema", content["model"])
    for (name, _), mean in zip(learner.model.named_parameters(), learner.average, strict=False):
        mean.copy_(average[name])
    set_random_state(content["random"], learner.device)
    state = content["state"]
    last_stage = max(0, len(settings.unmasking_stages) - 1)
    progress = Progress(**state["progress"])
    if progress.stage > last_stage:
        raise Mistake(f"the checkpoint is in stage {progress.stage + 1}, and the config has {last_stage + 1}")
    return State(**{**state, "progress": progress})


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """Of the generators that dropout draws from. Batches have their own, which needs no saving."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_random_state(states: dict[str, torch.Tensor], device: torch.device) -> None:
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])
