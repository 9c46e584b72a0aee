"""The sampler that options ask for, and the generators of its samples. Draws nothing, prints nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model import sampling
from model.block_diffusion import in_blocks_with_past
from model.drawing import Draw
from pipelines.diffusion.sampling import infill_template
from pipelines.diffusion.sampling.load import TrainedModel
from pipelines.diffusion.sampling.options import OF_MASKED_MODELS, OF_WHOLE_WINDOWS, SampleSettings
from pipelines.shared.errors import InputError

SAMPLERS = {
    "ancestral": sampling.ancestral,
    "first_hitting": sampling.first_hitting,
    "confidence": sampling.confidence,
    "remasking": sampling.remasking,
}


@dataclass
class CountingNetwork:
    """A network that counts its calls."""

    predict: Callable[..., Any]
    context: Callable[[], AbstractContextManager]
    calls: int = 0

    def __call__(self, *given: Any) -> Any:
        self.calls += 1
        with torch.inference_mode(), self.context():
            return self.predict(*given)


def draw_of(settings: SampleSettings, device: torch.device, numbers: range) -> Draw:
    """For the samples of these numbers: each has a generator of its own."""
    # An Apple GPU has no float64, and a generator on the CPU draws for it.
    place = "cpu" if device.type == "mps" else device
    seeds = [int(np.random.SeedSequence((settings.seed, number)).generate_state(1, np.uint64)[0]) for number in numbers]
    generators = [torch.Generator(place).manual_seed(seed >> 1) for seed in seeds]
    return Draw(generators, settings.temperature, settings.top_p, settings.top_k)


def predict_of(model: TrainedModel) -> Callable[..., Any]:
    """What the sampler of `sampler_of` calls, before the calls are counted."""
    return model.predict_block if model.is_in_blocks else model.predict


def require_options_that_are_read(settings: SampleSettings, model: TrainedModel) -> None:
    """Raise InputError for what a model that draws from left to right cannot do."""
    if model.is_autoregressive:
        unread, kind = OF_MASKED_MODELS, "an autoregressive model, which draws from left to right"
    elif model.is_in_blocks:
        unread, kind = OF_WHOLE_WINDOWS, f"of block diffusion, whose blocks have {model.block_length} tokens"
    else:
        return
    if found := sorted(unread & settings.model_fields_set):
        raise InputError(f"{model.path} is {kind}: leave out {found[0]}")
    parts = infill_template.parse(settings.infill) if settings.infill else []
    if any(isinstance(part, infill_template.Gap) for part in parts[:-1]):
        raise InputError(
            f"{model.path} is {kind}, and does not see what follows a gap: --infill may end with its only gap, or use"
            " --prompt"
        )


def sampler_of(
    settings: SampleSettings, model: TrainedModel, networks: list[CountingNetwork], draw: Draw, to_draw: int
) -> sampling.Sampler:
    """The sampler that the settings ask for, from the inside out: order, blocks, corrector, windows."""
    if model.is_autoregressive:
        left_to_right = partial(sampling.left_to_right, mask_id=model.mask_id, draw=draw)
        return sampling.in_windows(left_to_right, model.block_size, mask_id=model.mask_id)
    remasking = {"schedule": settings.schedule, "eta": settings.eta, "remask": settings.remask}
    own = {"confidence": {"order": settings.order}, "remasking": remasking}
    method = partial(SAMPLERS[settings.sampler], mask_id=model.mask_id, draw=draw, **own.get(settings.sampler, {}))

    def with_steps(predict: sampling.Predict, ids: Tensor, where: Tensor) -> sampling.Decoding:
        """The steps of a full sample, in proportion to the positions to draw."""
        here = where.sum(1, keepdim=True) * (settings.steps or to_draw)  # (B, 1)
        return method(predict, ids, where, steps=((here + to_draw - 1) // to_draw).clamp(min=1))

    sampler: sampling.Sampler = with_steps
    if model.is_in_blocks:
        blocks = in_blocks_with_past(sampler, model.block_length, mask_id=model.mask_id)
        return sampling.in_windows(blocks, model.block_size, mask_id=model.mask_id)
    if settings.block_length:
        sampler = sampling.in_blocks(sampler, settings.block_length)
    if settings.corrector:
        sampler = sampling.corrected(
            sampler, networks[1], mask_id=model.mask_id, rounds=settings.corrector_rounds, above=settings.wrong_above
        )
    return sampling.in_windows(sampler, model.block_size, mask_id=model.mask_id)
