"""The vocabularies: characters, or byte pairs. Encode and decode; never import torch, read no files.

A vocabulary packs itself into plain values, so that a checkpoint alone can decode ids.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pipelines.shared.errors import InputError

if TYPE_CHECKING:
    import tiktoken

PIECE_LENGTH = 50_000  # characters that are encoded at a time: at least this many, at most twice as many
_BORDER = re.compile(r"\S(?=[ \n])")


@dataclass(frozen=True)
class Characters:
    """Every character of a text is a token."""

    characters: tuple[str, ...]  # in the order of their code points; the index is the id

    kind: ClassVar[str] = "characters"
    tokenizer: ClassVar[str] = "characters"
    title: ClassVar[str] = "characters"

    @classmethod
    def of(cls, text: str) -> Characters:
        return cls(tuple(sorted(set(text))))

    @property
    def size(self) -> int:
        return len(self.characters)

    def array(self, text: str) -> np.ndarray:  # -> (N,) int64
        """The ids of a text. Raises InputError for a character that is not in the vocabulary."""
        codes = np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), dtype=np.uint32)
        alphabet = np.array([ord(c) for c in self.characters], dtype=np.uint32)
        ids = np.searchsorted(alphabet, codes)
        unknown = codes[alphabet[np.minimum(ids, self.size - 1)] != codes]
        if len(unknown):
            raise InputError(f"{chr(unknown[0])!r} is not among the {self.size} characters of the vocabulary")
        return ids

    def encode(self, text: str) -> list[int]:
        return self.array(text).tolist()

    def decode(self, ids: Iterable[int]) -> str:
        return "".join(self.characters[i] for i in ids)

    def pack(self) -> dict[str, Any]:
        return {"kind": self.kind, "characters": list(self.characters)}


@dataclass(frozen=True)
class BytePairs:
    """Byte-level BPE (Sennrich et al. 2016; on bytes: Radford et al. 2019), as tiktoken applies it.

    Any text can be encoded, since all 256 bytes are tokens.
    """

    tokenizer: str  # 'gpt2', or 'bpe' for pairs that were learned from the text
    pattern: str  # splits a text into the pieces within which pairs are merged
    tokens: tuple[bytes, ...]  # the index is the id, and the rank: pairs of a lower rank are merged first

    kind: ClassVar[str] = "byte_pairs"

    @property
    def title(self) -> str:
        return f"byte pairs ({self.tokenizer})"

    @property
    def size(self) -> int:
        return len(self.tokens)

    @cached_property
    def encoding(self) -> tiktoken.Encoding:
        import tiktoken

        ranks = {token: rank for rank, token in enumerate(self.tokens)}
        return tiktoken.Encoding(self.tokenizer, pat_str=self.pattern, mergeable_ranks=ranks, special_tokens={})

    def array(self, text: str) -> np.ndarray:  # -> (N,) uint32
        found = [np.array(self.encoding.encode_ordinary(part), dtype=np.uint32) for part in pieces(text)]
        return np.concatenate(found) if found else np.zeros(0, dtype=np.uint32)

    def encode(self, text: str) -> list[int]:
        return self.array(text).tolist()

    def decode(self, ids: Iterable[int]) -> str:
        """Bytes that are not UTF-8, which a model may produce, become U+FFFD."""
        return self.decode_bytes(ids).decode(errors="replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        return b"".join([self.tokens[i] for i in ids])

    def pack(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "tokenizer": self.tokenizer,
            "pattern": self.pattern,
            "ranks": write_ranks(self.tokens),
        }


Vocabulary = Characters | BytePairs


def unpack(packed: Mapping[str, Any]) -> Vocabulary:
    """The inverse of `pack`. Raises KeyError or ValueError for anything else."""
    if packed["kind"] == Characters.kind:
        return Characters(tuple(packed["characters"]))
    return BytePairs(packed["tokenizer"], packed["pattern"], read_ranks(packed["ranks"]))


def of_checkpoint(content: Mapping[str, Any]) -> Vocabulary:
    """The vocabulary of a checkpoint, also of one from before there were byte pairs."""
    return unpack(content.get("vocabulary") or {"kind": Characters.kind, "characters": content["characters"]})


def write_ranks(tokens: Sequence[bytes]) -> str:
    """tiktoken's format: a line for each token, in base64, and its rank."""
    return "".join(f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens))


def read_ranks(text: str) -> tuple[bytes, ...]:
    """The tokens of a file in tiktoken's format. Raises ValueError where they are not numbered from 0 without a gap,
    or lack a byte, without which tiktoken could not encode every text."""
    ranks = {}
    for line in text.splitlines():
        token, rank = line.split()
        ranks[int(rank)] = base64.b64decode(token, validate=True)
    if sorted(ranks) != list(range(len(ranks))) or len(set(ranks.values())) != len(ranks):
        raise ValueError("the ranks do not number the tokens from 0 on")
    if len({token for token in ranks.values() if len(token) == 1}) != 256:
        raise ValueError("the ranks lack a byte")
    return tuple(ranks[rank] for rank in range(len(ranks)))


def pieces(text: str) -> Iterator[str]:
    """The text in parts that can be encoded one by one: the ids are those of the full text.

    Split where a space or a line end follows something else, which no match of a pattern crosses. The regular
    expressions of tiktoken overflow their stack in long runs of white space, so a part ends at 2 * PIECE_LENGTH at the
    latest.
    """
    start = 0
    while start < len(text):
        found = _BORDER.search(text, start + PIECE_LENGTH, start + 2 * PIECE_LENGTH)
        end = found.end() if found else start + 2 * PIECE_LENGTH
        yield text[start:end]
        start = end
