"""The validation loss of block diffusion: the negative ELBO of each block given the clean blocks before it.

Windows, text and names of the numbers are those of masked_loss.py and full_validation.py. Each block of each window is
masked at a ratio of its own: in pass n, block number i of all is in the bin (i + n) mod 10 of the mask ratio, so that
each pass is an estimate by itself and a block meets each bin once in ten passes. Prints nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from model.diffusion import masked_cross_entropy
from model.masks import apply_mask, random_masks
from pipelines.diffusion.evaluation.full_validation import LOG_SECONDS
from pipelines.diffusion.evaluation.masked_loss import BINS, eval_mode, rows_at_once
from pipelines.diffusion.evaluation.window_loss import PassLoss, WindowLoss, windows_and_rest
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
    stop: Callable[[], bool] = lambda: False,
    characters_per_token: float = 1.0,
) -> WindowLoss | None:
    """Of windows (N, T), once each; None when `stop` returned True."""
    found = []
    for ids in (val, train):
        one = window_losses(model, ids, block_length, mask_id, dtype, stop, number=0)
        if one is None:
            return None
        found.append(one)
    (val_losses, right), (train_losses, _) = found
    return WindowLoss(val_losses.tolist(), right.mean().item(), train_losses.mean().item(), characters_per_token)


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
    stop: Callable[[], bool] = lambda: False,
    log: Log = lambda line: None,
) -> PassLoss | None:
    """None when `stop` returned True. `log` gets a line about the progress now and then."""
    whole, rest = divmod(len(tokens), length)
    starts = np.arange(whole) * length
    ids = torch.from_numpy(windows(tokens, starts, length)).to(device)
    last = torch.full((1 if rest else 0, length), mask_id, device=device)
    if rest:
        last[0, :rest] = torch.from_numpy(tokens[-rest:].astype(np.int64))
    losses, rights, logged = [], 0.0, time.monotonic()
    for number in range(BINS):
        sums = [0.0, 0.0]
        for piece, tokens_each in ((ids, length), (last, rest)):
            found = window_losses(model, piece, block_length, mask_id, dtype, stop, number=number)
            if found is None:
                return None
            for i, values in enumerate(found):
                sums[i] += values.sum().item() * tokens_each
        losses.append(sums[0] / len(tokens))
        rights += sums[1] / len(tokens) / BINS
        if time.monotonic() - logged > LOG_SECONDS:
            logged = time.monotonic()
            log(f"full validation text: {number + 1} of {BINS} passes")
    return PassLoss(losses, rights, windows_and_rest(whole, rest), characters_per_token)


def window_losses(
    model: nn.Module,
    ids: Tensor,
    block_length: int,
    mask_id: int,
    dtype: torch.dtype,
    stop: Callable[[], bool],
    *,
    number: int,
) -> tuple[Tensor, Tensor] | None:
    """(N, T) -> of each window nats per token and accuracy, (N,) float64; None when `stop` returned True.

    Tokens that are the mask itself are no part of the text: they fill up the last window.
    """
    masks, weights = masks_of_pass(ids, block_length, mask_id, number)
    found = [torch.zeros(2, 0, dtype=torch.float64)]
    rows = rows_at_once(2 * ids.shape[1], mask_id)
    with eval_mode(model):
        for some, hidden, weight in zip(ids.split(rows), masks.split(rows), weights.split(rows), strict=True):
            if stop():
                return None
            with autocast(ids.device, dtype):
                logits = model(torch.cat((apply_mask(some, hidden, mask_id), some), dim=1))
            targets = some.clamp(max=mask_id - 1)  # what fills up has no weight
            losses = masked_cross_entropy(logits, targets, hidden).double() * weight
            right = torch.eq(logits.argmax(-1), targets).double() * weight
            found.append(torch.stack((losses.sum(1), right.sum(1))).cpu())
    losses, right = torch.cat(found, dim=1)
    return losses, right


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
