"""Measure samples by counts: against the training text, with the validation text as the reference.

docs/sampling.md explains the limits of each number. Never imports torch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from pipelines.diffusion.evaluation.ngrams import NGrams

ORDER = 5  # characters of an n-gram; the last one is predicted
MOST_CHARACTERS = 2**24  # of a text that a caller should pass, so that counting takes seconds only
GROUPS = 20  # of pieces of the validation text, over which the reference is averaged
WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Measures:
    nll: float  # nats per character by the n-gram model of the training text
    entropy: float  # nats per character: that of each sample's own characters, averaged
    distinct_2: float | None  # fraction of word pairs that are not repeats; None without pairs
    known_words: float | None  # fraction of words that occur in the training text; None without words


class Quality:
    """Measures texts against one training text."""

    def __init__(self, train: str, *, order: int = ORDER) -> None:
        self._ngrams = NGrams.of(train, order)
        self._known = frozenset(words(train))

    def of(self, texts: Sequence[str]) -> Measures:
        """Raises ValueError for texts without a character."""
        if not (length := sum(map(len, texts))):
            raise ValueError("there is no character to measure")
        surprise = -sum(float(self._ngrams.log_probabilities(text).sum()) for text in texts if text)
        return Measures(
            nll=surprise / length,
            entropy=float(np.mean([entropy(text) for text in texts if text])),
            distinct_2=distinct(texts, 2),
            known_words=known_fraction(texts, self._known),
        )

    def reference(self, val: str, texts: Sequence[str]) -> Measures:
        """The validation text in as many pieces of the same length as `texts`, since all but nll depend on both."""
        length = max(1, min(len(val), round(sum(map(len, texts)) / len(texts))))
        together = length * min(len(texts), len(val) // length)
        groups = min(GROUPS, len(val) - together + 1)
        starts = np.linspace(0, len(val) - together, groups).astype(int)
        found = [
            asdict(self.of([val[at : at + length] for at in range(start, start + together, length)]))
            for start in starts.tolist()
        ]
        return Measures(**{key: mean([one[key] for one in found]) for key in found[0]})


def words(text: str) -> list[str]:
    """Runs of letters, in lower case."""
    return WORD.findall(text.lower())


def entropy(text: str) -> float:
    """Of the distribution of characters in this text, in nats: low for a text that repeats itself."""
    counts = np.unique(list(text), return_counts=True)[1]
    fractions = counts / counts.sum()
    return float(-(fractions * np.log(fractions)).sum()) + 0.0  # no -0.0


def distinct(texts: Sequence[str], n: int) -> float | None:
    """Different runs of n words over all of them, in all texts together (Li et al. 2016)."""
    split = [words(text) for text in texts]
    runs = [tuple(found[at : at + n]) for found in split for at in range(len(found) - n + 1)]
    return len(set(runs)) / len(runs) if runs else None


def known_fraction(texts: Sequence[str], known: Collection[str]) -> float | None:
    found = [word for text in texts for word in words(text)]
    return sum(word in known for word in found) / len(found) if found else None


def mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return math.fsum(there) / len(there) if there else None


def table(samples: Measures, reference: Measures) -> str:
    """The two as plain text, a row for each."""
    rows = [["", "nll", "entropy", "distinct-2", "known words"]]
    for name, measures in (("samples", samples), ("validation text", reference)):
        rows.append([name, *("-" if value is None else f"{value:.3f}" for value in asdict(measures).values())])
    return "\n".join(f"{name:<16}" + "".join(f"{cell:>13}" for cell in cells) for name, *cells in rows)
