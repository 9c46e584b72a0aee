"""The token of `serve --keep-token`, in a file that only its user can read: open pages survive a restart."""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path

from runner.core.errors import UserError
from runner.core.text import shown
from runner.disk.atomic import write_all
from runner.disk.place import Place
from runner.disk.reading import open_below

TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


def path() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "overnight" / "page_token"


def token() -> str:
    """The kept one, or a new one that is kept. Raises UserError."""
    place = Place.of(path())
    try:
        try:
            return _read(place)
        except FileNotFoundError:
            return _made(place)
    except OSError as error:
        raise UserError(f"{shown(path())}: cannot keep the token ({error.strerror})") from None


def _read(place: Place) -> str:
    with open_below(place) as file:
        about = os.fstat(file.fileno())
        found = file.read(100).decode(errors="replace").strip()
    if about.st_uid != os.getuid() or stat.S_IMODE(about.st_mode) & 0o077 or not TOKEN.fullmatch(found):
        raise UserError(f"{shown(path())}: is not a token that only you can read; remove the file")
    return found


def _made(place: Place) -> str:
    made = secrets.token_urlsafe(32)
    place.parent.make()
    descriptor = place.open(os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        write_all(descriptor, made.encode() + b"\n")
    finally:
        os.close(descriptor)
    return made
