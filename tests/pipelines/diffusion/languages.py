"""A text in many languages with every kind of white space, and where tests put its tokens."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pipelines.diffusion.text import byte_pairs, tokenization, vocabulary

LANGUAGES = (
    "The rain fell over the hills, and the cat's cradle didn't hold; 12 of 345 were lost.\n"
    "Der Fluß überquert die Straße nicht. L'été s'en va, n'est-ce pas ?\n\n"
    "नमस्ते दुनिया, यह एक वाक्य है।  สวัสดีชาวโลก 你好，世界。吾輩は猫である。\n\n"
    "  Indented 🦜🦜 👩‍👩‍👧 tail   of spaces\t\tand tabs \u00a0\u2003 done.\r\n\x85\x00\x1f\n"
)
TEXT = LANGUAGES * 30


def prepare_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for prepared tokens, instead of data/prepared/."""
    monkeypatch.setattr(tokenization, "PREPARED", folder / "prepared")
    return folder / "prepared"


def put_few_ranks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of GPT-2's format and place with other, fewer ranks: its path is walked on every machine."""
    path = folder / "gpt2.tiktoken"
    path.write_text(vocabulary.write_ranks(byte_pairs.learned(LANGUAGES * 3, 400).tokens))
    monkeypatch.setattr(byte_pairs, "GPT2_FILE", path)
    monkeypatch.setattr(byte_pairs, "GPT2_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def text_in(folder: Path, text: str = TEXT) -> str:
    (folder / "text.txt").write_text(text, newline="")
    return str(folder / "text.txt")
