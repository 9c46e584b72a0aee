"""Open the tokens that a config requests, and prepare them first if needed: of a text file, or of a dataset's text.

Never imports torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.diffusion.text import byte_pairs, dataset
from pipelines.diffusion.text.dataset import Dataset
from pipelines.diffusion.text.tokenization import PREPARED, Tokenization
from pipelines.diffusion.text.vocabulary import Characters, Vocabulary
from pipelines.shared import dataset_preparation
from pipelines.shared.errors import InputError
from pipelines.shared.settings_types import dataset_folder, dataset_meta, text_file


def open_dataset(name: str, tokenizer: str = "auto", bpe_vocab_size: int = 512) -> Dataset:
    """The dataset data/<name>, or the one in the folder `name` when that is a path, or the text file `name`, in these
    tokens; prepared now if needed. Raises InputError."""
    return dataset.read(name, prepared(Tokenization(name, tokenizer, bpe_vocab_size)))


def open_in(vocabulary: Vocabulary, name: str, tokenizer: str = "auto", bpe_vocab_size: int = 512) -> Dataset:
    """As `open_dataset`, but in the tokens of a given vocabulary, whatever those of the dataset are. Raises InputError
    for a text with characters that it does not have."""
    found = open_dataset(name, tokenizer, bpe_vocab_size)
    if found.vocabulary == vocabulary:
        return found
    packed = hashlib.sha256(repr(vocabulary.pack()).encode()).hexdigest()
    folder = PREPARED / f"{Path(name).stem[:40]}-as-{packed[:8]}-{found.sha256[:16]}"
    source = {"name": name, "sha256": found.sha256}
    text, border = found.text(), len(found.vocabulary.decode(found.train.tolist()))
    dataset_preparation.prepare_once(
        folder, dataset.PARTS, lambda: dataset.write(folder, text, vocabulary, source, border=border)
    )
    return dataset.read(name, folder)


def prepared(request: Tokenization) -> Path:
    """The folder with these tokens, prepared now if needed. Raises InputError."""
    return prepare(request)[0]


def prepare(request: Tokenization) -> tuple[Path, bool]:
    """The folder with these tokens, and whether they were prepared just now. Raises InputError."""
    try:
        folder = request.folder()
        if folder is not None and dataset.is_prepared(folder):
            return folder, False
        return _from_file(request) if request.is_file else _from_dataset(request)
    except OSError as error:
        raise InputError(f"could not prepare the dataset '{request.dataset}': {error}") from error


def _from_file(request: Tokenization) -> tuple[Path, bool]:
    text, source = read(request)
    folder = request.folder_for(source["sha256"])
    return folder, dataset_preparation.prepare_once(folder, dataset.PARTS, lambda: write(folder, text, request, source))


def _from_dataset(request: Tokenization) -> tuple[Path, bool]:
    own = dataset_folder(request.dataset)
    fresh = not dataset.is_prepared(own)
    if fresh:
        dataset_preparation.run_script(request.dataset, own)
    folder = request.folder()
    if folder == own:
        return own, fresh
    existing = dataset.read(request.dataset, own)  # its tokens decode to the text, whatever it was read from
    folder, source = request.folder_for(existing.sha256), {"name": request.dataset, "sha256": existing.sha256}
    return folder, dataset_preparation.prepare_once(
        folder, dataset.PARTS, lambda: write(folder, existing.text(), request, source)
    )


def read(request: Tokenization) -> tuple[str, dict[str, str]]:
    """The text of a file, with \\n as line end and without a byte order mark, and its source. Raises InputError."""
    path = text_file(request.dataset)
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text ({error.reason} at byte {error.start});"
            " convert it, as with iconv -f LATIN1 -t UTF-8"
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give the path of a text file") from error
    if len(text) < dataset.MIN_CHARACTERS:
        raise InputError(f"{path} has only {len(text)} characters; at least {dataset.MIN_CHARACTERS} are needed")
    return text, {"name": path.name, "sha256": hashlib.sha256(content).hexdigest()}


def write(folder: Path, text: str, request: Tokenization, source: Mapping[str, Any]) -> None:
    vocabulary, notes = vocabulary_for(text, request)
    dataset.write(folder, text, vocabulary, source, notes)


def vocabulary_for(text: str, request: Tokenization) -> tuple[Vocabulary, dict[str, Any]]:
    """The vocabulary, and the notes about it for meta.json."""
    if request.tokenizer == "gpt2":
        return byte_pairs.gpt2(dataset.split(text)), {
            "gpt2_sha256": byte_pairs.GPT2_SHA256,
            "numbering": "the tokens of gpt2 that this text needs, in gpt2's order, renumbered: see ranks.tiktoken",
        }
    if request.tokenizer == "bpe":
        learned = byte_pairs.learned(dataset.split(text)[0], request.bpe_vocab_size)
        return learned, {"bpe_vocab_size": request.bpe_vocab_size}
    return Characters.of(text), {}


def prepare_named(folder: Path, request: Tokenization, *, again: bool) -> bool:
    """Prepare a named folder; False when it has these tokens already. Raises InputError when it has others."""
    text, source = read(request)
    resolved = replace(request, tokenizer="characters") if request.tokenizer == "auto" else request
    existing = dataset_meta(folder)
    if existing and not again and not (resolved.fits(existing) and existing.get("sha256") == dataset.digest(text)):
        raise InputError(f"{folder} has another text or other tokens; --again replaces them")
    return dataset_preparation.prepare_once(
        folder, dataset.PARTS, lambda: write(folder, text, resolved, source), again=again
    )
