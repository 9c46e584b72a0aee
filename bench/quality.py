"""How well the trainer and a plain loop learn in the same time: bench/trainer.py --quality.

Both have as many parameters, read the same text through windows of the same length, and take turns of a few seconds,
each in a process of its own, until each has had its minutes: batches, steps and bookkeeping count, compilation and
evaluation do not. The rates follow the fraction of the time that has passed, so both end their schedule on a machine of
any speed: ours is that of the config, as its training takes it with max_minutes. Both are evaluated alike: the full
validation text, every window at every bin of the mask ratio. The bar holds for five minutes; with --minutes the
difference is printed beside it.

The plain loop: the trainer's default network, AdamW at 2e-3, warm-up and a cosine, our precision, batches of 16; each
ratio t is drawn by itself, each position masked with probability t, weight 1/t. Its memory is as Python and torch leave
it, ours is kept from step to step, as train_run.py does (pipelines/shared/heap.py). (With nanoGPT's own architecture
such a loop does not get beyond the frequencies of characters in this time, 3.32 nats: that would be no comparison.)
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from reference import optimizer_of, windows
from torch import nn

import configurator
from model.transformer import Shape, Transformer
from pipelines.diffusion.evaluation.full_validation import evaluate_full
from pipelines.diffusion.objectives import objective_of
from pipelines.diffusion.schedule import learning_rate, position
from pipelines.diffusion.settings import DiffusionSettings
from pipelines.diffusion.text.dataset import Dataset
from pipelines.diffusion.text.open import open_dataset
from pipelines.diffusion.train_state import BatchLoss, Updater, averaged_weights, build, loss_of
from pipelines.shared import devices, heap
from runner.configs import inheritance

BAR = 0.25  # nats per character, after BAR_MINUTES
BAR_MINUTES = 5.0
TURN_SECONDS = 10.0
WARMUP = 0.02  # of the time
PLAIN_RATE = 2e-3
PLAIN_ROWS = 16


class Racer:
    """One way of training, and the time that it has had."""

    def __init__(self, name: str, step: Callable[[float], None], evaluate: Callable[[], tuple[float, float]]) -> None:
        self.name, self.step, self.evaluate = name, step, evaluate
        self.seconds, self.steps = 0.0, 0

    def turn(self, budget: float) -> None:
        begun, before = time.perf_counter(), self.seconds
        while self.seconds < budget and self.seconds - before < TURN_SECONDS:
            self.step(self.seconds / budget)
            self.seconds = before + time.perf_counter() - begun
            self.steps += 1


class Away:
    """A racer in a process of its own."""

    def __init__(self, kind: str, given: argparse.Namespace) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        context.Process(target=serve, args=(theirs, kind, given), daemon=True).start()
        theirs.close()
        self.name: str = self._connection.recv()
        self.seconds, self.steps = 0.0, 0

    def turn(self, budget: float) -> None:
        self._connection.send(budget)
        self.seconds, self.steps = self._connection.recv()

    def evaluate(self) -> tuple[float, float]:
        """The loss of the whole validation text, and its standard error. The last call."""
        self._connection.send(None)
        loss, error = self._connection.recv()
        return loss, error


def serve(connection: Connection, kind: str, given: argparse.Namespace) -> None:
    """In the process of a racer: its turns, then its evaluation."""
    if kind == "ours":
        heap.keep_freed(os.environ)
    settings = configurator.resolve(inheritance.read(Path(given.config)), {"max_minutes": str(given.minutes)})
    assert isinstance(settings, DiffusionSettings)
    device = devices.choose_device(given.device)
    text = open_dataset(settings.dataset, settings.tokenizer, settings.bpe_vocab_size)
    racer = (ours if kind == "ours" else plain)(settings, text, device)
    connection.send(racer.name)
    while (budget := connection.recv()) is not None:
        racer.turn(budget)
        connection.send((racer.seconds, racer.steps))
    connection.send(racer.evaluate())


def compare(given: argparse.Namespace) -> int:
    device = devices.choose_device(given.device)
    print(f"{devices.describe(device)}, {given.minutes:g} minutes each, {given.config}", flush=True)
    racers = [Away("plain", given), Away("ours", given)]
    budget = given.minutes * 60
    while any(racer.seconds < budget for racer in racers):
        for racer in racers:
            racer.turn(budget)
    losses = []
    for racer in racers:
        loss, error = racer.evaluate()
        losses.append(loss)
        print(f"{racer.name:44}{racer.steps:>7} steps  {loss:.4f} ± {error:.4f} nats per character", flush=True)
    return verdict(losses[0] - losses[1], given.minutes)


def verdict(better: float, minutes: float) -> int:
    """Print the difference beside the bar; the exit code."""
    if minutes != BAR_MINUTES:
        print(f"\n{better:.3f} nats better; the bar of {BAR} is for {BAR_MINUTES:g} minutes")
        return 0
    print(f"\n{better:.3f} nats better; the bar is {BAR}: {'held' if better >= BAR else 'missed'}")
    return 0 if better >= BAR else 1


def factor(fraction: float) -> float:
    """Of the plain loop's rate: linear warm-up, then a cosine to zero, over the part of the time that has passed."""
    return min(1.0, fraction / WARMUP + 0.01) * 0.5 * (1 + math.cos(math.pi * min(1.0, fraction)))


