"""Prepare a corpus that is larger than the memory: local files as shards of tokens, piece by piece.

Text files, or lines of JSON with a field "text"; each may be packed by gzip. Never imports torch.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from pipelines.diffusion.text import byte_pairs
from pipelines.diffusion.text.dataset import RANKS, meta_of, token_type
from pipelines.diffusion.text.shards import shard_name
from pipelines.diffusion.text.vocabulary import BytePairs, Characters, Vocabulary, write_ranks
from pipelines.shared.errors import InputError
from runner.disk import atomic

PIECE = 2**20  # characters that are read of a text file at once
LEARNED_FROM = 2**25  # characters of the corpus, from which byte pairs are learned
SEPARATOR = "\n\n"  # after each document of lines of JSON


@dataclass(frozen=True, slots=True)
class Request:
    files: Sequence[Path]
    tokenizer: str  # characters, gpt2 or bpe
    bpe_vocab_size: int = 512
    shard_tokens: int = 100_000_000
    val_every: int = 200  # each piece or document of this number is for validation


@dataclass
class Part:
    """The training or the validation part, as it is written."""

    dtype: type[np.unsignedinteger[Any]]
    most: int  # tokens of a file
    path: Any  # number of a file -> its path
    lengths: list[int] = field(default_factory=list)
    characters: int = 0
    _file: IO[bytes] | None = None

    def add(self, text: str, ids: np.ndarray) -> None:
        self.characters += len(text)
        while len(ids):
            if self._file is None or self.lengths[-1] == self.most:
                self.close()
                self._file = self.path(len(self.lengths)).open("wb")
                self.lengths.append(0)
            some, ids = np.split(ids, [self.most - self.lengths[-1]])
            self._file.write(some.astype(self.dtype).tobytes())
            self.lengths[-1] += len(some)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def write(folder: Path, request: Request) -> None:
    """Write the shards, val.bin and, last, meta.json into `folder`. Raises InputError and OSError."""
    vocabulary = vocabulary_of(request)
    for left in (folder / "meta.json", *folder.glob("train*.bin")):  # of an earlier preparation
        left.unlink(missing_ok=True)
    dtype, sha256 = token_type(vocabulary.size), hashlib.sha256()
    train = Part(dtype, request.shard_tokens, lambda number: folder / shard_name(number))
    val = Part(dtype, 2**62, lambda number: folder / "val.bin")
    counts = np.zeros(vocabulary.size, dtype=np.int64)
    for is_val, text in split(request):
        sha256.update(text.encode())
        ids = vocabulary.array(text)
        (val if is_val else train).add(text, ids)
        if is_val:
            counts += np.bincount(ids, minlength=vocabulary.size)
    train.close()
    val.close()
    if not train.lengths or not val.lengths:
        raise InputError(f"the files have fewer than {request.val_every} pieces or documents: lower --val_every")
    if isinstance(vocabulary, BytePairs):
        atomic.write_bytes(folder / RANKS, write_ranks(vocabulary.tokens).encode())
    meta = meta_of(
        vocabulary, train_tokens=sum(train.lengths), val_tokens=val.lengths[0], train_characters=train.characters,
        val_characters=val.characters, val_counts=counts, sha256=sha256.hexdigest(),
        source={"files": [path.name for path in request.files], "val_every": request.val_every},
    )  # fmt: skip
    notes = {"bpe_vocab_size": request.bpe_vocab_size} if request.tokenizer == "bpe" else {}
    content = {**meta, **notes, "shards": train.lengths}
    atomic.write_bytes(folder / "meta.json", json.dumps(content, ensure_ascii=False, indent=1).encode())


def vocabulary_of(request: Request) -> Vocabulary:
    """Reads the files once more, but for GPT-2's tokens: all of them, whatever the corpus has."""
    if request.tokenizer == "gpt2":
        return BytePairs("gpt2", byte_pairs.GPT2_PATTERN, byte_pairs.gpt2_tokens())
    if request.tokenizer == "bpe":
        found, length = [], 0
        for is_val, text in split(request):
            if not is_val and length < LEARNED_FROM:
                found.append(text)
                length += len(text)
        return byte_pairs.learned("".join(found), request.bpe_vocab_size)
    characters: set[str] = set()
    for _, text in split(request):
        characters.update(text)
    return Characters(tuple(sorted(characters)))


def split(request: Request) -> Iterator[tuple[bool, str]]:
    """Each piece of the corpus in order, and whether it is for validation."""
    number = 0
    for path in request.files:
        for text in pieces_of(path):
            number += 1
            yield number % request.val_every == 0, text


def pieces_of(path: Path) -> Iterator[str]:
    """Raises InputError for a file that cannot be read."""
    names = path.name.removesuffix(".gz")
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8-sig")
            if names != path.name
            else path.open(encoding="utf-8-sig") as file
        ):
            yield from documents(file) if names.endswith((".jsonl", ".json")) else pieces_of_text(file)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise InputError(f'{path} does not have a JSON object with a field "text" in each line ({error})') from error
    except (OSError, EOFError) as error:
        raise InputError(f"{path} cannot be read ({error})") from error


def documents(file: IO[str]) -> Iterator[str]:
    for line in file:
        if line.strip():
            yield json.loads(line)["text"] + SEPARATOR


def pieces_of_text(file: IO[str]) -> Iterator[str]:
    """About PIECE characters each, cut after a white space where there is one."""
    left = ""
    while some := file.read(PIECE):
        some = left + some
        cut = max(some.rfind("\n"), some.rfind(" ")) + 1 or len(some)
        yield some[:cut]
        left = some[cut:]
    if left:
        yield left
