"""Generative perplexity: what texts cost under a trained model that need not be the one that drew them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pipelines.diffusion.evaluation import block_loss, exact_likelihood, full_validation
from pipelines.diffusion.sampling.load import TrainedModel


@dataclass(frozen=True, slots=True)
class Perplexity:
    model: str  # the checkpoint
    exact: bool  # of an autoregressive model; else an upper bound, with masks that are drawn
    nats_per_character: float
    perplexity_per_token: float  # tokens of the model that measures

    def summary(self) -> str:
        kind = "exact" if self.exact else "an upper bound"
        return (
            f"under {self.model}: {self.nats_per_character:.4f} nats per character, perplexity"
            f" {self.perplexity_per_token:.3f} per token ({kind})"
        )


def perplexity(texts: Sequence[str], model: TrainedModel, device: torch.device) -> Perplexity:
    """Each text alone, in windows of the model from its beginning on. Raises InputError for a character that the model
    does not know."""
    total, tokens = 0.0, 0
    for text in filter(None, texts):
        ids = np.array(model.vocabulary.encode(text))
        total += nats_per_token(ids, model, device) * len(ids)
        tokens += len(ids)
    characters = sum(map(len, texts))
    return Perplexity(str(model.path), model.is_autoregressive, total / characters, math.exp(total / tokens))


def nats_per_token(ids: np.ndarray, model: TrainedModel, device: torch.device) -> float:
    common = {"mask_id": model.mask_id, "device": device, "dtype": torch.float32}
    if model.is_autoregressive:
        found = exact_likelihood.evaluate_full(model.model, ids, model.block_size, **common)
    elif model.is_in_blocks:
        found = block_loss.evaluate_full(model.model, ids, model.block_size, block_length=model.block_length, **common)
    else:
        found = full_validation.evaluate_full(model.model, ids, model.block_size, **common)
    return found.loss  # never None, as nothing stops it
