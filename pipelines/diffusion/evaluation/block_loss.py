"""The validation loss of block diffusion: the negative ELBO of each block given the clean blocks before it.

Windows, text and names of the numbers are those of masked_loss.py and full_validation.py. Each block of each window is
masked at a ratio of its own: in pass n, block number i of all is in the bin (i + n) mod 10 of the mask ratio, so that
each pass is an estimate by itself and a block meets each bin once in ten passes. Prints nothing.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from model.diffusion import masked_cross_entropy
from model.masks import apply_mask, random_masks
from pipelines.diffusion.evaluation.masked_loss import BINS
from pipelines.diffusion.evaluation.pieces import Stop, in_pieces, rows_at_once
from pipelines.diffusion.evaluation.window_loss import (
    Measured,
    PassLoss,
    WindowLoss,
    of_passes,
    of_windows,
    per_token,
    windows_and_rest,
)
from pipelines.diffusion.text.windows import windows
from pipelines.shared.devices import autocast
from pipelines.shared.metrics import Log


def evaluate(
    model: nn.Module,
    val: Tensor,
    train: Tensor,
    *,
    block_length: int,
    mask_id: int,
    dtype: torch.dtype,
    stop: Stop = lambda: False,
    characters_per_token: float = 1.0,
) -> WindowLoss | None:
    """Of windows (N, T), once each; None when `stop` returned True."""
    common = {"block_length": block_length, "mask_id": mask_id, "dtype": dtype, "stop": stop}
    return of_windows(partial(window_losses, model, number=0, **common), val, train, characters_per_token)


def evaluate_full(
    model: nn.Module,
    tokens: np.ndarray,
    length: int,
    *,
    block_length: int,
    mask_id: int,
    device: torch.device,
    dtype: torch.dtype,
    characters_per_token: float = 1.0,
    stop: Stop = lambda: False,
    log: Log = lambda line: None,
) -> PassLoss | None:
    """None when `stop` returned True. `log` gets a line about the progress now and then."""
    whole, rest = divmod(len(tokens), length)
    pieces = [(torch.from_numpy(windows(tokens, np.arange(whole) * length, length)), length)] if whole else []
    if rest:
        last = torch.full((1, length), mask_id)
        last[0, :rest] = torch.from_numpy(tokens[-rest:].astype(np.int64))
        pieces.append((last, rest))
    pieces = [(ids.to(device), tokens_each) for ids, tokens_each in pieces]
    common = {"block_length": block_length, "mask_id": mask_id, "dtype": dtype, "stop": stop}

    def measure(number: int) -> tuple[float, float] | None:
        return per_token(partial(window_losses, model, number=number, **common), pieces, len(tokens))

    return of_passes(measure, BINS, windows_and_rest(whole, rest), characters_per_token, log)


def window_losses(
    model: nn.Module,
    ids: Tensor,
    *,
    block_length: int,
    mask_id: int,
    dtype: torch.dtype,
    stop: Stop,
    number: int,
) -> Measured:
    """(N, T) -> of each window nats per token and accuracy, (N,) float64; None when `stop` returned True.

    Tokens that are the mask itself are no part of the text: they fill up the last window.
    """

    def measure(some: Tensor, masks: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(ids.device, dtype):
            logits = model(torch.cat((apply_mask(some, masks, mask_id), some), dim=1))
        targets = some.clamp(max=mask_id - 1)  # what fills up has no weight
        losses = masked_cross_entropy(logits, targets, masks).double() * weights
        right = torch.eq(logits.argmax(-1), targets).double() * weights
        return losses.sum(1).cpu(), right.sum(1).cpu()

    parts = (ids, *masks_of_pass(ids, block_length, mask_id, number))
    return in_pieces(model, parts, rows_at_once(2 * ids.shape[1], mask_id), stop, measure)


def masks_of_pass(ids: Tensor, block_length: int, mask_id: int, number: int) -> tuple[Tensor, Tensor]:
    """(N, T) -> masks (N, T) bool, and the weight of each masked position in its window's mean (N, T) float64.

    Drawn on the CPU, so that every device has the same. Of a block that is filled up, only its tokens are masked.
    """
    rows, length = ids.shape
    there = (ids != mask_id).cpu().view(-1, block_length)  # (blocks, block_length)
    size = there.sum(1)
    generator = torch.Generator().manual_seed(number)
    unit = torch.arange(len(there))
    ratio = ((unit + number) % BINS + torch.rand(len(there), generator=generator)) / BINS
    count = (ratio * size).ceil().long().clamp(min=1)
    full = random_masks(count, block_length, generator)
    # The first `size` positions of a block are its tokens; a block with fewer is drawn by itself.
    for place in (size < block_length).nonzero().flatten().tolist():
        full[place] = False
        if tokens := int(size[place]):
            full[place, :tokens] = random_masks(count[place : place + 1], tokens, generator)[0]
    per_window = there.view(rows, length).sum(1, keepdim=True).clamp(min=1)
    weights = full * (size / count)[:, None].double()
    return full.view(rows, length).to(ids.device), (weights.view(rows, length) / per_window).to(ids.device)
