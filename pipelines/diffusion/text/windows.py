"""Windows of a text: where one may begin, and its tokens. Never imports torch."""

from __future__ import annotations

import numpy as np

from pipelines.diffusion.text.dataset import Dataset
from pipelines.diffusion.text.shards import Shards
from pipelines.diffusion.text.vocabulary import Characters
from pipelines.shared.errors import InputError

PIECE = 2**22  # characters that are counted at a time


def frequencies(tokens: np.ndarray | Shards, vocab_size: int) -> np.ndarray:  # (N,) -> (vocab_size,) int64
    """How often each character occurs. Piece by piece, since counting copies what it counts into eight bytes each."""
    counts = np.zeros(vocab_size, dtype=np.int64)
    for begin in range(0, len(tokens), PIECE):
        counts += np.bincount(tokens[begin : begin + PIECE], minlength=vocab_size)
    return counts


Starts = range | np.ndarray


def window_starts(tokens: np.ndarray | Shards, length: int) -> range:
    """Where a window may begin: anywhere that leaves room for it."""
    if len(tokens) < length:
        raise InputError(f"the text has {len(tokens)} tokens, fewer than block_size ({length}); lower block_size")
    return range(len(tokens) - length + 1)


def paragraph_starts(tokens: np.ndarray, length: int, newline: int) -> np.ndarray:
    """The starts that begin a paragraph: the start of the text, and what follows an empty line."""
    anywhere = window_starts(tokens, length)
    is_newline = np.asarray(tokens == newline)
    begins = np.flatnonzero(is_newline[:-2] & is_newline[1:-1] & ~is_newline[2:]) + 2
    return np.concatenate(([0], begins[begins < len(anywhere)]))


def paragraphs(text: Dataset, length: int) -> np.ndarray:  # -> (N,) int64
    """The starts of training windows that begin with a paragraph. Raises InputError for a text without line breaks.

    A token may cross the beginning of a paragraph, such as an empty line with an indentation: then the window begins
    with the next token.
    """
    if isinstance(text.train, Shards):
        raise InputError(f"use_paragraph_boundaries: '{text.name}' is a corpus in shards; set it to false")
    return record_starts(text, text.train, length, "use_paragraph_boundaries")


def record_starts(text: Dataset, tokens: np.ndarray, length: int, key: str) -> np.ndarray:  # -> (N,) int64
    """As `paragraphs`, for a part of the text; `key` is the setting that needs it."""
    if isinstance(text.vocabulary, Characters):
        if "\n" in text.characters:
            return paragraph_starts(tokens, length, text.characters.index("\n"))
    elif b"\n" in (content := text.vocabulary.decode_bytes(tokens.tolist())):
        begins = paragraph_starts(np.frombuffer(content, dtype=np.uint8), 1, ord("\n"))
        sizes = np.array([len(token) for token in text.vocabulary.tokens])
        places = np.concatenate(([0], np.cumsum(sizes[tokens])))  # (N + 1,) where tokens begin, in bytes
        starts = np.unique(np.searchsorted(places, begins))
        return starts[starts < len(window_starts(tokens, length))]
    raise InputError(f"{key}: the text of '{text.name}' has no line breaks")


def windows(
    tokens: np.ndarray | Shards, starts: np.ndarray, length: int
) -> np.ndarray:  # (N,), (B,) -> (B, length) int64
    return tokens[starts[:, None] + np.arange(length)].astype(np.int64)


def draw_starts(starts: Starts, rows: int, rng: np.random.Generator) -> np.ndarray:  # -> (rows,) int64
    chosen = rng.integers(len(starts), size=rows)
    return chosen if isinstance(starts, range) else starts[chosen]


def draw(
    tokens: np.ndarray, starts: Starts, rows: int, length: int, rng: np.random.Generator
) -> np.ndarray:  # -> (rows, length) int64
    return windows(tokens, draw_starts(starts, rows, rng), length)


def elsewhere(
    tokens: np.ndarray, starts: np.ndarray, length: int, width: int, rng: np.random.Generator
) -> np.ndarray:  # (N,), (B,) -> (B, width) int64
    """For each window of `length` that begins at `starts`, `width` characters of the text that do not overlap it."""
    places = places_elsewhere(tokens, starts, length, width, rng)[:, None] + np.arange(width)
    return tokens[places % len(tokens)].astype(np.int64)


def places_elsewhere(
    tokens: np.ndarray, starts: np.ndarray, length: int, width: int, rng: np.random.Generator
) -> np.ndarray:  # (N,), (B,) -> (B,) int64
    """Where `width` characters begin that do not overlap the window of `length` at `starts`.

    Uniform over all such places, with the text as a ring; it must have at least length + width characters.
    """
    return (starts + length + rng.integers(len(tokens) - length - width + 1, size=len(starts))) % len(tokens)


def even_windows(tokens: np.ndarray | Shards, count: int, length: int) -> np.ndarray:  # -> (count, length) int64
    """`count` windows spread evenly over the text, the same ones in every run."""
    return windows(tokens, even_starts(tokens, count, length), length)


def even_starts(tokens: np.ndarray | Shards, count: int, length: int) -> np.ndarray:  # -> (count,) int64
    return np.linspace(0, len(window_starts(tokens, length)) - 1, count).astype(np.int64)
