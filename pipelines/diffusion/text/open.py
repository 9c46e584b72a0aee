"""Make the tokens that a config asks for: of any text file, or of a dataset's text. Never imports torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.diffusion.text import byte_pairs, dataset
from pipelines.diffusion.text.dataset import Dataset
from pipelines.diffusion.text.tokenization import Wanted
from pipelines.diffusion.text.vocabulary import Characters, Vocabulary
from pipelines.shared import dataset_preparation
from pipelines.shared.errors import Mistake
from pipelines.shared.settings_types import dataset_folder, dataset_meta, text_file


def open_dataset(name: str, tokenizer: str = "auto", bpe_vocab_size: int = 512) -> Dataset:
    """The dataset data/<name>, or the one in the folder `name` when that is a path, or the text file `name`: in these
    tokens, prepared now if need be. Raises Mistake."""
    return dataset.read(name, prepared(Wanted(name, tokenizer, bpe_vocab_size)))


def prepared(wanted: Wanted) -> Path:
    """The folder with these tokens, prepared now if need be. Raises Mistake."""
    return prepare(wanted)[0]


def prepare(wanted: Wanted) -> tuple[Path, bool]:
    """The folder with these tokens, and whether they had to be made. Raises Mistake."""
    try:
        folder = wanted.folder()
        if folder is not None and dataset.is_prepared(folder):
            return folder, False
        return _from_file(wanted) if wanted.is_file else _from_dataset(wanted)
    except OSError as error:
        raise Mistake(f"could not prepare the dataset '{wanted.dataset}': {error}") from error


def _from_file(wanted: Wanted) -> tuple[Path, bool]:
    text, source = read(wanted)
    folder = wanted.folder_for(source["sha256"])
    return folder, dataset_preparation.once(folder, dataset.PARTS, lambda: write(folder, text, wanted, source))


def _from_dataset(wanted: Wanted) -> tuple[Path, bool]:
    own = dataset_folder(wanted.dataset)
    fresh = not dataset.is_prepared(own)
    if fresh:
        dataset_preparation.by_script(wanted.dataset, own)
    folder = wanted.folder()
    if folder == own:
        return own, fresh
    held = dataset.read(wanted.dataset, own)  # its tokens give back the text, whatever it was made from
    folder, source = wanted.folder_for(held.sha256), {"name": wanted.dataset, "sha256": held.sha256}
    return folder, dataset_preparation.once(folder, dataset.PARTS, lambda: write(folder, held.text(), wanted, source))


def read(wanted: Wanted) -> tuple[str, dict[str, str]]:
    """The text of a file, line ends as \\n and no byte order mark, and where it is from. Raises Mistake."""
    path = text_file(wanted.dataset)
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise Mistake(
            f"{path} is not UTF-8 text ({error.reason} at byte {error.start});"
            " convert it, as with iconv -f LATIN1 -t UTF-8"
        ) from error
    except OSError as error:
        raise Mistake(f"{path} cannot be read ({error.strerror}); give the path of a text file") from error
    if len(text) < dataset.FEWEST:
        raise Mistake(f"{path} has only {len(text)} characters; a text needs {dataset.FEWEST} and more")
    return text, {"name": path.name, "sha256": hashlib.sha256(content).hexdigest()}


def write(folder: Path, text: str, wanted: Wanted, source: Mapping[str, Any]) -> None:
    vocabulary, notes = vocabulary_for(text, wanted)
    dataset.write(folder, text, vocabulary, source, notes)


def vocabulary_for(text: str, wanted: Wanted) -> tuple[Vocabulary, dict[str, Any]]:
    """The vocabulary and what meta.json shall say about it."""
    if wanted.tokenizer == "gpt2":
        return byte_pairs.gpt2(dataset.split(text)), {
            "gpt2_sha256": byte_pairs.GPT2_SHA256,
            "numbering": "the tokens of gpt2 that this text needs, in gpt2's order, numbered anew: see ranks.tiktoken",
        }
    if wanted.tokenizer == "bpe":
        learned = byte_pairs.learned(dataset.split(text)[0], wanted.bpe_vocab_size)
        return learned, {"bpe_vocab_size": wanted.bpe_vocab_size}
    return Characters.of(text), {}


def prepare_named(folder: Path, wanted: Wanted, *, again: bool) -> bool:
    """Prepare a folder of the user's own name; False when it holds just this. Raises Mistake where it holds another."""
    text, source = read(wanted)
    asked = replace(wanted, tokenizer="characters") if wanted.tokenizer == "auto" else wanted
    held = dataset_meta(folder)
    if held and not again and not (asked.fits(held) and held.get("sha256") == dataset.digest(text)):
        raise Mistake(f"{folder} holds another text or other tokens; --again replaces them")
    return dataset_preparation.once(folder, dataset.PARTS, lambda: write(folder, text, asked, source), again=again)
