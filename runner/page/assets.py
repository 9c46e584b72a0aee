"""The files of the page, which are part of the package. They hold nothing of a batch."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from runner.disk.reading import read_bytes

FOLDER = Path(__file__).parent / "assets"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@cache
def _content(name: str) -> tuple[bytes, str]:
    """A file and its ETag."""
    content = read_bytes(FOLDER / name, links=True)
    return content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'


@cache
def names() -> frozenset[str]:
    """The files that a browser may ask for."""
    return frozenset(path.name for path in FOLDER.iterdir() if path.suffix in TYPES)


def index(request: Request) -> Response:
    """The page itself."""
    return _served(request, "index.html")


def asset(request: Request) -> Response:
    """One of its files."""
    name = request.path_params["name"]
    return _served(request, name) if name in names() else Response(status_code=404)


def _served(request: Request, name: str) -> Response:
    content, tag = _content(name)
    headers = {"etag": tag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    kind = f"{TYPES[Path(name).suffix]}; charset=utf-8"
    return Response(content, headers=headers, media_type=kind)
