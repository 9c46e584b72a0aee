"""Decode the masked positions of texts, step by step. Knows only tensors and a network: no files, no settings.

Each sampler is an iterator over the ids after each of its steps, the last being the finished text. It changes only
the positions `where`, and never a tensor that it has yielded. `predict` gets complete rows and no time: for a masked
diffusion model at its optimum, the text determines the time (Ou et al. 2024; Zheng et al. 2024). `steps` is a number
for all rows or one for each; what happens to a row depends on no other row, if `draw` has a generator for each.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from model.drawing import Draw

Predict = Callable[[Tensor], Tensor]  # (B, T) ids -> (B, T, V) logits, the mask not among the V answers
Decoding = Iterator[Tensor]  # (B, T) ids after each step
Sampler = Callable[[Predict, Tensor, Tensor], Decoding]  # (B, T) ids and (B, T) bool `where`; all options are bound

Order = Literal["probability", "margin", "entropy"]
Schedule = Literal["cap", "rescale"]
Remask = Literal["chance", "confidence"]
Steps = int | Tensor  # or (B, 1) int64, a number for each row


def ancestral(predict: Predict, ids: Tensor, where: Tensor, *, mask_id: int, draw: Draw, steps: Steps) -> Decoding:
    """The reverse process in `steps` equal steps of the linear schedule (MDLM, Sahoo et al. 2024).

    From time t to s a masked position is unmasked with probability (t - s) / t, independently of the others. The
    characters of one step are drawn independently of each other, so this is exact only in the limit of many steps.
    """
    for left in remaining(steps):
        masked = where & (ids == mask_id)
        unmasked_now = masked & (draw.uniform(masked) * left < 1)  # (t - s) / t = 1 / left
        ids = unmask(predict, ids, unmasked_now, draw)
        yield ids


def first_hitting(predict: Predict, ids: Tensor, where: Tensor, *, mask_id: int, draw: Draw, steps: Steps) -> Decoding:
    """The process in continuous time, from one transition to the next (first-hitting sampler, Zheng et al. 2024).

    The next position is uniform over the masked ones. *When* it is unmasked (with n left, at t u^(1/n)) would matter
    only to a network that gets the time, so it is not drawn. Exact when `steps` is at least the number of masked
    positions; with fewer steps, several positions are unmasked together.
    """
    for left in remaining(steps):
        masked = where & (ids == mask_id)
        if not masked.any():
            return
        ids = unmask(predict, ids, highest(draw.uniform(masked), masked, portion(masked, left)), draw)
        yield ids


def confidence(
    predict: Predict, ids: Tensor, where: Tensor, *, mask_id: int, draw: Draw, steps: Steps,
    order: Order = "probability",
) -> Decoding:  # fmt: skip
    """In each step a candidate is drawn for every masked position, and those of highest confidence stay.

    Confidence is a high probability (MaskGIT, Chang et al. 2022; LLaDA, Nie et al. 2025), a wide margin between
    the two likeliest answers (Kim et al. 2025) or a low entropy. Whatever the steps, these are not draws from the
    distribution of the model: text becomes safer and poorer.
    """
    for left in remaining(steps):
        masked = where & (ids == mask_id)
        if not masked.any():
            return
        logits = predict_at(predict, ids, masked)  # (N, V)
        candidates = draw(logits, masked)
        scores = torch.zeros(ids.shape, device=ids.device).masked_scatter(
            masked, confidence_of(logits, candidates, order)
        )
        chosen = highest(scores, masked, portion(masked, left))
        ids = torch.where(chosen, ids.masked_scatter(masked, candidates), ids)
        yield ids


def remasking(
    predict: Predict, ids: Tensor, where: Tensor, *, mask_id: int, draw: Draw, steps: Steps,
    schedule: Schedule = "cap", eta: float = 0.02, remask: Remask = "chance",
) -> Decoding:  # fmt: skip
    """As ancestral, but positions are masked again now and then, and drawn again (ReMDM, Wang et al. 2025).

    From t to s (alpha = 1 - t) a visible position is masked with probability sigma, and a masked one unmasked with
    (alpha_s - (1 - sigma) alpha_t) / (1 - alpha_t). sigma is at most (1 - alpha_s) / alpha_t: min(eta, that) for 'cap',
    eta times that for 'rescale'. With eta 0 this is the ancestral sampler.

    With `remask` 'confidence' (ReMDM-conf, section 4.1) sigma is divided among the visible positions in proportion to
    exp(-p), p the probability with which each was drawn: one position in 1 / sigma steps, rather an unlikely one.
    """
    drawn = torch.zeros(ids.shape, device=ids.device)  # the probability of each visible position
    for left in remaining(steps):
        total, left = torch.as_tensor(steps, device=ids.device), left.to(ids.device)
        before, after = 1 - left / total, 1 - (left - 1) / total  # alpha_t, alpha_s
        most = ((1 - after) / before).nan_to_num(nan=1.0).clamp(max=1.0)  # `before` is 0 in the first step
        sigma = most.clamp(max=eta) if schedule == "cap" else eta * most
        active = where & (left > 0)
        masked = active & (ids == mask_id)
        if remask == "confidence":
            sigma = sigma * (-drawn).masked_fill(masked | ~active, float("-inf")).softmax(1).nan_to_num()  # (B, T)
        p_unmask = (after - (1 - sigma) * before) / (1 - before)
        chance = draw.uniform(active)
        filled, probability = unmask_and_rate(predict, ids, masked & (chance < p_unmask), draw)
        drawn = torch.where(masked, probability, drawn)
        ids = filled.masked_fill(active & ~masked & (chance < sigma), mask_id)
        yield ids


def left_to_right(predict: Predict, ids: Tensor, where: Tensor, *, mask_id: int, draw: Draw) -> Decoding:
    """The next token of each row, one after the other: exact for an autoregressive model."""
    for _ in range(ids.shape[1]):
        masked = where & (ids == mask_id)
        if not masked.any():
            return
        first = masked & (masked.cumsum(1) == 1)
        ids = unmask(predict, ids, first, draw)
        yield ids


def in_blocks(sampler: Sampler, length: int) -> Sampler:
    """Blocks of `length` positions, the left one finished before the next begins (LLaDA, Nie et al. 2025).

    The network sees the masked rest to the right as well. The first block begins at the first masked position.
    """

    def sample(predict: Predict, ids: Tensor, where: Tensor) -> Decoding:
        first = where.int().argmax(1, keepdim=True)  # of each row
        block = (torch.arange(ids.shape[1], device=ids.device) - first).div(length, rounding_mode="floor")
        for number in block[where].unique().tolist():
            ids = yield from forwarded(sampler(predict, ids, where & (block == number)), ids)

    return sample


def in_windows(sampler: Sampler, size: int, *, mask_id: int) -> Sampler:
    """Texts longer than `size`: a window of that size moves to the right by half of it, and fills what it finds."""

    def sample(predict: Predict, ids: Tensor, where: Tensor) -> Decoding:
        last = max(0, ids.shape[1] - size)
        for start in [*range(0, last, max(1, size // 2)), last]:
            window = slice(start, start + size)
            here = where[:, window] & (ids[:, window] == mask_id)
            if here.any():
                for seen in sampler(predict, ids[:, window], here):
                    ids = torch.cat((ids[:, :start], seen, ids[:, start + size :]), dim=1)
                    yield ids

    return sample


def corrected(
    sampler: Sampler, wrong: Callable[[Tensor], Tensor], *, mask_id: int, rounds: int, above: float = 0.5
) -> Sampler:
    """What a second network detects as wrong is masked and drawn again, until it finds nothing, `rounds` at most.

    `wrong`: (B, T) ids -> (B, T), the probability that the character is wrong.
    """

    def sample(predict: Predict, ids: Tensor, where: Tensor) -> Decoding:
        ids = yield from forwarded(sampler(predict, ids, where), ids)
        for _ in range(rounds):
            found = where & (wrong(ids) > above)
            if not found.any():
                return
            ids = ids.masked_fill(found, mask_id)
            yield ids
            ids = yield from forwarded(sampler(predict, ids, found), ids)

    return sample


def forwarded(steps: Decoding, ids: Tensor) -> Generator[Tensor, None, Tensor]:
    """Yield all the steps; returns the last of them, or `ids` if there was none."""
    for ids in steps:
        yield ids
    return ids


@dataclass(frozen=True, slots=True)
class WholeBatch:
    """A prediction that needs all rows of a batch, since it keeps something of each."""

    predict: Predict

    def __call__(self, ids: Tensor) -> Tensor:
        return self.predict(ids)


def predict_at(predict: Predict, ids: Tensor, at: Tensor) -> Tensor:  # (B, T), (B, T) bool -> (N, V), row by row
    """Logits at N positions. Rows without any of them are not given to the network."""
    if isinstance(predict, WholeBatch):
        return predict(ids)[:, : at.shape[1]][at]
    rows = at.any(1)
    return predict(ids[rows])[at[rows]]


def unmask(predict: Predict, ids: Tensor, at: Tensor, draw: Draw) -> Tensor:  # -> (B, T)
    """Draw the positions `at`, all from one prediction; the network is not called when there are none."""
    return ids.masked_scatter(at, draw(predict_at(predict, ids, at), at)) if at.any() else ids


def unmask_and_rate(predict: Predict, ids: Tensor, at: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
    """As `unmask`, and the probability of what was drawn at each position, 0 elsewhere: (B, T), (B, T) float32."""
    none = torch.zeros(ids.shape, device=ids.device)
    if not at.any():
        return ids, none
    logits = predict_at(predict, ids, at)
    candidates = draw(logits, at)
    return ids.masked_scatter(at, candidates), none.masked_scatter(at, confidence_of(logits, candidates, "probability"))


def remaining(steps: Steps) -> Iterator[Tensor]:
    """Before each step, how many are left, this one included: () or (B, 1), 0 for a row that has had its steps."""
    left = torch.as_tensor(steps)
    for _ in range(int(left.max())):
        yield left
        left = (left - 1).clamp(min=0)


def portion(masked: Tensor, steps: Tensor) -> Tensor:  # (B, T) -> (B, 1)
    """How many positions of each row to unmask in the first of `steps` steps: equal in each, the rest first."""
    return (masked.sum(1, keepdim=True) + steps - 1) // steps.clamp(min=1)


def highest(score: Tensor, among: Tensor, count: Tensor) -> Tensor:  # (B, T), (B, T) bool, (B, 1) -> (B, T) bool
    ranked = score.masked_fill(~among, float("-inf")).argsort(dim=1, descending=True, stable=True)
    return among & (ranked.argsort(dim=1) < count)


def confidence_of(logits: Tensor, candidates: Tensor, order: Order) -> Tensor:  # (N, V), (N,) -> (N,) float32
    probability = logits.float().softmax(-1)
    match order:
        case "probability":
            return probability.gather(-1, candidates[:, None])[:, 0]
        case "margin":
            first, second = probability.topk(2, dim=-1).values.unbind(-1)
            return first - second
        case "entropy":
            return -torch.special.entr(probability).sum(-1)
