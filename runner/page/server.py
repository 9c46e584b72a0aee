"""Listen on the loopback interface or on a socket of this user, and serve the page until Ctrl+C."""

from __future__ import annotations

import errno
import getpass
import hashlib
import os
import secrets
import shlex
import signal
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.middleware.gzip import GZipMiddleware

from runner.core.errors import UserError
from runner.core.printing import say
from runner.core.text import shown
from runner.page import kept_token
from runner.page.app import Page
from runner.page.source import Source

ADDRESSES = {"127.0.0.1": "127.0.0.1", "localhost": "127.0.0.1", "::1": "::1", "[::1]": "::1"}
COMPRESSION = 5  # 9 takes ten times as long for a tenth less
GRACE = 1  # seconds that open requests get after Ctrl+C
MOST_AT_ONCE = 64  # requests
PRIVATE = 0o177  # the umask of a socket that only its user can open


@dataclass(frozen=True, slots=True)
class Where:
    """Where the page can be reached. `port` 0: one that is free; `socket`: a path in place of a port."""

    port: int
    host: str = "127.0.0.1"
    socket: Path | None = None


class Server(uvicorn.Server):
    """Ends the streams of events at once when it is told to end."""

    page: Page

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.page.close()
        super().handle_exit(sig, frame)


def serve(source: Source, where: Where, *, keep_token: bool = False) -> int:
    """Serve until Ctrl+C or SIGTERM; returns the exit code. Raises UserError."""
    token = kept_token.token() if keep_token else secrets.token_urlsafe(32)
    listening = listen(where.port, where.host) if where.socket is None else listen_at(where.socket)
    page = Page(source, token, _name(where, listening))
    config = uvicorn.Config(
        GZipMiddleware(page.app, minimum_size=1000, compresslevel=COMPRESSION),
        log_level="error",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=30,
        limit_concurrency=MOST_AT_ONCE,
        h11_max_incomplete_event_size=1 << 15,
    )
    server = Server(config)
    server.page = page
    signal.signal(signal.SIGINT, server.handle_exit)  # from here on: it may come before the server has its own handler
    for line in _said(source, where, listening, token):
        say(line, flush=True)
    try:
        server.run(sockets=[listening])
    finally:
        page.close()
        listening.close()
        if where.socket:
            with suppress(OSError):
                where.socket.unlink()
    return 0


def _name(where: Where, listening: socket.socket) -> str:
    """Of the cookie: cookies do not keep ports apart."""
    if where.socket:
        return hashlib.sha256(os.fspath(where.socket.absolute()).encode()).hexdigest()[:12]
    return str(listening.getsockname()[1])


def _said(source: Source, where: Where, listening: socket.socket, token: str) -> list[str]:
    me, end = f"{_user()}@{socket.gethostname()}", "Ctrl+C ends the page; no batch is stopped by it"
    if where.socket:
        path = where.socket.absolute()
        return [
            f"over SSH, type on your own machine first:  ssh -L 8080:{path} {me}",
            f"{shown(source.base)}: then open  http://127.0.0.1:8080/#t={token}",
            end,
        ]
    port, host = listening.getsockname()[1], "[::1]" if listening.family == socket.AF_INET6 else "127.0.0.1"
    return [
        f"{shown(source.base)}: open  http://{host}:{port}/#t={token}",
        f"over SSH, type on your own machine first:  ssh -L {port}:{host}:{port} {me}",
        end,
    ]


def listen(port: int, host: str = "127.0.0.1") -> socket.socket:
    """A socket on the loopback interface; `port` 0: a free one. Raises UserError."""
    address = ADDRESSES.get(host)
    if address is None:
        tunnel = f"ssh -L {port or 'PORT'}:127.0.0.1:{port or 'PORT'} {_user()}@{socket.gethostname()}"
        raise UserError(
            f"--host {shlex.quote(host)}: the page listens on this machine only, at 127.0.0.1 or ::1; to reach it from "
            f"another one, leave --host out and type there: {tunnel}" + ("" if port else ", with the port of the page")
        )
    try:
        listening = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError as error:
        raise _no_address(host, error) from None
    try:
        listening.bind((address, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise _no_address(host, error) from None
        raise UserError(f"--port {port}: cannot be used ({error.strerror}); choose another one, or 0") from None
    return listening


def _no_address(host: str, error: OSError) -> UserError:
    return UserError(f"--host {host}: this machine does not have the address ({error.strerror}); leave --host out")


def listen_at(path: Path) -> socket.socket:
    """A socket in the file system that only this user can connect to. One that a killed page left is replaced."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _is_left(path):
            path.unlink()
        before = os.umask(PRIVATE)
        try:
            listening.bind(os.fspath(path))
        finally:
            os.umask(before)
        listening.listen(128)
    except OSError as error:
        listening.close()
        cause = error.strerror or error  # of a path that is too long only a text
        raise UserError(f"--socket {shown(path)}: cannot be used ({cause}); name another path") from None
    return listening


def _is_left(path: Path) -> bool:
    """Whether it is a socket that nobody listens to."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
            trial.connect(os.fspath(path))
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return "you"
