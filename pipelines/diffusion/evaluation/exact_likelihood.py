"""The validation loss of an autoregressive model: the exact likelihood of windows, in nats per token. Prints nothing.

Windows, text and names of the numbers are those of masked_loss.py and full_validation.py, so that the loss stands
beside the bound of a masked-diffusion model: both say how many nats a window of block_size tokens costs, knowing
nothing of what precedes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from model.autoregression import negative_log_likelihoods
from pipelines.diffusion.evaluation.pieces import LOG_SECONDS, Stop, in_pieces, rows_at_once
from pipelines.diffusion.evaluation.window_loss import (
    Measured,
    PassLoss,
    WindowLoss,
    of_windows,
    per_token,
    windows_and_rest,
)
from pipelines.diffusion.text.windows import windows
from pipelines.shared.devices import autocast
from pipelines.shared.metrics import Log, at_most_every

AT_ONCE = 256  # windows on the device


def evaluate(
    model: nn.Module,
    val: Tensor,
    train: Tensor,
    *,
    mask_id: int,
    dtype: torch.dtype,
    stop: Stop = lambda: False,
    characters_per_token: float = 1.0,
) -> WindowLoss | None:
    """Of windows (N, T) of the validation text and of the training text; None when `stop` returned True."""
    measure = partial(window_means, model, mask_id=mask_id, dtype=dtype, stop=stop)
    return of_windows(measure, val, train, characters_per_token)


def window_means(
    model: nn.Module, ids: Tensor, *, mask_id: int, dtype: torch.dtype, stop: Stop
) -> Measured:  # (N, T) -> (N,) nats per token, (N,) accuracy
    def measure(some: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(ids.device, dtype):
            losses, right = negative_log_likelihoods(model, some, mask_id)
        return losses.double().mean(1).cpu(), right.double().mean(1).cpu()

    return in_pieces(model, (ids,), rows_at_once(ids.shape[1], mask_id), stop, measure)


def evaluate_full(
    model: nn.Module,
    tokens: np.ndarray,
    length: int,
    *,
    mask_id: int,
    device: torch.device,
    dtype: torch.dtype,
    characters_per_token: float = 1.0,
    stop: Stop = lambda: False,
    log: Log = lambda line: None,
) -> PassLoss | None:
    """None when `stop` returned True. `log` gets a line about the progress now and then."""
    measure = partial(window_means, model, mask_id=mask_id, dtype=dtype, stop=stop)
    found = per_token(measure, pieces_of(tokens, length, device, log), len(tokens))
    if found is None:
        return None
    loss, accuracy = found
    what = windows_and_rest(*divmod(len(tokens), length))
    return PassLoss([loss], accuracy, what, characters_per_token)


def pieces_of(tokens: np.ndarray, length: int, device: torch.device, log: Log) -> Iterator[tuple[Tensor, int]]:
    """All windows that do not overlap, and what is left as a shorter one: (N, T), and T."""
    starts = np.arange(len(tokens) // length) * length
    pieces = [(starts[at : at + AT_ONCE], length) for at in range(0, len(starts), AT_ONCE)]
    if rest := len(tokens) % length:
        pieces.append((np.array([len(tokens) - rest]), rest))
    progress = at_most_every(LOG_SECONDS, log)
    for number, (some, size) in enumerate(pieces):
        yield torch.from_numpy(windows(tokens, some, size)).to(device), size
        progress(f"full validation text: {number + 1} of {len(pieces)} parts")
