"""Several files of tokens, read as one array that is never in memory as a whole. Never imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def shard_name(number: int) -> str:
    return f"train_{number:05}.bin"


class Shards:
    """What is read of a (N,) array: its length, slices, and the tokens at an array of places."""

    def __init__(self, parts: Sequence[np.ndarray]) -> None:
        self._parts = parts
        self._ends = np.cumsum([len(part) for part in parts])

    @classmethod
    def of(cls, folder: Path, lengths: Sequence[int], dtype: type[np.unsignedinteger[Any]]) -> Shards:
        """Raises OSError or ValueError for files that are missing or have another length."""
        paths = [folder / shard_name(number) for number in range(len(lengths))]
        for path, length in zip(paths, lengths, strict=True):
            if path.stat().st_size != length * np.dtype(dtype).itemsize:
                raise ValueError(f"{path.name} does not have {length} tokens")
        return cls([np.memmap(path, dtype=dtype, mode="r") for path in paths])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._parts[0].dtype

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, places: slice | np.ndarray) -> np.ndarray:
        if isinstance(places, slice):
            return self._slice(*places.indices(len(self)))
        found = np.empty(places.shape, dtype=self.dtype)
        shard = np.searchsorted(self._ends, places, side="right")
        for number in np.unique(shard):
            here = shard == number
            begin = self._ends[number] - len(self._parts[number])
            found[here] = self._parts[number][places[here] - begin]
        return found

    def _slice(self, start: int, stop: int, step: int) -> np.ndarray:
        begins = self._ends - [len(part) for part in self._parts]
        found = [
            part[max(0, start - begin) : max(0, stop - begin)]
            for part, begin in zip(self._parts, begins.tolist(), strict=True)
            if begin < stop
        ]
        return np.concatenate([np.zeros(0, self.dtype), *found])[::step]