def precision(settings: DiffusionSettings, device: torch.device) -> torch.dtype:
    return devices.choose_dtype(settings.dtype, device, compiled=devices.compiles(settings.compile, device))


def ours(settings: DiffusionSettings, text: Dataset, device: torch.device) -> Racer:
    dtype = precision(settings, device)
    objective = objective_of(settings, text, device, dtype)
    model_state = build(settings, text.vocab_size, device, dtype)
    loss_module: nn.Module = BatchLoss(model_state.model, device, dtype)
    if devices.compiles(settings.compile, device):
        loss_module = devices.compiled(loss_module, lambda fast: loss_of(fast, objective.draw(0, 0, 0)).backward())
    updater, done = Updater(model_state, settings), 0

    def step(fraction: float) -> None:
        nonlocal done
        rate = learning_rate(done, settings, position(done, fraction * settings.max_minutes * 60, settings))
        for micro_batch in range(settings.gradient_accumulation_steps):
            loss = loss_of(loss_module, objective.draw(done, micro_batch, 0))
            (loss / settings.gradient_accumulation_steps).backward()
        updater.step(rate, done)
        done += 1

    def evaluate() -> tuple[float, float]:
        with averaged_weights(model_state) as model:
            return full_loss(model, text, settings.block_size, device, dtype)

    name = f"ours, {model_state.model.parameter_count():,} parameters"
    return Racer(name, step, evaluate)


def plain(settings: DiffusionSettings, text: Dataset, device: torch.device) -> Racer:
    torch.manual_seed(settings.seed)
    length, dtype = settings.block_size, precision(settings, device)
    shape = Shape(text.vocab_size + 1, text.vocab_size, length, settings.n_layer, settings.n_head, settings.n_embd)
    model = Transformer(shape).to(device)
    optimizer, batches = optimizer_of(model, PLAIN_RATE), windows(text.train, PLAIN_ROWS, length, device)
    loss_module: nn.Module = BatchLoss(model, device, dtype)
    if devices.compiles(settings.compile, device):
        example = torch.zeros(PLAIN_ROWS, length, dtype=torch.long, device=device)
        loss_module = devices.compiled(
            loss_module, lambda fast: fast(example, None, example.flatten(), example.flatten().float()).backward()
        )

    def step(fraction: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = PLAIN_RATE * factor(fraction)
        ids = next(batches)
        t = torch.rand(PLAIN_ROWS, 1, device=device).clamp(min=1e-3)
        masked = torch.rand(ids.shape, device=device) < t
        weights = masked / t / ids.numel()
        loss_module(ids.masked_fill(masked, text.mask_id), None, ids.flatten(), weights.flatten()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def evaluate() -> tuple[float, float]:
        return full_loss(model, text, length, device, dtype)

    return Racer(f"plain loop, {model.parameter_count():,} parameters", step, evaluate)


def full_loss(
    model: nn.Module, text: Dataset, length: int, device: torch.device, dtype: torch.dtype
) -> tuple[float, float]:
    found = evaluate_full(model, text.val, length, mask_id=text.mask_id, device=device, dtype=dtype)
    assert found is not None
    return found.loss, found.standard_error
