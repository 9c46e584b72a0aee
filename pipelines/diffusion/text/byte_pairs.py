"""A vocabulary of byte pairs for a text: GPT-2's, or one that is learned from the text. Needs no network."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from pathlib import Path

from pipelines.diffusion.text.vocabulary import BytePairs, pieces, read_ranks
from pipelines.shared.errors import InputError
from pipelines.shared.settings_types import DATA

GPT2_FILE = DATA / "tiktoken" / "gpt2.tiktoken"
GPT2_SHA256 = "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930"
# OpenAI publishes GPT-2's ranks twice: in tiktoken's format under a later name, and in the format of the first one.
GPT2_URL = "https://openaipublic.blob.core.windows.net/encodings/r50k_base.tiktoken"
GPT2_RELEASE = {
    "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/vocab.bpe":
        "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/encoder.json":
        "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
}  # fmt: skip

# GPT-2's (Radford et al. 2019): contractions, then words, numbers and signs with the space before them, then spaces.
GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

# Ours defines each class by its code points. \p{L} and \s depend on a library's version of Unicode, and the library
# that learns the pairs has another one than tiktoken. What is neither space nor sign nor digit counts as a letter, so
# that the marks of Devanagari or Thai stay within their words.
_SPACE = "\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_SIGN = (
    "!-/:-@\\[-`{-~\u00a1-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf"
    "\u2010-\u2027\u2030-\u205e\u3001-\u3003\u3008-\u301f"
)
_LETTER = f"[^{_SPACE}{_SIGN}0-9]"
PATTERN = f" ?{_LETTER}+(?:['\u2019]{_LETTER}+)*| ?[0-9]+| ?[{_SIGN}]+|[{_SPACE}]+(?![^{_SPACE}])|[{_SPACE}]+"


def gpt2(texts: Iterable[str]) -> BytePairs:
    """GPT-2's byte pairs, as far as these texts need them: see `restricted`."""
    return restricted(BytePairs("gpt2", GPT2_PATTERN, gpt2_tokens()), texts)


def gpt2_tokens() -> tuple[bytes, ...]:
    """From data/tiktoken/gpt2.tiktoken, else from what tiktoken has downloaded before. Downloads nothing itself."""
    if GPT2_FILE.is_file():
        found = GPT2_FILE.read_bytes()
        if hashlib.sha256(found).hexdigest() != GPT2_SHA256:
            raise InputError(f"{GPT2_FILE} does not have GPT-2's ranks (its sha256 differs); put {GPT2_URL} there")
        return read_ranks(found.decode())
    if found := cached(GPT2_URL, GPT2_SHA256):
        return read_ranks(found.decode())
    if all(cached(url, sha256) for url, sha256 in GPT2_RELEASE.items()):
        from tiktoken_ext import openai_public

        return by_rank(openai_public.gpt2()["mergeable_ranks"])
    raise InputError(
        f"tokenizer 'gpt2' needs GPT-2's ranks: put {GPT2_URL} at {GPT2_FILE},"
        " or use tokenizer 'bpe', which is learned from the text"
    )


def cached(url: str, sha256: str) -> bytes | None:
    """The file of `url` in the cache of `tiktoken.load`; None without one, or with another one."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    if folder is None:
        folder = str(Path(tempfile.gettempdir()) / "data-gym-cache")
    if folder == "":  # this switches the cache of tiktoken off
        return None
    try:
        found = (Path(folder) / hashlib.sha1(url.encode()).hexdigest()).read_bytes()
    except OSError:
        return None
    return found if hashlib.sha256(found).hexdigest() == sha256 else None


def by_rank(ranks: Mapping[bytes, int]) -> tuple[bytes, ...]:
    return tuple(sorted(ranks, key=ranks.__getitem__))


def restricted(full: BytePairs, texts: Iterable[str]) -> BytePairs:
    """The tokens that occur in `texts`, those that they are merged from, and all bytes, in their order.

    Encoding the texts gives the same tokens as before: every merge on the way to one of them still exists, and of the
    possible merges the one of the lowest rank is still the next one.
    """
    ranks = {token: rank for rank, token in enumerate(full.tokens)}
    needed = {bytes([byte]) for byte in range(256)}
    pending = {full.tokens[i] for text in texts for part in pieces(text) for i in set(full.encode(part))}
    while pending:
        token = pending.pop()
        needed.add(token)
        pending.update(part for part in parts(token, ranks) if part not in needed)
    return BytePairs(full.tokenizer, full.pattern, tuple(sorted(needed, key=ranks.__getitem__)))


def parts(token: bytes, ranks: Mapping[bytes, int]) -> list[bytes]:
    """The two tokens that the last merge makes `token` of; the token itself if it is a byte."""
    found = [token[i : i + 1] for i in range(len(token))]
    while len(found) > 2:
        pairs = [ranks.get(left + right, len(ranks)) for left, right in pairwise(found)]
        at = pairs.index(min(pairs))
        found[at : at + 2] = [found[at] + found[at + 1]]
    return found


def learned(text: str, size: int) -> BytePairs:
    """`size` tokens: the bytes, and the pairs that are most frequent in `text`; or fewer if it has fewer pairs."""
    try:
        from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
    except ImportError as error:
        raise InputError(f"tokenizer 'bpe' needs the package tokenizers ({error}); pip install tokenizers") from error
    letters = pre_tokenizers.ByteLevel.alphabet()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=2, initial_alphabet=letters, show_progress=sys.stderr.isatty()
    )
    interruptible(lambda: tokenizer.train_from_iterator(pieces(text), trainer))
    byte_of = bytes_of_letters()
    ranks = {bytes(byte_of[c] for c in token): rank for token, rank in tokenizer.get_vocab().items()}
    return BytePairs("bpe", PATTERN, by_rank(ranks))


def interruptible(call: Callable[[], None]) -> None:
    """Run a long call into a library in a thread, since Ctrl+C would otherwise have to wait for its end."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
    if failed:
        raise failed[0]


def bytes_of_letters() -> dict[str, int]:
    """The letters that byte-level BPE writes bytes as: printable ones are themselves, the others are the letters
    from U+0100 on (Radford et al. 2019, `bytes_to_unicode`)."""
    itself = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    others = [byte for byte in range(256) if byte not in itself]
    return {chr(byte): byte for byte in itself} | {chr(256 + i): byte for i, byte in enumerate(others)}
