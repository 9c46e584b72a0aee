"""A random stream for each purpose of a run, from its seed alone. There is no global state.

Drawing more or fewer numbers from one stream changes none of the others, and parallel jobs draw the same as sequential
ones.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch


def random_stream(seed: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def torch_stream(seed: int, purpose: str) -> torch.Generator:
    """On the CPU, so that every device gets the same numbers."""
    return torch.Generator().manual_seed(int(random_stream(seed, purpose).integers(2**63)))
