"""The files of the page, which are part of the package. They hold nothing of a batch.

Their addresses hold a hash of them all, so a browser keeps them for ever; a file that names another one by `./` finds
that of the same hash. Without it they are checked at each use.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from runner.disk.reading import read_bytes
from runner.page.tags import is_known

FOLDER = Path(__file__).parent / "assets"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
LATER = ("axis.js", "parallel.js", "resources.js")  # scripts that a browser asks for when they are needed
KEPT = "private, max-age=31536000, immutable"


@cache
def names() -> frozenset[str]:
    """The files that a browser may ask for."""
    return frozenset(path.name for path in FOLDER.iterdir() if path.suffix in TYPES)


@cache
def _content(name: str) -> tuple[bytes, str]:
    """A file and its ETag."""
    content = read_bytes(FOLDER / name, links=True)
    if name == "index.html":
        content = _with_addresses(content)
    return content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'


@cache
def version() -> str:
    """The hash of all files."""
    found = hashlib.sha256()
    for name in sorted(names()):
        content = read_bytes(FOLDER / name, links=True)
        found.update(f"{name} {len(content)}\n".encode() + content)
    return found.hexdigest()[:16]


def _with_addresses(content: bytes) -> bytes:
    """The page with the hash in each address, and with the modules that are needed, so that all are asked for at once.

    Without that a browser learns of a module only when it has read the one that imports it.
    """
    others = ("main.js", "uplot.min.js", *LATER)
    modules = sorted(name for name in names() if name.endswith(".js") and name not in others)
    links = "".join(f'<link rel="modulepreload" href="/assets/{name}">\n' for name in modules)
    content = content.replace(b"</head>", links.encode() + b"</head>")
    return content.replace(b'"/assets/', f'"/assets/{version()}/'.encode())


def index(request: Request) -> Response:
    """The page itself."""
    return _served(request, "index.html", "no-cache")


def asset(request: Request) -> Response:
    """One of its files, now."""
    name = request.path_params["name"]
    return _served(request, name, "no-cache") if name in names() else Response(status_code=404)


def kept_asset(request: Request) -> Response:
    """One of its files by an address with the hash, which never has another content."""
    known = request.path_params["version"] == version() and request.path_params["name"] in names()
    return _served(request, request.path_params["name"], KEPT) if known else Response(status_code=404)


def _served(request: Request, name: str, keeping: str) -> Response:
    content, tag = _content(name)
    headers = {"etag": tag, "cache-control": keeping}
    if is_known(request, tag):
        return Response(status_code=304, headers=headers)
    kind = f"{TYPES[Path(name).suffix]}; charset=utf-8"
    return Response(content, headers=headers, media_type=kind)
