"""Say which tokens a config asks for, and in which folder they lie or will lie. Prepares nothing, imports no numpy."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

from pipelines.shared.settings_types import DATA, dataset_folder, dataset_meta, is_dataset, text_file

PREPARED = DATA / "prepared"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The keys of a config that say what the tokens are."""

    dataset: str  # a dataset's name or folder, or a text file
    tokenizer: str = "auto"  # auto: what the dataset holds; characters for a text file
    bpe_vocab_size: int = 512

    @property
    def is_file(self) -> bool:
        return not is_dataset(self.dataset)

    def folder(self) -> Path | None:
        """Where the tokens lie; None where that shows only when the dataset itself is prepared."""
        if self.is_file:
            try:
                return self.folder_for(digest(text_file(self.dataset)))
            except OSError:  # it was taken away; whoever prepares it says so
                return None
        own = dataset_folder(self.dataset)
        if self.tokenizer == "auto":
            return own
        meta = dataset_meta(own)
        if self.fits(meta):
            return own
        return self.folder_for(str(meta["sha256"])) if "sha256" in meta else None

    def fits(self, meta: dict[str, object]) -> bool:
        """True if the dataset that `meta` describes holds these tokens already."""
        held = meta.get("tokenizer", "characters") if meta else None
        return held == self.tokenizer and (held != "bpe" or meta.get("bpe_vocab_size") == self.bpe_vocab_size)

    def folder_for(self, sha256: str) -> Path:
        """One folder for each text and tokenizer: an edited text never meets the tokens of an older one."""
        tokenizer = "characters" if self.tokenizer == "auto" else self.tokenizer
        size = str(self.bpe_vocab_size) if tokenizer == "bpe" else ""
        return PREPARED / f"{Path(self.dataset).stem[:40]}-{tokenizer}{size}-{sha256[:16]}"


def digest(path: Path) -> str:
    """The sha256 of a file, computed anew only when the file has changed: planning asks for each job."""
    state = path.stat()
    return _digest(path, state.st_ino, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _digest(path: Path, inode: int, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
