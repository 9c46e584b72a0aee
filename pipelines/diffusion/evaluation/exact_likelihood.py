"""The validation loss of an autoregressive model: the exact likelihood of windows, in nats per token. Prints nothing.

Windows, text and names of the numbers are those of masked_loss.py and full_validation.py, so that the loss stands
beside the bound of a masked-diffusion model: both say how many nats a window of block_size tokens costs, knowing
nothing of what precedes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from model.autoregression import negative_log_likelihoods
from pipelines.diffusion.evaluation.full_validation import LOG_SECONDS
from pipelines.diffusion.evaluation.masked_loss import eval_mode, rows_at_once
from pipelines.diffusion.evaluation.window_loss import PassLoss, WindowLoss, windows_and_rest
from pipelines.diffusion.text.windows import windows
from pipelines.shared.devices import autocast
from pipelines.shared.metrics import Log


def evaluate(
    model: nn.Module,
    val: Tensor,
    train: Tensor,
    *,
    mask_id: int,
    dtype: torch.dtype,
    stop: Callable[[], bool] = lambda: False,
    characters_per_token: float = 1.0,
) -> WindowLoss | None:
    """Of windows (N, T) of the validation text and of the training text; None when `stop` returned True."""
    of_val = window_means(model, val, mask_id, dtype, stop)
    of_train = of_val and window_means(model, train, mask_id, dtype, stop)
    if of_val is None or of_train is None:
        return None
    accuracy, train_loss = of_val[1].mean().item(), of_train[0].mean().item()
    return WindowLoss(of_val[0].tolist(), accuracy, train_loss, characters_per_token)


def window_means(
    model: nn.Module, ids: Tensor, mask_id: int, dtype: torch.dtype, stop: Callable[[], bool]
) -> tuple[Tensor, Tensor] | None:  # (N, T) -> (N,) nats per token, (N,) accuracy
    found = []
    with eval_mode(model):
        for some in ids.split(rows_at_once(ids.shape[1], mask_id)):
            if stop():
                return None
            with autocast(ids.device, dtype):
                losses, right = negative_log_likelihoods(model, some, mask_id)
            found.append((losses.double().mean(1).cpu(), right.double().mean(1).cpu()))
    losses, right = (torch.cat(part) for part in zip(*found, strict=True))
    return losses, right


def evaluate_full(
    model: nn.Module,
    tokens: np.ndarray,
    length: int,
    *,
    mask_id: int,
    device: torch.device,
    dtype: torch.dtype,
    characters_per_token: float = 1.0,
    stop: Callable[[], bool] = lambda: False,
    log: Log = lambda line: None,
) -> PassLoss | None:
    """None when `stop` returned True. `log` gets a line about the progress now and then."""
    starts = np.arange(len(tokens) // length) * length
    loss, right, logged = 0.0, 0.0, time.monotonic()  # sums over tokens
    pieces = [(starts[at : at + 256], length) for at in range(0, len(starts), 256)]
    if rest := len(tokens) % length:
        pieces.append((np.array([len(tokens) - rest]), rest))
    for number, (some, size) in enumerate(pieces):
        ids = torch.from_numpy(windows(tokens, some, size)).to(device)
        found = window_means(model, ids, mask_id, dtype, stop)
        if found is None:
            return None
        loss, right = loss + found[0].sum().item() * size, right + found[1].sum().item() * size
        if time.monotonic() - logged > LOG_SECONDS:
            logged = time.monotonic()
            log(f"full validation text: {number + 1} of {len(pieces)} parts")
    what = windows_and_rest(len(starts), rest)
    return PassLoss([loss / len(tokens)], right / len(tokens), what, characters_per_token)
