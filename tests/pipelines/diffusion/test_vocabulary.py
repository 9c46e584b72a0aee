"""Tokens and their ids: characters, GPT-2's byte pairs, byte pairs learned from a text."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.diffusion.text import byte_pairs, dataset, vocabulary
from pipelines.diffusion.text.open import open_dataset
from pipelines.diffusion.text.vocabulary import BytePairs, Characters
from pipelines.shared.errors import InputError
from tests.pipelines.diffusion.languages import LANGUAGES, TEXT, prepare_in, put_few_ranks, text_in

gpt2_is_here = pytest.mark.skipif(
    not byte_pairs.GPT2_FILE.is_file(), reason="data/tiktoken/gpt2.tiktoken is not there: GPT-2's own ranks"
)


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    return prepare_in(tmp_path, monkeypatch)


@pytest.fixture
def few_ranks(tmp_path, monkeypatch) -> Path:
    return put_few_ranks(tmp_path, monkeypatch)


# Vocabularies.

anything = st.text(st.characters(codec="utf-8"), max_size=200)
with_spaces = st.text(st.sampled_from("ab '\n\t é1!\u3000"), max_size=80)


@pytest.fixture(scope="module")
def pairs() -> BytePairs:
    return byte_pairs.learned(TEXT, 600)


@pytest.mark.parametrize("strategy", [anything, with_spaces])
def test_every_text_comes_back_from_byte_pairs(pairs, strategy):
    @given(strategy)
    @example(LANGUAGES)
    @example("<|endoftext|>")
    @settings(max_examples=200, deadline=None)
    def check(text):
        assert pairs.decode(pairs.encode(text)) == text
        assert pairs.encoding.decode(pairs.encode(text)) == text

    check()


def huggingface(pairs: BytePairs):
    """The same pairs applied by the library that learned them: merges in the order of the ranks."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    ranks = {token: rank for rank, token in enumerate(pairs.tokens)}
    letter_of = {byte: letter for letter, byte in byte_pairs.bytes_of_letters().items()}

    def shown(token: bytes) -> str:
        return "".join(letter_of[byte] for byte in token)

    merges = [tuple(map(shown, byte_pairs.parts(token, ranks))) for token in pairs.tokens if len(token) > 1]
    found = Tokenizer(models.BPE({shown(token): rank for token, rank in ranks.items()}, merges))
    found.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pairs.pattern), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    return found


def test_tiktoken_encodes_as_the_library_does_that_learned_the_pairs(pairs):
    other = huggingface(pairs)

    @given(st.one_of(anything, with_spaces, st.lists(st.sampled_from(LANGUAGES.split()), max_size=30).map(" ".join)))
    @example(TEXT)
    @settings(max_examples=200, deadline=None)
    def check(text):
        assert pairs.encode(text) == other.encode(text).ids

    check()


def test_both_libraries_cut_alike_at_every_character():
    """Pairs of a letter, a digit, a sign or a space with any byte are merged, unless the text is cut between them."""
    merged = [bytes([left, byte]) for left in b"a1! \n" for byte in range(256)]
    pairs = BytePairs("bpe", byte_pairs.PATTERN, (*(bytes([byte]) for byte in range(256)), *merged))
    other = huggingface(pairs)
    cut = set()
    for start in [*range(0, 0x10000, 0x800), 0x1F000, 0x20000, 0xE0000]:
        codes = [c for c in range(start, start + 0x800) if not 0xD800 <= c < 0xE000]
        block = "".join(f"a{chr(c)}1{chr(c)}!{chr(c)} {chr(c)}\n{chr(c)}" for c in codes)
        assert pairs.encode(block) == other.encode(block).ids, hex(start)
        cut |= {c for c in codes if pairs.encode(f"a{chr(c)}")[0] == ord("a")}
    assert {ord(c) for c in " \n!1\u3000\u2014\u3002"} < cut and not cut & {ord(c) for c in "bé\u093f\u0e31你"}


def test_the_pairs_are_learned_always_alike_and_no_word_reaches_over_a_space(pairs):
    assert byte_pairs.learned(TEXT, 600) == pairs
    assert 400 < pairs.size <= 600 and set(pairs.tokens[:256]) == {bytes([byte]) for byte in range(256)}
    spaced = [token for token in pairs.tokens if token.strip(b" ").count(b" ")]
    assert spaced == [] and "नमस्ते".encode() in pairs.tokens  # vowel signs stay in their word


