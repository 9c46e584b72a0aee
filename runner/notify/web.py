"""Send one HTTP request to an address of the user. Follows no redirect; http is for this machine alone."""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from runner.core import clock
from runner.notify.registry import NotSent

LARGEST = 1 << 16  # bytes of an answer that are read
_HINTS = {
    400: "check the settings of the channel",
    401: "check its token",
    403: "check its token or address",
    404: "check its address",
    410: "the address is not valid any more; make a new one",
    413: "the message is too long for it",
}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def problem(url: str) -> str | None:
    """Why an address cannot be used; a phrase that does not show it."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not an address"
    if not host or parts.scheme not in ("http", "https") or any(not 32 < ord(sign) < 127 for sign in url):
        return "is not an address such as https://host/path"
    if parts.username is not None:
        return "contains a user name; use the setting token instead"
    if parts.scheme == "http" and not is_loopback(host):
        return "is not encrypted; use https (http is for this machine alone)"
    return None


def is_loopback(host: str) -> bool:
    """Whether it is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def post_json(url: str, record: Mapping[str, Any], seconds: float, token: str | None = None) -> None:
    """Send JSON with POST. Raises NotSent for every answer but success."""
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "overnight"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    body = json.dumps(record, ensure_ascii=False).encode(errors="replace")
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    host = urlsplit(url).hostname or ""
    handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
    if is_loopback(host):
        handlers.append(urllib.request.ProxyHandler({}))
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=seconds) as answer:
            answer.read(LARGEST)
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(error.code, error.headers.get("Retry-After")) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise unreachable(getattr(error, "reason", error), host, seconds) from None


def _refused(code: int, retry_after: str | None) -> NotSent:
    if code in (408, 425, 429) or code >= 500:
        return NotSent(f"it answered {code}", again=True, after=_seconds(retry_after))
    if 300 <= code < 400:
        return NotSent(f"it answered {code}, a redirect, which is not followed; give the final address")
    return NotSent(f"it answered {code}; {_HINTS.get(code, 'check its settings')}")


def _seconds(text: str | None) -> float | None:
    """The seconds of a Retry-After, which is a number or a date."""
    if not text:
        return None
    try:
        if text.strip().isdecimal():
            return float(text)
        return max(parsedate_to_datetime(text).timestamp() - clock.seconds(), 0.0)
    except (ValueError, OverflowError):
        return None


def unreachable(reason: object, host: str, seconds: float) -> NotSent:
    """The error for a host that could not be reached, or that does not keep to the protocol."""
    if isinstance(reason, ssl.SSLError):
        why = reason.reason or type(reason).__name__
        return NotSent(f"no secure connection to {host} ({why}); check its certificate and the port")
    if isinstance(reason, socket.gaierror):
        return NotSent(f"the host {host} is not found; check its name and the network", again=True)
    if isinstance(reason, TimeoutError):
        return NotSent(f"{host} did not answer in {seconds:g} s", again=True)
    if isinstance(reason, ConnectionRefusedError):
        return NotSent(f"{host} refused the connection; check the port", again=True)
    return NotSent(f"{host} could not be reached ({type(reason).__name__})", again=True)
