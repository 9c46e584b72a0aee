"""A text as windows on the device that learns it: kept there whole where it fits, else copied window by window."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

MOST_BYTES_ON_DEVICE = 2**30  # of the text; a GPU that trains on more would rather have the memory


class Corpus:
    """Windows of (N,) tokens, as int64 on `device`."""

    def __init__(self, tokens: np.ndarray, device: torch.device) -> None:
        self._tokens, self._device = tokens, device
        self._live: Tensor | None = None
        narrow = np.uint8 if tokens.max(initial=0) < 2**8 else np.int32
        if device.type != "cpu" and len(tokens) * np.dtype(narrow).itemsize <= MOST_BYTES_ON_DEVICE:
            self._live = torch.from_numpy(tokens.astype(narrow)).to(device)

    def windows(self, starts: np.ndarray, length: int) -> Tensor:  # (N,) -> (N, length); beyond the end it begins anew
        if self._live is None:
            places = (starts[:, None] + np.arange(length)) % len(self._tokens)
            return to_device(torch.from_numpy(self._tokens[places].astype(np.int64)), self._device)
        places = to_device(torch.from_numpy(starts), self._device)[:, None] + torch.arange(length, device=self._device)
        return self._live[places % len(self._tokens)].long()


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Without a wait: from memory that is not pinned, the copy would wait for the GPU."""
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=device.type == "cuda")
