"""A text's tokens on disk: train.bin, val.bin, meta.json, and ranks.tiktoken for byte pairs. Never imports torch."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.diffusion.text.vocabulary import BytePairs, Characters, Vocabulary, read_ranks, stretches, write_ranks
from pipelines.shared import dataset_preparation
from pipelines.shared.errors import Mistake
from runner import atomic

PARTS = ("train.bin", "val.bin")
RANKS = "ranks.tiktoken"
TRAIN_SHARE = 0.9  # of the characters: the first nine tenths are learned, the last tenth is held back
FEWEST = 100  # characters that a text must have


@dataclass(frozen=True, slots=True)
class Dataset:
    name: str
    folder: Path
    vocabulary: Vocabulary
    train: np.ndarray  # (N,) uint16 or uint32, memory-mapped
    val: np.ndarray
    val_characters: int
    val_unigram_entropy: float  # nats per token
    sha256: str  # of the text, whatever its tokens are

    @property
    def vocab_size(self) -> int:
        return self.vocabulary.size

    @property
    def mask_id(self) -> int:
        """The mask is the id after the last token."""
        return self.vocab_size

    @property
    def characters(self) -> Sequence[str]:
        if not isinstance(self.vocabulary, Characters):
            raise TypeError(f"the tokens of '{self.name}' are {self.vocabulary.title}")
        return self.vocabulary.characters

    @property
    def val_characters_per_token(self) -> float:
        """A loss per token is divided by this to be one per character of the text."""
        return self.val_characters / len(self.val)

    def text(self) -> str:
        """All of it, as it was before it was made tokens of."""
        return self.vocabulary.decode(self.train.tolist()) + self.vocabulary.decode(self.val.tolist())


def is_prepared(folder: Path) -> bool:
    return dataset_preparation.is_prepared(folder, PARTS)


def split(text: str) -> tuple[str, str]:
    """What is learned and what is held back: by characters, so that every tokenizer is validated on the same text."""
    border = int(len(text) * TRAIN_SHARE)
    return text[:border], text[border:]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def token_type(vocab_size: int) -> type[np.unsignedinteger[Any]]:
    return np.uint16 if vocab_size <= 2**16 else np.uint32


def write(
    folder: Path, text: str, vocabulary: Vocabulary, source: Mapping[str, Any], notes: Mapping[str, Any] | None = None
) -> None:
    """Put a text's tokens into `folder`. meta.json comes last: where it stands, the rest is whole and belongs to it.

    Raises Mistake for a text that is too short, and OSError.
    """
    if len(text) < FEWEST:
        raise Mistake(f"the text has only {len(text)} characters; {FEWEST} are the fewest that can be learned from")
    train, val = (tokens(vocabulary, part) for part in split(text))
    meta = {
        "schema": 1,
        "kind": vocabulary.kind,
        "tokenizer": vocabulary.tokenizer,
        "vocab_size": vocabulary.size,
        **({"characters": vocabulary.characters} if isinstance(vocabulary, Characters) else {}),
        **({"pattern": vocabulary.pattern} if isinstance(vocabulary, BytePairs) else {}),
        **(notes or {}),
        "train_tokens": len(train),
        "val_tokens": len(val),
        "train_characters": len(split(text)[0]),
        "val_characters": len(split(text)[1]),
        "val_unigram_entropy": unigram_entropy(val),
        "sha256": digest(text),
        "source": source,
    }
    for left in (folder / "meta.json", *folder.glob(".*.tmp")):  # by an earlier preparation that may have been killed
        left.unlink(missing_ok=True)
    atomic.write_bytes(folder / "train.bin", train.tobytes())
    atomic.write_bytes(folder / "val.bin", val.tobytes())
    if isinstance(vocabulary, BytePairs):
        atomic.write_bytes(folder / RANKS, write_ranks(vocabulary.tokens).encode())
    atomic.write_bytes(folder / "meta.json", json.dumps(meta, ensure_ascii=False, indent=1).encode())


def tokens(vocabulary: Vocabulary, text: str) -> np.ndarray:  # -> (N,) uint16 or uint32
    """The ids of a text, with a progress bar in a terminal."""
    from rich.console import Console
    from rich.progress import track

    found = [
        vocabulary.array(part).astype(token_type(vocabulary.size))
        for part in track(
            list(stretches(text)),
            description="tokens",
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
    ]
    return np.concatenate(found)


def unigram_entropy(ids: np.ndarray) -> float:
    """Nats per token of the best guess that sees no context: what a model must beat to have learned anything."""
    shares = np.bincount(ids) / len(ids)
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())


def read(name: str, folder: Path) -> Dataset:
    """The dataset in a prepared folder. Raises Mistake where it is damaged."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        vocabulary = vocabulary_of(folder, meta)
        train, val = (np.memmap(folder / part, dtype=token_type(vocabulary.size), mode="r") for part in PARTS)
        return Dataset(
            name=name,
            folder=folder,
            vocabulary=vocabulary,
            train=train,
            val=val,
            val_characters=meta.get("val_characters", len(val)),  # where only characters were tokens, none is named
            val_unigram_entropy=meta["val_unigram_entropy"],
            sha256=meta["sha256"],
        )
    except (OSError, KeyError, ValueError) as error:
        raise Mistake(f"{folder} holds no readable dataset ({error!r}); prepare it again") from error


def vocabulary_of(folder: Path, meta: Mapping[str, Any]) -> Vocabulary:
    if meta["kind"] == Characters.kind:
        return Characters(tuple(meta["characters"]))
    return BytePairs(meta["tokenizer"], meta["pattern"], read_ranks((folder / RANKS).read_text(encoding="ascii")))
