"""Tell a supervisor's result from one that the job wrote itself.

Each attempt has a nonce. The engine sends it to the supervisor with the request, and only the SHA-256 of it is written
before the end of the job: into the metadata. The result of the supervisor contains the nonce.
"""

from __future__ import annotations

import hashlib
import os

from runner.core.state import ERROR
from runner.disk import layout
from runner.disk.reading import read_json

DIGEST = "nonce_sha256"  # the entry of the metadata


def new() -> str:
    """A value that nobody can guess."""
    return os.urandom(16).hex()


def digest(nonce: str) -> str:
    return hashlib.sha256(nonce.encode()).hexdigest()


def confirms(folder: str | os.PathLike[str], status: str, nonce: str | None) -> bool:
    """True if the supervisor of the attempt in this folder wrote a result with this nonce, as its metadata tell.

    Metadata of earlier versions tell nothing, nor do metadata that are gone. A result that says that the end is not
    known needs no nonce: the engine writes it where the supervisor cannot.
    """
    if status == ERROR:
        return True
    expected = read_json(layout.JobPaths(folder).metadata).get(DIGEST)
    return not isinstance(expected, str) or (nonce is not None and digest(nonce) == expected)
