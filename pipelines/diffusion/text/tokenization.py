"""The tokens that a config requests, and the folder for them. Prepares nothing, never imports numpy."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

from pipelines.shared.settings_types import DATA, dataset_folder, dataset_meta, is_dataset, text_file

PREPARED = DATA / "prepared"


@dataclass(frozen=True, slots=True)
class Tokenization:
    """The keys of a config that determine the tokens."""

    dataset: str  # a dataset's name or folder, or a text file
    tokenizer: str = "auto"  # auto: the dataset's own; characters for a text file
    bpe_vocab_size: int = 512

    @property
    def is_file(self) -> bool:
        return not is_dataset(self.dataset)

    def folder(self) -> Path | None:
        """The folder of the tokens; None where it is known only after the dataset itself is prepared."""
        if self.is_file:
            try:
                return self.folder_for(digest(text_file(self.dataset)))
            except OSError:  # it is gone; its preparation reports that
                return None
        own = dataset_folder(self.dataset)
        if self.tokenizer == "auto":
            return own
        meta = dataset_meta(own)
        if self.fits(meta):
            return own
        return self.folder_for(str(meta["sha256"])) if "sha256" in meta else None

    def fits(self, meta: dict[str, object]) -> bool:
        """True if the dataset that `meta` describes has these tokens already."""
        tokenizer = meta.get("tokenizer", "characters") if meta else None
        return tokenizer == self.tokenizer and (tokenizer != "bpe" or meta.get("bpe_vocab_size") == self.bpe_vocab_size)

    def folder_for(self, sha256: str) -> Path:
        """One folder for each text and tokenizer: an edited text never gets the tokens of an older one."""
        tokenizer = "characters" if self.tokenizer == "auto" else self.tokenizer
        size = str(self.bpe_vocab_size) if tokenizer == "bpe" else ""
        return PREPARED / f"{Path(self.dataset).stem[:40]}-{tokenizer}{size}-{sha256[:16]}"


def digest(path: Path) -> str:
    """The sha256 of a file, cached until the file changes: planning needs it for each job."""
    state = path.stat()
    return _digest(path, state.st_ino, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _digest(path: Path, inode: int, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
