"""The network of a run, its training and checkpoints. A resumed training is exact, bit for bit on a CPU."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from model.feedforward import Feedforward, cnn, mlp
from pipelines.robustness.data import Data
from pipelines.robustness.detectors import Outputs
from pipelines.robustness.random_streams import torch_stream
from pipelines.robustness.settings import RobustnessSettings
from pipelines.shared import checkpoints
from pipelines.shared.errors import InputError, require_finite
from pipelines.shared.metrics import Tracker, print_line
from pipelines.shared.optimization import learning_rate, optimizer_of, order, set_rate

KIND = "robustness"  # of its checkpoints
HINT = "Lower lr"
ROWS = 1024  # in a forward pass
IDENTITY = ("dataset", "model_name", "layers", "width", "channels", "optimizer", "seed")


@dataclass
class TrainState:
    """The progress of the training."""

    iteration: int = 0  # steps done


def build(settings: RobustnessSettings, data: Data, device: torch.device) -> Feedforward:
    generator = torch_stream(settings.seed, "weights")
    classes, sizes = len(data.names), {"layers": settings.layers, "width": settings.width}
    if settings.model_name == "MLP":
        network = mlp(data.shape, classes, **sizes, generator=generator)
    else:
        network = cnn(data.shape, classes, **sizes, channels=settings.channels, generator=generator)
    return network.to(device)


@torch.no_grad()
def outputs(network: Feedforward, x: np.ndarray, device: torch.device) -> Outputs:  # x: (N, ...)
    network.eval()
    logits, features = [], []
    for rows in torch.from_numpy(x).split(ROWS):
        found = network.features(rows.to(device))
        features.append(found.cpu().double())
        logits.append(network.head(found).cpu().double())
    return Outputs(torch.cat(logits), torch.cat(features))


def accuracy(found: Outputs, y: np.ndarray) -> float:
    return float((found.answers == y).mean())


def train(
    network: Feedforward,
    settings: RobustnessSettings,
    data: Data,
    device: torch.device,
    state: TrainState,
    stop: Callable[[], bool],
    tracker: Tracker | None,
) -> None:
    """Train for all epochs, or until `stop()`; `state` is updated. Without a tracker nothing is printed or written."""
    examples = len(data.train)
    steps = -(-examples // settings.batch_size)  # of an epoch; the last one has the remainder
    max_iters = steps * settings.epochs
    optimizer = optimizer_of(network, settings)
    out_dir = Path(settings.out_dir)
    if tracker is not None and settings.init_from == "resume":
        resume(network, optimizer, settings, data, state)
    x, y = torch.from_numpy(data.train.x).to(device), torch.from_numpy(data.train.y).to(device)
    total, steps_since_log, began = torch.zeros((), device=device), 0, time.perf_counter()
    network.train()
    while state.iteration < max_iters and not stop():
        epoch, step = divmod(state.iteration, steps)
        batch = slice(step * settings.batch_size, (step + 1) * settings.batch_size)
        rows = torch.from_numpy(order(settings.seed, epoch, examples)[batch]).to(device)
        rate = learning_rate(state.iteration, max_iters, settings)
        set_rate([optimizer], rate)
        loss = F.cross_entropy(network(x[rows]), y[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total, steps_since_log = total + loss.detach(), steps_since_log + 1
        state.iteration += 1
        log_due = state.iteration % settings.log_interval == 0 or state.iteration in (1, max_iters)
        epoch_done = state.iteration % steps == 0
        if log_due or epoch_done:
            require_finite(total.item(), state.iteration, HINT)
        if log_due and tracker is not None:
            mean, milliseconds = total.item() / steps_since_log, (time.perf_counter() - began) / steps_since_log * 1e3
            print_line(f"iter {state.iteration}: loss {mean:.4f}, time {milliseconds:.2f}ms, lr {rate:.3e}")
            row = {"epoch": state.iteration / steps, "train/loss": mean, "lr": rate, "ms_per_iter": milliseconds}
            tracker.log(state.iteration, row)
            total, steps_since_log, began = torch.zeros((), device=device), 0, time.perf_counter()
        if epoch_done and tracker is not None:
            validate(network, data, device, state, tracker)
            network.train()
    network.eval()
    if tracker is not None:
        path = checkpoints.path_of(out_dir, KIND, state.iteration)
        if path.exists():
            return
        if checkpoints.save_or_warn(path, pack(network, optimizer, settings, data, state), required=stop()):
            checkpoints.prune(out_dir, KIND, 1, best=None, written=state.iteration)


def validate(network: Feedforward, data: Data, device: torch.device, state: TrainState, tracker: Tracker) -> None:
    """Loss and accuracy on the validation part, at the end of an epoch. They do not influence the training."""
    found = outputs(network, data.val.x, device)
    loss = F.cross_entropy(found.logits, torch.from_numpy(data.val.y)).item()
    right = accuracy(found, data.val.y)
    print_line(f"step {state.iteration}: val loss {loss:.4f}, val accuracy {right:.4f}")
    tracker.log(state.iteration, {"val/loss": loss, "val/accuracy": right})


def pack(
    network: Feedforward,
    optimizer: torch.optim.Optimizer,
    settings: RobustnessSettings,
    data: Data,
    state: TrainState,
) -> dict[str, Any]:
    """The content of a checkpoint: tensors and plain values only, so that it loads with weights_only=True."""
    return {
        "iteration": state.iteration,
        "state": dataclasses.asdict(state),
        "settings": settings.model_dump(mode="json"),
        "learned": data.about["learned"],
        "model": network.state_dict(),
        "optimizer": optimizer.state_dict(),
    }


def resume(
    network: Feedforward,
    optimizer: torch.optim.Optimizer,
    settings: RobustnessSettings,
    data: Data,
    state: TrainState,
) -> None:
    """Continue from the latest checkpoint. Raises InputError when there is none, or it does not fit."""

    def use(content: dict[str, Any]) -> int:
        there, here = content["settings"], settings.model_dump(mode="json")
        differing = [f"{key} {there[key]} there, {here[key]} here" for key in IDENTITY if there[key] != here[key]]
        if content["learned"] != data.about["learned"]:
            differing.append("its training rows differ")
        if differing:
            raise InputError(f"the checkpoint does not fit the settings: {'; '.join(differing)}")
        network.load_state_dict(content["model"])
        optimizer.load_state_dict(content["optimizer"])
        return int(content["state"]["iteration"])

    path, state.iteration = checkpoints.load_latest(Path(settings.out_dir), KIND, use)
    print_line(f"resuming from {path} at iteration {state.iteration}")
