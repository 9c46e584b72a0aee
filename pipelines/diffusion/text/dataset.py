"""The tokens of a text on disk: train.bin, val.bin, meta.json, ranks.tiktoken for byte pairs. Never imports torch."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.diffusion.text.shards import Shards, shard_name
from pipelines.diffusion.text.vocabulary import BytePairs, Characters, Vocabulary, pieces, read_ranks, write_ranks
from pipelines.shared import dataset_preparation
from pipelines.shared.errors import InputError
from pipelines.shared.settings_types import dataset_meta
from runner.disk import atomic

PARTS = ("train.bin", "val.bin")
RANKS = "ranks.tiktoken"
TRAIN_FRACTION = 0.9  # of the characters: the first nine tenths are for training, the last tenth is for validation
MIN_CHARACTERS = 100  # of a text


@dataclass(frozen=True, slots=True)
class Dataset:
    name: str
    folder: Path
    vocabulary: Vocabulary
    train: np.ndarray | Shards  # (N,) uint16 or uint32, memory-mapped
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
        """A loss per token divided by this is a loss per character of the text."""
        return self.val_characters / len(self.val)

    def introduction(self) -> str:
        """A line about the tokens and the loss of a guess."""
        return (
            f"vocabulary: {self.vocab_size} {self.vocabulary.title}; a guess without context costs"
            f" {self.val_unigram_entropy:.4f} nats (unigram entropy of the validation text)"
        )

    def text(self) -> str:
        """The full text, decoded. Raises InputError for one that may be larger than the memory."""
        if isinstance(self.train, Shards):
            raise InputError(
                f"the dataset '{self.name}' is a corpus in shards, whose tokens are fixed: use tokenizer 'auto', or"
                " prepare it with other tokens (data/corpus.py)"
            )
        return self.vocabulary.decode(self.train.tolist()) + self.vocabulary.decode(self.val.tolist())


def is_prepared(folder: Path) -> bool:
    shards = dataset_meta(folder).get("shards")
    parts = [*map(shard_name, range(len(shards))), "val.bin"] if isinstance(shards, list) else PARTS
    return dataset_preparation.is_prepared(folder, parts)


def split(text: str, border: int | None = None) -> tuple[str, str]:
    """The training and the validation part: by characters, so that every tokenizer is validated on the same text."""
    border = int(len(text) * TRAIN_FRACTION) if border is None else border
    return text[:border], text[border:]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def token_type(vocab_size: int) -> type[np.unsignedinteger[Any]]:
    return np.uint16 if vocab_size <= 2**16 else np.uint32


def write(
    folder: Path,
    text: str,
    vocabulary: Vocabulary,
    source: Mapping[str, Any],
    notes: Mapping[str, Any] | None = None,
    *,
    border: int | None = None,
) -> None:
    """Write the tokens of a text into `folder`. meta.json comes last: where it exists, the rest is complete.

    The validation text begins at the character `border`, or is the last tenth. Raises InputError for a text that is
    too short, and OSError.
    """
    if len(text) < MIN_CHARACTERS:
        raise InputError(f"the text has only {len(text)} characters; at least {MIN_CHARACTERS} are needed")
    parts = split(text, border)
    train, val = (tokens(vocabulary, part) for part in parts)
    meta = meta_of(
        vocabulary, train_tokens=len(train), val_tokens=len(val), train_characters=len(parts[0]),
        val_characters=len(parts[1]), val_counts=np.bincount(val), sha256=digest(text), source=source,
    ) | dict(notes or {})  # fmt: skip
    for left in (folder / "meta.json", *folder.glob(".*.tmp")):  # of an earlier preparation that may have been killed
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
            list(pieces(text)),
            description="tokens",
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
    ]
    return np.concatenate(found)


def meta_of(
    vocabulary: Vocabulary,
    *,
    train_tokens: int,
    val_tokens: int,
    train_characters: int,
    val_characters: int,
    val_counts: np.ndarray,
    sha256: str,
    source: Mapping[str, Any],
) -> dict[str, Any]:
    """The content of meta.json. val_counts: how often each token occurs in the validation text."""
    return {
        "schema": 1,
        "kind": vocabulary.kind,
        "tokenizer": vocabulary.tokenizer,
        "vocab_size": vocabulary.size,
        **({"characters": vocabulary.characters} if isinstance(vocabulary, Characters) else {}),
        **({"pattern": vocabulary.pattern} if isinstance(vocabulary, BytePairs) else {}),
        "train_tokens": train_tokens,
        "val_tokens": val_tokens,
        "train_characters": train_characters,
        "val_characters": val_characters,
        "val_unigram_entropy": unigram_entropy(val_counts),
        "sha256": sha256,
        "source": source,
    }


def unigram_entropy(counts: np.ndarray) -> float:
    """Nats per token of the best guess without context: the loss that a model must improve on."""
    fractions = counts / counts.sum()
    fractions = fractions[fractions > 0]
    return float(-(fractions * np.log(fractions)).sum())


def read(name: str, folder: Path) -> Dataset:
    """The dataset in a prepared folder. Raises InputError for a damaged one."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        vocabulary = vocabulary_of(folder, meta)
        dtype = token_type(vocabulary.size)
        val = np.memmap(folder / "val.bin", dtype=dtype, mode="r")
        train: np.ndarray | Shards
        if "shards" in meta:
            train = Shards.of(folder, meta["shards"], dtype)
        else:
            train = np.memmap(folder / "train.bin", dtype=dtype, mode="r")
        return Dataset(
            name=name,
            folder=folder,
            vocabulary=vocabulary,
            train=train,
            val=val,
            val_characters=meta.get("val_characters", len(val)),  # absent in old files, whose tokens are characters
            val_unigram_entropy=meta["val_unigram_entropy"],
            sha256=meta["sha256"],
        )
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{folder} has no readable dataset ({error!r}); prepare it again") from error


def vocabulary_of(folder: Path, meta: Mapping[str, Any]) -> Vocabulary:
    if meta["kind"] == Characters.kind:
        return Characters(tuple(meta["characters"]))
    return BytePairs(meta["tokenizer"], meta["pattern"], read_ranks((folder / RANKS).read_text(encoding="ascii")))