def test_the_pair_that_is_the_most_frequent_is_learned_first():
    pairs = byte_pairs.learned("xyxyxyzz zz " * 50, 258)
    assert pairs.tokens[256:] == (b"xy", b"zz")


def test_a_text_with_few_pairs_gives_a_smaller_vocabulary():
    assert byte_pairs.learned("abc", 1000).size == 256  # no pair occurs twice
    alone = byte_pairs.learned(TEXT, 256)
    assert [alone.tokens[i] for i in alone.encode("né")] == [b"n", b"\xc3", b"\xa9"]


@pytest.mark.parametrize(
    "text", [" " * 400_000 + "a", "\n" * 400_000, "ab" * 200_000, "é\n" * 100_000, LANGUAGES * 400]
)
def test_long_texts_are_encoded_in_stretches(pairs, text):
    cut = list(vocabulary.pieces(text))
    assert "".join(cut) == text and max(map(len, cut)) <= 2 * vocabulary.PIECE_LENGTH
    assert pairs.decode(pairs.encode(text)) == text


def test_stretches_do_not_change_the_tokens(pairs, monkeypatch):
    monkeypatch.setattr(vocabulary, "PIECE_LENGTH", 40)
    assert len(list(vocabulary.pieces(TEXT))) > 50
    assert pairs.encode(TEXT) == pairs.encoding.encode_ordinary(TEXT)


@pytest.mark.parametrize("known", [Characters.of(TEXT), byte_pairs.learned(TEXT, 300)], ids=["characters", "bpe"])
def test_a_checkpoint_alone_can_decode(tmp_path, known):
    torch.save({"vocabulary": known.pack()}, tmp_path / "c.pt")
    again = vocabulary.of_checkpoint(torch.load(tmp_path / "c.pt", weights_only=True))
    assert again == known and again.decode(known.encode(LANGUAGES)) == LANGUAGES


def test_a_checkpoint_from_before_byte_pairs_can_be_decoded():
    assert vocabulary.of_checkpoint({"characters": ["a", "b"]}).decode([1, 0]) == "ba"


def test_a_character_that_was_not_learned_is_named():
    with pytest.raises(InputError, match="'z' is not among the 2 characters of the vocabulary"):
        Characters.of("ab").encode("abz")


def test_ids_of_broken_utf8_are_shown_as_such(pairs):
    assert pairs.decode(pairs.encode("é")[:1]) == "é" or "\ufffd" in pairs.decode([pairs.tokens.index(b"\xc3")])


@pytest.mark.parametrize("ranks", ["", "YQ== 0\n", "YQ== 1\n", "a b c\n", "YQ== x\n"])
def test_a_damaged_ranks_file_is_refused(ranks):
    with pytest.raises(ValueError, match=r".+"):
        vocabulary.read_ranks(ranks)


# GPT-2's ranks.


def test_gpt2_comes_from_its_file_and_keeps_what_the_text_needs(few_ranks, tmp_path, place):
    found = open_dataset(text_in(tmp_path), "gpt2")
    whole = BytePairs("gpt2", byte_pairs.GPT2_PATTERN, vocabulary.read_ranks(few_ranks.read_text()))
    assert found.vocabulary.decode([*found.train.tolist(), *found.val.tolist()]) == found.text()
    for part, ids in zip(dataset.split(found.text()), (found.train, found.val), strict=True):
        assert [found.vocabulary.tokens[i] for i in ids] == [whole.tokens[i] for i in whole.encode(part)]
    assert set(found.vocabulary.tokens) <= set(whole.tokens)
    order = [whole.tokens.index(token) for token in found.vocabulary.tokens]
    assert order == sorted(order)
    meta = json.loads((found.folder / "meta.json").read_text())
    assert meta["tokenizer"] == "gpt2" and "renumbered" in meta["numbering"]


def test_a_vocabulary_is_as_small_as_its_text():
    whole = byte_pairs.learned(TEXT, 600)
    few = byte_pairs.restricted(whole, ["The rain fell"])
    used = {whole.tokens[i] for i in whole.encode("The rain fell")}
    parts = {token for token in few.tokens if len(token) > 1 and token not in used}
    assert 256 <= few.size < 300 and used <= set(few.tokens)
    assert all(any(part in token for token in used) for part in parts)
    for text in ("The rain fell", TEXT, "🦜"):  # other texts, too: in smaller parts
        assert few.decode(few.encode(text)) == text


