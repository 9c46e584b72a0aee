"""Who may ask the page for what, decided before anything else looks at a request. An ASGI application around another.

Other pages in the same browser, other users of this machine, and names that resolve to 127.0.0.1 get nothing.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
MOST_WRONG, PER = 10, 60.0  # wrong tokens, and in how many seconds
LARGEST_BODY = 1 << 16  # bytes
CUSTOM = "x-runner"  # the header of every order: a form of another page cannot send it
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Gate:
    """Lets through what comes from the page itself, in a browser that has shown the token of this start."""

    def __init__(self, inner: ASGIApp, token: str, place: str | int) -> None:
        self._inner = inner
        self._token = token
        self._cookie = f"runner_{place}"  # cookies do not keep ports apart
        self._session = hmac.new(token.encode(), b"session", "sha256").hexdigest()
        self._wrong: list[float] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        response = self._refused(scope)
        if response is None:
            await self._inner(scope, receive, _with_headers(send))
        else:
            await response(scope, receive, _with_headers(send))

    def _refused(self, scope: Scope) -> Response | None:
        """The answer to a request that gets no further; None for one that does."""
        headers = _headers(scope)
        hosts = headers.get("host", [])
        if len(hosts) != 1 or not HOST.fullmatch(hosts[0]):
            return Response(status_code=421)
        reads = scope["method"] in ("GET", "HEAD")
        if not reads and not _is_our_page(headers, hosts[0]):
            return Response(status_code=403)
        path = scope["path"]
        if path == "/" or path.startswith("/assets/") or path == "/login":
            return None
        return None if self._knows(headers) else Response(status_code=401)

    def _knows(self, headers: Mapping[str, list[str]]) -> bool:
        """Whether the browser has the cookie that it got for the token."""
        try:
            cookie = SimpleCookie("; ".join(headers.get("cookie", []))).get(self._cookie)
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), self._session.encode())

    def login(self, token: object) -> Response:
        """The answer to a token: the cookie, 403, or 429 after too many wrong ones."""
        now = time.monotonic()
        self._wrong = [at for at in self._wrong if now - at < PER]
        if len(self._wrong) >= MOST_WRONG:
            return Response(status_code=429)
        given = token.encode(errors="replace") if isinstance(token, str) else b""  # JSON can have half a character
        if not hmac.compare_digest(given, self._token.encode()):
            self._wrong.append(now)
            return Response(status_code=403)
        response = Response(status_code=204)
        response.set_cookie(self._cookie, self._session, path="/", httponly=True, samesite="strict")
        return response


def _headers(scope: Scope) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found


def _is_our_page(headers: Mapping[str, list[str]], host: str) -> bool:
    """Whether a request that may change something was sent by a script of the page itself."""
    kind = headers.get("content-type", [""])[0].partition(";")[0].strip().lower()
    length = headers.get("content-length", [""])[0]
    return (
        all(site == "same-origin" for site in headers.get("sec-fetch-site", []))
        and headers.get("origin", []) == [f"http://{host}"]
        and kind == "application/json"
        and headers.get(CUSTOM, []) == ["1"]
        and length.isdecimal()
        and len(length) < 9
        and int(length) <= LARGEST_BODY
    )


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = list(message.get("headers", []))
            known = {name.lower() for name, _ in given}
            given += [(name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in known]
            if b"cache-control" not in known:
                given.append((b"cache-control", b"no-store"))
            message = {**message, "headers": given}
        await send(message)

    return sending
