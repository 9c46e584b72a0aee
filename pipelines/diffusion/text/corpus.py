"""A text as windows on the training device: the full text is kept there if it fits, otherwise windows are copied."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipelines.diffusion.text.shards import Shards

MAX_DEVICE_BYTES = 2**30  # of the text; a larger one stays in the memory of the host


class Corpus:
    """Windows of (N,) tokens, as int64 on `device`."""

    def __init__(self, tokens: np.ndarray | Shards, vocab_size: int, device: torch.device) -> None:
        self._tokens, self._device = tokens, device
        self._on_device: Tensor | None = None
        narrow = np.uint8 if vocab_size <= 2**8 else np.int32
        if device.type != "cpu" and len(tokens) * np.dtype(narrow).itemsize <= MAX_DEVICE_BYTES:
            self._on_device = torch.from_numpy(tokens[:].astype(narrow)).to(device)

    def windows(self, starts: np.ndarray, length: int) -> Tensor:  # (N,) -> (N, length); wraps around at the end
        if self._on_device is None:
            places = (starts[:, None] + np.arange(length)) % len(self._tokens)
            return to_device(torch.from_numpy(self._tokens[places].astype(np.int64)), self._device)
        places = to_device(torch.from_numpy(starts), self._device)[:, None] + torch.arange(length, device=self._device)
        return self._on_device[places % len(self._tokens)].long()


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Without waiting: from memory that is not pinned, the copy would wait for the GPU."""
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=device.type == "cuda")
