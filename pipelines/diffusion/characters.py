"""Turn a text into a character dataset on disk: train.bin, val.bin, meta.json. Never imports torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipelines import preparation
from runner import atomic

PARTS = ("train.bin", "val.bin")
TRAIN_SHARE = 0.9  # the first nine tenths are learned, the last tenth is held back


def prepare_once(folder: Path, read: Callable[[], tuple[str, dict[str, str]]], *, again: bool = False) -> bool:
    """Prepare `folder` from the text and the notes on its source that `read` returns; False when it was prepared."""
    return preparation.once(folder, PARTS, lambda: write(folder, *read()), again=again)


def is_prepared(folder: Path) -> bool:
    return preparation.is_prepared(folder, PARTS)


def write(folder: Path, text: str, source: dict[str, str]) -> None:
    characters = sorted(set(text))
    if len(text) < 100:
        raise ValueError(f"the text has only {len(text)} characters")
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    alphabet = np.array([ord(c) for c in characters], dtype=np.uint32)
    ids = np.searchsorted(alphabet, codes).astype(np.uint16)
    border = int(len(ids) * TRAIN_SHARE)
    train, val = ids[:border], ids[border:]
    meta = {
        "schema": 1,
        "kind": "characters",
        "vocab_size": len(characters),
        "characters": characters,
        "train_tokens": len(train),
        "val_tokens": len(val),
        "val_unigram_entropy": unigram_entropy(val),
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "source": source,
    }
    atomic.write_bytes(folder / "train.bin", train.tobytes())
    atomic.write_bytes(folder / "val.bin", val.tobytes())
    atomic.write_bytes(folder / "meta.json", json.dumps(meta, ensure_ascii=False, indent=1).encode())


def unigram_entropy(ids: np.ndarray) -> float:
    """Nats per character of the best guess that sees no context: what a model must beat to have learned anything."""
    shares = np.bincount(ids) / len(ids)
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())
