"""What a training changes: network, optimizer, scaler, random numbers. Built from settings, packed and unpacked."""

from __future__ import annotations

import dataclasses
import math
import sys
from dataclasses import dataclass, field
from typing import Any

import torch

from model.transformer import Shape, Transformer
from pipelines.diffusion import vocabulary
from pipelines.diffusion.data import Dataset
from pipelines.diffusion.schedule import Progress
from pipelines.diffusion.settings import DiffusionSettings, classes
from pipelines.mistake import Mistake


@dataclass
class State:
    """How far a training has come. A checkpoint carries all of it."""

    iteration: int = 0  # steps done
    evaluated: int = -1  # the iteration of the last evaluation, which a resumed training does not repeat
    best_val_loss: float = math.inf
    best_iteration: int | None = None  # of a checkpoint that exists
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True, slots=True)
class Learner:
    model: Transformer
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    device: torch.device


def build(settings: DiffusionSettings, vocab_size: int, device: torch.device, dtype: torch.dtype) -> Learner:
    torch.manual_seed(settings.seed)
    model = Transformer(shape_of(settings, vocab_size), settings.dropout).to(device)
    optimizer = torch.optim.AdamW(
        [{"params": group} for group in parameter_groups(model)],
        lr=settings.learning_rate,
        fused=True,
    )
    apply_settings(optimizer, settings)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    return Learner(model, optimizer, scaler, device)


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
    )


def parameter_groups(model: Transformer) -> list[list[torch.nn.Parameter]]:
    """Matrices, which decay, and vectors (norms, biases), which do not."""
    parameters = list(model.parameters())
    return [[p for p in parameters if p.dim() >= 2], [p for p in parameters if p.dim() < 2]]


def apply_settings(optimizer: torch.optim.Optimizer, settings: DiffusionSettings) -> None:
    """After loading too: what the command line says now wins over what the checkpoint was trained with."""
    matrices, vectors = optimizer.param_groups
    matrices["weight_decay"], vectors["weight_decay"] = settings.weight_decay, 0.0
    for group in optimizer.param_groups:
        group["betas"] = (settings.beta1, settings.beta2)


def pack(learner: Learner, state: State, settings: DiffusionSettings, text: Dataset) -> dict[str, Any]:
    """The content of a checkpoint: tensors and plain values only, so that it loads with weights_only=True."""
    return {
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


def unpack(content: dict[str, Any], learner: Learner, settings: DiffusionSettings, text: Dataset) -> State:
    """Put a checkpoint into the learner. Raises Mistake when it does not fit the settings or the text."""
    now = dataclasses.asdict(learner.model.shape)
    differing = [
        f"{key} {content['shape'][key]} there, {now[key]} here" for key in now if content["shape"][key] != now[key]
    ]
    if differing:
        raise Mistake(f"the checkpoint does not fit the settings: {'; '.join(differing)}")
    if vocabulary.of_checkpoint(content) != text.vocabulary:
        raise Mistake(f"the checkpoint was trained on other {text.vocabulary.title} than those of '{text.name}'")
    if content["text_sha256"] != text.sha256:
        print(f"warning: the text of '{text.name}' has changed since the checkpoint", file=sys.stderr)
    learner.model.load_state_dict(content["model"])
    learner.optimizer.load_state_dict(content["optimizer"])
    apply_settings(learner.optimizer, settings)
    learner.scaler.load_state_dict(content["scaler"])
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
