"""ETags: whether a browser has an answer already."""

from __future__ import annotations

from starlette.requests import Request


def is_known(request: Request, tag: str) -> bool:
    """Whether If-None-Match names this tag. A proxy may have marked it as weak."""
    given = (word.strip().removeprefix("W/") for word in request.headers.get("if-none-match", "").split(","))
    return tag in given
