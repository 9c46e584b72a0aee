"""Read a prepared dataset and cut windows out of it. Never imports torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines import preparation
from pipelines.diffusion.characters import is_prepared
from pipelines.keys import dataset_folder
from pipelines.mistake import Mistake


@dataclass(frozen=True, slots=True)
class Dataset:
    name: str
    folder: Path
    characters: Sequence[str]
    train: np.ndarray  # (N,) uint16, memory-mapped
    val: np.ndarray
    val_unigram_entropy: float  # nats per character
    sha256: str

    @property
    def vocab_size(self) -> int:
        return len(self.characters)

    @property
    def mask_id(self) -> int:
        """The mask is the id after the last character."""
        return self.vocab_size


def open_dataset(name: str) -> Dataset:
    """The dataset data/<name>, prepared now if need be, or the one in the folder `name` when that is a path."""
    folder = dataset_folder(name)
    if not is_prepared(folder):
        preparation.by_script(name, folder)
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        return Dataset(
            name=name,
            folder=folder,
            characters=meta["characters"],
            train=np.memmap(folder / "train.bin", dtype=np.uint16, mode="r"),
            val=np.memmap(folder / "val.bin", dtype=np.uint16, mode="r"),
            val_unigram_entropy=meta["val_unigram_entropy"],
            sha256=meta["sha256"],
        )
    except (KeyError, ValueError) as error:
        raise Mistake(f"{folder} holds no readable dataset ({error!r}); prepare it again") from error


Starts = range | np.ndarray


def window_starts(tokens: np.ndarray, length: int) -> range:
    """Where a window may begin: anywhere that leaves room for it."""
    if len(tokens) < length:
        raise Mistake(f"the text has {len(tokens)} characters, fewer than block_size ({length}); lower block_size")
    return range(len(tokens) - length + 1)


def paragraph_starts(tokens: np.ndarray, length: int, newline: int) -> np.ndarray:
    """The starts that begin a paragraph: the start of the text, and what follows an empty line."""
    anywhere = window_starts(tokens, length)
    is_newline = np.asarray(tokens == newline)
    begins = np.flatnonzero(is_newline[:-2] & is_newline[1:-1] & ~is_newline[2:]) + 2
    return np.concatenate(([0], begins[begins < len(anywhere)]))


def windows(tokens: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:  # (N,), (B,) -> (B, length) int64
    return tokens[starts[:, None] + np.arange(length)].astype(np.int64)


def draw(
    tokens: np.ndarray, starts: Starts, rows: int, length: int, rng: np.random.Generator
) -> np.ndarray:  # -> (rows, length) int64
    chosen = rng.integers(len(starts), size=rows)
    return windows(tokens, chosen if isinstance(starts, range) else starts[chosen], length)


def even_windows(tokens: np.ndarray, count: int, length: int) -> np.ndarray:  # -> (count, length) int64
    """`count` windows spread evenly over the text, the same ones in every run."""
    starts = np.linspace(0, len(window_starts(tokens, length)) - 1, count).astype(np.int64)
    return windows(tokens, starts, length)
