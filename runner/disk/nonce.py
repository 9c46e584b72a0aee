"""Tell a supervisor's result from one that the job wrote itself.

Each attempt has a nonce. The engine sends it to the supervisor with the request, and only the SHA-256 of it is written
before the end of the job: into the metadata. The result of the supervisor contains the nonce.
"""

from __future__ import annotations

import hashlib
import os
import re

from runner.core.state import ERROR
from runner.disk import layout
from runner.disk.reading import LARGEST, read_bytes

DIGEST = "nonce_sha256"  # the entry of the metadata
#: As atomic.write_json writes it. A thousand results are read at once, with metadata that are larger: no time to parse.
_LINE = re.compile(rb'^  "nonce_sha256": "([0-9a-f]{64})"', re.MULTILINE)


def new() -> str:
    """A value that nobody can guess."""
    return os.urandom(16).hex()


def digest(nonce: str) -> str:
    return hashlib.sha256(nonce.encode(errors="replace")).hexdigest()  # that of a job may be half a character


def confirms(folder: str | os.PathLike[str], status: str, nonce: str | None) -> bool:
    """True if the supervisor of the attempt in this folder wrote a result with this nonce, as its metadata tell.

    Metadata of earlier versions tell nothing, nor do metadata that are gone. A result that says that the end is not
    known needs no nonce: the engine writes it where the supervisor cannot.
    """
    if status == ERROR:
        return True
    try:
        found = _LINE.search(read_bytes(layout.JobPaths(folder).metadata, LARGEST))
    except OSError:
        return True
    return found is None or (nonce is not None and digest(nonce).encode() == found[1])
