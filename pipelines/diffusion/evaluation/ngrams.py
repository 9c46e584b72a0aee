"""An n-gram model of characters, counted from a text. Knows nothing of samples or files.

Interpolated Witten-Bell smoothing: with h a context, c its counts and T(h) the number of different characters that
followed it, p(w | h) = (c(h w) + T(h) p(w | h')) / (c(h) + T(h)), h' being h without its first character (Witten and
Bell 1991; Chen and Goodman 1998, section 2.4). The base case is the uniform distribution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Level:
    """The counts of one context length. A context is the number of its string among those of the level below."""

    keys: np.ndarray  # (K,) context * size + character, sorted; what was seen
    counts: np.ndarray  # (K,)
    totals: np.ndarray  # (contexts,) characters that followed
    kinds: np.ndarray  # (contexts,) different ones among them


@dataclass(frozen=True, slots=True)
class NGrams:
    alphabet: np.ndarray  # sorted code points; what is not among them counts as one more character
    levels: list[Level]  # contexts of 0, 1, …, order - 1 characters

    @property
    def size(self) -> int:
        return len(self.alphabet) + 1

    @classmethod
    def of(cls, text: str, order: int = 5) -> NGrams:
        alphabet = np.unique(codes(text))
        found = cls(alphabet, [])
        ids = found.encode(text)
        contexts = np.zeros(len(ids), dtype=np.int64)  # of each character, at the current level; -1: no such string
        for _ in range(order):
            inside = contexts >= 0
            keys, grams, counts = np.unique(
                contexts[inside] * found.size + ids[inside], return_inverse=True, return_counts=True
            )
            owner = keys // found.size
            strings = len(found.levels[-1].keys) if found.levels else 1
            totals = np.bincount(owner, weights=counts, minlength=strings)
            found.levels.append(Level(keys, counts, totals, np.bincount(owner, minlength=strings)))
            contexts = following(inside, grams)
        return found

    def encode(self, text: str) -> np.ndarray:  # -> (N,) int64
        points = codes(text)
        at = np.searchsorted(self.alphabet, points).clip(max=len(self.alphabet) - 1)
        return np.where(self.alphabet[at] == points, at, len(self.alphabet))

    def log_probabilities(self, text: str) -> np.ndarray:  # -> (N,) nats, each character given those before it
        ids = self.encode(text)
        probability = np.full(len(ids), 1 / self.size)
        contexts = np.zeros(len(ids), dtype=np.int64)
        for level in self.levels:
            inside = np.flatnonzero(contexts >= 0)
            context = contexts[inside]
            key = context * self.size + ids[inside]
            at = np.searchsorted(level.keys, key).clip(max=len(level.keys) - 1)
            seen = level.keys[at] == key
            kinds = level.kinds[context]
            count = np.where(seen, level.counts[at], 0)
            # A string at the very end of the text was followed by nothing: only the shorter context is used.
            total = np.maximum(level.totals[context] + kinds, 1)
            probability[inside] = np.where(
                kinds > 0, (count + kinds * probability[inside]) / total, probability[inside]
            )
            known = np.zeros(len(ids), dtype=bool)
            known[inside[seen]] = True
            contexts = following(known, at[seen])
        return np.log(probability)


def following(known: np.ndarray, grams: np.ndarray) -> np.ndarray:  # (N,) bool, (known,) -> (N,)
    """Contexts of the next level: what ends at one character is what the next one follows."""
    contexts = np.full(len(known), -1, dtype=np.int64)
    ends = np.flatnonzero(known)
    inner = ends < len(known) - 1
    contexts[ends[inner] + 1] = grams[inner]
    return contexts


def codes(text: str) -> np.ndarray:  # -> (N,) uint32
    return np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), dtype=np.uint32)
