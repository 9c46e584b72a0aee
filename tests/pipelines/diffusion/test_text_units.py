"""Texts of the diffusion training at each limit: windows, n-grams, vocabularies, byte pairs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from pipelines.diffusion.evaluation.ngrams import NGrams, codes, following
from pipelines.diffusion.text import byte_pairs, characters, vocabulary, windows
from pipelines.diffusion.text.vocabulary import BytePairs, Characters
from pipelines.shared.errors import InputError


def test_windows_begin_where_there_is_room_for_them() -> None:
    tokens = np.arange(10, dtype=np.uint16)
    assert windows.window_starts(tokens, 10) == range(1) and windows.window_starts(tokens, 1) == range(10)
    with pytest.raises(InputError, match=r"the text has 10 tokens, fewer than block_size \(11\); lower block_size"):
        windows.window_starts(tokens, 11)
    assert windows.windows(tokens, np.array([0, 7]), 3).tolist() == [[0, 1, 2], [7, 8, 9]]
    assert windows.windows(tokens, np.array([0]), 3).dtype == np.int64
    assert windows.even_starts(tokens, 3, 2).tolist() == [0, 4, 8]
    assert windows.even_windows(tokens, 2, 9).tolist() == [list(range(9)), list(range(1, 10))]
    assert windows.frequencies(np.array([0, 2, 2]), 4).tolist() == [1, 0, 2, 0]
    dice = np.random.default_rng(0)
    assert (
        set(windows.draw_starts(range(3), 100, dice)) == {0, 1, 2} and len(windows.draw_starts(range(3), 5, dice)) == 5
    )
    assert set(windows.draw_starts(np.array([4, 9]), 100, dice)) == {4, 9}
    assert set(map(tuple, windows.draw(tokens, range(2), 50, 2, dice).tolist())) == {(0, 1), (1, 2)}


def test_counting_goes_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "PIECE", 2)
    assert windows.frequencies(np.array([0, 1, 1, 2, 2]), 3).tolist() == [1, 2, 2]


def test_what_is_drawn_elsewhere_never_overlaps_the_window() -> None:
    tokens, dice = np.arange(10), np.random.default_rng(0)
    places = windows.places_elsewhere(tokens, np.full(500, 8), 3, 2, dice)
    assert set(places.tolist()) == {1, 2, 3, 4, 5, 6}
    found = windows.elsewhere(tokens, np.full(500, 0), 6, 4, dice)
    assert set(map(tuple, found.tolist())) == {(6, 7, 8, 9)} and found.dtype == np.int64
    wrapped = windows.elsewhere(tokens, np.full(50, 4), 4, 5, dice)
    assert set(map(tuple, wrapped.tolist())) == {(8, 9, 0, 1, 2), (9, 0, 1, 2, 3)}


def test_paragraphs_begin_after_an_empty_line() -> None:
    n = 0
    tokens = np.array([n, n, 1, n, n, n, 2, n, 3, n, n])
    assert windows.paragraph_starts(tokens, 1, n).tolist() == [0, 2, 6]


def test_contexts_follow_what_ended_before() -> None:
    assert following(np.array([True, False, True, True]), np.array([5, 6, 7])).tolist() == [-1, 5, -1, 6]
    assert codes("a\U0001f600").tolist() == [97, 0x1F600]
    ngrams = NGrams.of("abcab", order=3)
    assert ngrams.size == 4 and ngrams.encode("abz\x00c").tolist() == [0, 1, 3, 3, 2]
    first, second, third = ngrams.levels
    assert first.counts.tolist() == [2, 2, 1] and first.totals.tolist() == [5] and first.kinds.tolist() == [3]
    assert (
        second.totals.tolist() == [2, 1, 1]
        and second.kinds.tolist() == [1, 1, 1]
        and second.counts.tolist() == [2, 1, 1]
    )
    assert third.totals.tolist() == [1, 1, 1] and len(NGrams.of("abcab").levels) == 5
    assert np.exp(ngrams.log_probabilities("ab"))[1] == pytest.approx((2 + (2 + 3 / 4) / 8) / 3)


def test_characters_are_encoded_by_their_order() -> None:
    known = Characters.of("bca")
    assert known.characters == ("a", "b", "c") and known.size == 3 and known.encode("cab") == [2, 0, 1]
    assert known.decode([1, 1]) == "bb" and vocabulary.unpack(known.pack()) == known
    for odd in ("d", "`", "b\U0001f600"):
        with pytest.raises(InputError, match="is not among the 3 characters of the vocabulary"):
            known.array(odd)
    with pytest.raises(InputError, match=r"^'x' is not among"):  # the first one is named
        known.array("axy")
    assert vocabulary.of_checkpoint({"characters": ["a"]}) == Characters(("a",))
    assert vocabulary.of_checkpoint({"vocabulary": known.pack()}) == known


BYTES = tuple(bytes([byte]) for byte in range(256))


def test_ranks_are_written_and_read_whole() -> None:
    tokens = (*BYTES, b"ab")
    text = vocabulary.write_ranks(tokens)
    assert text.splitlines()[256] == "YWI= 256" and vocabulary.read_ranks(text) == tokens
    for odd in (vocabulary.write_ranks(tokens[1:]), text.replace("YWI= 256", "YWI= 257"), text.replace("YWI=", "AA==")):
        with pytest.raises(ValueError, match="the ranks"):
            vocabulary.read_ranks(odd)
    pairs = BytePairs("bpe", r"\w+|\W+", tokens)
    assert vocabulary.unpack(pairs.pack()) == pairs and pairs.title == "byte pairs (bpe)" and pairs.size == 257
    assert (
        pairs.encode("ab a") == [256, 32, 97] and pairs.decode([256, 255]) == "ab\ufffd" and pairs.array("").size == 0
    )
    assert pairs.decode_bytes([256, 255]) == b"ab\xff"


def test_a_long_text_is_encoded_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "PIECE_LENGTH", 4)
    assert list(vocabulary.pieces("abcdef gh ijklmnopqrstuv")) == ["abcdef", " gh ijkl", "mnopqrst", "uv"]
    assert list(vocabulary.pieces("abcd efg")) == ["abcd efg"] and list(vocabulary.pieces("")) == []
    assert list(vocabulary.pieces("abcde fg hi")) == ["abcde", " fg hi"]


def test_tokens_that_a_text_needs_are_kept_with_those_they_are_made_of() -> None:
    tokens = (*BYTES, b"ab", b"cd", b"abcd", b"xy")
    ranks = {token: rank for rank, token in enumerate(tokens)}
    assert byte_pairs.parts(b"abcd", ranks) == [b"ab", b"cd"] and byte_pairs.parts(b"a", ranks) == [b"a"]
    assert byte_pairs.parts(b"ab", ranks) == [b"a", b"b"] and byte_pairs.by_rank({b"b": 1, b"a": 0}) == (b"a", b"b")
    full = BytePairs("gpt2", r"\w+|\W+", tokens)
    assert byte_pairs.restricted(full, ["abcd"]).tokens == (*BYTES, b"ab", b"cd", b"abcd")
    assert byte_pairs.restricted(full, ["xyz", "cd"]).tokens == (*BYTES, b"cd", b"xy")


def test_a_cache_counts_where_its_content_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = hashlib.sha256(b"ranks").hexdigest()
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    assert byte_pairs.cached("u", content) is None
    (tmp_path / hashlib.sha1(b"u").hexdigest()).write_bytes(b"ranks")
    assert byte_pairs.cached("u", content) == b"ranks" and byte_pairs.cached("u", "other") is None
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    assert byte_pairs.cached("u", content) is None
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR")
    monkeypatch.setenv("DATA_GYM_CACHE_DIR", str(tmp_path))
    assert byte_pairs.cached("u", content) == b"ranks"
    monkeypatch.delenv("DATA_GYM_CACHE_DIR")
    monkeypatch.setattr(byte_pairs.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / "data-gym-cache").mkdir()
    (tmp_path / "data-gym-cache" / hashlib.sha1(b"u").hexdigest()).write_bytes(b"ranks")
    assert byte_pairs.cached("u", content) == b"ranks"
    monkeypatch.setattr(byte_pairs, "GPT2_FILE", tmp_path / "gpt2.tiktoken")
    with pytest.raises(InputError, match="needs GPT-2's ranks"):
        byte_pairs.gpt2_tokens()
    byte_pairs.GPT2_FILE.write_bytes(b"odd")
    with pytest.raises(InputError, match="its sha256 differs"):
        byte_pairs.gpt2_tokens()
    ranks = vocabulary.write_ranks(BYTES).encode()
    monkeypatch.setattr(byte_pairs, "GPT2_SHA256", hashlib.sha256(ranks).hexdigest())
    byte_pairs.GPT2_FILE.write_bytes(ranks)
    assert byte_pairs.gpt2_tokens() == BYTES
    byte_pairs.GPT2_FILE.unlink()
    (tmp_path / "data-gym-cache" / hashlib.sha1(byte_pairs.GPT2_URL.encode()).hexdigest()).write_bytes(ranks)
    assert byte_pairs.gpt2_tokens() == BYTES and byte_pairs.gpt2(["ab"]).tokens == BYTES


def test_letters_of_bytes_and_calls_that_fail() -> None:
    letters = byte_pairs.bytes_of_letters()
    assert len(letters) == len(set(letters.values())) == 256
    assert (letters["!"], letters["~"], letters["\xa1"], letters["\xac"], letters["\xae"], letters["\xff"]) == (
        33, 126, 0xA1, 0xAC, 0xAE, 0xFF
    )  # fmt: skip
    assert (letters["\u0100"], letters["\u0120"], letters["\u0121"], letters["\u0143"]) == (0, 32, 127, 0xAD)
    made: list[int] = []
    byte_pairs.interruptible(lambda: made.append(1))
    assert made == [1]

    def fail() -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        byte_pairs.interruptible(fail)


def test_a_text_of_characters_is_prepared_once(tmp_path: Path) -> None:
    read: list[int] = []

    def text() -> tuple[str, dict[str, str]]:
        read.append(1)
        return "ab" * 200, {"from": "here"}

    folder = tmp_path / "d"
    assert not characters.is_prepared(folder)
    assert characters.prepare_once(folder, text) and characters.is_prepared(folder)
    assert not characters.prepare_once(folder, text) and read == [1]
    assert characters.prepare_once(folder, text, again=True) and read == [1, 1]
