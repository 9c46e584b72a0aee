"""Which tokens of a text are answers: what follows a marker, up to the next empty line. Never imports torch."""

from __future__ import annotations

import re

import numpy as np

from pipelines.diffusion.text.vocabulary import Characters, Vocabulary


def answer_tokens(vocabulary: Vocabulary, ids: np.ndarray, marker: str) -> np.ndarray:  # (N,) -> (N,) bool
    """The empty line that ends an answer is part of it. A token that is partly an answer counts as one."""
    if isinstance(vocabulary, Characters):
        text, places = vocabulary.decode(ids.tolist()), np.arange(len(ids) + 1)
        found = re.finditer(re.escape(marker) + r"(.*?)(?:\n\n|\Z)", text, re.DOTALL)
    else:
        sizes = np.array([len(token) for token in vocabulary.tokens])
        content, places = vocabulary.decode_bytes(ids.tolist()), np.concatenate(([0], np.cumsum(sizes[ids])))
        found = re.finditer(re.escape(marker.encode()) + rb"(.*?)(?:\n\n|\Z)", content, re.DOTALL)
    answers = np.zeros(len(ids), dtype=bool)
    for match in found:
        first = np.searchsorted(places, match.start(1), side="right") - 1
        answers[first : np.searchsorted(places, match.end(), side="left")] = True
    return answers