@given(st.lists(st.sampled_from([*LANGUAGES.split(), "\n", "  "]), min_size=1, max_size=40).map(" ".join))
@settings(max_examples=60, deadline=None)
def test_restricted_to_a_text_byte_pairs_encode_it_as_before(text):
    whole = byte_pairs.learned(TEXT, 600)
    few = byte_pairs.restricted(whole, [text])
    assert [few.tokens[i] for i in few.encode(text)] == [whole.tokens[i] for i in whole.encode(text)]


@pytest.mark.parametrize("variable", ["TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"])
def test_gpt2_comes_from_what_tiktoken_keeps(few_ranks, tmp_path, monkeypatch, variable):
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "cache"))
    kept = tmp_path / "cache" / hashlib.sha1(byte_pairs.GPT2_URL.encode()).hexdigest()
    kept.parent.mkdir()
    few_ranks.rename(kept)
    assert len(byte_pairs.gpt2_tokens()) == 400
    kept.write_text("another file")
    with pytest.raises(InputError, match="needs GPT-2's ranks"):
        byte_pairs.gpt2_tokens()
    assert kept.read_text() == "another file"  # it is tiktoken's


@gpt2_is_here
def test_gpt2_as_it_was_first_released_is_taken_from_what_tiktoken_keeps(tmp_path, monkeypatch):
    """vocab.bpe and encoder.json, made of the ranks: the two files that tiktoken itself downloads for GPT-2."""
    tokens = byte_pairs.gpt2_tokens()
    ranks = {token: rank for rank, token in enumerate(tokens)}
    letter_of = {byte: letter for letter, byte in byte_pairs.bytes_of_letters().items()}

    def shown(token: bytes) -> str:
        return "".join(letter_of[byte] for byte in token)

    merges = "".join(" ".join(map(shown, byte_pairs.parts(token, ranks))) + "\n" for token in tokens if len(token) > 1)
    bpe = f"#version: 0.2\n{merges}".encode()
    encoder = json.dumps({**{shown(token): rank for token, rank in ranks.items()}, "<|endoftext|>": 50256}).encode()
    vocab_url, encoder_url = byte_pairs.GPT2_RELEASE
    if hashlib.sha256(bpe).hexdigest() != byte_pairs.GPT2_RELEASE[vocab_url]:
        pytest.fail("the merges of the ranks are not those of vocab.bpe")
    assert hashlib.sha256(encoder).hexdigest() == byte_pairs.GPT2_RELEASE[encoder_url]
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(byte_pairs, "GPT2_FILE", tmp_path / "none")
    for url, content in ((vocab_url, bpe), (encoder_url, encoder)):
        (tmp_path / hashlib.sha1(url.encode()).hexdigest()).write_bytes(content)
    assert byte_pairs.gpt2_tokens() == tokens


def test_without_ranks_the_error_names_the_file_to_provide(few_ranks, tmp_path, monkeypatch):
    few_ranks.unlink()
    for folder in (str(tmp_path / "nothing"), ""):
        monkeypatch.setenv("TIKTOKEN_CACHE_DIR", folder)
        with pytest.raises(InputError, match=r"put https://.*tiktoken at .*gpt2.tiktoken, or use tokenizer 'bpe'"):
            byte_pairs.gpt2_tokens()


def test_a_damaged_file_of_ranks_is_an_error(few_ranks):
    few_ranks.write_bytes(few_ranks.read_bytes()[:-10])
    with pytest.raises(InputError, match="its sha256 differs"):
        byte_pairs.gpt2_tokens()


@gpt2_is_here
def test_gpt2_itself_knows_its_words_and_numbers():
    tokens = byte_pairs.gpt2_tokens()
    whole = BytePairs("gpt2", byte_pairs.GPT2_PATTERN, tokens)
    assert whole.encode("Hello world") == [15496, 995]  # as published with the model
    few = byte_pairs.gpt2([TEXT])
    assert few.size < 1500 and len(tokens) == 50256
    assert [few.tokens[i] for i in few.encode(TEXT)] == [tokens[i] for i in whole.encode(TEXT)]
