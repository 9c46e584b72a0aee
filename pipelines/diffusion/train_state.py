"""The state of a training: network, optimizer, averaged weights, random numbers, progress; to and from checkpoints."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from model.diffusion import weighted_cross_entropy
from model.transformer import Shape, Transformer
from pipelines.diffusion.batches import Batch
from pipelines.diffusion.captured import CapturedUpdate
from pipelines.diffusion.optimizers import Optimizers
from pipelines.diffusion.sampling.load import TrainedModel
from pipelines.diffusion.schedule import Progress
from pipelines.diffusion.settings import DiffusionSettings, classes, parameter_count, prior_of
from pipelines.diffusion.text import vocabulary
from pipelines.diffusion.text.dataset import Dataset
from pipelines.shared import devices
from pipelines.shared.errors import InputError


@dataclass
class TrainState:
    """The progress of a training. A checkpoint has all of it."""

    iteration: int = 0  # steps done
    evaluated: int = -1  # the iteration of the last evaluation, which a resumed training does not repeat
    best_val_loss: float = math.inf
    best_iteration: int | None = None  # of a checkpoint that exists
    seconds: float = 0.0  # of these steps, without evaluations and checkpoints
    skipped: int = 0  # steps whose gradient was not finite
    base: str = ""  # the checkpoint whose weights it started from
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True, slots=True)
class ModelState:
    model: Transformer
    optimizer: Optimizers
    scaler: torch.amp.GradScaler
    average: list[Tensor]  # of the weights, one per parameter; empty without ema_decay
    device: torch.device


class BatchLoss(nn.Module):
    """The loss of a batch as one module, so that it can be compiled and distributed as one."""

    def __init__(self, model: Transformer, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = model
        self._device, self._dtype = device, dtype

    def forward(self, inputs: Tensor, at: Tensor | None, targets: Tensor, weights: Tensor) -> Tensor:  # Batch -> ()
        with devices.autocast(self._device, self._dtype):
            logits = self.model(inputs, at)
        return weighted_cross_entropy(logits.flatten(0, -2), targets, weights)


def loss_of(network: nn.Module, batch: Batch) -> Tensor:
    return network(batch.inputs, batch.at, batch.targets, batch.weights)


def build(settings: DiffusionSettings, vocab_size: int, device: torch.device, dtype: torch.dtype) -> ModelState:
    require_memory(settings, vocab_size, device)
    torch.manual_seed(settings.seed)
    model = Transformer(shape_of(settings, vocab_size), settings.dropout).to(device)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    average = [p.detach().clone() for p in model.parameters()] if settings.ema_decay else []
    return ModelState(model, Optimizers(model, settings), scaler, average, device)


def require_memory(settings: DiffusionSettings, vocab_size: int, device: torch.device) -> None:
    """Raise InputError for a network whose weights, gradients and moments alone are larger than the memory."""
    parameters = parameter_count(settings, vocab_size)
    needed, there = 16 * parameters, devices.total_memory(device)
    if there is not None and needed > there:
        raise InputError(
            f"a network of {parameters:,} parameters needs {needed / 2**30:,.0f} GiB for weights, gradients and moments"
            f" alone, and {devices.describe(device)} has {there / 2**30:,.0f} GiB; lower n_layer or n_embd"
        )


def shape_of(settings: DiffusionSettings, vocab_size: int) -> Shape:
    return Shape(
        tokens_in=vocab_size + 1,
        tokens_out=classes(settings, vocab_size),
        block_size=settings.block_size,
        n_layer=settings.n_layer,
        n_head=settings.n_head,
        n_embd=settings.n_embd,
        bias=settings.bias,
        attention_type=attention_type_of(settings),
        block_length=settings.block_length if settings.training_type == "block" else 0,
        use_rope=settings.use_rope,
        norm=settings.norm,
        mlp=settings.mlp,
        qk_norm=settings.qk_norm,
        conv_width=settings.conv_width,
        prior=prior_of(settings),
    )


def start_from(base: TrainedModel, model_state: ModelState) -> None:
    """Give the network the weights of a trained one, the averaged ones where it has them. Raises InputError when they
    do not fit."""
    there, now = dataclasses.asdict(base.model.shape), dataclasses.asdict(model_state.model.shape)
    free = {"attention_type", "block_length", "prior"} | ({"block_size"} if now["use_rope"] else set())
    fixed = [key for key in now if there[key] != now[key] and key not in free]
    differing = [f"{key} {there[key]} there, {now[key]} here" for key in fixed]
    if differing:
        raise InputError(f"{base.path} does not fit the settings: {'; '.join(differing)}")
    model_state.model.load_state_dict(base.model.state_dict())
    for (_, weight), mean in zip(model_state.model.named_parameters(), model_state.average, strict=False):
        mean.copy_(weight.detach())


def attention_type_of(settings: DiffusionSettings) -> Literal["bidirectional", "causal"]:
    """Of block diffusion, each block sees itself as a whole; which blocks it sees depends on block_length."""
    fixed: dict[str, Literal["bidirectional", "causal"]] = {"ar": "causal", "block": "bidirectional"}
    return fixed.get(settings.training_type, settings.attention_type)


class Updater:
    """Takes the steps of a training: the optimizer and the average of the weights; captured as one CUDA graph if asked.

    The norm and the mark of a skipped step that it returns are valid until the next step.
    """

    def __init__(self, model_state: ModelState, settings: DiffusionSettings) -> None:
        self._state, self._decay = model_state, settings.ema_decay
        self._weight = torch.zeros((), device=model_state.device)  # of the new weights in the average
        self._update: Callable[[], tuple[Tensor, Tensor]] = self._plain_update
        # The scaler of float16 decides on the host.
        if settings.cuda_graphs and model_state.device.type == "cuda" and not model_state.scaler.is_enabled():
            self._update = CapturedUpdate(model_state.optimizer.parameters, self._plain_update)

    def step(self, rate: float, iteration: int) -> tuple[Tensor, Tensor]:
        """Update the weights; returns the norm of the gradient, and 1.0 where the step was skipped."""
        self._state.optimizer.set_rate(rate)
        # The average moves faster at first, when the weights change much.
        self._weight.fill_(1 - min(self._decay, (1 + iteration) / (10 + iteration)))
        return self._update()

    @torch.no_grad()
    def _plain_update(self) -> tuple[Tensor, Tensor]:
        average, optimizer = self._state.average, self._state.optimizer
        result = optimizer.step(self._state.scaler)
        if average:
            torch._foreach_lerp_(average, optimizer.parameters, [self._weight] * len(average))
        return result


@contextmanager
def averaged_weights(model_state: ModelState) -> Iterator[nn.Module]:
    """The network with the averaged weights, if there are any; its own weights are restored afterwards."""
    swap_weights(model_state)
    try:
        yield model_state.model
    finally:
        swap_weights(model_state)


@torch.no_grad()
def swap_weights(model_state: ModelState) -> None:
    for weight, average in zip(model_state.model.parameters(), model_state.average, strict=False):
        kept = weight.clone()
        weight.copy_(average)
        average.copy_(kept)


def pack(model_state: ModelState, state: TrainState, settings: DiffusionSettings, text: Dataset) -> dict[str, Any]:
    """The content of a checkpoint: tensors and plain values only, so that it loads with weights_only=True."""
    content = {
        "iteration": state.iteration,
        "state": dataclasses.asdict(state),
        "shape": dataclasses.asdict(model_state.model.shape),
        "settings": settings.model_dump(mode="json"),
        "vocabulary": text.vocabulary.pack(),
        "text_sha256": text.sha256,
        "model": model_state.model.state_dict(),
        "optimizer": model_state.optimizer.state_dict(),
        "scaler": model_state.scaler.state_dict(),
        "random": random_state(model_state.device),
    }
    if model_state.average:
        names = [name for name, _ in model_state.model.named_parameters()]
        content["ema"] = dict(zip(names, model_state.average, strict=True))
    return content


def unpack(content: dict[str, Any], model_state: ModelState, settings: DiffusionSettings, text: Dataset) -> TrainState:
    """Load a checkpoint into the model state. Raises InputError when it does not fit the settings or the text."""
    # Fields that were added later have the defaults of that time.
    there, now = dataclasses.asdict(Shape(**content["shape"])), dataclasses.asdict(model_state.model.shape)
    prior = there["prior"]
    if len(prior) == len(now["prior"]):
        there["prior"] = now["prior"]
    differing = [f"{key} {there[key]} there, {now[key]} here" for key in now if there[key] != now[key]]
    if differing:
        raise InputError(f"the checkpoint does not fit the settings: {'; '.join(differing)}")
    if (optimizer := content["settings"].get("optimizer", "adamw")) != settings.optimizer:
        raise InputError(
            f"the checkpoint was trained with the optimizer {optimizer}, whose state does not fit {settings.optimizer};"
            f" use --optimizer={optimizer}, or --init_from=scratch"
        )
    if vocabulary.of_checkpoint(content) != text.vocabulary:
        raise InputError(f"the checkpoint was trained on other {text.vocabulary.title} than those of '{text.name}'")
    if content["text_sha256"] != text.sha256:
        print(f"warning: the text of '{text.name}' has changed since the checkpoint", file=sys.stderr)
    model_state.model.load_state_dict(content["model"])
    model_state.model.set_prior(tuple(prior))
    model_state.optimizer.load_state_dict(content["optimizer"], settings)
    model_state.scaler.load_state_dict(content["scaler"])
    average = content.get("ema", content["model"])
    for (name, _), mean in zip(model_state.model.named_parameters(), model_state.average, strict=False):
        mean.copy_(average[name])
    set_random_state(content["random"], model_state.device)
    state = content["state"]
    last_stage = max(0, len(settings.unmasking_stages) - 1)
    progress = Progress(**state["progress"])
    if progress.stage > last_stage:
        raise InputError(f"the checkpoint is in stage {progress.stage + 1}, and the config has {last_stage + 1}")
    return TrainState(**{**state, "progress": progress})


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """The state of the generators of dropout. Batches have generators of their own, which need no saving."""
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
