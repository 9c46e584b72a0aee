"""Draw characters from logits: temperature, top-p, Gumbel noise. Knows nothing of masks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Draw:
    """How a character is drawn; the generator is what makes it repeatable.

    The noise is in float64: in float32 the uniform numbers end at 1 - 2^-24, so that the largest Gumbel numbers are
    missing, rare characters lose, and the text is that of a lower temperature (Zheng et al. 2024).
    The draw takes place on the generator's device, since an Apple GPU has no float64.
    """

    generator: torch.Generator
    temperature: float = 1.0  # 0: always the likeliest
    top_p: float = 1.0  # only the likeliest characters that have this probability together

    def __call__(self, logits: Tensor) -> Tensor:  # (..., V) -> (...) int64
        if self.temperature == 0:
            return logits.argmax(-1)
        scores = logits.to(self.generator.device, torch.float64)
        scores = (scores - scores.amax(-1, keepdim=True)) / self.temperature  # below 0, so that nothing overflows
        if self.top_p < 1:
            scores = nucleus(scores, self.top_p)
        return (scores + gumbel(scores.shape, self.generator)).argmax(-1).to(logits.device)

    def uniform(self, shape: torch.Size, device: torch.device) -> Tensor:  # -> shape, float64 in [0, 1)
        return uniform(shape, self.generator).to(torch.float32 if device.type == "mps" else torch.float64).to(device)


def uniform(shape: torch.Size, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device, dtype=torch.float64)


def gumbel(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Standard Gumbel numbers: the argmax of log p plus such noise is a draw from p (Gumbel-max)."""
    tiny = torch.finfo(torch.float64).tiny  # a zero would be an infinity
    return -(-uniform(shape, generator).clamp_min_(tiny).log()).log()


def nucleus(scores: Tensor, top_p: float) -> Tensor:  # (..., V) -> (..., V)
    """Exclude all but the likeliest characters that reach `top_p` together (Holtzman et al. 2020)."""
    ordered, order = scores.softmax(-1).sort(dim=-1, descending=True)
    before = ordered.cumsum(-1) - ordered  # the probability of all likelier ones; 0 for the first, so it stays
    return scores.masked_fill((before >= top_p).gather(-1, order.argsort(-1)), float("-inf"))
