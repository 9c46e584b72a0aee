"""The start of a training: machine, text and network; from scratch, a checkpoint or the weights of another model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipelines.diffusion.objectives import Objective, objective_of
from pipelines.diffusion.sampling.load import TrainedModel, load_model, require_model
from pipelines.diffusion.schedule import position, remarks, stage_at
from pipelines.diffusion.settings import DiffusionSettings, is_corrector
from pipelines.diffusion.text.dataset import Dataset
from pipelines.diffusion.text.open import open_dataset, open_in
from pipelines.diffusion.text.vocabulary import Vocabulary, of_checkpoint
from pipelines.diffusion.train_state import BatchLoss, ModelState, TrainState, build, loss_of, start_from, unpack
from pipelines.shared import checkpoints, devices
from pipelines.shared.distributed import World
from pipelines.shared.metrics import METRICS, Log


@dataclass(frozen=True, slots=True)
class Training:
    """What stays the same while a training runs, and the states that change within it."""

    settings: DiffusionSettings
    state: TrainState
    world: World
    log: Log
    device: torch.device
    dtype: torch.dtype
    base: TrainedModel | None  # whose weights it starts from
    text: Dataset
    micro_batches: range
    objective: Objective
    model_state: ModelState

    @property
    def out_dir(self) -> Path:
        return Path(self.settings.out_dir)

    @property
    def has_stages(self) -> bool:
        return self.settings.training_type == "unmasking"

    @property
    def tokens_per_iter(self) -> int:
        settings = self.settings
        return settings.gradient_accumulation_steps * settings.batch_size * settings.block_size

    @property
    def position(self) -> float:
        return position_of(self.settings, self.state)


def prepare(settings: DiffusionSettings, state: TrainState, world: World, log: Log) -> Training:
    """The machine, the text, the network."""
    device = devices.choose_device(world.device(settings.device))
    compiled = devices.compiles(settings.compile, device)
    dtype = devices.choose_dtype(settings.dtype, device, compiled=compiled)
    base = trained_base(settings, device)
    text = open_text(settings, base)
    micro_batches, rows_of_rank = world.partition(settings.gradient_accumulation_steps, settings.batch_size)
    objective = objective_of(settings, text, device, dtype, rows_of_rank)
    torch.set_float32_matmul_precision("high")  # TF32 on GPUs that have it; changes nothing on a CPU
    model_state = build(settings, text.vocab_size, device, dtype)
    return Training(settings, state, world, log, device, dtype, base, text, micro_batches, objective, model_state)


def introduce(training: Training) -> None:
    settings, text, log = training.settings, training.text, training.log
    dtype = devices.dtype_name(training.dtype)
    log(f"device: {devices.describe(training.device)}, dtype: {dtype}" + training.world.describe())
    unit = text.vocabulary.title
    log(f"dataset: {text.name}, {len(text.train):,} {unit} to train on, {len(text.val):,} to validate on")
    log(training.objective.introduction())
    parameters = training.model_state.model.parameter_count()
    log(f"model: {parameters:,} parameters, {training.tokens_per_iter:,} tokens per iteration")
    if training.dtype == torch.bfloat16 and not devices.has_bfloat16_units(training.device):
        log("note: this processor has no units for bfloat16; float32 takes a fraction of the time (--dtype=float32)")
    for remark in [] if settings.eval_only else remarks(settings):
        log(f"note: {remark}")


def begin(training: Training) -> bool:
    """From scratch or from a checkpoint; False when there is nothing left to do."""
    settings, state, world, log = training.settings, training.state, training.world, training.log
    if world.is_rank_zero:
        checkpoints.remove_unfinished(training.out_dir)
    if settings.init_from == "resume":
        path, found = checkpoints.load_latest(
            training.out_dir, settings.training_type,
            lambda content: unpack(content, training.model_state, settings, training.text),
        )  # fmt: skip
        state.__dict__.update(vars(found))
        log(f"resuming from {path} at iteration {state.iteration}")
        if training.position >= settings.max_iters and not settings.eval_only:
            spent = f" or max_minutes ({settings.max_minutes:g})" if settings.max_minutes else ""
            log(f"nothing to do: already at max_iters ({settings.max_iters}){spent}")
            return False
    elif not settings.eval_only and world.is_rank_zero and (folder := checkpoints.archive(training.out_dir, [METRICS])):
        log(f"moved the checkpoints of an earlier training to {folder}")
    if base := training.base:
        start_from(base, training.model_state)
        state.base = str(base.path)
        log(f"starting from the weights of {base.path}{f' ({base.why})' if base.why else ''}")
    world.seed_dropout(settings.seed + state.iteration)
    return True


def network_of(training: Training) -> nn.Module:
    """The loss of a batch as a module, compiled and distributed as the settings ask."""
    settings = training.settings
    loss_module: nn.Module = BatchLoss(training.model_state.model, training.device, training.dtype)
    if devices.compiles(settings.compile, training.device) and not settings.eval_only:
        training.log("compiling the model; it can take minutes until the first iteration")
        example = training.objective.draw(0, 0, stage_of(settings, training.state))
        loss_module = devices.compiled(
            loss_module, lambda fast: loss_of(fast, example).backward(), graphs=settings.cuda_graphs
        )
    return training.world.wrap(loss_module, training.device)


def stage_of(settings: DiffusionSettings, state: TrainState) -> int:
    """The stage of the next step, counted from 0; 0 without a curriculum."""
    if settings.training_type == "unmasking" and settings.stage_schedule == "fixed":
        return stage_at(position_of(settings, state), settings.unmasking_stages, settings.max_iters)
    return state.progress.stage


def position_of(settings: DiffusionSettings, state: TrainState) -> float:
    return position(state.iteration, state.seconds, settings)


def trained_base(settings: DiffusionSettings, device: torch.device) -> TrainedModel | None:
    """The model whose weights the training starts from; None unless init_from is a path."""
    if settings.base is None:
        return None
    require_model(settings.base, corrector=is_corrector(settings))
    return load_model(settings.base, device, corrector=is_corrector(settings))


def open_text(settings: DiffusionSettings, base: TrainedModel | None) -> Dataset:
    """The text, in the tokens of the model that the training starts or started from, if there is one."""
    request = settings.dataset, settings.tokenizer, settings.bpe_vocab_size
    found = base.vocabulary if base else None
    if settings.init_from == "resume":
        found = checkpoints.peek(Path(settings.out_dir), settings.training_type, vocabulary_of_base)
    return open_in(found, *request) if found else open_dataset(*request)


def vocabulary_of_base(content: dict[str, Any]) -> Vocabulary | None:
    """The vocabulary of a checkpoint whose training started from another model; None of any other."""
    return of_checkpoint(content) if content["state"].get("base") else None
