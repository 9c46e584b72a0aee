"""Draw characters from logits: temperature, top-k, top-p, Gumbel noise. Knows nothing of masks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Draw:
    """How a character is drawn; the generators are what makes it repeatable.

    With one generator for each row of a batch, what is drawn for a row depends on no other row, so that a sample is the
    same in a batch of any size. Only rows that draw something move their generator on.

    The noise is in float64: in float32 the uniform numbers end at 1 - 2^-24, so that the largest Gumbel numbers are
    missing, rare characters lose, and the text is that of a lower temperature (Zheng et al. 2024).
    The draw takes place on the generators' device, since an Apple GPU has no float64.
    """

    generators: Sequence[torch.Generator]  # one for each row, or a single one for all rows together
    temperature: float = 1.0  # 0: always the likeliest
    top_p: float = 1.0  # only the likeliest characters that have this probability together
    top_k: int = 0  # only the k likeliest characters; 0: all

    def __call__(self, logits: Tensor, at: Tensor) -> Tensor:  # (N, V), (B, T) bool with N places -> (N,) int64
        """A character for each place, row by row."""
        if self.temperature == 0:
            return logits.argmax(-1)
        scores = logits.to(self._device, torch.float64)
        scores = (scores - scores.amax(-1, keepdim=True)) / self.temperature  # below 0, so that nothing overflows
        if self.top_k:
            scores = likeliest(scores, self.top_k)
        if self.top_p < 1:
            scores = nucleus(scores, self.top_p)
        noise = gumbel(self._noise(at.sum(1).tolist(), scores.shape[-1]))
        return (scores + noise).argmax(-1).to(logits.device)

    def uniform(self, active: Tensor) -> Tensor:  # (B, T) bool -> (B, T) float64 in [0, 1)
        """Numbers for all positions of the rows that have an active one; those of the other rows mean nothing."""
        rows, length = active.shape
        kind = torch.float32 if active.device.type == "mps" else torch.float64
        found = torch.zeros(rows, length, dtype=kind, device=active.device)
        some = active.any(1)
        found[some] = self._noise(some.int().tolist(), length).to(active.device, kind)
        return found

    @property
    def _device(self) -> torch.device:
        return self.generators[0].device

    def _noise(self, counts: Iterable[int], width: int) -> Tensor:  # (B,) -> (sum of counts, width)
        """Uniform numbers: as many lines for each row as it counts."""
        if len(self.generators) == 1:
            return uniform((sum(counts), width), self.generators[0])
        parts = [uniform((n, width), own) for n, own in zip(counts, self.generators, strict=True) if n]
        return torch.cat(parts) if parts else torch.zeros(0, width, dtype=torch.float64, device=self._device)


def uniform(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device, dtype=torch.float64)


def gumbel(uniform: Tensor) -> Tensor:
    """Standard Gumbel numbers of uniform ones: the argmax of log p plus such noise is a draw from p (Gumbel-max)."""
    tiny = torch.finfo(torch.float64).tiny  # a zero would be an infinity
    return -(-uniform.clamp_min(tiny).log()).log()


def likeliest(scores: Tensor, top_k: int) -> Tensor:  # (..., V) -> (..., V)
    """Exclude all but the k likeliest characters, of equals those that come first (Fan et al. 2018)."""
    order = scores.argsort(dim=-1, descending=True, stable=True)
    return scores.masked_fill(order.argsort(-1) >= top_k, float("-inf"))


def nucleus(scores: Tensor, top_p: float) -> Tensor:  # (..., V) -> (..., V)
    """Exclude all but the likeliest characters that reach `top_p` together (Holtzman et al. 2020)."""
    ordered, order = scores.softmax(-1).sort(dim=-1, descending=True)
    before = ordered.cumsum(-1) - ordered  # the probability of all likelier ones; 0 for the first, so it stays
    return scores.masked_fill((before >= top_p).gather(-1, order.argsort(-1)), float("-inf"))
