"""Fill the hidden positions of texts, step by step. Knows tensors and a network only: no files, no settings.

Each sampler is an iterator over what stands there after each of its steps, the last being the finished text. It
changes the positions `where` alone; tensors that it has given away stay as they are. `predict` is asked about whole
rows and never told the time: for a masked diffusion that has been trained to the optimum, the rest of the text says it
all (Ou et al. 2024; Zheng et al. 2024).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Literal

import torch
from torch import Tensor

from model.drawing import Draw

Predict = Callable[[Tensor], Tensor]  # (B, T) ids -> (B, T, V) logits, the mask not among the V answers
Filling = Iterator[Tensor]  # (B, T) ids after each step
Sampler = Callable[[Predict, Tensor, Tensor], Filling]  # (B, T) ids and (B, T) bool `where`; all options are bound

Order = Literal["probability", "margin", "entropy"]
Schedule = Literal["cap", "rescale"]


def ancestral(predict: Predict, ids: Tensor, where: Tensor, *, mask_id: int, draw: Draw, steps: int) -> Filling:
    """The reverse process in `steps` equal steps of the linear schedule (MDLM, Sahoo et al. 2024).

    From time t to s a hidden position appears with probability (t - s) / t, independently of the others, so what
    appears in one step is drawn as if the characters knew nothing of each other: exact as the steps become many.
    """
    for left in range(steps, 0, -1):
        hidden = where & (ids == mask_id)
        appearing = hidden & (draw.uniform(ids.shape, ids.device) * left < 1)  # (t - s) / t = 1 / left
        ids = reveal(predict, ids, appearing, draw)
        yield ids


def first_hitting(predict: Predict, ids: Tensor, where: Tensor, *, mask_id: int, draw: Draw, steps: int) -> Filling:
    """The process in continuous time, from one transition to the next (first-hitting sampler, Zheng et al. 2024).

    Which position appears next is uniform over the hidden ones. *When* it does (after n are left, at t u^(1/n)) would
    matter only to a network that is told the time, so it is not drawn. Exact when `steps` is at least the number of
    hidden positions; with fewer steps, several positions appear together.
    """
    for left in range(steps, 0, -1):
        hidden = where & (ids == mask_id)
        if not hidden.any():
            return
        ids = reveal(predict, ids, highest(draw.uniform(ids.shape, ids.device), hidden, portion(hidden, left)), draw)
        yield ids


def confidence(
    predict: Predict, ids: Tensor, where: Tensor, *, mask_id: int, draw: Draw, steps: int, order: Order = "probability"
) -> Filling:
    """In each step a candidate is drawn for every hidden position, and the surest ones stay.

    Sure is what has a high probability (MaskGIT, Chang et al. 2022; LLaDA, Nie et al. 2025), a wide margin between
    the two likeliest answers (Kim et al. 2025) or a low entropy. Whatever the steps, these are not draws from the
    distribution of the model: text becomes safer and poorer.
    """
    for left in range(steps, 0, -1):
        hidden = where & (ids == mask_id)
        if not hidden.any():
            return
        logits = ask(predict, ids, hidden)  # (N, V)
        candidates = draw(logits)
        sure = torch.zeros(ids.shape, device=ids.device).masked_scatter(hidden, sureness(logits, candidates, order))
        chosen = highest(sure, hidden, portion(hidden, left))
        ids = torch.where(chosen, ids.masked_scatter(hidden, candidates), ids)
        yield ids


def remasking(
    predict: Predict, ids: Tensor, where: Tensor, *, mask_id: int, draw: Draw, steps: int,
    schedule: Schedule = "cap", eta: float = 0.02,
) -> Filling:  # fmt: skip
    """As ancestral, but what has appeared is hidden again now and then, and drawn anew (ReMDM, Wang et al. 2025).

    From t to s (alpha = 1 - t) a visible position is hidden with probability sigma, and a hidden one appears with
    (alpha_s - (1 - sigma) alpha_t) / (1 - alpha_t). sigma is at most (1 - alpha_s) / alpha_t: min(eta, that) for 'cap',
    eta times that for 'rescale'. With eta 0 this is the ancestral sampler.
    """
    for step in range(steps):
        before, after = step / steps, (step + 1) / steps  # alpha_t, alpha_s
        most = min(1.0, (1 - after) / before) if before else 1.0
        sigma = min(eta, most) if schedule == "cap" else eta * most
        appears = (after - (1 - sigma) * before) / (1 - before)
        hidden = where & (ids == mask_id)
        chance = draw.uniform(ids.shape, ids.device)
        appeared = reveal(predict, ids, hidden & (chance < appears), draw)
        ids = appeared.masked_fill(where & ~hidden & (chance < sigma), mask_id)
        yield ids


def in_blocks(sampler: Sampler, length: int) -> Sampler:
    """Blocks of `length` positions, the left one finished before the next begins (LLaDA, Nie et al. 2025).

    The network sees the hidden rest to the right as well. The first block begins at the first hidden position.
    """

    def sample(predict: Predict, ids: Tensor, where: Tensor) -> Filling:
        columns = where.any(0).nonzero().flatten().tolist()
        position = torch.arange(ids.shape[1], device=ids.device)
        for block in sorted({(column - columns[0]) // length for column in columns}):
            inside = (position - columns[0]).div(length, rounding_mode="floor") == block
            ids = yield from passed_on(sampler(predict, ids, where & inside), ids)

    return sample


def in_windows(sampler: Sampler, size: int, *, mask_id: int) -> Sampler:
    """Texts longer than `size`: a window of that size moves to the right by half of it, and fills what it finds."""

    def sample(predict: Predict, ids: Tensor, where: Tensor) -> Filling:
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
    """What a second network takes for wrong is hidden again and drawn anew, until it finds nothing, `rounds` at most.

    `wrong`: (B, T) ids -> (B, T), the probability that what stands there is wrong.
    """

    def sample(predict: Predict, ids: Tensor, where: Tensor) -> Filling:
        ids = yield from passed_on(sampler(predict, ids, where), ids)
        for _ in range(rounds):
            found = where & (wrong(ids) > above)
            if not found.any():
                return
            ids = ids.masked_fill(found, mask_id)
            yield ids
            ids = yield from passed_on(sampler(predict, ids, found), ids)

    return sample


def passed_on(steps: Filling, ids: Tensor) -> Generator[Tensor, None, Tensor]:
    """All the steps; returns the last of them, or `ids` where there was nothing to do."""
    for ids in steps:
        yield ids
    return ids


def ask(predict: Predict, ids: Tensor, at: Tensor) -> Tensor:  # (B, T), (B, T) bool -> (N, V), row by row
    """Logits at N positions. Rows that have none of them are not put before the network."""
    rows = at.any(1)
    return predict(ids[rows])[at[rows]]


def reveal(predict: Predict, ids: Tensor, at: Tensor, draw: Draw) -> Tensor:  # -> (B, T)
    """Draw the positions `at`, all from one prediction; the network is not asked when there are none."""
    return ids.masked_scatter(at, draw(ask(predict, ids, at))) if at.any() else ids


def portion(hidden: Tensor, steps: int) -> Tensor:  # (B, T) -> (B, 1)
    """How many positions of each row are due in the first of `steps` steps: the same number in each, the rest first."""
    return (hidden.sum(1, keepdim=True) + steps - 1) // steps


def highest(score: Tensor, among: Tensor, count: Tensor) -> Tensor:  # (B, T), (B, T) bool, (B, 1) -> (B, T) bool
    ranked = score.masked_fill(~among, float("-inf")).argsort(dim=1, descending=True, stable=True)
    return among & (ranked.argsort(dim=1) < count)


def sureness(logits: Tensor, candidates: Tensor, order: Order) -> Tensor:  # (N, V), (N,) -> (N,) float32
    probability = logits.float().softmax(-1)
    match order:
        case "probability":
            return probability.gather(-1, candidates[:, None])[:, 0]
        case "margin":
            first, second = probability.topk(2, dim=-1).values.unbind(-1)
            return first - second
        case "entropy":
            return -torch.special.entr(probability).sum(-1)
