"""Random numbers: a stream for each purpose of a run, from its seed alone. There is no global state.

What draws more or fewer numbers of its own stream changes none of the others, and jobs side by side draw the same as
one after another.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch


def stream(seed: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def torch_stream(seed: int, purpose: str) -> torch.Generator:
    """On the CPU, so that every device sees the same numbers."""
    return torch.Generator().manual_seed(int(stream(seed, purpose).integers(2**63)))
