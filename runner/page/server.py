"""Listen on the loopback interface and serve the page until Ctrl+C."""

from __future__ import annotations

import getpass
import secrets
import socket

import uvicorn
from starlette.middleware.gzip import GZipMiddleware

from runner.core.errors import UserError
from runner.core.printing import say
from runner.core.text import shown
from runner.page.app import Page
from runner.page.source import Source

ADDRESS = "127.0.0.1"
GRACE = 1  # seconds that open requests get after Ctrl+C
MOST_AT_ONCE = 64  # requests


def serve(source: Source, port: int) -> int:
    """Serve until Ctrl+C or SIGTERM; returns the exit code. `port` 0: one that is free. Raises UserError."""
    listening = listen(port)
    own = listening.getsockname()[1]
    token = secrets.token_urlsafe(32)
    page = Page(source, token, own)
    config = uvicorn.Config(
        GZipMiddleware(page.app, minimum_size=1000),
        log_level="error",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=30,
        limit_concurrency=MOST_AT_ONCE,
    )
    say(f"{shown(source.base)}: open  http://{ADDRESS}:{own}/#t={token}")
    say(f"over SSH, type on your own machine first:  ssh -L {own}:{ADDRESS}:{own} {_user()}@{socket.gethostname()}")
    say("Ctrl+C ends the page; no batch is stopped by it", flush=True)
    server = uvicorn.Server(config)
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:  # uvicorn sends itself the signal again when it has ended
        pass
    finally:
        listening.close()
    return 0


def listen(port: int) -> socket.socket:
    """A socket on the loopback interface; `port` 0: a free one. Raises UserError."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((ADDRESS, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise UserError(f"--port {port}: cannot be used ({error.strerror}); choose another one, or 0") from None
    return listening


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return "you"
